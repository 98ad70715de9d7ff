// The cache classes, with the constructors of the reference.
#include "arrays.h"
#include "bindings.h"

#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "m2/cache.h"
#include "m2/error.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace m2::python {
namespace {

// Row numbers as a list, NumPy array or torch tensor.
std::vector<std::int64_t> rows_of(const nb::object& rows) {
  const nb::object list = nb::hasattr(rows, "tolist") ? rows.attr("tolist")() : rows;
  return nb::cast<std::vector<std::int64_t>>(list);
}

// What Python's cache.layers[i] gives.
struct CacheLayer {
  std::shared_ptr<Cache> cache;
  std::int64_t index = 0;
};

std::vector<CacheLayer> layers(const std::shared_ptr<Cache>& cache) {
  std::vector<CacheLayer> result;
  for (std::int64_t i = 0; i < cache->num_layers(); ++i) result.push_back({cache, i});
  return result;
}

void bind_layer(nb::module_& module) {
  nb::class_<CacheLayer>(module, "CacheLayer",
                         "Keys and values of a layer: copies, as NumPy arrays.")
      .def_prop_ro(
          "keys", [](const CacheLayer& layer) { return to_numpy(layer.cache->keys(layer.index)); },
          "[B, Nkv, length, D] float32")
      .def_prop_ro(
          "values",
          [](const CacheLayer& layer) { return to_numpy(layer.cache->values(layer.index)); },
          "[B, Nkv, length, D] float32")
      .def("get_seq_length", [](const CacheLayer& layer) { return layer.cache->get_seq_length(); });
}

void bind_base(nb::module_& module) {
  nb::class_<Cache>(module, "Cache", "Keys and values of every layer for B rows of tokens.")
      .def(
          "get_seq_length",
          [](const Cache& cache, std::int64_t /*layer_idx*/) { return cache.get_seq_length(); },
          nb::arg("layer_idx") = 0, "Tokens in the cache; every layer holds as many.")
      .def(
          "get_max_cache_shape",
          [](const Cache& cache, std::int64_t /*layer_idx*/) {
            return cache.get_max_cache_shape();
          },
          nb::arg("layer_idx") = 0, "The capacity in tokens; -1 when it grows.")
      .def_prop_ro("batch_size", &Cache::batch_size, "B; 0 before the first use.")
      .def_prop_ro("max_batch_size", &Cache::batch_size)
      .def_prop_ro("max_cache_len", &Cache::get_max_cache_shape)
      .def_prop_ro("is_initialized", [](const Cache& cache) { return cache.batch_size() > 0; })
      .def("__len__", &Cache::num_layers)
      .def_prop_ro("layers", layers)
      .def("crop", &Cache::crop, nb::arg("max_length"),
           "Keeps the first tokens; a negative length drops that many from the end.")
      .def(
          "reorder_cache",
          [](Cache& cache, const nb::object& rows) { cache.reorder_cache(rows_of(rows)); },
          nb::arg("beam_idx"), "Row i becomes the former row beam_idx[i].")
      .def("batch_repeat_interleave", &Cache::batch_repeat_interleave, nb::arg("repeats"),
           "Every row so many times, next to each other.")
      .def(
          "batch_select_indices",
          [](Cache& cache, const nb::object& rows) { cache.batch_select_indices(rows_of(rows)); },
          nb::arg("indices"), "Keeps these rows, in this order.")
      .def("reset", &Cache::reset, "Forgets all tokens.");
}

// `config` and the like say nothing that the first forward call does not.
void bind_kinds(nb::module_& module) {
  nb::class_<DynamicCache, Cache>(module, "DynamicCache", "Grows with its tokens.")
      .def(
          "__init__",
          [](DynamicCache* self, const nb::object& /*config*/, bool offloading) {
            new (self) DynamicCache(offloading);
          },
          nb::arg("config").none() = nb::none(), nb::arg("offloading") = false,
          "offloading: in the host's memory; the device keeps room for one layer.");
  nb::class_<StaticCache, Cache>(module, "StaticCache", "Room for max_cache_len tokens.")
      .def(
          "__init__",
          [](StaticCache* self, const nb::object& /*config*/, std::int64_t max_cache_len,
             bool offloading) { new (self) StaticCache(max_cache_len, offloading); },
          nb::arg("config").none() = nb::none(), nb::arg("max_cache_len") = 0,
          nb::arg("offloading") = false, "offloading: as of DynamicCache.");
  nb::class_<QuantizedCache, Cache>(module, "QuantizedCache",
                                    "Grows; 8 or 4 bits for all but the last tokens.")
      .def(
          "__init__",
          [](QuantizedCache* self, const nb::object& /*backend*/, const nb::object& /*config*/,
             int nbits, std::int64_t q_group_size, std::int64_t residual_length) {
            new (self) QuantizedCache(nbits, q_group_size, residual_length);
          },
          nb::arg("backend").none() = nb::none(), nb::arg("config").none() = nb::none(),
          nb::arg("nbits") = 4, nb::arg("q_group_size") = 64, nb::arg("residual_length") = 128);
}

}  // namespace

void bind_cache(nb::module_& module) {
  bind_layer(module);
  bind_base(module);
  bind_kinds(module);
}

}  // namespace m2::python
