#include "gguf/writer.h"

#include <array>
#include <utility>

#include "base/error.h"

namespace m2 {
namespace {

constexpr std::uint64_t kAlignment = 32;
constexpr std::uint32_t kVersion = 3;

std::uint64_t aligned(std::uint64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

template <typename T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void append_text(std::string& out, std::string_view text) {
  append<std::uint64_t>(out, text.size());
  out.append(text);
}

std::uint64_t tensor_bytes(const std::string& name, GgmlType type, const Shape& shape) {
  const GgmlTypeInfo& info = ggml_type_info(type);
  M2_CHECK(shape.rank() > 0 && shape[shape.rank() - 1] % info.block_elements == 0, "tensor ", name,
           ": ", shape, " has no whole blocks of ", info.name);
  return static_cast<std::uint64_t>(shape.num_elements() / info.block_elements * info.block_bytes);
}

void pad(AtomicFile& out, std::uint64_t written) {
  static constexpr std::array<std::byte, kAlignment> kZeros{};
  out.write(std::span(kZeros).first(aligned(written) - written));
}

}  // namespace

void GgufWriter::begin_pair(std::string_view key, GgufValueType type) {
  M2_CHECK(keys_.emplace(key).second, "metadata key ", key, " was given twice");
  ++num_pairs_;
  append_text(pairs_, key);
  append(pairs_, static_cast<std::uint32_t>(type));
}

void GgufWriter::set_uint32(std::string_view key, std::uint32_t value) {
  begin_pair(key, GgufValueType::kUint32);
  append(pairs_, value);
}

void GgufWriter::set_int32(std::string_view key, std::int32_t value) {
  begin_pair(key, GgufValueType::kInt32);
  append(pairs_, value);
}

void GgufWriter::set_float32(std::string_view key, float value) {
  begin_pair(key, GgufValueType::kFloat32);
  append(pairs_, value);
}

void GgufWriter::set_bool(std::string_view key, bool value) {
  begin_pair(key, GgufValueType::kBool);
  append<std::uint8_t>(pairs_, value ? 1 : 0);
}

void GgufWriter::set_text(std::string_view key, std::string_view value) {
  begin_pair(key, GgufValueType::kString);
  append_text(pairs_, value);
}

void GgufWriter::set_texts(std::string_view key, std::span<const std::string> values) {
  begin_pair(key, GgufValueType::kArray);
  append(pairs_, static_cast<std::uint32_t>(GgufValueType::kString));
  append<std::uint64_t>(pairs_, values.size());
  for (const std::string& value : values) append_text(pairs_, value);
}

void GgufWriter::set_int32s(std::string_view key, std::span<const std::int32_t> values) {
  begin_pair(key, GgufValueType::kArray);
  append(pairs_, static_cast<std::uint32_t>(GgufValueType::kInt32));
  append<std::uint64_t>(pairs_, values.size());
  for (const std::int32_t value : values) append(pairs_, value);
}

void GgufWriter::add(std::string name, GgmlType type, const Shape& shape, Producer producer) {
  M2_CHECK(names_.insert(name).second, "tensor ", name, " was given twice");
  const std::uint64_t num_bytes = tensor_bytes(name, type, shape);
  items_.push_back({std::move(name), type, shape, num_bytes, std::move(producer)});
}

std::string GgufWriter::header() const {
  std::string out = "GGUF";
  append(out, kVersion);
  append<std::uint64_t>(out, items_.size());
  append(out, num_pairs_);
  out += pairs_;
  std::uint64_t offset = 0;
  for (const Item& item : items_) {
    append_text(out, item.name);
    append(out, static_cast<std::uint32_t>(item.shape.rank()));
    for (int axis = item.shape.rank() - 1; axis >= 0; --axis) append(out, item.shape[axis]);
    append(out, static_cast<std::uint32_t>(item.type));
    append(out, offset);
    offset += aligned(item.num_bytes);
  }
  return out;
}

void GgufWriter::write(AtomicFile& out) const {
  const std::string text = header();
  out.write(std::as_bytes(std::span(text)));
  pad(out, text.size());
  for (const Item& item : items_) {
    std::uint64_t written = 0;
    item.producer([&](std::span<const std::byte> bytes) {
      written += bytes.size();
      out.write(bytes);
    });
    M2_CHECK(written == item.num_bytes, "tensor ", item.name, ": the producer gave ", written,
             " bytes, expected ", item.num_bytes);
    pad(out, written);
  }
  out.finish();
}

void GgufWriter::write(const std::filesystem::path& path) const {
  AtomicFile file(path);
  write(file);
  file.commit();
}

}  // namespace m2
