// Parsing of the JSON header. A streaming parser: the DOM would drop repeated names silently and
// costs several times the time and memory for the 96,103 tensors of the published model.
#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "checkpoint/safetensors.h"

namespace m2 {
namespace {

// The format's own limit.
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

struct HeaderTensor {
  std::string name;
  std::string dtype;
  std::vector<std::uint64_t> shape;
  std::vector<std::uint64_t> offsets;
  bool has_dtype = false;
  bool has_shape = false;
  bool has_offsets = false;
};

// {"name": {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}, "__metadata__": {..}}
class HeaderHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderHandler(const std::string& file) : file_(file) {}

  std::vector<HeaderTensor> tensors;
  std::map<std::string, std::string> metadata;

  bool null() override { return unexpected("null"); }
  bool boolean(bool /*value*/) override { return unexpected("a boolean"); }
  bool number_integer(number_integer_t /*value*/) override {
    return unexpected("a negative number");
  }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override {
    return unexpected("a fraction");
  }
  bool binary(binary_t& /*value*/) override { return unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (state_ != State::kArray) return unexpected("a number");
    // A tensor has few dimensions; the exact limit is checked when the tensor is complete.
    if (array_->size() >= 64) return unexpected("a list of more than 64 numbers");
    array_->push_back(value);
    return true;
  }

  bool string(string_t& value) override {
    if (state_ == State::kMetadata) {
      metadata[key_] = std::move(value);
      return true;
    }
    if (state_ != State::kTensor || key_ != "dtype") return unexpected("a string");
    once(tensors.back().has_dtype);
    tensors.back().dtype = std::move(value);
    return true;
  }

  bool start_object(std::size_t /*size*/) override {
    switch (state_) {
      case State::kStart:
        state_ = State::kTop;
        return true;
      case State::kTop:
        if (key_ == "__metadata__") {
          state_ = State::kMetadata;
        } else {
          state_ = State::kTensor;
          tensors.emplace_back().name = key_;
        }
        return true;
      default:
        return unexpected("an object");
    }
  }

  bool key(string_t& value) override {
    key_ = std::move(value);
    if (state_ == State::kTop) {
      M2_REQUIRE(ErrorCode::kCorruptFile, names_.insert(key_).second, file_, ": tensor ", key_,
                 ": the name appears twice in the header");
    } else if (state_ == State::kMetadata) {
      M2_REQUIRE(ErrorCode::kCorruptFile, !metadata.contains(key_), file_, ": __metadata__ key ",
                 key_, " appears twice in the header");
    }
    return true;
  }

  bool end_object() override {
    state_ = state_ == State::kTop ? State::kEnd : State::kTop;
    return true;
  }

  bool start_array(std::size_t /*size*/) override {
    if (state_ != State::kTensor) return unexpected("a list");
    HeaderTensor& tensor = tensors.back();
    if (key_ == "shape") {
      once(tensor.has_shape);
      array_ = &tensor.shape;
    } else if (key_ == "data_offsets") {
      once(tensor.has_offsets);
      array_ = &tensor.offsets;
    } else {
      return unexpected("a list");
    }
    state_ = State::kArray;
    return true;
  }

  bool end_array() override {
    state_ = State::kTensor;
    return true;
  }

  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    fail(ErrorCode::kCorruptFile, file_, ": the header is no JSON (at byte ", position, " of it)");
  }

 private:
  enum class State { kStart, kTop, kMetadata, kTensor, kArray, kEnd };

  [[noreturn]] bool unexpected(const char* what) const {
    if (state_ == State::kStart) {
      fail(ErrorCode::kCorruptFile, file_, ": the header is no JSON object");
    }
    if (state_ == State::kTensor || state_ == State::kArray) {
      fail(ErrorCode::kCorruptFile, file_, ": tensor ", tensors.back().name, ": unexpected ", what,
           " for ", key_);
    }
    fail(ErrorCode::kCorruptFile, file_, ": unexpected ", what, " for ", key_, " in the header");
  }

  void once(bool& seen) const {
    M2_REQUIRE(ErrorCode::kCorruptFile, !seen, file_, ": tensor ", tensors.back().name, ": ", key_,
               " appears twice");
    seen = true;
  }

  const std::string& file_;
  State state_ = State::kStart;
  std::string key_;
  std::vector<std::uint64_t>* array_ = nullptr;
  std::unordered_set<std::string> names_;
};

// Formats of the specification that this library does not compute with.
bool is_foreign_dtype(std::string_view name) {
  static constexpr std::string_view kForeign[] = {"U16",     "U32",     "U64", "F8_E5M2", "F8_E8M0",
                                                  "F6_E2M3", "F6_E3M2", "F4",  "C64"};
  return std::find(std::begin(kForeign), std::end(kForeign), name) != std::end(kForeign);
}

struct PlacedTensor {
  HeaderTensor* tensor = nullptr;
  DType dtype = DType::kF32;
  Shape shape;
};

Shape checked_shape(const HeaderTensor& tensor, std::size_t element_bytes, const std::string& file,
                    std::uint64_t* bytes) {
  M2_REQUIRE(ErrorCode::kUnsupported, tensor.shape.size() <= Shape::kMaxRank, file, ": tensor ",
             tensor.name, ": expected at most ", Shape::kMaxRank, " dimensions, got ",
             tensor.shape.size());
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  std::array<std::int64_t, Shape::kMaxRank> dims{};
  std::uint64_t product = element_bytes;
  bool fits = true;
  for (std::size_t axis = 0; axis < tensor.shape.size(); ++axis) {
    const std::uint64_t dim = tensor.shape[axis];
    fits = fits && dim <= kMax && (dim == 0 || product <= kMax / dim);
    if (!fits) break;
    product *= dim;
    dims[axis] = static_cast<std::int64_t>(dim);
  }
  M2_REQUIRE(ErrorCode::kCorruptFile, fits, file, ": tensor ", tensor.name,
             ": the product of its shape overflows");
  *bytes = product;
  return Shape(std::span<const std::int64_t>(dims.data(), tensor.shape.size()));
}

PlacedTensor check_tensor(HeaderTensor& tensor, std::uint64_t data_bytes, const std::string& file) {
  M2_REQUIRE(ErrorCode::kCorruptFile, tensor.has_dtype && tensor.has_shape && tensor.has_offsets,
             file, ": tensor ", tensor.name, ": expected dtype, shape and data_offsets");
  const auto dtype = dtype_from_name(tensor.dtype);
  M2_REQUIRE(is_foreign_dtype(tensor.dtype) ? ErrorCode::kUnsupported : ErrorCode::kCorruptFile,
             dtype.has_value(), file, ": tensor ", tensor.name, ": dtype ", tensor.dtype,
             " is not supported");
  std::uint64_t bytes = 0;
  const Shape shape = checked_shape(tensor, dtype_size(*dtype), file, &bytes);
  M2_REQUIRE(ErrorCode::kCorruptFile, tensor.offsets.size() == 2, file, ": tensor ", tensor.name,
             ": expected two data_offsets, got ", tensor.offsets.size());
  const std::uint64_t begin = tensor.offsets[0];
  const std::uint64_t end = tensor.offsets[1];
  M2_REQUIRE(ErrorCode::kCorruptFile, begin <= end && end <= data_bytes, file, ": tensor ",
             tensor.name, ": bytes ", begin, " to ", end, " lie outside the ", data_bytes,
             " bytes of data (is the file cut?)");
  M2_REQUIRE(ErrorCode::kCorruptFile, end - begin == bytes, file, ": tensor ", tensor.name, ": ",
             tensor.dtype, " ", shape, " needs ", bytes, " bytes, got ", end - begin);
  return {&tensor, *dtype, shape};
}

void check_coverage(const std::vector<PlacedTensor>& placed, std::uint64_t data_bytes,
                    const std::string& file) {
  std::uint64_t expected = 0;
  for (const auto& [tensor, dtype, shape] : placed) {
    M2_REQUIRE(ErrorCode::kCorruptFile, tensor->offsets[0] >= expected, file, ": tensor ",
               tensor->name, ": begins at byte ", tensor->offsets[0],
               " and overlaps the tensor before it, which ends at ", expected);
    M2_REQUIRE(ErrorCode::kCorruptFile, tensor->offsets[0] == expected, file, ": tensor ",
               tensor->name, ": begins at byte ", tensor->offsets[0], ", a gap after byte ",
               expected);
    expected = tensor->offsets[1];
  }
  M2_REQUIRE(ErrorCode::kCorruptFile, expected == data_bytes, file, ": the tensors take ", expected,
             " bytes, but the file has ", data_bytes, " bytes of data");
}

}  // namespace

SafetensorsContent parse_safetensors(std::span<const std::byte> bytes, const std::string& file) {
  std::uint64_t length = 0;
  M2_REQUIRE(ErrorCode::kCorruptFile, bytes.size() >= sizeof(length), file,
             ": expected a safetensors header, got a file of ", bytes.size(), " bytes");
  std::memcpy(&length, bytes.data(), sizeof(length));
  M2_REQUIRE(ErrorCode::kCorruptFile, length <= kMaxHeaderBytes, file, ": a header of ", length,
             " bytes exceeds the limit of ", kMaxHeaderBytes, " (is this a safetensors file?)");
  M2_REQUIRE(ErrorCode::kCorruptFile, length <= bytes.size() - sizeof(length), file,
             ": a header of ", length, " bytes does not fit into a file of ", bytes.size(),
             " bytes (is the file cut?)");
  const char* text = reinterpret_cast<const char*>(bytes.data()) + sizeof(length);
  M2_REQUIRE(ErrorCode::kCorruptFile, length > 0 && *text == '{', file,
             ": the header is no JSON object");
  HeaderHandler header(file);
  nlohmann::json::sax_parse(text, text + length, &header);

  const std::span<const std::byte> data = bytes.subspan(sizeof(length) + length);
  std::vector<PlacedTensor> placed;
  placed.reserve(header.tensors.size());
  for (auto& tensor : header.tensors) placed.push_back(check_tensor(tensor, data.size(), file));
  std::sort(placed.begin(), placed.end(), [](const PlacedTensor& a, const PlacedTensor& b) {
    return std::tie(a.tensor->offsets[0], a.tensor->offsets[1]) <
           std::tie(b.tensor->offsets[0], b.tensor->offsets[1]);
  });
  check_coverage(placed, data.size(), file);

  SafetensorsContent content;
  content.metadata = std::move(header.metadata);
  content.entries.reserve(placed.size());
  for (const auto& [tensor, dtype, shape] : placed) {
    // Views are read-only by contract; TensorView has one pointer type for both uses.
    auto* address = const_cast<std::byte*>(data.data() + tensor->offsets[0]);
    content.entries.push_back({std::move(tensor->name), TensorView{address, dtype, shape}});
  }
  return content;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : file_(path), content_(parse_safetensors(file_.bytes(), path.string())) {}

}  // namespace m2
