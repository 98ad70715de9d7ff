"""Methods of the cache classes, and forward calls after them."""

import numpy as np

from case import Case, error_record, ids
from forward import arguments

TEXT, NEXT = ids(3, 7, seed=4), ids(6, 3, seed=5)


def _after(name, change, rows=3, static=0, difference="", ours=None):
    """Fill a cache, change it, look at it, and go on with it."""

    def run(side):
        used = side.load("gqa", "sdpa")
        cache = side.static_cache(used, static) if static else side.lib.DynamicCache()
        used(past_key_values=cache, **arguments(side, {"input_ids": TEXT}))
        change(side, cache)
        record = {"length": int(cache.get_seq_length()),
                  "capacity": int(cache.get_max_cache_shape())}  # fmt: skip
        for layer in (0, 1):
            keys, values = side.cache_arrays(cache, layer)
            record |= {f"keys.{layer}": keys, f"values.{layer}": values}
        output = used(past_key_values=cache, **arguments(side, {"input_ids": NEXT[:rows]}))
        return record | side.record(output)

    return Case(name, run, difference=difference, ours=ours)


def _crop(length):
    return lambda side, cache: cache.crop(length)


def _reorder(*rows):
    return lambda side, cache: cache.reorder_cache(side.array(np.array(rows)))


def _select(*rows):
    return lambda side, cache: cache.batch_select_indices(side.array(np.array(rows)))


def _beam_like(side, cache):
    cache.batch_repeat_interleave(2)
    cache.reorder_cache(side.array(np.array([1, 1, 3, 2, 5, 4])))
    cache.crop(5)


def _branch_and_write(side, cache):
    """Rows that share their past must part when they are written to."""
    cache.reorder_cache(side.array(np.array([0, 0, 2])))
    used = side.load("gqa", "sdpa")
    used(past_key_values=cache, **arguments(side, {"input_ids": NEXT[:3, :1]}))


def _fresh(side):
    cache = side.lib.DynamicCache()
    return {"length": int(cache.get_seq_length()), "capacity": int(cache.get_max_cache_shape()),
            "layers": len(cache)}  # fmt: skip


def _fresh_static(side):
    cache = side.static_cache(side.load("gqa"), 9)
    return {"length": int(cache.get_seq_length()), "capacity": int(cache.get_max_cache_shape())}


def _layers(side):
    used = side.load("four_layers")
    return {"layers": len(used(**arguments(side, {"input_ids": TEXT})).past_key_values)}


def _static_lengths(side):
    used = side.load("gqa")
    cache = side.static_cache(used, 12)
    lengths = []
    for start, end in ((0, 4), (4, 5), (5, 9)):
        used(past_key_values=cache,
             **arguments(side, {"input_ids": TEXT[:, :end - start],
                                "cache_position": np.arange(start, end)}))  # fmt: skip
        lengths.append(int(cache.get_seq_length()))
    return {"lengths": lengths}


def _static_reset(side):
    """After reset a static cache is as new."""
    used = side.load("gqa")
    cache = side.static_cache(used, 12)
    used(past_key_values=cache, **arguments(side, {"input_ids": TEXT}))
    cache.reset()
    length = int(cache.get_seq_length())
    output = used(past_key_values=cache, **arguments(side, {"input_ids": TEXT[:, 2:5]}))
    return {"length": length} | side.record(output)


def _dynamic_reset(side):
    used = side.load("gqa")
    cache = side.lib.DynamicCache()
    used(past_key_values=cache, **arguments(side, {"input_ids": TEXT}))
    cache.reset()
    return {"length": int(cache.get_seq_length())}


def _overflow(side):
    used = side.load("gqa")
    cache = side.static_cache(used, 5)
    keywords = arguments(side, {"input_ids": TEXT})
    return error_record(lambda: used(past_key_values=cache, **keywords))


def _bad_select(side):
    used = side.load("gqa")
    cache = side.lib.DynamicCache()
    used(past_key_values=cache, **arguments(side, {"input_ids": TEXT}))
    return error_record(lambda: cache.batch_select_indices(side.array(np.array([0, 3]))))


CASES = [
    _after("crop", _crop(4)),
    _after("crop_from_the_end", _crop(-2)),
    _after("crop_to_more", _crop(20)),
    _after("crop_to_one", _crop(1)),
    _after("reorder", _reorder(2, 0, 1)),
    _after("reorder_repeats", _reorder(1, 1, 0)),
    _after("reorder_identity", _reorder(0, 1, 2)),
    _after("reorder_static", _reorder(2, 2, 0), static=16),
    _after("branch_and_write", _branch_and_write),
    _after("repeat_interleave", lambda side, cache: cache.batch_repeat_interleave(2), rows=6),
    _after("repeat_once", lambda side, cache: cache.batch_repeat_interleave(1)),
    _after("select", _select(2, 0), rows=2),
    _after("select_repeats", _select(1, 1, 1, 0), rows=4),
    _after("select_one", _select(1), rows=1),
    _after("as_beam_search_does", _beam_like, rows=6),
    Case("fresh_growing", _fresh),
    Case("fresh_static", _fresh_static),
    Case("number_of_layers", _layers),
    Case("static_length_is_what_was_written", _static_lengths),
    Case("static_reset", _static_reset),
    Case("growing_reset", _dynamic_reset, ours={"length": 0},
         difference="reset of a growing cache forgets its tokens; the reference zeroes keys and "
                    "values but keeps the length"),
    Case("static_overflow", _overflow),
    Case("select_out_of_range", _bad_select),
]  # fmt: skip
