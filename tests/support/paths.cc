#include "support/paths.h"

namespace m2::test {

std::filesystem::path source_dir() { return M2_SOURCE_DIR; }

}  // namespace m2::test
