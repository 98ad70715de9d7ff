// A model directory in other formats, tensor by tensor.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "quantizer/recipe.h"
#include "quantizer/tensor_result.h"

namespace m2 {

struct QuantizeProgress {
  std::int64_t done_bytes = 0;  // of the source's tensors
  std::int64_t total_bytes = 0;
  std::string tensor;  // the one that was just done
};

struct QuantizeOptions {
  Recipe recipe;
  std::string max_shard_size = "5GB";  // as in parse_byte_size
  int num_threads = 0;                 // 0: every core
  std::function<void(const QuantizeProgress&)> progress;
  std::stop_token stop;
};

struct QuantizeResult {
  std::vector<TensorResult> tensors;  // in the order of the files
  std::int64_t num_shards = 0;
  std::int64_t kept_shards = 0;  // that an earlier, interrupted run had finished
};

/// Writes the model of `source` (a directory with hub or internal names, F32, F16, BF16, FP8 or
/// block formats, or a GGUF file, of which Q8_0 and Q4_0 become int8_g32 and int4_g32 exactly) into
/// `destination` with hub names, and copies its other files. Memory: one piece of a tensor
/// (64 MiB), whatever the model. `destination` must be absent, empty, or what an interrupted run of
/// the same source, recipe and version left: then complete files are kept (see journal.h). The
/// configuration comes last, so an unfinished directory cannot be loaded. Throws kInvalidArgument
/// naming the tensor whose values or shape do not fit; kCancelled when `stop` asks.
QuantizeResult quantize(const std::filesystem::path& source,
                        const std::filesystem::path& destination, const QuantizeOptions& options);

}  // namespace m2
