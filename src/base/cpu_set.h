// Which processors of the machine threads may run on.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace m2 {

/// Processor numbers from a mask in hexadecimal ("0xF0", lowest bit first) or a list of numbers and
/// ranges ("0-3,8"); ascending. Throws kInvalidArgument for anything else and for numbers that this
/// system cannot name.
[[nodiscard]] std::vector<int> parse_cpu_set(std::string_view text);

/// The processors that the calling thread may use now, ascending.
[[nodiscard]] std::vector<int> allowed_cpus();

/// From now on the calling thread, and threads that it starts, run on these processors only. Throws
/// kInvalidArgument, naming those it may use, when one is not allowed to this process.
void restrict_thread_to(std::span<const int> cpus);

}  // namespace m2
