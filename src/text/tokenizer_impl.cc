#include "text/tokenizer_impl.h"

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"
#include "text/unicode.h"

namespace m2 {
namespace {

class IdSink final : public PieceSink {
 public:
  explicit IdSink(const Bpe& bpe) : encoder_(bpe) {}

  [[nodiscard]] bool needs_alignment() const override { return false; }
  void add_token(TokenId id, std::string_view /*text*/, TextRange /*source*/) override {
    ids.push_back(id);
  }
  void add_piece(const Gap& /*gap*/, const Piece& piece) override {
    encoder_.encode(piece.text, ids, nullptr);
  }

  std::vector<TokenId> ids;

 private:
  BpeEncoder encoder_;
};

class EncodingSink final : public PieceSink {
 public:
  explicit EncodingSink(const Bpe& bpe) : vocabulary_(bpe.vocabulary()), encoder_(bpe) {}

  [[nodiscard]] bool needs_alignment() const override { return true; }

  void add_token(TokenId id, std::string_view text, TextRange source) override {
    ids.push_back(id);
    tokens.emplace_back(text);
    ranges.push_back(source);
    word_ids.push_back(num_words_++);
  }

  void add_piece(const Gap& gap, const Piece& piece) override {
    lengths_.clear();
    encoder_.encode(piece.text, ids, &lengths_);
    for (size_t i = tokens.size(); i < ids.size(); ++i) {
      tokens.push_back(vocabulary_.spelling(ids[i]));
    }
    // Position in the gap of a byte of the piece; the prefix space counts as the byte behind it.
    const size_t shift = piece.has_prefix_space ? 1 : 0;
    const auto in_gap = [&](size_t at) { return piece.begin + std::max(at, shift) - shift; };
    const size_t last_byte = piece.text.size() - 1;
    size_t done = 0;
    for (const uint32_t length : lengths_) {
      const size_t first = std::min(done, last_byte);
      const size_t last = std::clamp(done + length, first + 1, last_byte + 1) - 1;
      ranges.push_back(gap.source_range(in_gap(first), in_gap(last)));
      word_ids.push_back(num_words_);
      done += length;
    }
    ++num_words_;
  }

  std::vector<TokenId> ids;
  std::vector<std::string> tokens;
  std::vector<TextRange> ranges;  // bytes of the source text
  std::vector<int32_t> word_ids;

 private:
  const Vocabulary& vocabulary_;
  BpeEncoder encoder_;
  std::vector<uint32_t> lengths_;
  int32_t num_words_ = 0;
};

size_t count_spaces(std::u32string_view text) {
  const auto is_space = [](char32_t c) {
    constexpr char32_t kSpelledSpace = 0x120;
    return c == kSpelledSpace || unicode::is_space(unicode::PropertyTable::instance()[c]);
  };
  return static_cast<size_t>(std::ranges::find_if_not(text, is_space) - text.begin());
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  std::string result;
  size_t done = 0;
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, done)) {
    result.append(text, done, at - done).append(to);
    done = at + from.size();
  }
  result.append(text, done);
  text = std::move(result);
}

// The clean-up of transformers, in its order.
void clean_up(std::string& text) {
  constexpr std::pair<std::string_view, std::string_view> kReplacements[] = {
      {" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
      {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kReplacements) replace_all(text, from, to);
}

}  // namespace

Tokenizer::Impl::Impl(TokenizerSpec spec, const TokenizerConfig& config)
    : model_max_length(config.model_max_length),
      clean_up_tokenization_spaces(config.clean_up_tokenization_spaces),
      padding_side(config.padding_side),
      truncation_side(config.truncation_side),
      spec_(std::move(spec)),
      pipeline_(spec_),
      is_special_(vocabulary().id_limit(), false) {
  for (const AddedToken& token : spec_.added_tokens) {
    is_special_[static_cast<size_t>(token.id)] = token.special;
  }
  const auto id_of = [&](const std::optional<std::string>& token) -> std::optional<TokenId> {
    const TokenId id = token ? find(*token) : kNoToken;
    return id == kNoToken ? std::nullopt : std::optional(id);
  };
  bos_id = id_of(config.bos_token);
  eos_id = id_of(config.eos_token);
  unk_id = id_of(config.unk_token);
  pad_id = id_of(config.pad_token);
}

TokenId Tokenizer::Impl::find(std::string_view token) const {
  const auto added = std::ranges::find(spec_.added_tokens, token, &AddedToken::content);
  return added != spec_.added_tokens.end() ? added->id : vocabulary().find(token);
}

bool Tokenizer::Impl::is_special(TokenId id) const {
  return id >= 0 && static_cast<size_t>(id) < is_special_.size() &&
         is_special_[static_cast<size_t>(id)];
}

std::vector<TokenId> Tokenizer::Impl::encode_ids(const TextInput& input,
                                                 bool encode_special_tokens) const {
  const SourceText source(input);
  IdSink sink(spec_.bpe);
  sink.ids.reserve(source.text().size() / 3);
  pipeline_.run(source, encode_special_tokens, sink);
  return std::move(sink.ids);
}

Encoding Tokenizer::Impl::encode(const TextInput& input, const EncodeOptions& options,
                                 int32_t sequence) const {
  const SourceText source(input);
  EncodingSink sink(spec_.bpe);
  pipeline_.run(source, options.encode_special_tokens, sink);
  source.to_offsets(sink.ranges, options.offset_unit);
  const size_t size = sink.ids.size();
  Encoding encoding;
  encoding.ids = std::move(sink.ids);
  encoding.tokens = std::move(sink.tokens);
  encoding.offsets = std::move(sink.ranges);
  encoding.word_ids = std::move(sink.word_ids);
  encoding.type_ids.assign(size, sequence);
  encoding.sequence_ids.assign(size, sequence);
  encoding.special_tokens_mask.assign(size, 0);
  encoding.attention_mask.assign(size, 1);
  return encoding;
}

Encoding Tokenizer::Impl::encode_words(std::span<const std::string_view> words,
                                       const EncodeOptions& options) const {
  Encoding all;
  for (size_t i = 0; i < words.size(); ++i) {
    Encoding word = encode(words[i], options, 0);
    std::ranges::fill(word.word_ids, static_cast<int32_t>(i));
    all = merge_pair(std::move(all), word);
  }
  return all;
}

Encoding Tokenizer::Impl::finish(Encoding first, Encoding* second,
                                 const EncodeOptions& options) const {
  if (options.truncation) truncate(first, second, *options.truncation);
  if (spec_.offset_trimming) {
    trim_offsets(first);
    if (second != nullptr) trim_offsets(*second);
  }
  return second != nullptr ? merge_pair(std::move(first), *second) : std::move(first);
}

void Tokenizer::Impl::trim_offsets(Encoding& encoding) const {
  for (size_t i = 0; i < encoding.size(); ++i) {
    std::u32string token = utf8::to_utf32(encoding.tokens[i]);
    TextRange& range = encoding.offsets[i];
    const bool is_first = i == 0 || range.begin == 0;
    // The space that add_prefix_space put in front is not in the text.
    const bool keep_leading = is_first && spec_.offset_trimming->add_prefix_space;
    const size_t leading = keep_leading ? 0 : count_spaces(token);
    std::ranges::reverse(token);
    const size_t trailing = count_spaces(token);
    range.begin = std::min(range.begin + leading, range.end);
    if (trailing <= range.end) range.end = std::max(range.end - trailing, range.begin);
  }
  for (Encoding& window : encoding.overflowing) trim_offsets(window);
}

std::string Tokenizer::Impl::decode(std::span<const TokenId> ids,
                                    const DecodeOptions& options) const {
  std::string bytes;
  for (const TokenId id : ids) {
    if (options.skip_special_tokens && is_special(id)) continue;
    bytes.append(vocabulary().bytes(id));
  }
  std::string text = utf8::is_valid(bytes) ? std::move(bytes) : utf8::replace_invalid(bytes);
  if (options.clean_up_tokenization_spaces.value_or(clean_up_tokenization_spaces)) clean_up(text);
  return text;
}

}  // namespace m2
