#include "text/pipeline.h"

#include <algorithm>
#include <cstdint>

#include "base/utf8.h"

namespace m2 {
namespace {

AddedTokenMatcher make_matcher(const TokenizerSpec& spec, bool normalized) {
  std::vector<AddedToken> tokens;
  std::vector<std::string> texts;
  for (const AddedToken& token : spec.added_tokens) {
    if (token.normalized != normalized || token.content.empty()) continue;
    tokens.push_back(token);
    texts.push_back(normalized && spec.nfc ? to_nfc(token.content) : token.content);
  }
  if (tokens.empty()) return {};
  return {tokens, texts};
}

// The bytes of `gap` that stand for untrusted bytes of the source.
std::vector<TextRange> untrusted_of(const Gap& gap, std::span<const TextRange> untrusted) {
  std::vector<TextRange> ranges;
  if (untrusted.empty()) return ranges;
  const size_t size = gap.text().size();
  for (size_t begin = 0, end = 0; begin < size; begin = end) {
    // Alignment ascends but skips what was composed into the character before, so that each
    // character stands for the source up to the next one's.
    const size_t source_begin = gap.source_range(begin, begin).begin;
    size_t source_end = SIZE_MAX;
    for (end = begin + 1; end < size && source_end == SIZE_MAX;) {
      const size_t next = gap.source_range(end, end).begin;
      if (next > source_begin) {
        source_end = next;
      } else {
        ++end;
      }
    }
    if (end == size) source_end = gap.source_end();
    const auto found = std::ranges::upper_bound(untrusted, source_begin, {}, &TextRange::end);
    if (found == untrusted.end() || found->begin >= source_end) continue;
    if (!ranges.empty() && ranges.back().end == begin) {
      ranges.back().end = end;
    } else {
      ranges.push_back({begin, end});
    }
  }
  return ranges;
}

}  // namespace

TextRange Gap::source_range(size_t first, size_t last) const {
  if (!alignment_.empty()) {
    return {source_.begin + alignment_[first].begin, source_.begin + alignment_[last].end};
  }
  while (first > 0 && utf8::is_continuation(text_[first])) --first;
  ++last;
  while (last < text_.size() && utf8::is_continuation(text_[last])) ++last;
  return {source_.begin + first, source_.begin + last};
}

Pipeline::Pipeline(const TokenizerSpec& spec)
    : nfc_(spec.nfc),
      pre_tokenizer_(spec.pre_tokenizer),
      raw_matcher_(make_matcher(spec, /*normalized=*/false)),
      normalized_matcher_(make_matcher(spec, /*normalized=*/true)) {}

void Pipeline::run(const SourceText& source, bool encode_special_tokens, PieceSink& sink) const {
  std::vector<Section> sections;
  raw_matcher_.split(source.text(), source.untrusted(), encode_special_tokens, sections);
  for (const Section& section : sections) {
    const TextRange range{section.begin, section.end};
    if (section.id == kNoToken) {
      run_gap(source, range, encode_special_tokens, sink);
    } else {
      sink.add_token(section.id, source.text().substr(range.begin, range.end - range.begin), range);
    }
  }
}

void Pipeline::run_gap(const SourceText& source, TextRange range, bool encode_special_tokens,
                       PieceSink& sink) const {
  std::string_view text = source.text().substr(range.begin, range.end - range.begin);
  std::string normalized;
  std::vector<SourceRange> alignment;
  if (nfc_ && !is_certainly_nfc(text)) {
    const bool align = sink.needs_alignment() || !normalized_matcher_.empty();
    normalized = align ? to_nfc(text, alignment) : to_nfc(text);
    text = normalized;
  }
  const Gap gap(text, range, alignment);
  if (normalized_matcher_.empty()) {
    split_gap(gap, {0, text.size()}, sink);
    return;
  }
  std::vector<Section> sections;
  normalized_matcher_.split(text, untrusted_of(gap, source.untrusted()), encode_special_tokens,
                            sections);
  for (const Section& section : sections) {
    if (section.id == kNoToken) {
      split_gap(gap, {section.begin, section.end}, sink);
    } else if (section.begin < section.end) {
      sink.add_token(section.id, text.substr(section.begin, section.end - section.begin),
                     gap.source_range(section.begin, section.end - 1));
    }
  }
}

void Pipeline::split_gap(const Gap& gap, TextRange range, PieceSink& sink) const {
  const bool one_pattern = pre_tokenizer_.splits.size() == 1 && !pre_tokenizer_.add_prefix_space &&
                           !pre_tokenizer_.byte_level_regex;
  if (!one_pattern || pre_tokenizer_.splits[0] != SplitPattern::kO200k) {
    split_by_patterns(gap, range, 0, sink);
    return;
  }
  // Matching sees no further than the range, whose end stands for the end of the text.
  const std::string_view text = gap.text().substr(0, range.end);
  for (size_t begin = range.begin; begin < range.end;) {
    const size_t end = piece_end_o200k(text, begin);
    sink.add_piece(gap, {text.substr(begin, end - begin), begin, false});
    begin = end;
  }
}

void Pipeline::split_by_patterns(const Gap& gap, TextRange range, size_t next_pattern,
                                 PieceSink& sink) const {
  if (next_pattern == pre_tokenizer_.splits.size()) {
    split_by_byte_level(gap, range, sink);
    return;
  }
  const std::string_view text = gap.text().substr(0, range.end);
  for (size_t begin = range.begin; begin < range.end;) {
    const size_t end = piece_end(pre_tokenizer_.splits[next_pattern], text, begin);
    split_by_patterns(gap, {begin, end}, next_pattern + 1, sink);
    begin = end;
  }
}

void Pipeline::split_by_byte_level(const Gap& gap, TextRange range, PieceSink& sink) const {
  std::string_view text = gap.text().substr(range.begin, range.end - range.begin);
  std::string prefixed;
  const bool add_space = pre_tokenizer_.add_prefix_space && !text.starts_with(' ');
  if (add_space) {
    prefixed.append(1, ' ').append(text);
    text = prefixed;
  }
  for (size_t begin = 0; begin < text.size();) {
    const size_t end =
        pre_tokenizer_.byte_level_regex ? piece_end(SplitPattern::kGpt2, text, begin) : text.size();
    const bool is_prefixed = add_space && begin == 0;
    const size_t in_gap = range.begin + begin - (add_space && !is_prefixed ? 1 : 0);
    sink.add_piece(gap, {text.substr(begin, end - begin), in_gap, is_prefixed});
    begin = end;
  }
}

}  // namespace m2
