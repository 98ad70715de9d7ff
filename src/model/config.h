// The configuration is public; this header is where src/ finds it.
#pragma once

#include "m2/config.h"
