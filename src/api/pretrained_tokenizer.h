// The shared state behind PreTrainedTokenizer.
#pragma once

#include <optional>
#include <string>

#include "m2/auto.h"

namespace m2 {

struct PreTrainedTokenizer::Impl {
  Impl(std::string name_in, Tokenizer tokenizer_in, std::optional<ChatTemplate> chat_template_in)
      : name(std::move(name_in)),
        tokenizer(std::move(tokenizer_in)),
        chat_template(std::move(chat_template_in)) {}

  std::string name;  // as it was asked for
  Tokenizer tokenizer;
  std::optional<ChatTemplate> chat_template;
};

}  // namespace m2
