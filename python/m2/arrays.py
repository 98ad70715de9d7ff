"""Arrays in and out: NumPy, torch on the host and whatever speaks DLPack, without copies."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np

INTEGERS = "integers"
POSITIONS = "integers or booleans"
MASK = "integers, booleans or floats"
FLOATS = "floats"

_NUMPY_KINDS = {INTEGERS: "iu", POSITIONS: "biu", MASK: "biuf", FLOATS: "f"}


def torch_module() -> Any:
    """torch if the program has imported it; the package itself never needs it."""
    return sys.modules.get("torch")


def is_torch(value: Any) -> bool:
    torch = torch_module()
    return torch is not None and isinstance(value, torch.Tensor)


def any_torch(*values: Any) -> bool:
    """True when the caller works with torch, so that results should be torch tensors, too."""
    return any(is_torch(value) for value in values)


def _type_error(name: str, kind: str, dtype: Any) -> TypeError:
    return TypeError(f"{name}: expected an array of {kind}, got {dtype}")


def _from_torch(name: str, value: Any, kind: str) -> Any:
    torch = torch_module()
    value = value.detach()
    letter = "f" if value.dtype.is_floating_point else "b" if value.dtype == torch.bool else "i"
    if value.dtype.is_complex or letter not in _NUMPY_KINDS[kind]:
        raise _type_error(name, kind, value.dtype)
    if letter == "i" and value.dtype not in (torch.int64, torch.int32):
        value = value.to(torch.int64)
    elif letter == "f" and (kind == MASK or value.dtype == torch.float64):
        value = value.to(torch.float32)
    return value.cpu().contiguous()


def _from_numpy(name: str, value: np.ndarray, kind: str) -> np.ndarray:
    if value.dtype.kind not in _NUMPY_KINDS[kind]:
        raise _type_error(name, kind, value.dtype)
    if value.dtype.kind == "u" or (value.dtype.kind == "i" and value.dtype.itemsize < 4):
        value = value.astype(np.int64)
    elif value.dtype.kind == "f" and (kind == MASK or value.dtype.itemsize > 4):
        value = value.astype(np.float32, copy=False)
    # A native byte order and rows without gaps are all that the library takes.
    return np.require(value, dtype=value.dtype.newbyteorder("="), requirements=["C", "A"])


def as_array(name: str, value: Any, kind: str = INTEGERS) -> Any:
    """`value` as something that the extension reads in place; None stays None.

    Copies only lists, other element types, arrays with gaps and tensors of another device. Raises
    TypeError, naming the argument, for element types that make no sense there.
    """
    if value is None:
        return None
    if is_torch(value):
        return _from_torch(name, value, kind)
    if not isinstance(value, np.ndarray):
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array_interface__"):
            return value
        try:
            value = np.asarray(value)
        except ValueError as error:
            raise ValueError(f"{name}: rows of different lengths; pad them") from error
        if value.size == 0 and kind == INTEGERS:
            value = value.astype(np.int64)
    return _from_numpy(name, value, kind)


def to_kind(value: Any, torch_wanted: bool) -> Any:
    """A result of the extension (NumPy) as the caller's kind of array; the memory is shared."""
    if value is None or not torch_wanted:
        return value
    return importlib.import_module("torch").from_numpy(value)


def scalar_to_kind(value: float | None, torch_wanted: bool) -> Any:
    """A float32 without dimensions."""
    return None if value is None else to_kind(np.asarray(value, dtype=np.float32), torch_wanted)


def to_kinds(values: Any, torch_wanted: bool) -> tuple | None:
    """The same for a list of arrays; an empty one is an output that was not asked for."""
    return tuple(to_kind(value, torch_wanted) for value in values) if values else None


def to_lists(value: Any) -> Any:
    """Arrays of any kind as nested Python lists; lists stay what they are."""
    return value.tolist() if hasattr(value, "tolist") else value
