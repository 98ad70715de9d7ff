// parse_gguf: a cursor over bytes that nobody vouches for.
#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <unordered_set>

#include "base/error.h"
#include "gguf/gguf.h"

namespace m2 {
namespace {

constexpr std::uint64_t kMaxNameBytes = 65535;  // of a key; the format's own limit
constexpr std::uint32_t kMaxDims = 4;
constexpr std::uint64_t kDefaultAlignment = 32;
constexpr std::uint64_t kMaxAlignment = 1U << 20U;
// The shortest entries: lengths, an empty name and one byte or no dimension.
constexpr std::size_t kMinPairBytes = 8 + 4 + 1;
constexpr std::size_t kMinTensorBytes = 8 + 4 + 4 + 8;

class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, const std::string& file) : bytes_(bytes), file_(file) {}

  [[nodiscard]] std::size_t position() const { return position_; }
  [[nodiscard]] std::size_t rest() const { return bytes_.size() - position_; }

  std::span<const std::byte> take(std::uint64_t count, const char* what) {
    M2_REQUIRE(ErrorCode::kCorruptFile, count <= rest(), file_, ": ", what, " at byte ", position_,
               ": ", count, " bytes exceed the ", rest(), " that are left (is the file cut?)");
    const auto taken = bytes_.subspan(position_, count);
    position_ += count;
    return taken;
  }

  template <typename T>
  T number(const char* what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
    return value;
  }

  std::string_view text(const char* what) {
    const auto bytes = take(number<std::uint64_t>(what), what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  std::string_view name(const char* what) {
    const std::string_view name = text(what);
    M2_REQUIRE(ErrorCode::kCorruptFile, !name.empty() && name.size() <= kMaxNameBytes, file_, ": ",
               what, " before byte ", position_, ": expected 1 to ", kMaxNameBytes, " bytes, got ",
               name.size());
    return name;
  }

  // A number of entries, bounded by the bytes that they take at least.
  std::uint64_t count(std::size_t min_bytes, const char* what) {
    const auto count = number<std::uint64_t>(what);
    M2_REQUIRE(ErrorCode::kCorruptFile, count <= rest() / min_bytes, file_, ": ", count, " ", what,
               " do not fit into the ", rest(), " bytes that are left (is the file cut?)");
    return count;
  }

  std::span<const std::byte> since(std::size_t begin) const {
    return bytes_.subspan(begin, position_ - begin);
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& file_;
  std::size_t position_ = 0;
};

// 0 for types without a fixed size.
std::size_t value_size(GgufValueType type) {
  static constexpr std::array<std::size_t, 13> kSizes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return kSizes[static_cast<std::uint32_t>(type)];
}

class Parser {
 public:
  Parser(std::span<const std::byte> bytes, const std::string& file)
      : bytes_(bytes), file_(file), cursor_(bytes, file), content_{GgufMetadata(file), {}} {}

  GgufContent parse() {
    const std::uint64_t num_tensors = read_header();
    read_metadata(num_pairs_);
    std::vector<std::uint64_t> offsets;
    read_tensors(num_tensors, offsets);
    place_tensors(offsets);
    return std::move(content_);
  }

 private:
  std::uint64_t read_header() {
    const auto magic = cursor_.take(4, "magic");
    M2_REQUIRE(ErrorCode::kCorruptFile, std::memcmp(magic.data(), "GGUF", 4) == 0, file_,
               ": the first bytes are not GGUF");
    const auto version = cursor_.number<std::uint32_t>("version");
    M2_REQUIRE(ErrorCode::kUnsupported, (version & 0xFFFFU) != 0, file_,
               ": big-endian files are not supported");
    M2_REQUIRE(ErrorCode::kUnsupported, version == 2 || version == 3, file_,
               ": expected version 2 or 3 of the format, got ", version);
    const auto num_tensors = cursor_.count(kMinTensorBytes, "tensors");
    num_pairs_ = cursor_.count(kMinPairBytes, "metadata pairs");
    return num_tensors;
  }

  GgufValueType read_type(std::string_view key) {
    const auto type = cursor_.number<std::uint32_t>("type of a value");
    M2_REQUIRE(ErrorCode::kCorruptFile, type <= static_cast<std::uint32_t>(GgufValueType::kFloat64),
               file_, ": ", key, ": there is no value type ", type);
    return static_cast<GgufValueType>(type);
  }

  void skip_values(const GgufValue& value) {
    if (value.type == GgufValueType::kString) {
      for (std::uint64_t i = 0; i < value.count; ++i) cursor_.text("string");
    } else {
      cursor_.take(value.count * value_size(value.type), "value");
    }
  }

  GgufValue read_value(std::string_view key) {
    GgufValue value;
    value.type = read_type(key);
    if (value.type == GgufValueType::kArray) {
      value.is_array = true;
      value.type = read_type(key);
      M2_REQUIRE(ErrorCode::kUnsupported, value.type != GgufValueType::kArray, file_, ": ", key,
                 ": arrays of arrays are not supported");
      const bool texts = value.type == GgufValueType::kString;
      value.count = cursor_.count(texts ? 8 : value_size(value.type), "values of an array");
    }
    const std::size_t begin = cursor_.position();
    skip_values(value);
    value.bytes = cursor_.since(begin);
    return value;
  }

  void read_metadata(std::uint64_t num_pairs) {
    for (std::uint64_t i = 0; i < num_pairs; ++i) {
      const std::string_view key = cursor_.name("key");
      const GgufValue value = read_value(key);
      M2_REQUIRE(ErrorCode::kCorruptFile, content_.metadata.add(key, value), file_, ": ", key,
                 " appears twice in the metadata");
    }
  }

  Shape read_shape(std::string_view name, const GgmlTypeInfo& type,
                   std::span<const std::uint64_t> dims, std::uint64_t* num_bytes) {
    constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    const auto block = static_cast<std::uint64_t>(type.block_elements);
    const std::uint64_t row = dims.empty() ? 1 : dims[0];
    M2_REQUIRE(ErrorCode::kCorruptFile, row % block == 0, file_, ": tensor ", name, ": rows of ",
               row, " elements are no whole blocks of ", type.name, ", which have ", block);
    std::uint64_t product = static_cast<std::uint64_t>(type.block_bytes);
    std::array<std::int64_t, kMaxDims> outer_first{};
    for (std::size_t i = 0; i < dims.size(); ++i) {
      const std::uint64_t factor = i == 0 ? row / block : dims[i];
      M2_REQUIRE(ErrorCode::kCorruptFile,
                 dims[i] <= kMax && (factor == 0 || product <= kMax / factor), file_, ": tensor ",
                 name, ": the product of its shape overflows");
      product *= factor;
      outer_first[dims.size() - 1 - i] = static_cast<std::int64_t>(dims[i]);
    }
    *num_bytes = product;
    return Shape(std::span<const std::int64_t>(outer_first.data(), dims.size()));
  }

  void read_tensors(std::uint64_t num_tensors, std::vector<std::uint64_t>& offsets) {
    std::unordered_set<std::string_view> names;
    for (std::uint64_t i = 0; i < num_tensors; ++i) {
      GgufTensor tensor;
      tensor.name = cursor_.name("tensor name");
      M2_REQUIRE(ErrorCode::kCorruptFile, names.insert(tensor.name).second, file_, ": tensor ",
                 tensor.name, " appears twice");
      const auto rank = cursor_.number<std::uint32_t>("number of dimensions");
      M2_REQUIRE(ErrorCode::kCorruptFile, rank <= kMaxDims, file_, ": tensor ", tensor.name,
                 ": expected at most ", kMaxDims, " dimensions, got ", rank);
      std::array<std::uint64_t, kMaxDims> dims{};
      for (std::uint32_t axis = 0; axis < rank; ++axis) {
        dims[axis] = cursor_.number<std::uint64_t>("dimension");
      }
      const auto type = cursor_.number<std::uint32_t>("tensor type");
      tensor.type = find_ggml_type(type);
      M2_REQUIRE(ErrorCode::kUnsupported, tensor.type != nullptr, file_, ": tensor ", tensor.name,
                 ": type ", type, " is not known");
      std::uint64_t num_bytes = 0;
      tensor.shape =
          read_shape(tensor.name, *tensor.type, std::span(dims.data(), rank), &num_bytes);
      offsets.push_back(cursor_.number<std::uint64_t>("offset"));
      sizes_.push_back(num_bytes);
      content_.tensors.push_back(tensor);
    }
  }

  std::uint64_t read_alignment() const {
    const auto given = content_.metadata.integer("general.alignment");
    if (!given.has_value()) return kDefaultAlignment;
    const auto alignment = static_cast<std::uint64_t>(*given);
    M2_REQUIRE(ErrorCode::kCorruptFile,
               *given > 0 && alignment <= kMaxAlignment && (alignment & (alignment - 1)) == 0,
               file_, ": general.alignment: expected a power of two up to ", kMaxAlignment,
               ", got ", *given);
    return alignment;
  }

  void place_tensors(const std::vector<std::uint64_t>& offsets) {
    const std::uint64_t alignment = read_alignment();
    const std::uint64_t begin = (cursor_.position() + alignment - 1) / alignment * alignment;
    const std::uint64_t data_bytes = begin < bytes_.size() ? bytes_.size() - begin : 0;
    for (std::size_t i = 0; i < offsets.size(); ++i) {
      GgufTensor& tensor = content_.tensors[i];
      M2_REQUIRE(ErrorCode::kCorruptFile, offsets[i] % alignment == 0, file_, ": tensor ",
                 tensor.name, ": offset ", offsets[i], " is no multiple of ", alignment);
      M2_REQUIRE(ErrorCode::kCorruptFile,
                 offsets[i] <= data_bytes && sizes_[i] <= data_bytes - offsets[i], file_,
                 ": tensor ", tensor.name, ": ", sizes_[i], " bytes at ", offsets[i],
                 " lie outside the ", data_bytes, " bytes of data (is the file cut?)");
      if (sizes_[i] > 0) tensor.bytes = bytes_.subspan(begin + offsets[i], sizes_[i]);
    }
    check_overlaps(offsets);
  }

  void check_overlaps(const std::vector<std::uint64_t>& offsets) const {
    std::vector<std::size_t> order(offsets.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::sort(order, {}, [&](std::size_t i) { return std::pair(offsets[i], sizes_[i]); });
    for (std::size_t i = 1; i < order.size(); ++i) {
      const std::size_t before = order[i - 1];
      M2_REQUIRE(ErrorCode::kCorruptFile, offsets[before] + sizes_[before] <= offsets[order[i]],
                 file_, ": tensors ", content_.tensors[before].name, " and ",
                 content_.tensors[order[i]].name, " overlap");
    }
  }

  std::span<const std::byte> bytes_;
  const std::string& file_;
  Cursor cursor_;
  GgufContent content_;
  std::uint64_t num_pairs_ = 0;
  std::vector<std::uint64_t> sizes_;  // bytes of every tensor
};

}  // namespace

GgufContent parse_gguf(std::span<const std::byte> bytes, const std::string& file) {
  return Parser(bytes, file).parse();
}

}  // namespace m2
