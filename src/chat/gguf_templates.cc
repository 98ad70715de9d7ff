#include "chat/gguf_templates.h"

#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"

namespace m2::chat {
namespace {

constexpr std::string_view kTemplate = "tokenizer.chat_template";
constexpr std::string_view kNames = "tokenizer.chat_templates";
constexpr std::string_view kDefault = "default";
constexpr std::size_t kMaxTemplateBytes = 16U << 20U;

void add_template(const GgufMetadata& metadata, std::string_view key, std::string_view name,
                  TemplateSet::Templates& templates) {
  const auto source = metadata.text(key);
  if (!source.has_value()) return;
  M2_REQUIRE(ErrorCode::kCorruptFile, source->size() <= kMaxTemplateBytes, metadata.file(), ": ",
             key, ": expected at most ", kMaxTemplateBytes, " bytes, got ", source->size());
  templates.insert_or_assign(std::string(name),
                             jinja::Template::parse(std::string(*source), std::string(key)));
}

// The token whose id the key gives.
void read_token(const GgufMetadata& metadata, std::string_view key, std::string& token) {
  const auto id = metadata.integer(key);
  const auto tokens = metadata.texts("tokenizer.ggml.tokens");
  if (!id.has_value() || !tokens.has_value()) return;
  M2_REQUIRE(ErrorCode::kCorruptFile, *id >= 0 && std::cmp_less(*id, tokens->size()),
             metadata.file(), ": ", key, ": there is no token ", *id);
  token = (*tokens)[static_cast<std::size_t>(*id)];
}

}  // namespace

TemplateSet read_gguf_templates(const GgufMetadata& metadata) {
  TemplateSet::Templates templates;
  for (const std::string_view name :
       metadata.texts(kNames).value_or(std::vector<std::string_view>())) {
    add_template(metadata, std::string(kTemplate).append(".").append(name), name, templates);
  }
  add_template(metadata, kTemplate, kDefault, templates);
  M2_REQUIRE(ErrorCode::kNotFound, !templates.empty(), metadata.file(), ": there is no ", kTemplate,
             " in the metadata");
  SpecialTokens tokens;
  read_token(metadata, "tokenizer.ggml.bos_token_id", tokens.bos);
  read_token(metadata, "tokenizer.ggml.eos_token_id", tokens.eos);
  return {std::move(templates), std::move(tokens)};
}

void write_gguf_templates(const TemplateSet& templates, GgufWriter& writer) {
  std::vector<std::string> names;
  for (const auto& [name, source] : templates.templates()) {
    if (name == kDefault) {
      writer.set_text(kTemplate, source.source());
    } else {
      writer.set_text(std::string(kTemplate).append(".").append(name), source.source());
      names.push_back(name);
    }
  }
  if (!names.empty()) writer.set_texts(kNames, names);
}

}  // namespace m2::chat
