// Makes the backend of a device by its name.
#pragma once

#include <memory>
#include <string_view>

#include "ops/backend.h"

namespace m2 {

/// "cpu". Throws kUnsupported for a device that this build does not have, naming those it has.
/// num_threads 0 means M2_NUM_THREADS, else all available cores.
[[nodiscard]] std::unique_ptr<Backend> make_backend(std::string_view device, int num_threads);

}  // namespace m2
