#include "ops/kv_cache_view.h"

#include "base/error.h"
#include "ops/contract.h"

namespace m2 {

DType storage_dtype(KvFormat format) {
  switch (format) {
    case KvFormat::kF32:
      return DType::kF32;
    case KvFormat::kBF16:
      return DType::kBF16;
  }
  fail(ErrorCode::kInternal, "unknown KV cache format ", static_cast<int>(format));
}

void check_cache(const char* op, const KvCacheView& cache) {
  check_tensor(op, "keys", cache.keys, storage_dtype(cache.format), 4);
  check_shape(op, "values", cache.values, cache.keys.dtype, cache.keys.shape, "keys",
              cache.keys.shape);
}

}  // namespace m2
