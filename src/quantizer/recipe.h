// Which tensor becomes what: a default by the tensor's role and rules for names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/saved_tensors.h"
#include "quantizer/target_format.h"

namespace m2 {

/// Tensors whose hub name contains `pattern` become `format`. * stands for any text, ? for one
/// character, [..] for one of a set.
struct TensorRule {
  std::string pattern;
  TargetFormat format;
};

/// "PATTERN=FORMAT". Throws kInvalidArgument.
TensorRule parse_tensor_rule(std::string_view text);

struct Recipe {
  /// Of the experts. Attention and the head become the same or, beside 4-bit experts, 8 bits; the
  /// embedding, of which one row is read for a token, stays 16 bits wide; router, norms and
  /// correction biases stay what they are.
  TargetFormat format;
  std::vector<TensorRule> rules;  // the first that matches wins

  /// Sets the targets of all tensors, in their order. `tied`: the embedding is the head too. Throws
  /// kInvalidArgument naming the tensor that cannot have its format, or the rule that matches
  /// nothing.
  [[nodiscard]] std::vector<TargetFormat> choose(const std::vector<SavedTensor>& tensors,
                                                 bool tied) const;
};

}  // namespace m2
