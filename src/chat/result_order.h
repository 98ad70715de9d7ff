// Which tool result answers which call.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "chat/call_input.h"

namespace m2::chat {

/// Matches results with the calls of the last assistant message: by id, else by the function's
/// name, else in order.
class ResultOrder {
 public:
  /// One line goes to `warnings` for each call that stays without a result.
  explicit ResultOrder(std::vector<std::string>& warnings) : warnings_(warnings) {}

  /// An assistant message, called `where` in messages. `calls` need not outlive the call.
  void set_caller(std::string where, const std::vector<CallInput>& calls);

  struct Result {
    std::string where;  // in messages
    std::string_view call_id;
    std::string_view function_name;  // either may be empty
  };

  /// The position of the call that the result answers; the number of calls when all have results
  /// and this one names none. Throws kInvalidArgument when the message before made no calls and
  /// for an unknown id.
  size_t position(const Result& result);

  /// To be called after the last message.
  void warn_unanswered();

 private:
  // Calls with the same key, in order.
  struct Positions {
    std::vector<size_t> all;
    size_t next = 0;  // in all; those before have results
  };
  using Index = std::unordered_map<std::string, Positions>;

  // The next call under `key` without a result, or num_calls().
  size_t next_unanswered(Index& index, std::string_view key);
  size_t find(const Result& result);
  [[nodiscard]] size_t num_calls() const { return answered_.size(); }

  std::vector<std::string>& warnings_;
  std::string caller_;
  std::vector<bool> answered_;
  Index by_id_;
  Index by_name_;
  size_t first_unanswered_ = 0;
};

}  // namespace m2::chat
