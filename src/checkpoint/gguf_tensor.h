// A tensor of a GGUF file as one of a checkpoint.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "checkpoint/checkpoint.h"
#include "gguf/ggml_type.h"
#include "gguf/gguf.h"
#include "quant/block_format.h"

namespace m2 {

/// How a type of GGUF files is stored here: as elements of a dtype, or as a block format.
struct GgmlStorage {
  DType dtype = DType::kU8;
  BlockFormat block_format = BlockFormat::kNone;
};

/// Nothing for types that this library does not decode.
[[nodiscard]] std::optional<GgmlStorage> storage_of(GgmlType type);
/// The opposite; nothing where GGUF has no such type.
[[nodiscard]] std::optional<GgmlType> ggml_type_of(DType dtype, BlockFormat block_format);

/// `file` is the number of the tensor's file, `path` names it in messages. Throws kUnsupported for
/// types that this library does not decode.
[[nodiscard]] CheckpointTensor checkpoint_tensor(const GgufTensor& tensor, std::size_t file,
                                                 const std::string& path);

}  // namespace m2
