"""Forward with each rope type: short, at its original length, beyond it, and across it."""

import numpy as np

import models
from case import Case, ids
from forward import arguments


def _calls(side, name, positions):
    """One model, a call for each entry of positions [B, S]; a fresh one, as dynamic rope of the
    reference remembers the longest call."""
    used = side.open(side.directory(name))
    record = {}
    for i, position_ids in enumerate(positions):
        keywords = {"input_ids": ids(*position_ids.shape), "position_ids": position_ids}
        output = used(use_cache=False, output_attentions=True, **arguments(side, keywords))
        record |= side.record(output, f"call {i}: ")
    return record


def _original(name):
    config = models.config_of(f"rope_{name}")
    held = config["rope_parameters"].get("original_max_position_embeddings")
    return held or min(config["max_position_embeddings"], 64)


def _case(name, label, *positions):
    return Case(f"{name}_{label}", lambda side: _calls(side, f"rope_{name}", positions))


def _forgets(side):
    """Is a short call after a long one as it was before?"""
    record = _calls(side, "rope_dynamic", [np.arange(n)[None] for n in (8, 40, 8)])
    gap = np.abs(record["call 0: logits"] - record["call 2: logits"]).max()
    return {"as before": bool(gap < 1e-5)}


def _row(*values):
    return np.array([values], np.int64)


def _of(name):
    at = _original(name)
    yield _case(name, "short", np.arange(10)[None])
    yield _case(name, "at_original", np.arange(at)[None])
    yield _case(name, "beyond", np.arange(at + 1)[None], np.arange(at + 23)[None])
    yield _case(name, "sparse", _row(0, 3, at - 1, at, at + 200, 1000))


def _cached(name, sizes):
    """Decoding across the original length: keys in the cache keep their rotation."""
    total = sum(sizes)

    def run(side):
        used = side.open(side.directory(f"rope_{name}"))
        cache, record, start = side.lib.DynamicCache(), {}, 0
        for size in sizes:
            piece = {"input_ids": ids(1, total)[:, start : start + size]}
            output = used(past_key_values=cache, **arguments(side, piece))
            record |= side.record(output, f"from {start}: ")
            start += size
        return record

    return Case(f"{name}_cache_across", run)


def _mixed(name):
    """One long row decides for all rows."""
    at = _original(name)
    rows = np.stack([np.arange(6), np.arange(6) + at])
    return _case(name, "mixed_rows", rows)


CASES = [
    *(case for name in models.ROPES for case in _of(name)),
    *(_cached(name, (30, 1, 1, 1, 4)) for name in ("longrope", "yarn", "llama3", "dynamic")),
    *(_mixed(name) for name in ("longrope", "dynamic", "yarn")),
    _case("longrope", "long_then_short", np.arange(40)[None], np.arange(8)[None]),
    Case("dynamic_forgets", _forgets, ours={"as before": True},
         difference="dynamic rope computes each call from its own length; the reference keeps the "
                    "frequencies of the longest call"),
    _case("dynamic", "short_then_long", np.arange(8)[None], np.arange(40)[None]),
    _case("dynamic_big", "longer_and_longer", np.arange(30)[None], np.arange(50)[None]),
]
