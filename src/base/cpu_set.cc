#include "base/cpu_set.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <string>

#include "base/error.h"

namespace m2 {
namespace {

constexpr int kMostCpus = CPU_SETSIZE;

[[noreturn]] void fail_text(std::string_view text) {
  fail(ErrorCode::kInvalidArgument,
       "cpu mask: expected a mask such as 0xF0 or a list such as 0-3,8 of processors below ",
       kMostCpus, ", got \"", text, "\"");
}

std::vector<int> parse_mask(std::string_view text) {
  constexpr int kBitsOfDigit = 4;
  std::vector<int> cpus;
  int bit = 0;
  for (auto digit = text.rbegin(); digit + 2 != text.rend(); ++digit, bit += kBitsOfDigit) {
    int value = 0;
    const auto [end, error] = std::from_chars(&*digit, &*digit + 1, value, 16);
    if (error != std::errc()) fail_text(text);
    for (int i = 0; i < kBitsOfDigit; ++i) {
      if ((value >> i & 1) == 0) continue;
      if (bit + i >= kMostCpus) fail_text(text);
      cpus.push_back(bit + i);
    }
  }
  return cpus;
}

// The number at the start of `rest`, which it leaves behind.
int take_number(std::string_view& rest, std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (error != std::errc() || value < 0 || value >= kMostCpus) fail_text(text);
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  return value;
}

std::vector<int> parse_list(std::string_view text) {
  std::set<int> cpus;
  for (std::string_view rest = text;; rest.remove_prefix(1)) {
    const int first = take_number(rest, text);
    int last = first;
    if (rest.starts_with('-')) {
      rest.remove_prefix(1);
      last = take_number(rest, text);
    }
    if (last < first) fail_text(text);
    for (int cpu = first; cpu <= last; ++cpu) cpus.insert(cpu);
    if (rest.empty()) break;
    if (!rest.starts_with(',')) fail_text(text);
  }
  return {cpus.begin(), cpus.end()};
}

}  // namespace

std::vector<int> parse_cpu_set(std::string_view text) {
  const bool is_mask = text.starts_with("0x") || text.starts_with("0X");
  std::vector<int> cpus = is_mask ? parse_mask(text) : parse_list(text);
  if (cpus.empty()) fail_text(text);
  return cpus;
}

std::vector<int> allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  M2_CHECK(sched_getaffinity(0, sizeof(set), &set) == 0, "sched_getaffinity failed");
  std::vector<int> cpus;
  for (int cpu = 0; cpu < kMostCpus; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

void restrict_thread_to(std::span<const int> cpus) {
  const std::vector<int> allowed = allowed_cpus();
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) {
    std::string names;
    for (const int known : allowed) names += (names.empty() ? "" : ", ") + std::to_string(known);
    M2_REQUIRE(ErrorCode::kInvalidArgument, std::ranges::binary_search(allowed, cpu),
               "cpu mask: this process may use the processors ", names, ", not ", cpu);
    CPU_SET(static_cast<std::size_t>(cpu), &set);
  }
  M2_CHECK(!cpus.empty() && sched_setaffinity(0, sizeof(set), &set) == 0,
           "sched_setaffinity failed for ", cpus.size(), " processors");
}

}  // namespace m2
