#include "text/byte_alphabet.h"

#include "base/utf8.h"

namespace m2 {
namespace {

constexpr size_t kAlphabetEnd = 0x100 + 68;

constexpr std::array<int16_t, kAlphabetEnd> kByteOfCharacter = [] {
  std::array<int16_t, kAlphabetEnd> bytes{};
  bytes.fill(-1);
  for (size_t byte = 0; byte < 256; ++byte) {
    bytes[kByteAlphabet[byte]] = static_cast<int16_t>(byte);
  }
  return bytes;
}();

}  // namespace

std::string spell_bytes(std::string_view bytes) {
  std::string spelling;
  spelling.reserve(bytes.size() * 2);
  for (const char byte : bytes) utf8::append(spelling, kByteAlphabet[static_cast<uint8_t>(byte)]);
  return spelling;
}

bool unspell_bytes(std::string_view spelling, std::string& bytes) {
  bytes.clear();
  for (size_t pos = 0; pos < spelling.size();) {
    const utf8::Decoded unit = utf8::decode(spelling, pos);
    const bool known =
        unit.valid && unit.code_point < kAlphabetEnd && kByteOfCharacter[unit.code_point] >= 0;
    if (!known) return false;
    bytes.push_back(static_cast<char>(kByteOfCharacter[unit.code_point]));
    pos += static_cast<size_t>(unit.length);
  }
  return true;
}

}  // namespace m2
