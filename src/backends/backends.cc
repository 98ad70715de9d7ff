#include "backends/backends.h"

#include "base/error.h"
#include "cpu/cpu_backend.h"

namespace m2 {

std::unique_ptr<Backend> make_backend(std::string_view device, int num_threads) {
  if (device == "cpu") return std::make_unique<CpuBackend>(num_threads);
  if (device == "cuda") {
    fail(ErrorCode::kUnsupported, "device \"cuda\": this build has no CUDA; it has \"cpu\"");
  }
  fail(ErrorCode::kUnsupported, "device \"", device, "\" is unknown; this build has \"cpu\"");
}

}  // namespace m2
