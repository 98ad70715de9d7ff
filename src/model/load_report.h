// What a load of weights found.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "m2/dtype.h"
#include "m2/tensor.h"

namespace m2 {

struct MismatchedTensor {
  std::string name;
  Shape file_shape;
  Shape model_shape;
};

/// The first lists are for messages: the hub's names, followed by the internal one where it
/// differs. Those ending in _keys have internal names, each once, and the reference's meaning.
struct LoadReport {
  std::vector<std::string> missing;
  std::vector<std::string> unexpected;  ///< as in the file
  std::vector<MismatchedTensor> mismatched;
  std::vector<std::string> warnings;

  std::vector<std::string> missing_keys;
  std::vector<std::string> unexpected_keys;
  std::vector<MismatchedTensor> mismatched_keys;
  std::vector<std::string> error_msgs;  ///< experts that cannot be put together

  std::int64_t num_tensors = 0;                  ///< used by the model
  std::map<DType, std::int64_t> bytes_by_dtype;  ///< of the used tensors, as stored
  std::int64_t converted_tensors = 0;            ///< that have memory of their own, in another type
  std::int64_t converted_bytes = 0;
  std::int64_t copied_tensors = 0;  ///< not aligned in the file, so copied into memory
  std::int64_t copied_bytes = 0;
};

/// Throws kCorruptFile naming the first few tensors that are missing (unless `missing_allowed`), of
/// another shape (unless `mismatched_allowed`) or cannot be put together.
void refuse_incomplete(const LoadReport& report, bool missing_allowed, bool mismatched_allowed);

/// Sorts the _keys and drops repeated ones.
void finish_report(LoadReport& report);

}  // namespace m2
