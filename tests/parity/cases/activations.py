"""Forward with each accepted name of an activation."""

import models
from forward import plain_case

CASES = [plain_case(name, f"act_{name}") for name in models.ACTIVATIONS]
