#include "text/gguf_tokenizer.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace m2 {
namespace {

constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
constexpr std::string_view kTypes = "tokenizer.ggml.token_type";
constexpr std::string_view kMerges = "tokenizer.ggml.merges";
constexpr std::string_view kModel = "tokenizer.ggml.model";
constexpr std::string_view kPre = "tokenizer.ggml.pre";
constexpr std::string_view kByteLevelBpe = "gpt2";
constexpr std::string_view kMiniMaxM2 = "minimax-m2";

// The numbers are those of the files.
enum class TokenType : std::int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,      // special: not shown
  kUserDefined = 4,  // found before anything else, but shown
  kUnused = 5,       // a row of the model without a token
};

template <typename T>
T needed(std::optional<T> value, const GgufMetadata& metadata, std::string_view key) {
  M2_REQUIRE(ErrorCode::kCorruptFile, value.has_value(), metadata.file(), ": the metadata has no ",
             key);
  return *std::move(value);
}

void check_kind(const GgufMetadata& metadata) {
  const auto model = metadata.text(kModel);
  M2_REQUIRE(ErrorCode::kNotFound, model.has_value() && model != "none", metadata.file(),
             ": there is no tokenizer in the metadata");
  M2_REQUIRE(ErrorCode::kUnsupported, model == kByteLevelBpe, metadata.file(), ": ", kModel,
             ": expected ", kByteLevelBpe, ", got ", *model);
  const auto pre = metadata.text(kPre);
  M2_REQUIRE(ErrorCode::kUnsupported, pre == kMiniMaxM2, metadata.file(), ": ", kPre, ": expected ",
             kMiniMaxM2, ", got ", pre.value_or("nothing"));
}

class Reader {
 public:
  explicit Reader(const GgufMetadata& metadata)
      : metadata_(metadata),
        tokens_(needed(metadata.texts(kTokens), metadata, kTokens)),
        types_(needed(metadata.integers(kTypes), metadata, kTypes)) {
    M2_REQUIRE(ErrorCode::kCorruptFile, tokens_.size() == types_.size(), metadata.file(), ": ",
               tokens_.size(), " tokens but ", types_.size(), " token types");
    M2_REQUIRE(ErrorCode::kCorruptFile, tokens_.size() <= std::size_t{kMaxTokenId} + 1,
               metadata.file(), ": ", tokens_.size(), " tokens are more than ", kMaxTokenId + 1);
  }

  TokenizerFiles read() {
    std::vector<AddedToken> added;
    Vocabulary vocabulary = read_vocabulary(added);
    const auto merges = read_merges();
    // Before the structures are begun: GCC 12 destroys their members twice when one of them throws.
    Bpe bpe(std::move(vocabulary), merges, {.byte_level = true});
    TokenizerConfig config = read_config();
    return {.spec = {.nfc = true,
                     .pre_tokenizer = {.splits = {SplitPattern::kO200k}, .byte_level = true},
                     .offset_trimming = std::nullopt,
                     .added_tokens = std::move(added),
                     .bpe = std::move(bpe)},
            .config = std::move(config)};
  }

 private:
  Vocabulary read_vocabulary(std::vector<AddedToken>& added) const {
    Vocabulary vocabulary;
    vocabulary.reserve(tokens_.size(), tokens_.size() * 8);
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      const auto id = static_cast<TokenId>(i);
      const auto type = static_cast<TokenType>(types_[i]);
      if (type == TokenType::kUnused) continue;
      if (type == TokenType::kNormal) {
        vocabulary.add(tokens_[i], id);
        continue;
      }
      const bool shown = type == TokenType::kUserDefined;
      M2_REQUIRE(ErrorCode::kUnsupported,
                 shown || type == TokenType::kControl || type == TokenType::kUnknown,
                 metadata_.file(), ": ", kTypes, "[", i, "]: type ", types_[i],
                 " is not supported");
      added.push_back({.id = id, .content = std::string(tokens_[i]), .special = !shown});
    }
    // After the model's own, as in tokenizer.json: only then it is known what is hidden.
    for (const AddedToken& token : added) vocabulary.add_hidden(token.content, token.id);
    return vocabulary;
  }

  std::vector<Bpe::MergeText> read_merges() const {
    std::vector<Bpe::MergeText> merges;
    for (const std::string_view text : needed(metadata_.texts(kMerges), metadata_, kMerges)) {
      const std::size_t space = text.find(' ', 1);
      M2_REQUIRE(ErrorCode::kCorruptFile, space != std::string_view::npos, metadata_.file(), ": ",
                 kMerges, "[", merges.size(), "]: expected two tokens and a space, got \"", text,
                 "\"");
      merges.emplace_back(text.substr(0, space), text.substr(space + 1));
    }
    return merges;
  }

  std::optional<std::string> special(std::string_view name) const {
    const std::string key = std::string("tokenizer.ggml.").append(name).append("_token_id");
    const auto id = metadata_.integer(key);
    if (!id.has_value()) return std::nullopt;
    M2_REQUIRE(ErrorCode::kCorruptFile, *id >= 0 && std::cmp_less(*id, tokens_.size()),
               metadata_.file(), ": ", key, ": expected 0 to ", tokens_.size() - 1, ", got ", *id);
    return std::string(tokens_[static_cast<std::size_t>(*id)]);
  }

  TokenizerConfig read_config() const {
    TokenizerConfig config;
    config.bos_token = special("bos");
    config.eos_token = special("eos");
    config.unk_token = special("unknown");
    config.pad_token = special("padding");
    return config;
  }

  const GgufMetadata& metadata_;
  std::vector<std::string_view> tokens_;
  std::vector<std::int64_t> types_;
};

void check_writable(const TokenizerSpec& spec, std::int64_t vocab_size) {
  const PreTokenizerSpec& pre = spec.pre_tokenizer;
  const bool is_minimax_m2 = spec.nfc && pre.splits == std::vector{SplitPattern::kO200k} &&
                             pre.byte_level && !pre.add_prefix_space && !pre.byte_level_regex;
  M2_REQUIRE(ErrorCode::kUnsupported, is_minimax_m2,
             "gguf: only the normaliser and split pattern of MiniMax-M2 can be written");
  for (const AddedToken& token : spec.added_tokens) {
    M2_REQUIRE(ErrorCode::kUnsupported,
               !token.normalized && !token.single_word && !token.lstrip && !token.rstrip,
               "gguf: the added token \"", token.content,
               "\" is normalised, a single word or strips spaces, which cannot be written");
  }
  const std::size_t limit = spec.bpe.vocabulary().id_limit();
  M2_REQUIRE(ErrorCode::kInvalidArgument, std::cmp_less_equal(limit, vocab_size),
             "gguf: token ids up to ", limit - 1, " do not fit into a vocabulary of ", vocab_size);
}

}  // namespace

TokenizerFiles read_gguf_tokenizer(const GgufMetadata& metadata) {
  check_kind(metadata);
  return Reader(metadata).read();
}

void write_gguf_tokenizer(const TokenizerFiles& tokenizer, std::int64_t vocab_size,
                          GgufWriter& writer) {
  const TokenizerSpec& spec = tokenizer.spec;
  check_writable(spec, vocab_size);
  const Vocabulary& vocabulary = spec.bpe.vocabulary();
  const auto size = static_cast<std::size_t>(vocab_size);
  std::vector<std::string> tokens(size);
  std::vector<std::int32_t> types(size, static_cast<std::int32_t>(TokenType::kNormal));
  for (std::size_t i = 0; i < size; ++i) {
    const auto id = static_cast<TokenId>(i);
    const bool used = vocabulary.contains(id);
    tokens[i] = used ? vocabulary.spelling(id) : "[PAD" + std::to_string(i) + "]";
    if (!used) types[i] = static_cast<std::int32_t>(TokenType::kUnused);
  }
  for (const AddedToken& token : spec.added_tokens) {
    const auto type = token.special ? TokenType::kControl : TokenType::kUserDefined;
    tokens[static_cast<std::size_t>(token.id)] = token.content;
    types[static_cast<std::size_t>(token.id)] = static_cast<std::int32_t>(type);
  }
  std::vector<std::string> merges;
  for (const auto& [left, right] : spec.bpe.merges()) {
    merges.push_back(vocabulary.spelling(left) + " " + vocabulary.spelling(right));
  }
  writer.set_text(kModel, kByteLevelBpe);
  writer.set_text(kPre, kMiniMaxM2);
  writer.set_texts(kTokens, tokens);
  writer.set_int32s(kTypes, types);
  writer.set_texts(kMerges, merges);
  writer.set_bool("tokenizer.ggml.add_bos_token", false);
  const auto unknown = tokenizer.config.unk_token
                           ? std::ranges::find(tokens, *tokenizer.config.unk_token)
                           : tokens.end();
  if (unknown == tokens.end()) return;
  writer.set_uint32("tokenizer.ggml.unknown_token_id",
                    static_cast<std::uint32_t>(unknown - tokens.begin()));
}

}  // namespace m2
