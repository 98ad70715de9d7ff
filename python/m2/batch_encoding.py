"""BatchEncoding: what a tokenizer returns."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np

from . import _m2

#: Keys whose rows have different lengths by nature and never become arrays.
_RAGGED = ("overflow_to_sample_mapping",)


def to_tensor(values: Any, return_tensors: str) -> Any:
    """Lists as int64 arrays: "pt" gives torch tensors, or NumPy arrays where torch is absent."""
    kind = getattr(return_tensors, "value", return_tensors)
    if kind not in ("pt", "np"):
        raise ValueError(f"return_tensors: expected 'pt', 'np' or None, got {return_tensors!r}")
    try:
        array = np.asarray(values, dtype=np.int64)
    except ValueError as error:
        raise ValueError(
            "Unable to create tensor, you should probably activate truncation and/or padding with "
            "'padding=True' 'truncation=True' to have batched tensors with the same length."
        ) from error
    if kind == "np" or importlib.util.find_spec("torch") is None:
        return array
    return importlib.import_module("torch").from_numpy(array)


class BatchEncoding(dict):
    """A dictionary of input_ids, attention_mask, ... whose keys are attributes, too.

    Lists, or arrays of shape [B, P] with return_tensors. It can be passed on with `**`.
    """

    def __init__(self, data: dict[str, Any] | None = None,
                 encodings: list[_m2.Encoding] | None = None) -> None:
        super().__init__(data or {})
        self._encodings = encodings

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"BatchEncoding has no {name!r}") from None

    def __getitem__(self, item: str | int | slice) -> Any:
        """By key; by number the Encoding of a row; by slice the rows of every key."""
        if isinstance(item, str):
            return super().__getitem__(item)
        if isinstance(item, int):
            return self._rows()[item]
        return BatchEncoding({key: value[item] for key, value in self.items()})

    def __reduce__(self) -> tuple:
        return BatchEncoding, (dict(self),)

    def _rows(self) -> list[_m2.Encoding]:
        if self._encodings is None:
            raise KeyError("this BatchEncoding does not know its tokens")
        return self._encodings

    @property
    def encodings(self) -> list[_m2.Encoding] | None:
        return self._encodings

    @property
    def data(self) -> dict[str, Any]:
        return self

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of a row as the vocabulary writes them."""
        return self._rows()[batch_index].tokens

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """The word that each token of a row belongs to; None for padding."""
        return [None if word < 0 else word for word in self._rows()[batch_index].word_ids]

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """0 or 1 for each token of a row: the text of a pair; None for padding."""
        return [None if text < 0 else text for text in self._rows()[batch_index].sequence_ids]

    def convert_to_tensors(self, tensor_type: str | None = None,
                           prepend_batch_axis: bool = False) -> BatchEncoding:
        """Makes arrays of the lists, in place."""
        if tensor_type is None:
            return self
        for key, value in self.items():
            if key not in _RAGGED:
                self[key] = to_tensor([value] if prepend_batch_axis else value, tensor_type)
        return self

    def to(self, device: Any = None, *, non_blocking: bool = False) -> BatchEncoding:
        """Returns itself: the model takes ids from host memory, wherever it runs itself."""
        del device, non_blocking
        return self
