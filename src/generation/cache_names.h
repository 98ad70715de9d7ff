// The values of cache_implementation.
#pragma once

#include <string_view>

namespace m2::generation {

enum class CacheKind { kDynamic, kStatic, kQuantized };

/// What a name stands for, offloaded or not. "hybrid" is the growing cache, its relatives are
/// static, as in the reference. Throws kInvalidArgument for an unknown name, kUnsupported for
/// "paged".
CacheKind cache_kind(std::string_view name);

/// Names of caches that lie in the host's memory.
bool is_offloaded(std::string_view name);

}  // namespace m2::generation
