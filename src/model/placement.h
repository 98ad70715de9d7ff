// Which backend runs which part of a model.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ops/backend.h"

namespace m2 {

/// Weights and cache of a part live in the memory of its backend.
struct Placement {
  std::shared_ptr<Backend> embedding;
  std::vector<std::shared_ptr<Backend>> layers;  // [L]: attention and its norm
  std::vector<std::shared_ptr<Backend>> mlps;    // [L]: router and experts and their norm
  std::shared_ptr<Backend> head;                 // the final norm and the head

  /// Everything on one backend.
  static Placement on(const std::shared_ptr<Backend>& backend, std::int64_t num_layers) {
    const std::vector layers(static_cast<std::size_t>(num_layers), backend);
    return {backend, layers, layers, backend};
  }
  /// Everything on one backend, which must live longer than whatever gets the placement.
  static Placement on(Backend& backend, std::int64_t num_layers) {
    return on(std::shared_ptr<Backend>(std::shared_ptr<void>(), &backend), num_layers);
  }

  friend bool operator==(const Placement&, const Placement&) = default;
};

}  // namespace m2
