// Tensors in block formats are U8 in a safetensors file; its metadata says what the bytes mean.
#include <charconv>
#include <vector>

#include "base/error.h"
#include "checkpoint/checkpoint.h"

namespace m2 {
namespace {

constexpr std::int64_t kLargestDimension = std::int64_t{1} << 31U;

// "[1536, 3072]" as written by Shape::to_string; empty when it is anything else.
std::vector<std::int64_t> read_dimensions(std::string_view text) {
  if (!text.starts_with('[') || !text.ends_with(']')) return {};
  text = text.substr(1, text.size() - 2);
  std::vector<std::int64_t> dims;
  while (dims.size() < static_cast<std::size_t>(Shape::kMaxRank)) {
    std::int64_t dim = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), dim);
    if (error != std::errc() || dim <= 0 || dim > kLargestDimension) return {};
    dims.push_back(dim);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (text.empty()) return dims;
    if (!text.starts_with(", ")) return {};
    text.remove_prefix(2);
  }
  return {};
}

// Bytes of a stack of matrices; -1 when they are more than any file has.
std::int64_t stack_bytes(BlockFormat format, const std::vector<std::int64_t>& dims) {
  constexpr std::int64_t kMostElements = std::int64_t{1} << 46U;
  std::int64_t elements = 1;
  for (const std::int64_t dim : dims) {
    if (elements > kMostElements / dim) return -1;
    elements *= dim;
  }
  return block_stack_bytes(format, Shape(dims));
}

}  // namespace

void read_block_format(const std::string& value, const std::string& where,
                       CheckpointTensor& tensor) {
  const std::size_t space = value.find(' ');
  const std::string_view name = std::string_view(value).substr(0, space);
  const auto format = block_format_from_name(name);
  M2_REQUIRE(ErrorCode::kUnsupported, format.has_value(), where, ": the metadata names the format ",
             name, ", which is not known");
  const auto dims = space == std::string::npos
                        ? std::vector<std::int64_t>()
                        : read_dimensions(std::string_view(value).substr(space + 1));
  M2_REQUIRE(ErrorCode::kCorruptFile, dims.size() >= 2, where,
             ": the metadata gives a format, expected a shape like \"", name,
             " [16, 32]\" with it, got \"", value, "\"");
  M2_REQUIRE(ErrorCode::kCorruptFile, block_format_fits(*format, dims.back()), where, ": rows of ",
             dims.back(), " weights are no whole blocks of ", name);
  M2_REQUIRE(ErrorCode::kCorruptFile, tensor.view.dtype == DType::kU8, where, ": ", name,
             " is stored as U8, got ", dtype_name(tensor.view.dtype));
  const std::int64_t expected = stack_bytes(*format, dims);
  const auto actual = static_cast<std::int64_t>(tensor.view.num_bytes());
  M2_REQUIRE(ErrorCode::kCorruptFile, expected == actual, where, ": ", value, " has ", expected,
             " bytes, got ", actual);
  tensor.shape = Shape(dims);
  tensor.block_format = *format;
}

std::int64_t block_stack_bytes(BlockFormat format, const Shape& shape) {
  const int rank = shape.rank();
  M2_CHECK(rank >= 2 && shape.num_elements() > 0, block_format_name(format), ": shape ", shape,
           " is no matrix");
  const std::int64_t matrix = shape[rank - 2] * shape[rank - 1];
  return shape.num_elements() / matrix *
         block_matrix_bytes(format, shape[rank - 2], shape[rank - 1]);
}

std::string block_format_metadata(BlockFormat format, const Shape& shape) {
  return std::string(block_format_name(format)) + " " + shape.to_string();
}

}  // namespace m2
