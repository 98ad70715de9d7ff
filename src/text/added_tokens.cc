#include "text/added_tokens.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "text/unicode.h"
#include "text/vocabulary.h"

namespace m2 {
namespace {

// Longer added tokens would make matching slow, and no model has them.
constexpr size_t kMaxContentBytes = 1024;

size_t code_point_before(std::string_view text, size_t pos) {
  do {
    --pos;
  } while (pos > 0 && utf8::is_continuation(text[pos]));
  return pos;
}

unicode::Properties properties_at(std::string_view text, size_t pos) {
  return unicode::PropertyTable::instance()[utf8::decode(text, pos).code_point];
}

size_t skip_space_back(std::string_view text, size_t pos, size_t limit) {
  while (pos > limit) {
    const size_t before = code_point_before(text, pos);
    if (!unicode::is_space(properties_at(text, before))) break;
    pos = before;
  }
  return pos;
}

size_t skip_space(std::string_view text, size_t pos, size_t limit) {
  while (pos < limit && unicode::is_space(properties_at(text, pos))) {
    pos += static_cast<size_t>(utf8::decode(text, pos).length);
  }
  return pos;
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::span<const AddedToken> tokens,
                                     std::span<const std::string> texts)
    : tokens_(tokens.begin(), tokens.end()) {
  std::map<std::string, uint32_t> sorted;
  for (size_t i = 0; i < texts.size(); ++i) {
    M2_REQUIRE(ErrorCode::kUnsupported, texts[i].size() <= kMaxContentBytes, "added_tokens: token ",
               tokens[i].id, " is ", texts[i].size(), " bytes long, at most ", kMaxContentBytes,
               " are supported");
    if (!texts[i].empty()) sorted.insert_or_assign(texts[i], static_cast<uint32_t>(i));
  }
  const std::vector<std::pair<std::string, uint32_t>> list(sorted.begin(), sorted.end());
  for (const auto& [text, token] : list) starts_[static_cast<uint8_t>(text[0])] = true;
  nodes_.emplace_back();
  build_children(0, list, 0);
}

// `texts` are sorted and share their first `depth` bytes, which lead to `node`.
void AddedTokenMatcher::build_children(uint32_t node,
                                       std::span<const std::pair<std::string, uint32_t>> texts,
                                       size_t depth) {
  if (!texts.empty() && texts.front().first.size() == depth) {
    nodes_[node].token = texts.front().second;
    texts = texts.subspan(1);
  }
  std::vector<std::span<const std::pair<std::string, uint32_t>>> groups;
  while (!texts.empty()) {
    const char byte = texts.front().first[depth];
    const auto end =
        std::ranges::find_if(texts, [&](const auto& entry) { return entry.first[depth] != byte; });
    const auto size = static_cast<size_t>(end - texts.begin());
    groups.push_back(texts.first(size));
    texts = texts.subspan(size);
  }
  const auto first_child = static_cast<uint32_t>(nodes_.size());
  nodes_[node].first_child = first_child;
  nodes_[node].num_children = static_cast<uint16_t>(groups.size());
  for (const auto& group : groups) {
    nodes_.emplace_back().byte = static_cast<uint8_t>(group.front().first[depth]);
  }
  for (size_t i = 0; i < groups.size(); ++i) {
    build_children(first_child + static_cast<uint32_t>(i), groups[i], depth + 1);
  }
}

const AddedTokenMatcher::Node* AddedTokenMatcher::child(const Node& node, uint8_t byte) const {
  const Node* begin = nodes_.data() + node.first_child;
  const Node* end = begin + node.num_children;
  const Node* found = std::lower_bound(
      begin, end, byte, [](const Node& entry, uint8_t value) { return entry.byte < value; });
  return found != end && found->byte == byte ? found : nullptr;
}

AddedTokenMatcher::Match AddedTokenMatcher::longest_at(std::string_view text, size_t pos,
                                                       size_t limit) const {
  Match match{pos, kNoEntry};
  const Node* node = nodes_.data();
  for (size_t at = pos; at < limit; ++at) {
    node = child(*node, static_cast<uint8_t>(text[at]));
    if (node == nullptr) break;
    if (node->token != kNoEntry) match = {at + 1, node->token};
  }
  return match;
}

bool AddedTokenMatcher::stands_alone(std::string_view text, size_t begin, size_t end) {
  if (begin > 0 && properties_at(text, code_point_before(text, begin)).is_word()) return false;
  return end == text.size() || !properties_at(text, end).is_word();
}

void AddedTokenMatcher::split(std::string_view text, std::span<const TextRange> untrusted,
                              bool skip_special, std::vector<Section>& sections) const {
  size_t done = 0;  // text before it is in a section
  if (!tokens_.empty()) {
    size_t begin = 0;
    for (const TextRange& range : untrusted) {
      split_trusted(text, {begin, range.begin}, skip_special, done, sections);
      begin = range.end;
    }
    split_trusted(text, {begin, text.size()}, skip_special, done, sections);
  }
  if (done < text.size()) sections.push_back({done, text.size(), kNoToken});
}

void AddedTokenMatcher::split_trusted(std::string_view text, TextRange region, bool skip_special,
                                      size_t& done, std::vector<Section>& sections) const {
  for (size_t pos = region.begin; pos < region.end;) {
    if (!starts_[static_cast<uint8_t>(text[pos])]) {
      ++pos;
      continue;
    }
    const Match match = longest_at(text, pos, region.end);
    if (match.token == kNoEntry) {
      ++pos;
      continue;
    }
    // A match that is refused still uses up its text, as in the reference.
    size_t begin = pos;
    size_t end = match.end;
    pos = match.end;
    const AddedToken& token = tokens_[match.token];
    if (skip_special && token.special) continue;
    if (token.single_word && !stands_alone(text, begin, end)) continue;
    if (token.lstrip) {
      const size_t limit = std::min(begin, std::max(done, region.begin));
      begin = std::max(done, skip_space_back(text, begin, limit));
    }
    if (token.rstrip) end = skip_space(text, end, region.end);
    if (begin > done) sections.push_back({done, begin, kNoToken});
    sections.push_back({begin, end, token.id});
    done = end;
  }
}

}  // namespace m2
