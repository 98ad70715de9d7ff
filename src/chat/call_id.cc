#include "chat/call_id.h"

#include <random>
#include <string_view>

namespace m2::chat {

std::string random_call_id() {
  constexpr std::string_view kAlphabet =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  std::random_device source;  // no state to share between threads
  std::uniform_int_distribution<size_t> pick(0, kAlphabet.size() - 1);
  std::string id = "call_";
  for (int i = 0; i < 24; ++i) id += kAlphabet[pick(source)];
  return id;
}

}  // namespace m2::chat
