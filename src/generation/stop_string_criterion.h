// Stop strings on token ids: where generate() decides without making text.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "m2/tokenizer.h"

namespace m2::generation {

/// Compares bytes, so that a character may be cut anywhere between tokens. The reference compares
/// the texts of single vocabulary entries and misses characters that several tokens make up.
class StopStringCriterion {
 public:
  /// Throws kInvalidArgument without strings and for an empty one.
  StopStringCriterion(std::vector<std::string> stop_strings, Tokenizer tokenizer);

  /// True if a stop string ends inside or at the end of the last token. Whatever precedes it may
  /// be part of it, the prompt too.
  [[nodiscard]] bool matches(std::span<const std::int32_t> ids) const;

 private:
  std::vector<std::string> stop_strings_;
  std::size_t longest_ = 0;  // bytes
  Tokenizer tokenizer_;
};

}  // namespace m2::generation
