// A model's tokenizer together with its chat template, by directory or hub id.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "m2/chat.h"
#include "m2/tensor.h"
#include "m2/tokenizer.h"

namespace m2 {

/// Rows of one length, ready for forward() and generate().
struct BatchEncoding {
  Tensor input_ids;       // [B, P] i64
  Tensor attention_mask;  // [B, P] i64, 0 = padding
};

struct ChatMessage {
  std::string role;
  std::string content;
};

struct AutoTokenizerOptions {
  std::string revision = "main";
  std::string subfolder;
  std::optional<std::string> cache_dir;
  std::optional<std::string> token;
  bool force_download = false;
  bool local_files_only = false;
};

struct TokenizerCallOptions {
  bool padding = false;            ///< to the longest row
  bool pad_to_max_length = false;  ///< to max_length; longer rows stay longer
  /// To max_length, by default the model's if it has one. A max_length alone truncates, too.
  bool truncation = false;
  std::optional<std::int64_t> max_length;
  std::int64_t pad_to_multiple_of = 0;  ///< rounds the padded length up; 0: any length
  std::optional<Side> padding_side;     ///< default: tokenizer_config.json, else right
};

struct ChatTemplateOptions {
  std::string tools_json;            ///< a JSON list of tools, or empty
  std::string template_kwargs_json;  ///< a JSON object with more variables, or empty
  std::string chat_template;         ///< source instead of the model's own, or empty
  bool add_generation_prompt = false;
  bool continue_final_message = false;
};

/// What AutoTokenizer gives. Rows are padded with the pad token, or the end token where the model
/// has none, as M2; rows of different lengths without padding are kInvalidArgument. Immutable and
/// cheap to copy; calls may run on several threads.
class PreTrainedTokenizer {
 public:
  /// The text as the model sees it, [1, P].
  [[nodiscard]] BatchEncoding operator()(const std::string& text,
                                         const TokenizerCallOptions& options = {}) const;
  [[nodiscard]] BatchEncoding operator()(std::span<const std::string> texts,
                                         const TokenizerCallOptions& options = {}) const;

  /// The prompt of a conversation as ids; texts of messages cannot forge turn markers.
  [[nodiscard]] BatchEncoding apply_chat_template(std::span<const ChatMessage> messages,
                                                  const ChatTemplateOptions& options = {}) const;
  [[nodiscard]] BatchEncoding apply_chat_template(std::initializer_list<ChatMessage> messages,
                                                  const ChatTemplateOptions& options = {}) const;
  /// `messages_json`: a list of messages in any form that ChatRequest takes.
  [[nodiscard]] BatchEncoding apply_chat_template(const std::string& messages_json,
                                                  const ChatTemplateOptions& options = {}) const;
  /// The prompt as text, with the spans that come from messages.
  [[nodiscard]] RenderedPrompt render_chat_template(const std::string& messages_json,
                                                    const ChatTemplateOptions& options = {}) const;

  /// ids [N] or [1, N], i64 or i32.
  [[nodiscard]] std::string decode(const TensorView& ids, const DecodeOptions& options = {}) const;
  /// ids [R, N]; one text a row.
  [[nodiscard]] std::vector<std::string> batch_decode(const TensorView& ids,
                                                      const DecodeOptions& options = {}) const;
  [[nodiscard]] std::vector<std::string> batch_decode(const Tensor& ids,
                                                      const DecodeOptions& options = {}) const {
    return batch_decode(ids.view(), options);
  }

  [[nodiscard]] const Tokenizer& tokenizer() const;
  /// Throws kNotFound when the model has none.
  [[nodiscard]] const ChatTemplate& chat_template() const;

 private:
  friend class AutoTokenizer;
  struct Impl;
  explicit PreTrainedTokenizer(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

class AutoTokenizer {
 public:
  /// `name` is a directory or a hub id. Throws what Tokenizer::from_pretrained throws.
  [[nodiscard]] static PreTrainedTokenizer from_pretrained(
      const std::string& name, const AutoTokenizerOptions& options = {});
};

}  // namespace m2
