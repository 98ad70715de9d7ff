// PreTrainedTokenizer for scripts: one JSON call a line on standard input, one answer a line.
//   m2_tokenizer_cli MODEL
//   {"call": "encode", "texts": [...], "padding"?, "pad_to_max_length"?, "truncation"?,
//    "max_length"?, "pad_to_multiple_of"?, "padding_side"?}
//   {"call": "chat", "messages": [...], "tools"?: [...], "kwargs"?: {...},
//    "add_generation_prompt"?, "continue_final_message"?}
//   {"call": "decode", "ids": [[...]], "skip_special_tokens"?, "clean_up"?}
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "m2/auto.h"
#include "m2/error.h"

namespace {

using Json = nlohmann::ordered_json;

template <typename T>
std::optional<T> find(const Json& call, const char* key) {
  return call.contains(key) ? std::optional(call[key].get<T>()) : std::nullopt;
}

Json rows(const m2::Tensor& tensor) {
  Json result = Json::array();
  const auto* values = tensor.as<std::int64_t>();
  for (std::int64_t i = 0; i < tensor.shape()[0]; ++i, values += tensor.shape()[1]) {
    result.push_back(std::vector<std::int64_t>(values, values + tensor.shape()[1]));
  }
  return result;
}

Json answer(const m2::BatchEncoding& batch) {
  return {{"input_ids", rows(batch.input_ids)}, {"attention_mask", rows(batch.attention_mask)}};
}

Json encode(const m2::PreTrainedTokenizer& tokenizer, const Json& call) {
  m2::TokenizerCallOptions options{
      .padding = find<bool>(call, "padding").value_or(false),
      .pad_to_max_length = find<bool>(call, "pad_to_max_length").value_or(false),
      .truncation = find<bool>(call, "truncation").value_or(false),
      .max_length = find<std::int64_t>(call, "max_length"),
      .pad_to_multiple_of = find<std::int64_t>(call, "pad_to_multiple_of").value_or(0)};
  if (const auto side = find<std::string>(call, "padding_side")) {
    options.padding_side = *side == "left" ? m2::Side::kLeft : m2::Side::kRight;
  }
  return answer(tokenizer(call["texts"].get<std::vector<std::string>>(), options));
}

Json chat(const m2::PreTrainedTokenizer& tokenizer, const Json& call) {
  return answer(tokenizer.apply_chat_template(
      call["messages"].dump(),
      {.tools_json = call.contains("tools") ? call["tools"].dump() : "",
       .template_kwargs_json = call.contains("kwargs") ? call["kwargs"].dump() : "",
       .add_generation_prompt = find<bool>(call, "add_generation_prompt").value_or(false),
       .continue_final_message = find<bool>(call, "continue_final_message").value_or(false)}));
}

Json decode(const m2::PreTrainedTokenizer& tokenizer, const Json& call) {
  auto ids = call["ids"].get<std::vector<std::vector<std::int64_t>>>();
  Json texts = Json::array();
  for (auto& row : ids) {
    texts.push_back(tokenizer.decode(
        {row.data(), m2::DType::kI64, {static_cast<std::int64_t>(row.size())}},
        {.skip_special_tokens = find<bool>(call, "skip_special_tokens").value_or(false),
         .clean_up_tokenization_spaces = find<bool>(call, "clean_up")}));
  }
  return texts;
}

Json handle(const m2::PreTrainedTokenizer& tokenizer, const Json& call) {
  try {
    if (call["call"] == "encode") return encode(tokenizer, call);
    if (call["call"] == "chat") return chat(tokenizer, call);
    return decode(tokenizer, call);
  } catch (const m2::Error& error) {
    return {{"error", m2::error_code_name(error.code())}, {"message", error.what()}};
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto tokenizer = m2::AutoTokenizer::from_pretrained(argv[1]);
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << handle(tokenizer, Json::parse(line)).dump() << std::endl;
  }
  return 0;
}
