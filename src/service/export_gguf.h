// Any model that can be loaded, as a GGUF file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string_view>

#include "m2/dtype.h"
#include "quant/block_format.h"

namespace m2 {

/// What the matrices of a GGUF file become: the block format, or elements of the dtype.
struct GgufFormat {
  DType dtype = DType::kBF16;
  BlockFormat block_format = BlockFormat::kNone;
};

/// "f32", "f16", "bf16", "q8_0", "q4_0", "q4_k", "q6_k". Throws kInvalidArgument that lists them.
GgufFormat gguf_format_from_name(std::string_view name);

struct ExportGgufOptions {
  GgufFormat format;
  int num_threads = 0;  ///< 0: every core
  /// Called with the bytes of tensors written and their number.
  std::function<void(std::int64_t done, std::int64_t total)> progress;
};

/// Writes the model of `source`, a directory or GGUF file, with its configuration, tokenizer and
/// chat templates to the file `target`, which appears when it is complete. Memory: a piece of one
/// matrix. Router, norms and correction biases stay float32, as llama.cpp wants them; with 4 bits
/// the head gets Q6_K; rows that are no whole blocks of their format get Q8_0, else F16. Throws
/// what loading throws, kUnsupported for what the file cannot say, kInvalidArgument for values
/// beyond the range of the format.
void export_gguf(const std::filesystem::path& source, const std::filesystem::path& target,
                 const ExportGgufOptions& options);

}  // namespace m2
