// The values of cache_implementation.
#pragma once

#include <string_view>

namespace m2::generation {

enum class CacheKind { kDynamic, kStatic, kQuantized };

/// What a name stands for. Offloaded kinds are their resident ones: there is no second memory that
/// the cache would move to. "hybrid" is the growing cache, its relatives are static, as in the
/// reference. Throws kInvalidArgument for an unknown name, kUnsupported for "paged".
CacheKind cache_kind(std::string_view name);

/// Names whose cache would leave the device in the reference.
bool is_offloaded(std::string_view name);

}  // namespace m2::generation
