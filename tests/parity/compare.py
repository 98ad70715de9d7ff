"""Compares records, in full or with the reduced form that goldens hold."""

import math
import zlib

import numpy as np

SAMPLE = 160  # elements kept of a float array
# Errors that come from the inside of torch or another library; m2 names the argument or the file
# in an error of its own.
INNER_ERRORS = {"RuntimeError", "IndexError", "TypeError", "AttributeError", "AssertionError",
                "KeyError", "UnboundLocalError", "SafetensorError", "JSONDecodeError",
                "UnpicklingError"}  # fmt: skip
OWN_ERRORS = {"ValueError", "TypeError", "OSError", "NotImplementedError"}


def _sample(key, count):
    if count <= SAMPLE:
        return np.arange(count)
    draw = np.random.RandomState(zlib.crc32(key.encode()))
    return np.sort(draw.choice(count, SAMPLE, replace=False))


def _rms(values):
    finite = values[np.isfinite(values)].astype(np.float64)
    return float(np.sqrt(np.mean(finite**2))) if finite.size else 0.0


def reduce_record(record):
    """(arrays, JSON values): float arrays become a sample and figures of the whole."""
    kept, plain = {}, {}
    for key, value in record.items():
        if not isinstance(value, np.ndarray):
            plain[key] = {"float": repr(value)} if isinstance(value, float) else value
            continue
        if value.dtype.kind == "f":
            flat = value.reshape(-1)
            kept[key] = flat[_sample(key, flat.size)].astype(np.float32)
            plain[key] = {"shape": list(value.shape), "rms": _rms(flat),
                          "infinite": int(np.sum(~np.isfinite(flat)))}  # fmt: skip
        else:
            kept[key] = value
            plain[key] = {"shape": list(value.shape)}
    return kept, plain


def number_error(ours, theirs):
    """Largest absolute difference; infinite where one is not finite and they are not the same."""
    if ours.size == 0:
        return 0.0
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    finite = np.isfinite(ours) & np.isfinite(theirs)
    if np.any(~same & ~finite):
        return math.inf
    with np.errstate(invalid="ignore"):
        return float(np.max(np.where(same, 0.0, np.abs(ours - theirs))))


class Comparison:
    """Gathers the worst error and what differs."""

    def __init__(self, bound):
        self.bound, self.worst, self.problems = bound, 0.0, []

    def numbers(self, key, ours, theirs):
        error = number_error(np.asarray(ours, np.float64), np.asarray(theirs, np.float64))
        self.worst = max(self.worst, error)
        if not error <= self.bound:
            self.problems.append(f"{key}: error {error:.3g} over {self.bound:g}")

    def exact(self, key, ours, theirs):
        if ours != theirs:
            self.problems.append(f"{key}: {_short(ours)}, expected {_short(theirs)}")

    def keys(self, ours, theirs):
        self.exact("results", sorted(ours), sorted(theirs))
        return [key for key in theirs if key in ours]


def _short(value):
    text = repr(value)
    return text if len(text) <= 300 else text[:300] + "..."


def _plain(into, key, ours, theirs):
    if key == "error":
        if theirs[0] not in ours and not (theirs[0] in INNER_ERRORS and OWN_ERRORS & set(ours)):
            into.exact(key, ours, theirs)
    elif key == "missing words":
        into.exact(key, ours, [])
    elif isinstance(ours, float) and isinstance(theirs, float):
        into.numbers(key, ours, theirs)
    else:
        into.exact(key, ours, theirs)


def _kind(value):
    return value.dtype.kind.replace("u", "i") if isinstance(value, np.ndarray) else "plain"


def compare_records(ours, theirs, bound):
    """Both in full."""
    result = Comparison(bound)
    for key in result.keys(ours, theirs):
        a, b = ours[key], theirs[key]
        if _kind(a) != _kind(b):
            result.exact(key, f"{_kind(a)} {_short(a)}", f"{_kind(b)} {_short(b)}")
        elif not isinstance(a, np.ndarray):
            _plain(result, key, a, b)
        elif a.shape != b.shape:
            result.exact(f"{key}, shape", a.shape, b.shape)
        elif a.dtype.kind == "f":
            result.numbers(key, a, b)
        else:
            result.exact(key, a.tolist(), b.tolist())
    return result


def compare_with_golden(ours, arrays, plain, bound):
    """ours in full, the golden as reduce_record made it."""
    result = Comparison(bound)
    kept, mine = reduce_record(ours)
    for key in result.keys(mine, plain):
        a, b = mine[key], plain[key]
        if (key in kept) != (key in arrays):
            result.exact(key, _short(a), _short(b))
        elif key not in arrays:
            ours_number, golden_number = _number(a), _number(b)
            _plain(result, key, a if ours_number is None else ours_number,
                   b if golden_number is None else golden_number)  # fmt: skip
        elif a["shape"] != b["shape"]:
            result.exact(f"{key}, shape", a["shape"], b["shape"])
        elif "rms" in b:
            result.exact(f"{key}, infinite elements", a.get("infinite"), b["infinite"])
            result.numbers(f"{key}, root mean square", a.get("rms", math.nan), b["rms"])
            result.numbers(key, kept[key], arrays[key].reshape(kept[key].shape))
        else:
            result.exact(key, kept[key].tolist(), arrays[key].tolist())
    return result


def _number(value):
    is_number = isinstance(value, dict) and set(value) == {"float"}
    return float(value["float"]) if is_number else None
