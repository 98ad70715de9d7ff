// Ids of tool calls.
#pragma once

#include <string>

namespace m2::chat {

/// "call_" and 24 random letters or digits. Callable from several threads.
[[nodiscard]] std::string random_call_id();

}  // namespace m2::chat
