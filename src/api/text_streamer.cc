// TextStreamer of generation.h.
#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "m2/generation.h"

namespace m2 {
namespace {

// The CJK blocks of the reference: scripts that write no spaces between words.
bool is_cjk(char32_t c) {
  constexpr std::pair<char32_t, char32_t> kBlocks[] = {
      {0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
      {0x2B740, 0x2B81F}, {0x2B820, 0x2CEAF}, {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
  return std::ranges::any_of(
      kBlocks, [c](const auto& block) { return c >= block.first && c <= block.second; });
}

char32_t last_code_point(std::string_view text) {
  std::size_t begin = text.size() - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0U) == 0x80U) --begin;
  return utf8::decode(text, begin).code_point;
}

}  // namespace

struct TextStreamer::Impl {
  Tokenizer tokenizer;
  OnText on_text;
  Options options;
  std::vector<TokenId> held;  // tokens since the last newline
  std::size_t given = 0;      // bytes of their text that were given out
  bool is_prompt = true;

  [[nodiscard]] std::string text() const {
    return tokenizer.decode(held, {.skip_special_tokens = options.skip_special_tokens});
  }
  void give(const std::string& text, std::size_t end) {
    if (end <= given) return;
    on_text(std::string_view(text).substr(given, end - given), false);
    given = end;
  }
  void clear() {
    held.clear();
    given = 0;
  }
};

TextStreamer::TextStreamer(Tokenizer tokenizer, OnText on_text, Options options)
    : impl_(std::make_unique<Impl>(Impl{
          .tokenizer = std::move(tokenizer), .on_text = std::move(on_text), .options = options})) {}

TextStreamer::TextStreamer(Tokenizer tokenizer, OnText on_text)
    : TextStreamer(std::move(tokenizer), std::move(on_text), Options()) {}

TextStreamer::~TextStreamer() = default;

void TextStreamer::put(std::span<const std::int64_t> ids) {
  const bool is_prompt = std::exchange(impl_->is_prompt, false);
  if (is_prompt && impl_->options.skip_prompt) return;
  for (const std::int64_t id : ids) impl_->held.push_back(static_cast<TokenId>(id));
  const std::string text = impl_->text();
  if (text.ends_with('\n')) {
    impl_->give(text, text.size());
    impl_->clear();
  } else if (!text.empty() && is_cjk(last_code_point(text))) {
    impl_->give(text, text.size());
  } else if (const std::size_t space = text.rfind(' '); space != std::string::npos) {
    impl_->give(text, space + 1);
  }
}

void TextStreamer::end() {
  const std::string text = impl_->text();
  impl_->on_text(std::string_view(text).substr(std::min(impl_->given, text.size())), true);
  impl_->clear();
  impl_->is_prompt = true;
}

}  // namespace m2
