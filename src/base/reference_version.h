// The version of transformers whose behaviour this library follows and whose name its files carry;
// transformers refuses nothing by it, but shows it.
#pragma once

namespace m2 {

inline constexpr const char* kReferenceVersion = "5.1.0";

}  // namespace m2
