// Finds added tokens in text.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "m2/tokenizer.h"

namespace m2 {

// A stretch of text between two added tokens (id kNoToken), or an added token.
struct Section {
  size_t begin;
  size_t end;
  TokenId id;
};

// A set of added tokens, matched together: the leftmost match wins, then the longest.
class AddedTokenMatcher {
 public:
  AddedTokenMatcher() = default;

  // Tokens and the texts to look for, in the same order (texts may differ from AddedToken::content
  // by normalisation). Empty texts are never found; of equal texts the last token counts.
  AddedTokenMatcher(std::span<const AddedToken> tokens, std::span<const std::string> texts);

  [[nodiscard]] bool empty() const { return tokens_.empty(); }

  // Appends the sections of `text`, which cover it from end to end; empty stretches are left out.
  // No token touches an `untrusted` range of bytes (ascending, disjoint). With `skip_special`,
  // matches of special tokens stay ordinary text.
  void split(std::string_view text, std::span<const TextRange> untrusted, bool skip_special,
             std::vector<Section>& sections) const;

 private:
  static constexpr uint32_t kNoEntry = UINT32_MAX;

  struct Node {
    uint32_t first_child = 0;  // children are neighbours in nodes_, ascending by byte
    uint16_t num_children = 0;
    uint8_t byte = 0;
    uint32_t token = kNoEntry;  // index into tokens_ if a text ends here
  };
  struct Match {
    size_t end;
    uint32_t token;  // kNoEntry: no match
  };

  void build_children(uint32_t node, std::span<const std::pair<std::string, uint32_t>> texts,
                      size_t depth);
  [[nodiscard]] const Node* child(const Node& node, uint8_t byte) const;
  void split_trusted(std::string_view text, TextRange region, bool skip_special, size_t& done,
                     std::vector<Section>& sections) const;
  [[nodiscard]] Match longest_at(std::string_view text, size_t pos, size_t limit) const;
  [[nodiscard]] static bool stands_alone(std::string_view text, size_t begin, size_t end);

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
  std::array<bool, 256> starts_{};  // whether a text begins with the byte
};

}  // namespace m2
