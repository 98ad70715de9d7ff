"""Forward continued through growing and static caches."""

import numpy as np

from case import Case, causal, floats, ids, left_padding
from forward import arguments, forward_case, pieces_case

TEXT = ids(2, 10, seed=3)


def _steps(name, keywords_of_steps, attention="eager", make=None, layers=(0, 1)):
    """Calls with one cache; the cache's contents are compared as well."""

    def run(side):
        used = side.load("gqa", attention)
        cache = make(side, used) if make else side.lib.DynamicCache()
        record = {}
        for i, keywords in enumerate(keywords_of_steps):
            output = used(past_key_values=cache, **arguments(side, keywords))
            record |= side.record(output, f"call {i}: ")
        for layer in layers:
            keys, values = side.cache_arrays(cache, layer)
            record |= {f"keys.{layer}": keys, f"values.{layer}": values}
        return record

    return Case(name, run)


def _static(length):
    return lambda side, model: side.static_cache(model, length)


def _returned_cache(side):
    """A call makes the cache, the next one goes on with it."""
    used = side.load("gqa")
    first = used(**arguments(side, {"input_ids": TEXT[:, :6]}))
    second = used(past_key_values=first.past_key_values,
                  **arguments(side, {"input_ids": TEXT[:, 6:]}))  # fmt: skip
    same = second.past_key_values is first.past_key_values
    return side.record(second) | {"same object": same}


def _equal_to_whole(side):
    used = side.load("gqa")
    cache = side.lib.DynamicCache()
    used(past_key_values=cache, **arguments(side, {"input_ids": TEXT[:, :4]}))
    tail = used(past_key_values=cache, **arguments(side, {"input_ids": TEXT[:, 4:]}))
    whole = used(use_cache=False, **arguments(side, {"input_ids": TEXT}))
    gap = np.abs(side.numpy(tail.logits) - side.numpy(whole.logits)[:, 4:]).max()
    return {"close": bool(gap < 1e-4)}


def _model_kind(side):
    used = side.load("gqa", "eager", "MiniMaxM2Model")
    cache = side.lib.DynamicCache()
    used(past_key_values=cache, **arguments(side, {"input_ids": TEXT[:, :4]}))
    return side.record(used(past_key_values=cache, output_hidden_states=True,
                            **arguments(side, {"input_ids": TEXT[:, 4:]})))  # fmt: skip


def _config_flag(side):
    used = side.load("no_cache")
    return side.record(used(**arguments(side, {"input_ids": TEXT})))


FIRST, REST = {"input_ids": TEXT[:, :6]}, {"input_ids": TEXT[:, 6:]}
MASK = left_padding(2, 10, (0, 3))
LOWEST = np.finfo(np.float32).min
FOUR_D = np.where(causal(4, 10, 6), 0, LOWEST).astype(np.float32)[None, None]

CASES = [
    pieces_case("two_pieces", "gqa", (6, 4)),
    pieces_case("token_by_token", "gqa", (1,) * 8),
    pieces_case("prompt_and_steps", "gqa", (7, 1, 1, 1)),
    pieces_case("big_and_small", "gqa", (1, 6, 2, 30, 1)),
    pieces_case("two_pieces_eager", "gqa", (6, 4), attention="eager", study=True),
    pieces_case("token_by_token_eager", "gqa", (1,) * 5, attention="eager", study=True),
    pieces_case("padded_pieces", "gqa", (6, 1, 3), pads=(0, 4)),
    pieces_case("padded_pieces_eager", "gqa", (6, 1, 3), pads=(2, 0), attention="eager"),
    pieces_case("padding_longer_than_first_piece", "gqa", (2, 4, 1), pads=(0, 5)),
    pieces_case("five_rows", "gqa", (4, 1, 1), rows=5, pads=(0, 1, 2, 3, 0)),
    pieces_case("over_many_blocks", "gqa", (100, 1, 60, 1), rows=1),
    pieces_case("static_two_pieces", "gqa", (6, 4), static=16),
    pieces_case("static_full", "gqa", (6, 4), static=10),
    pieces_case("static_token_by_token", "gqa", (1,) * 6, static=12),
    pieces_case("static_eager", "gqa", (6, 1, 2), attention="eager", static=16),
    pieces_case("static_padded", "gqa", (6, 1, 2), pads=(0, 4), static=16),
    pieces_case("static_mqa", "mqa", (5, 1, 1), static=11),
    pieces_case("static_odd", "odd", (5, 1, 1), vocab=99, static=9),
    _steps("contents_of_growing", [FIRST, REST]),
    _steps("contents_of_static", [FIRST | {"cache_position": np.arange(6)},
                                  REST | {"cache_position": np.arange(6, 10)}],
           make=_static(13)),
    _steps("static_without_cache_position", [FIRST, REST], make=_static(13)),
    _steps("static_writes_where_told",
           [FIRST | {"cache_position": np.arange(6)},
            {"input_ids": TEXT[:, 6:8], "cache_position": np.array([3, 4])}], make=_static(8)),
    _steps("mask_covers_past", [FIRST | {"attention_mask": MASK[:, :6]},
                                REST | {"attention_mask": MASK}]),
    _steps("mask_shorter_than_past", [FIRST, REST | {"attention_mask": np.ones((2, 4), int)}]),
    _steps("positions_given", [FIRST, REST | {"position_ids": np.arange(20, 24)[None]}]),
    _steps("four_d_mask_with_past", [FIRST, REST | {"attention_mask": FOUR_D}]),
    _steps("embeds_then_ids", [{"inputs_embeds": floats(2, 6, 32)}, REST]),
    _steps("logits_to_keep", [FIRST | {"logits_to_keep": 1}, REST | {"logits_to_keep": 2}]),
    Case("cache_of_the_first_call", _returned_cache),
    Case("pieces_equal_the_whole", _equal_to_whole),
    Case("bare_model", _model_kind),
    Case("config_says_no_cache", _config_flag),
    forward_case("use_cache_false", input_ids=TEXT, use_cache=False),
    forward_case("use_cache_true", "no_cache", input_ids=TEXT, use_cache=True),
]  # fmt: skip
