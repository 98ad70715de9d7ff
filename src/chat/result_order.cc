#include "chat/result_order.h"

#include <utility>

#include "base/error.h"

namespace m2::chat {

void ResultOrder::set_caller(std::string where, const std::vector<CallInput>& calls) {
  warn_unanswered();
  caller_ = std::move(where);
  answered_.assign(calls.size(), false);
  by_id_.clear();
  by_name_.clear();
  first_unanswered_ = 0;
  for (size_t i = 0; i < calls.size(); ++i) {
    by_id_[calls[i].id].all.push_back(i);
    by_name_[calls[i].name].all.push_back(i);
  }
}

size_t ResultOrder::position(const Result& result) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, num_calls() > 0, result.where,
             ": Message has tool role, but there was no previous assistant message with a tool "
             "call!");
  const size_t found = find(result);
  if (found < num_calls()) answered_[found] = true;
  return found;
}

size_t ResultOrder::next_unanswered(Index& index, std::string_view key) {
  const auto it = index.find(std::string(key));
  if (it == index.end()) return num_calls();
  Positions& positions = it->second;
  while (positions.next < positions.all.size() && answered_[positions.all[positions.next]]) {
    ++positions.next;
  }
  return positions.next < positions.all.size() ? positions.all[positions.next] : num_calls();
}

size_t ResultOrder::find(const Result& result) {
  size_t found = num_calls();
  if (!result.call_id.empty()) {
    found = next_unanswered(by_id_, result.call_id);
    if (found < num_calls()) return found;
    const auto answered = by_id_.find(std::string(result.call_id));
    if (answered != by_id_.end()) return answered->second.all.back();
    found = next_unanswered(by_id_, "");  // a client that gave its calls no ids
    M2_REQUIRE(ErrorCode::kInvalidArgument, found < num_calls(), result.where,
               ".tool_call_id: expected the id of a call of ", caller_, ", got ", result.call_id);
    return found;
  }
  if (!result.function_name.empty()) found = next_unanswered(by_name_, result.function_name);
  if (found < num_calls()) return found;
  while (first_unanswered_ < num_calls() && answered_[first_unanswered_]) ++first_unanswered_;
  return first_unanswered_;
}

void ResultOrder::warn_unanswered() {
  for (size_t i = 0; i < num_calls(); ++i) {
    if (answered_[i]) continue;
    warnings_.push_back(concat(caller_, ".tool_calls[", i, "]: there is no result of this call"));
  }
  answered_.clear();
}

}  // namespace m2::chat
