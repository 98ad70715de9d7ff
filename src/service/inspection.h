// What a model directory holds and what it needs, as JSON.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <span>

namespace m2 {

/// {"config", "parameters", "active_parameters", "kv_bytes_per_token", "weights", "memory"}:
/// shapes and counts from config.json; what the files store, with every tensor in "tensors", when
/// there are weights; and for each of `contexts` (empty: some usual ones up to the model's longest)
/// the bytes of weights and KV cache together. Without weight files the sizes are those of the
/// published FP8 layout and of BF16. The files are mapped, not read. Throws what the loaders throw.
nlohmann::ordered_json inspect_model(const std::filesystem::path& directory,
                                     std::span<const std::int64_t> contexts);

}  // namespace m2
