"""What a case of the suite is."""

import copy
import dataclasses
import zlib
from collections.abc import Callable

import numpy as np

BOUND = 1e-4  # absolute, on float32 results


@dataclasses.dataclass(frozen=True)
class Case:
    """One call that both sides make.

    run(side) returns a record: name -> array or tensor of the side (compared within `bound`; whole
    numbers exactly), float (within `bound`) or any other JSON value (exactly).
    """

    name: str
    run: Callable
    bound: float = BOUND
    # A deliberate difference: why, and what is different in the record of m2. "key" is a whole
    # entry, "/key/part" one inside of JSON values.
    difference: str = ""
    ours: dict | None = None
    live_only: bool = False  # needs both sides at once

    def expected(self, reference):
        """What m2 gives, from the record of the reference."""
        record = copy.deepcopy(reference)
        for path, value in (self.ours or {}).items():
            *parents, last = path.removeprefix("/").split("/") if path[0] == "/" else [path]
            inner = record
            for part in parents:
                inner = inner[part]
            inner[last] = value
        return record


def ids(rows, length, vocab=96, seed=0, low=3):
    """Random token ids [rows, length] i64, never pad, bos or eos."""
    draw = np.random.RandomState(zlib.crc32(f"{rows}/{length}/{vocab}/{seed}".encode()))
    return draw.randint(low, vocab, (rows, length)).astype(np.int64)


def floats(*shape, seed=0):
    """[*shape] f32 with unit variance."""
    draw = np.random.RandomState(zlib.crc32(f"{shape}/{seed}".encode()))
    return draw.standard_normal(shape).astype(np.float32)


def left_padding(rows, length, pads):
    """[rows, length] i64; row r starts with pads[r] zeros."""
    return (np.arange(length)[None, :] >= np.array(pads)[:, None]).astype(np.int64)


def right_padding(rows, length, pads):
    return np.ascontiguousarray(left_padding(rows, length, pads)[:, ::-1])


def positions_of(mask):
    return np.maximum(np.cumsum(mask, axis=-1) - 1, 0)


def causal(queries, keys, past=0):
    """[queries, keys] bool: key c is visible to the query at past + r when c <= past + r."""
    return np.arange(keys)[None, :] <= np.arange(queries)[:, None] + past


def error_record(action, words=()):
    """What a call that must fail does: its exception's class and bases, and the words it lacks."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 - the kind is what is compared
        kinds = [kind.__name__ for kind in type(error).__mro__]
        missing = [word for word in words if word.lower() not in str(error).lower()]
        return {"error": kinds[: kinds.index("Exception") + 1], "missing words": missing}
    return {"error": ["none"], "missing words": []}
