#include "text/tokenizer_json.h"

#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "base/error.h"
#include "text/tokenizer_json_reader.h"

namespace m2 {
namespace {

using nlohmann::json;

// A JSON object with its path, for messages.
struct Node {
  const json& value;
  std::string path;

  [[nodiscard]] bool has(const char* key) const {
    return value.is_object() && value.contains(key) && !value.at(key).is_null();
  }
  [[nodiscard]] Node at(const char* key) const { return {value.at(key), path + "." + key}; }

  // Values of optional members; null counts as absent.
  [[nodiscard]] bool boolean(const char* key, bool fallback) const {
    if (!has(key)) return fallback;
    M2_REQUIRE(ErrorCode::kCorruptFile, value.at(key).is_boolean(), path, ".", key,
               ": expected true or false, got ", value.at(key).type_name());
    return value.at(key).get<bool>();
  }
  [[nodiscard]] std::string text(const char* key, const char* fallback = "") const {
    if (!has(key)) return fallback;
    M2_REQUIRE(ErrorCode::kCorruptFile, value.at(key).is_string(), path, ".", key,
               ": expected a string, got ", value.at(key).type_name());
    return value.at(key).get<std::string>();
  }
  [[nodiscard]] std::string type() const {
    M2_REQUIRE(ErrorCode::kCorruptFile, has("type"), path, ": no object with a type");
    return text("type");
  }
  [[nodiscard]] std::vector<Node> items(const char* key) const {
    M2_REQUIRE(ErrorCode::kCorruptFile, has(key) && value.at(key).is_array(), path, ".", key,
               ": expected an array");
    std::vector<Node> nodes;
    for (const json& item : value.at(key)) {
      nodes.push_back({item, concat(path, ".", key, "[", nodes.size(), "]")});
    }
    return nodes;
  }
};

[[noreturn]] void fail_type(const Node& node) {
  fail(ErrorCode::kUnsupported, node.path, ": type ", node.type(), " is not supported");
}

// Returns whether the text is normalised to NFC; that is all there is.
bool parse_normalizer(const Node& node) {
  const std::string type = node.type();
  if (type == "NFC") return true;
  if (type != "Sequence") fail_type(node);
  bool nfc = false;
  for (const Node& item : node.items("normalizers")) nfc |= parse_normalizer(item);
  return nfc;
}

SplitPattern parse_split(const Node& node) {
  M2_REQUIRE(ErrorCode::kUnsupported, node.has("pattern") && node.at("pattern").has("Regex"),
             node.path, ": a Split whose pattern is no Regex is not supported");
  const std::string regex = node.at("pattern").text("Regex");
  const std::optional<SplitPattern> pattern = split_pattern_of_regex(regex);
  M2_REQUIRE(ErrorCode::kUnsupported, pattern.has_value(), node.path,
             ": this pattern is not supported: ", regex);
  // The known patterns match everything, so these settings all keep the matches as the pieces.
  const std::string behavior = node.text("behavior");
  const bool keeps_matches =
      behavior == "Isolated" || (behavior == "Removed" && node.boolean("invert", false));
  M2_REQUIRE(ErrorCode::kUnsupported, keeps_matches, node.path, ": behavior ", behavior,
             " is not supported");
  return *pattern;
}

void parse_pre_tokenizer(const Node& node, PreTokenizerSpec& spec) {
  const std::string type = node.type();
  if (type == "Sequence") {
    for (const Node& item : node.items("pretokenizers")) parse_pre_tokenizer(item, spec);
    return;
  }
  M2_REQUIRE(ErrorCode::kUnsupported, !spec.byte_level, node.path, ": ", type,
             " after ByteLevel is not supported");
  if (type == "Split") {
    spec.splits.push_back(parse_split(node));
  } else if (type == "ByteLevel") {
    spec.byte_level = true;
    spec.add_prefix_space = node.boolean("add_prefix_space", true);
    spec.byte_level_regex = node.boolean("use_regex", true);
  } else {
    fail_type(node);
  }
}

void check_decoder(const Node& node) {
  const std::string type = node.type();
  if (type == "ByteLevel") return;
  if (type != "Sequence") fail_type(node);
  const std::vector<Node> items = node.items("decoders");
  M2_REQUIRE(ErrorCode::kUnsupported, items.size() == 1, node.path, ": a Sequence of ",
             items.size(), " decoders is not supported");
  check_decoder(items[0]);
}

std::optional<OffsetTrimming> parse_post_processor(const Node& node) {
  const std::string type = node.type();
  if (type == "Sequence") {
    const std::vector<Node> items = node.items("processors");
    M2_REQUIRE(ErrorCode::kUnsupported, items.size() <= 1, node.path, ": a Sequence of ",
               items.size(), " post-processors is not supported");
    return items.empty() ? std::nullopt : parse_post_processor(items[0]);
  }
  if (type != "ByteLevel") fail_type(node);
  if (!node.boolean("trim_offsets", true)) return std::nullopt;
  return OffsetTrimming{.add_prefix_space = node.boolean("add_prefix_space", true)};
}

AddedToken parse_added_token(const Node& node) {
  M2_REQUIRE(ErrorCode::kCorruptFile, node.has("id") && node.value.at("id").is_number_integer(),
             node.path, ".id: expected an integer");
  const auto id = node.value.at("id").get<int64_t>();
  M2_REQUIRE(ErrorCode::kCorruptFile, id >= 0 && id <= kMaxTokenId, node.path, ".id: ", id,
             " is not in 0..", kMaxTokenId);
  M2_REQUIRE(ErrorCode::kCorruptFile, node.has("content"), node.path, ": no content");
  return {.id = static_cast<TokenId>(id),
          .content = node.text("content"),
          .special = node.boolean("special", false),
          .normalized = node.boolean("normalized", !node.boolean("special", false)),
          .single_word = node.boolean("single_word", false),
          .lstrip = node.boolean("lstrip", false),
          .rstrip = node.boolean("rstrip", false)};
}

std::vector<AddedToken> parse_added_tokens(const Node& root) {
  std::vector<AddedToken> tokens;
  if (!root.has("added_tokens")) return tokens;
  for (const Node& item : root.items("added_tokens")) tokens.push_back(parse_added_token(item));
  std::ranges::sort(tokens, {}, &AddedToken::id);
  return tokens;
}

// Enters the added tokens; those that are tokens of the model, too, must have the model's id.
void add_to_vocabulary(const std::vector<AddedToken>& tokens, Vocabulary& vocabulary) {
  std::vector<std::string_view> contents;
  for (const AddedToken& token : tokens) contents.push_back(token.content);
  std::ranges::sort(contents);
  const auto twice = std::ranges::adjacent_find(contents);
  M2_REQUIRE(ErrorCode::kCorruptFile, twice == contents.end(), "tokenizer.json: added_tokens: \"",
             *twice, "\" is there twice");
  for (const AddedToken& token : tokens) {
    const TokenId known = vocabulary.find(token.content);
    M2_REQUIRE(ErrorCode::kCorruptFile, known == kNoToken || known == token.id,
               "tokenizer.json: added_tokens: \"", token.content, "\" has id ", token.id,
               " but is ", known, " in the vocabulary");
    if (known == kNoToken) vocabulary.add_hidden(token.content, token.id);
  }
}

Vocabulary make_vocabulary(const RawTokenizer& raw) {
  Vocabulary vocabulary;
  vocabulary.reserve(raw.vocab.size(), raw.blob.size() / 2);
  for (const RawTokenizer::Token& token : raw.vocab) {
    const std::string_view text = raw.view(token.text);
    M2_REQUIRE(ErrorCode::kCorruptFile, token.id >= 0 && token.id <= kMaxTokenId,
               "tokenizer.json: model.vocab: id ", token.id, " of \"", text, "\" is not in 0..",
               kMaxTokenId);
    vocabulary.add(text, static_cast<TokenId>(token.id));
  }
  return vocabulary;
}

BpeOptions parse_bpe_options(const Node& model, bool byte_level) {
  const auto dropout = model.has("dropout") ? model.value.at("dropout") : json(0);
  M2_REQUIRE(ErrorCode::kUnsupported, dropout.is_number() && dropout.get<double>() == 0, model.path,
             ".dropout: only null and 0 are supported");
  BpeOptions options{
      .byte_level = byte_level,
      .ignore_merges = model.boolean("ignore_merges", false),
      .byte_fallback = model.boolean("byte_fallback", false),
      .fuse_unk = model.boolean("fuse_unk", false),
      .unk_token = std::nullopt,
      .continuing_subword_prefix = model.text("continuing_subword_prefix"),
      .end_of_word_suffix = model.text("end_of_word_suffix"),
  };
  if (model.has("unk_token")) options.unk_token = model.text("unk_token");
  return options;
}

Bpe make_bpe(const RawTokenizer& raw, const Node& root, const std::vector<AddedToken>& added,
             bool byte_level) {
  M2_REQUIRE(ErrorCode::kCorruptFile, root.has("model"), "tokenizer.json: no model");
  const Node model = root.at("model");
  if (model.type() != "BPE") fail_type(model);
  M2_REQUIRE(ErrorCode::kCorruptFile, raw.has_vocab && raw.has_merges,
             "tokenizer.json: model: vocab must be an object and merges an array");
  Vocabulary vocabulary = make_vocabulary(raw);
  add_to_vocabulary(added, vocabulary);
  std::vector<Bpe::MergeText> merges;
  merges.reserve(raw.merges.size());
  for (const RawTokenizer::Merge& merge : raw.merges) {
    merges.emplace_back(raw.view(merge.left), raw.view(merge.right));
  }
  return Bpe(std::move(vocabulary), merges, parse_bpe_options(model, byte_level));
}

}  // namespace

TokenizerSpec parse_tokenizer_json(std::string_view text) {
  const RawTokenizer raw = read_raw_tokenizer(text);
  const Node root{raw.rest, "tokenizer.json"};
  M2_REQUIRE(ErrorCode::kCorruptFile, raw.rest.is_object(), "tokenizer.json: expected an object");
  const bool nfc = root.has("normalizer") && parse_normalizer(root.at("normalizer"));
  PreTokenizerSpec pre_tokenizer;
  if (root.has("pre_tokenizer")) parse_pre_tokenizer(root.at("pre_tokenizer"), pre_tokenizer);
  M2_REQUIRE(ErrorCode::kUnsupported, root.has("decoder"),
             "tokenizer.json: a tokenizer without a decoder is not supported");
  check_decoder(root.at("decoder"));
  std::optional<OffsetTrimming> trimming;
  if (root.has("post_processor")) trimming = parse_post_processor(root.at("post_processor"));
  std::vector<AddedToken> added = parse_added_tokens(root);
  Bpe bpe = make_bpe(raw, root, added, pre_tokenizer.byte_level);
  return {.nfc = nfc,
          .pre_tokenizer = std::move(pre_tokenizer),
          .offset_trimming = trimming,
          .added_tokens = std::move(added),
          .bpe = std::move(bpe)};
}

}  // namespace m2
