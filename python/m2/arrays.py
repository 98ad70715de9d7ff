"""Arrays in and out: NumPy, torch on the host and whatever speaks DLPack, without copies."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

INTEGERS = "integers"
MASK = "a mask"
FLOATS = "floats"

_NUMPY_KINDS = {INTEGERS: "iu", MASK: "biuf", FLOATS: "f"}


def torch_module() -> Any | None:
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
    is_float = value.dtype.is_floating_point
    if value.dtype.is_complex or (kind == INTEGERS and (is_float or value.dtype == torch.bool)):
        raise _type_error(name, kind, value.dtype)
    if kind == FLOATS and not is_float:
        raise _type_error(name, kind, value.dtype)
    if kind == INTEGERS and value.dtype not in (torch.int64, torch.int32):
        value = value.to(torch.int64)
    if kind == MASK and is_float:
        value = value.to(torch.float32)
    if kind == FLOATS and value.dtype == torch.float64:
        value = value.to(torch.float32)
    return value.cpu().contiguous()


def _from_numpy(name: str, value: np.ndarray, kind: str) -> np.ndarray:
    if value.dtype.kind not in _NUMPY_KINDS[kind]:
        raise _type_error(name, kind, value.dtype)
    if value.dtype.kind == "u" or (kind == INTEGERS and value.dtype.itemsize < 4):
        value = value.astype(np.int64)
    elif value.dtype.kind == "f" and (kind == MASK or value.dtype.itemsize > 4):
        value = value.astype(np.float32, copy=False)
    # A native byte order and rows without gaps are all that the library takes.
    return np.require(value, dtype=value.dtype.newbyteorder("="), requirements="CA")


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
    import torch

    return torch.from_numpy(value)


def to_kinds(values: Any, torch_wanted: bool) -> tuple | None:
    """The same for a list of arrays; an empty one is an output that was not asked for."""
    return tuple(to_kind(value, torch_wanted) for value in values) if values else None


def to_lists(value: Any) -> Any:
    """Arrays of any kind as nested Python lists; lists stay what they are."""
    return value.tolist() if hasattr(value, "tolist") else value
