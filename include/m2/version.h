// The version of the library.
#pragma once

#define M2_VERSION "0.1.0"
