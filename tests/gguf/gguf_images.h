// Hand-made GGUF images, for what no writer would write.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace m2::test {

class GgufImage {
 public:
  template <typename T>
  GgufImage& number(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  GgufImage& raw(std::string_view bytes) {
    bytes_.append(bytes);
    return *this;
  }
  GgufImage& text(std::string_view value) { return number<std::uint64_t>(value.size()).raw(value); }
  GgufImage& header(std::uint64_t num_tensors, std::uint64_t num_pairs, std::uint32_t version = 3) {
    return raw("GGUF").number(version).number(num_tensors).number(num_pairs);
  }
  /// The type of a pair; its value is to follow.
  GgufImage& pair(std::string_view key, std::uint32_t type) { return text(key).number(type); }
  /// A tensor of one dimension.
  GgufImage& tensor(std::string_view name, std::uint32_t type, std::uint64_t size,
                    std::uint64_t offset) {
    return text(name).number(std::uint32_t{1}).number(size).number(type).number(offset);
  }
  /// Pads to the default alignment and adds zeros as data.
  GgufImage& data(std::size_t num_bytes) {
    bytes_.resize((bytes_.size() + 31) / 32 * 32 + num_bytes);
    return *this;
  }

  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

}  // namespace m2::test
