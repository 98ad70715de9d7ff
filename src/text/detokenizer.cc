#include <utility>

#include "base/utf8.h"
#include "m2/tokenizer.h"

namespace m2 {

Detokenizer::Detokenizer(Tokenizer tokenizer, bool skip_special_tokens)
    : tokenizer_(std::move(tokenizer)), skip_special_tokens_(skip_special_tokens) {}

std::string Detokenizer::push(TokenId id) {
  if (skip_special_tokens_ && tokenizer_.is_special(id)) return {};
  held_ += tokenizer_.token_bytes(id);
  const size_t certain = held_.size() - utf8::incomplete_suffix_length(held_);
  std::string text = utf8::replace_invalid(std::string_view(held_).substr(0, certain));
  held_.erase(0, certain);
  return text;
}

std::string Detokenizer::flush() {
  std::string text = utf8::replace_invalid(held_);
  held_.clear();
  return text;
}

}  // namespace m2
