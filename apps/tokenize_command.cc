// m2 tokenize, m2 detokenize: text to token ids and back.
#include <CLI/CLI.hpp>
#include <cctype>
#include <memory>
#include <string>
#include <vector>

#include "commands.h"
#include "input_output.h"
#include "m2/error.h"
#include "m2/tokenizer.h"

namespace m2::app {
namespace {

struct TokenizeOptions {
  std::filesystem::path model;
  bool batch = false;
  bool json = false;
};

Json encoding_json(const Encoding& encoding) {
  Json offsets = Json::array();
  for (const TextRange& range : encoding.offsets) offsets.push_back({range.begin, range.end});
  return {{"ids", encoding.ids}, {"offsets", std::move(offsets)}};
}

void print_table(const Encoding& encoding, const Tokenizer& tokenizer) {
  for (std::size_t i = 0; i < encoding.size(); ++i) {
    const Json bytes = std::string(tokenizer.token_bytes(encoding.ids[i]));
    print(std::to_string(encoding.ids[i]) + "\t" +
          bytes.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  }
  print(format_count(static_cast<std::int64_t>(encoding.size())) + " tokens\n");
}

std::vector<std::string> batch_texts() {
  const Json list = parse_json(read_stdin(), "standard input");
  const bool strings = list.is_array() &&
                       std::ranges::all_of(list, [](const Json& item) { return item.is_string(); });
  if (!strings) {
    throw Error(ErrorCode::kInvalidArgument,
                "standard input: expected a JSON list of strings with --batch");
  }
  return list.get<std::vector<std::string>>();
}

void tokenize(const TokenizeOptions& options) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(options.model);
  if (options.batch) {
    Json result = Json::array();
    for (const std::string& text : batch_texts()) {
      result.push_back(encoding_json(tokenizer.encode(text)));
    }
    print_json(result);
    return;
  }
  const Encoding encoding = tokenizer.encode(read_stdin());
  if (options.json || !stdout_is_terminal()) {
    print_json(encoding_json(encoding));
  } else {
    print_table(encoding, tokenizer);
  }
}

struct DetokenizeOptions {
  std::filesystem::path model;
  std::vector<std::string> ids;
  bool keep_special = false;
  bool json = false;
};

TokenId to_token_id(const Json& value) {
  if (!value.is_number_integer() || value < INT32_MIN || value > INT32_MAX) {
    throw Error(ErrorCode::kInvalidArgument, "token ids: expected an integer, got " + value.dump());
  }
  return value.get<TokenId>();
}

std::vector<TokenId> to_token_ids(const Json& list) {
  if (!list.is_array()) {
    throw Error(ErrorCode::kInvalidArgument, "token ids: expected a list, got " + list.dump());
  }
  std::vector<TokenId> ids;
  for (const Json& item : list) ids.push_back(to_token_id(item));
  return ids;
}

// Numbers between blanks and commas, or any JSON form that m2 tokenize prints.
Json parse_ids(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && (text[first] == '[' || text[first] == '{')) {
    const Json json = parse_json(text, "token ids");
    return json.is_object() && json.contains("ids") ? json["ids"] : json;
  }
  std::string list = text;
  for (char& c : list) {
    if (std::isspace(static_cast<unsigned char>(c)) != 0) c = ',';
  }
  std::string joined;
  for (const char c : list) {
    if (c != ',' || (!joined.empty() && joined.back() != ',')) joined += c;
  }
  if (!joined.empty() && joined.back() == ',') joined.pop_back();
  return parse_json("[" + joined + "]", "token ids");
}

void detokenize(const DetokenizeOptions& options) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(options.model);
  std::string text;
  for (const std::string& id : options.ids) text += id + " ";
  const Json ids = parse_ids(options.ids.empty() ? read_stdin() : text);
  const DecodeOptions decode = {.skip_special_tokens = !options.keep_special,
                                .clean_up_tokenization_spaces = {}};
  if (ids.is_array() && !ids.empty() && !ids[0].is_number()) {
    Json texts = Json::array();
    for (const Json& row : ids) {
      texts.push_back(tokenizer.decode(
          to_token_ids(row.is_object() && row.contains("ids") ? row["ids"] : row), decode));
    }
    print_json(texts);
    return;
  }
  const std::string decoded = tokenizer.decode(to_token_ids(ids), decode);
  if (options.json) {
    print_json({{"text", decoded}});
  } else {
    print(decoded);
    if (stdout_is_terminal()) print("\n");
  }
}

}  // namespace

void add_tokenize_command(CLI::App& app) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* command = app.add_subcommand("tokenize", "Text on standard input to token ids");
  command
      ->add_option("-m,--model", options->model,
                   "Model directory with a tokenizer.json, or a GGUF file")
      ->required();
  command->add_flag("--batch", options->batch,
                    "Standard input is a JSON list of strings; prints a list");
  command->add_flag("--json", options->json,
                    "Print {\"ids\", \"offsets\"} (the default when not on a terminal)");
  command->footer("Offsets are [begin, end) in code points of the text.");
  command->callback([options] { tokenize(*options); });
}

void add_detokenize_command(CLI::App& app) {
  auto options = std::make_shared<DetokenizeOptions>();
  CLI::App* command = app.add_subcommand("detokenize", "Token ids to text");
  command
      ->add_option("-m,--model", options->model,
                   "Model directory with a tokenizer.json, or a GGUF file")
      ->required();
  command->add_option("ids", options->ids,
                      "Token ids; without any, numbers or JSON on standard input");
  command->add_flag("--keep-special", options->keep_special,
                    "Keep special tokens such as the turn markers in the text");
  command->add_flag("--json", options->json, "Print {\"text\"}");
  command->footer("A list of lists of ids gives a JSON list of texts.");
  command->callback([options] { detokenize(*options); });
}

}  // namespace m2::app
