#include "ops/random_fill.h"

#include <algorithm>

#include "cpu/context.h"

namespace m2::cpu {

void random_fill(const RandomFillArgs& args, Context& context) {
  check(args);
  constexpr std::int64_t kStep = 4096;
  const std::int64_t num_chunks = (args.num_bytes + 15) / 16;
  context.lanes.run((num_chunks + kStep - 1) / kStep, [&](std::int64_t task, Buffer&) {
    const std::int64_t end = std::min(num_chunks, (task + 1) * kStep);
    for (std::int64_t chunk = task * kStep; chunk < end; ++chunk) write_random_chunk(args, chunk);
  });
}

}  // namespace m2::cpu
