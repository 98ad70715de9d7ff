// MiniMaxM2Model.
#include "models.h"

namespace m2::python {

void bind_model(nb::module_& module) {
  nb::class_<MiniMaxM2Model> model(module, "MiniMaxM2Model", "The bare decoder.");
  bind_model_methods(model);
}

}  // namespace m2::python
