// TemplateSet: finding and reading the templates of a model directory.
#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/error.h"
#include "chat/chat_template.h"
#include "chat/gguf_templates.h"
#include "chat/json_input.h"
#include "gguf/gguf.h"

namespace m2::chat {
namespace {

using Json = nlohmann::ordered_json;
using Templates = std::map<std::string, jinja::Template, std::less<>>;

constexpr std::string_view kDefault = "default";
constexpr std::uintmax_t kMaxFileBytes = 16U << 20U;

std::optional<std::string> read_file(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return std::nullopt;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  M2_REQUIRE(ErrorCode::kCorruptFile, !error && size <= kMaxFileBytes, path.string(),
             ": expected at most ", kMaxFileBytes, " bytes, got ", size);
  std::ifstream in(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  M2_REQUIRE(ErrorCode::kCorruptFile, in.good() || in.eof(), path.string(), ": cannot be read");
  return text;
}

Templates read_template_files(const std::filesystem::path& directory) {
  Templates templates;
  if (auto source = read_file(directory / "chat_template.jinja")) {
    templates.emplace(kDefault, jinja::Template::parse(*std::move(source)));
  }
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(directory / "additional_chat_templates", error)) {
    if (entry.path().extension() != ".jinja") continue;
    if (auto source = read_file(entry.path())) {
      templates.emplace(entry.path().stem().string(),
                        jinja::Template::parse(*std::move(source), entry.path().filename()));
    }
  }
  return templates;
}

std::string config_string(const Json& config, const char* key) {
  const Json* text = find_member(config, key);
  M2_REQUIRE(ErrorCode::kCorruptFile, text != nullptr && text->is_string(),
             "tokenizer_config.json: chat_template: expected a string as ", key, ", got ",
             describe(text));
  return text->get<std::string>();
}

// A string, or a list of {"name", "template"}.
Templates read_config_templates(const Json& config) {
  Templates templates;
  const Json* value = find_member(config, "chat_template");
  if (value == nullptr) return templates;
  const std::string label = "tokenizer_config.json:chat_template";
  if (value->is_string()) {
    templates.emplace(kDefault, jinja::Template::parse(value->get<std::string>(), label));
    return templates;
  }
  M2_REQUIRE(ErrorCode::kCorruptFile, value->is_array(), label,
             ": expected a string or a list, got ", value->type_name());
  for (const Json& item : *value) {
    const std::string name = config_string(item, "name");
    templates.insert_or_assign(
        name, jinja::Template::parse(config_string(item, "template"), label + ":" + name));
  }
  return templates;
}

// A token is a string or {"content": string, ...}; unset ones are those of the model.
void read_token(const Json& config, const char* key, std::string& token) {
  const Json* value = find_member(config, key);
  if (value == nullptr) return;
  const Json* content = value->is_object() ? find_member(*value, "content") : value;
  M2_REQUIRE(ErrorCode::kCorruptFile, content != nullptr && content->is_string(),
             "tokenizer_config.json: ", key, ": expected a string, got ", describe(content));
  token = content->get<std::string>();
}

}  // namespace

TemplateSet::TemplateSet(Templates templates, SpecialTokens tokens)
    : templates_(std::move(templates)), tokens_(std::move(tokens)) {}

TemplateSet TemplateSet::load(const std::filesystem::path& path) {
  Templates templates = read_template_files(path);
  SpecialTokens tokens;
  if (const auto text = read_file(path / "tokenizer_config.json")) {
    const Json config =
        parse_json_text(*text, (path / "tokenizer_config.json").string(), ErrorCode::kCorruptFile);
    read_token(config, "bos_token", tokens.bos);
    read_token(config, "eos_token", tokens.eos);
    if (templates.empty()) templates = read_config_templates(config);
  }
  if (templates.empty()) {
    if (const auto gguf = find_gguf(path)) return read_gguf_templates(GgufModel(*gguf).metadata());
  }
  M2_REQUIRE(ErrorCode::kNotFound, !templates.empty(), path.string(),
             ": there is no chat_template.jinja and no chat_template in tokenizer_config.json");
  return {std::move(templates), std::move(tokens)};
}

const jinja::Template& TemplateSet::select(std::string_view name, bool has_tools) const {
  auto found = templates_.end();
  if (!name.empty()) {
    found = templates_.find(name);
  } else {
    if (has_tools) found = templates_.find("tool_use");
    if (found == templates_.end()) found = templates_.find(kDefault);
    if (found == templates_.end() && templates_.size() == 1) found = templates_.begin();
  }
  M2_REQUIRE(ErrorCode::kNotFound, found != templates_.end(), "chat template: there is none named ",
             name.empty() ? kDefault : name);
  return found->second;
}

}  // namespace m2::chat
