// Any text as the hub's answer: what is accepted must be safe to make paths of.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "hub/answer_status.h"
#include "hub/api_answer.h"
#include "hub/names.h"

namespace {

template <typename Read>
void read(const Read& call) {
  try {
    call();
  } catch (const m2::Error& error) {
    if (error.code() == m2::ErrorCode::kInternal) throw;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  read([&] {
    const m2::hub::RepoInfo info = m2::hub::parse_repo_info(text, "fuzz");
    if (info.commit.find('/') != std::string::npos) __builtin_trap();
    for (const m2::hub::RepoFile& file : info.files) {
      const std::string inside = "/" + file.name + "/";
      if (inside.find("/../") != std::string::npos || inside.starts_with("//")) __builtin_trap();
      if (file.size.value_or(0) < 0) __builtin_trap();
    }
  });
  read([&] {
    if (m2::hub::normalize_etag(text, "fuzz").find('/') != std::string::npos) __builtin_trap();
  });
  read([&] {
    if (m2::hub::parse_content_range(text, "fuzz").begin < 0) __builtin_trap();
  });
  static_cast<void>(m2::hub::matches_pattern("model-00001.safetensors", text));
  static_cast<void>(m2::hub::parse_retry_after(text.c_str()));
  return 0;
}
