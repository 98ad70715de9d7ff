// Every environment variable that the library reads, in one place.
#pragma once

#include <optional>
#include <string>

namespace m2::environment {

/// M2_NUM_THREADS: worker threads of the CPU backend; absent means one per available core.
/// Throws kInvalidArgument when it is not a number in [1, 1024].
std::optional<int> num_threads();

/// M2_CPU_TARGET: forces an instruction set by its Highway name ("AVX2", "AVX3", "SSE4", "NEON").
std::optional<std::string> cpu_target();

/// NO_COLOR (any non-empty value): no colours on the terminal.
bool no_color();

}  // namespace m2::environment
