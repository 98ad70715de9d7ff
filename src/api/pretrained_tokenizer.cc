#include "api/pretrained_tokenizer.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "api/token_rows.h"
#include "base/error.h"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

std::string to_json(std::span<const ChatMessage> messages) {
  Json list = Json::array();
  for (const ChatMessage& message : messages) {
    list.push_back({{"role", message.role}, {"content", message.content}});
  }
  return list.dump(-1, ' ', false, Json::error_handler_t::replace);
}

ChatRequest chat_request(const std::string& messages_json, const ChatTemplateOptions& options) {
  return {.messages_json = messages_json,
          .tools_json = options.tools_json,
          .template_kwargs_json = options.template_kwargs_json,
          .add_generation_prompt = options.add_generation_prompt,
          .continue_final_message = options.continue_final_message};
}

std::string token_text(const Tokenizer& tokenizer, std::optional<TokenId> id,
                       const char* otherwise) {
  return id ? tokenizer.id_to_token(*id).value_or(otherwise) : otherwise;
}

}  // namespace

PreTrainedTokenizer::PreTrainedTokenizer(std::shared_ptr<const Impl> impl)
    : impl_(std::move(impl)) {}

const Tokenizer& PreTrainedTokenizer::tokenizer() const { return impl_->tokenizer; }

const ChatTemplate& PreTrainedTokenizer::chat_template() const {
  M2_REQUIRE(ErrorCode::kNotFound, impl_->chat_template.has_value(), impl_->name,
             ": the model has no chat template");
  return *impl_->chat_template;
}

BatchEncoding PreTrainedTokenizer::operator()(const std::string& text,
                                              const TokenizerCallOptions& options) const {
  return (*this)(std::span(&text, 1), options);
}

BatchEncoding PreTrainedTokenizer::operator()(std::span<const std::string> texts,
                                              const TokenizerCallOptions& options) const {
  std::vector<std::vector<TokenId>> rows;
  rows.reserve(texts.size());
  for (const std::string& text : texts) rows.push_back(impl_->tokenizer.encode_ids(text));
  return make_batch(std::move(rows), impl_->tokenizer, options);
}

RenderedPrompt PreTrainedTokenizer::render_chat_template(const std::string& messages_json,
                                                         const ChatTemplateOptions& options) const {
  const ChatRequest request = chat_request(messages_json, options);
  if (options.chat_template.empty()) return chat_template().render(request);
  const Tokenizer& tokenizer = impl_->tokenizer;
  return ChatTemplate::from_source(options.chat_template,
                                   token_text(tokenizer, tokenizer.bos_id(), "]~!b["),
                                   token_text(tokenizer, tokenizer.eos_id(), "[e~["))
      .render(request);
}

BatchEncoding PreTrainedTokenizer::apply_chat_template(const std::string& messages_json,
                                                       const ChatTemplateOptions& options) const {
  const RenderedPrompt prompt = render_chat_template(messages_json, options);
  return make_batch({impl_->tokenizer.encode_ids({prompt.text, prompt.untrusted})},
                    impl_->tokenizer, {});
}

BatchEncoding PreTrainedTokenizer::apply_chat_template(std::span<const ChatMessage> messages,
                                                       const ChatTemplateOptions& options) const {
  return apply_chat_template(to_json(messages), options);
}

BatchEncoding PreTrainedTokenizer::apply_chat_template(std::initializer_list<ChatMessage> messages,
                                                       const ChatTemplateOptions& options) const {
  return apply_chat_template(std::span(messages.begin(), messages.size()), options);
}

std::string PreTrainedTokenizer::decode(const TensorView& ids, const DecodeOptions& options) const {
  const auto rows = read_rows(ids);
  M2_REQUIRE(ErrorCode::kInvalidArgument, rows.size() == 1,
             "decode: expected ids [N] or [1, N], got ", ids.shape);
  return impl_->tokenizer.decode(rows[0], options);
}

std::vector<std::string> PreTrainedTokenizer::batch_decode(const TensorView& ids,
                                                           const DecodeOptions& options) const {
  return impl_->tokenizer.batch_decode(read_rows(ids), options);
}

}  // namespace m2
