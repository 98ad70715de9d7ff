#include "hub/file_hash.h"

#include <openssl/evp.h>

#include <array>
#include <fstream>
#include <memory>
#include <vector>

#include "base/error.h"
#include "hub/names.h"

namespace m2::hub {
namespace {

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

std::string hex(const unsigned char* digest, unsigned int size) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text += kDigits[digest[i] >> 4U];
    text += kDigits[digest[i] & 0xFU];
  }
  return text;
}

}  // namespace

std::optional<HashKind> hash_kind(std::string_view etag) {
  if (is_hex(etag, 64)) return HashKind::kSha256;
  if (is_hex(etag, 40)) return HashKind::kGitBlobSha1;
  return std::nullopt;
}

std::string hash_file(const std::filesystem::path& path, HashKind kind,
                      const std::stop_token& stop) {
  constexpr std::size_t kPieceBytes = 1 << 20;
  const std::unique_ptr<EVP_MD_CTX, FreeContext> context(EVP_MD_CTX_new());
  const EVP_MD* algorithm = kind == HashKind::kSha256 ? EVP_sha256() : EVP_sha1();
  M2_CHECK(context && EVP_DigestInit_ex(context.get(), algorithm, nullptr) == 1);
  if (kind == HashKind::kGitBlobSha1) {
    const std::string header = "blob " + std::to_string(std::filesystem::file_size(path));
    M2_CHECK(EVP_DigestUpdate(context.get(), header.c_str(), header.size() + 1) == 1);
  }
  std::ifstream in(path, std::ios::binary);
  M2_REQUIRE(ErrorCode::kCorruptFile, in.is_open(), path.string(), ": cannot be read");
  std::vector<char> piece(kPieceBytes);
  while (in) {
    M2_REQUIRE(ErrorCode::kCancelled, !stop.stop_requested(), "hub: download cancelled");
    in.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    const auto got = static_cast<std::size_t>(in.gcount());
    M2_CHECK(EVP_DigestUpdate(context.get(), piece.data(), got) == 1);
  }
  M2_REQUIRE(ErrorCode::kCorruptFile, in.eof(), path.string(), ": cannot be read");
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  M2_CHECK(EVP_DigestFinal_ex(context.get(), digest.data(), &size) == 1);
  return hex(digest.data(), size);
}

}  // namespace m2::hub
