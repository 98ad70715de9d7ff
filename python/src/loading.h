// Options of loading and saving, and what a load reports.
#pragma once

#include "bindings.h"
#include "interrupt.h"
#include "keywords.h"

#include "m2/modeling.h"

#include <string>

namespace m2::python {

/// `callback(done, total)` of the keywords is called through `call`, which also ends the load.
FromPretrainedOptions read_loading_options(Keywords& keywords, InterruptibleCall& call);
FromConfigOptions read_config_options(Keywords& keywords);
SavePretrainedOptions read_saving_options(Keywords& keywords);
nb::dict to_dict(const LoadingInfo& info);

}  // namespace m2::python
