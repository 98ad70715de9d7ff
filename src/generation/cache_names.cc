#include "generation/cache_names.h"

#include "base/error.h"

#include <algorithm>
#include <array>
#include <utility>

namespace m2::generation {

CacheKind cache_kind(std::string_view name) {
  constexpr auto kKinds = std::to_array<std::pair<std::string_view, CacheKind>>({
      {"dynamic", CacheKind::kDynamic},
      {"dynamic_full", CacheKind::kDynamic},
      {"offloaded", CacheKind::kDynamic},
      {"hybrid", CacheKind::kDynamic},
      {"static", CacheKind::kStatic},
      {"offloaded_static", CacheKind::kStatic},
      {"sliding_window", CacheKind::kStatic},
      {"hybrid_chunked", CacheKind::kStatic},
      {"offloaded_hybrid", CacheKind::kStatic},
      {"offloaded_hybrid_chunked", CacheKind::kStatic},
      {"quantized", CacheKind::kQuantized},
  });
  M2_REQUIRE(ErrorCode::kUnsupported, name != "paged",
             "cache_implementation: \"paged\" asks for continuous batching, which generate() does "
             "not do");
  const auto found =
      std::ranges::find(kKinds, name, &std::pair<std::string_view, CacheKind>::first);
  M2_REQUIRE(ErrorCode::kInvalidArgument, found != kKinds.end(),
             "cache_implementation: expected the name of a cache, got \"", name, "\"");
  return found->second;
}

bool is_offloaded(std::string_view name) { return name.starts_with("offloaded"); }

}  // namespace m2::generation
