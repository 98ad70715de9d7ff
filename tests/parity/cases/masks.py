"""Forward with every form of attention_mask."""

import numpy as np

from case import causal, floats, ids, left_padding, positions_of, right_padding
from forward import STUDY, forward_case

ROWS, LENGTH, HEADS = 3, 8, 4
TEXT = ids(ROWS, LENGTH)
LOWEST = np.finfo(np.float32).min


def _two_d(name, mask, attention="eager", visible=None, **more):
    return forward_case(name, "gqa", attention, visible=visible, input_ids=TEXT,
                        attention_mask=mask, **more)  # fmt: skip


def _study(name, mask, **more):
    keywords = {"output_hidden_states": True, "output_attentions": True, **more}
    return _two_d(name, mask, **keywords)


LEFT = left_padding(ROWS, LENGTH, (0, 3, 7))
RIGHT = right_padding(ROWS, LENGTH, (0, 3, 6))
HOLES = np.array([[1, 0, 1, 1, 0, 1, 1, 1], [1] * 8, [1, 1, 0, 0, 0, 0, 1, 1]], np.int64)
WEIGHTS = np.array([[1, 2, 3, 1, 1, 1, 1, 1], [5] * 8, [0, 7, 1, 1, 1, 1, 1, 1]], np.int64)

TWO_D = [
    _study("ones", np.ones((ROWS, LENGTH), np.int64)),
    _study("left", LEFT),
    _study("left_with_positions", LEFT, position_ids=positions_of(LEFT)),
    _study("right", RIGHT),
    _study("holes", HOLES),
    _study("nonzero_is_real", WEIGHTS),
    _study("bool", LEFT.astype(bool)),
    _study("int32", LEFT.astype(np.int32)),
    _study("float", LEFT.astype(np.float32)),
    _study("longer_is_cut", np.concatenate([LEFT, np.zeros((ROWS, 5), np.int64)], 1)),
    _study("all_zero_row", np.array([[1] * 8, [0] * 8, [1] * 8], np.int64)),
    _two_d("left_sdpa", LEFT, "sdpa", LEFT),
    _two_d("right_sdpa", RIGHT, "sdpa", RIGHT),
    _two_d("holes_sdpa", HOLES, "sdpa"),
    _two_d("ones_sdpa", np.ones((ROWS, LENGTH), np.int64), "sdpa"),
    _two_d("bool_sdpa", LEFT.astype(bool), "sdpa", LEFT),
    _two_d("router_logits_with_mask", LEFT, output_router_logits=True),
    forward_case("one_token", input_ids=TEXT[:, :1], attention_mask=np.ones((ROWS, 1), np.int64),
                 **STUDY),
    forward_case("one_row", input_ids=TEXT[:1], attention_mask=LEFT[1:2], **STUDY),
]  # fmt: skip


def _additive(hidden):
    return np.where(hidden, LOWEST, 0).astype(np.float32)


CAUSAL = causal(LENGTH, LENGTH)[None, None]
DIAGONAL = np.eye(LENGTH, dtype=bool)[None, None]
WINDOW = CAUSAL & ~causal(LENGTH, LENGTH, -3)[None, None]
RANDOM = (floats(ROWS, HEADS, LENGTH, LENGTH) > 0) | DIAGONAL
PREFIX = CAUSAL | (np.arange(LENGTH) < 4)[None, None, None]
BIAS = floats(ROWS, HEADS, LENGTH, LENGTH, seed=1)


def _four_d(name, mask, attention, **more):
    return forward_case(name, "gqa", attention, input_ids=TEXT, attention_mask=mask,
                        output_hidden_states=True, **more)  # fmt: skip


def _both_ways(name, visible):
    """The same mask as floats for eager, and as bool and floats for sdpa."""
    yield _four_d(f"4d_{name}_float", _additive(~visible), "eager", output_attentions=True)
    yield _four_d(f"4d_{name}_bool_sdpa", visible, "sdpa")
    yield _four_d(f"4d_{name}_float_sdpa", _additive(~visible), "sdpa")


FOUR_D = [
    *_both_ways("causal", np.broadcast_to(CAUSAL, (ROWS, 1, LENGTH, LENGTH))),
    *_both_ways("causal_broadcast", CAUSAL),
    *_both_ways("full", np.ones((1, 1, LENGTH, LENGTH), bool)),
    *_both_ways("window", WINDOW),
    *_both_ways("prefix", np.broadcast_to(PREFIX, (ROWS, 1, LENGTH, LENGTH))),
    *_both_ways("diagonal", DIAGONAL),
    *_both_ways("of_each_head", RANDOM),
    *_both_ways("heads_broadcast_rows", RANDOM[:1]),
    _four_d("4d_bias", BIAS, "eager", output_attentions=True),
    _four_d("4d_bias_sdpa", BIAS, "sdpa"),
    _four_d("4d_minus_infinity", np.where(CAUSAL, 0, -np.inf).astype(np.float32), "eager"),
    _four_d("4d_minus_infinity_sdpa", np.where(CAUSAL, 0, -np.inf).astype(np.float32), "sdpa"),
    _four_d("4d_longer_is_cut_eager",
            _additive(~np.concatenate([CAUSAL, np.zeros((1, 1, LENGTH, 3), bool)], 3)), "eager"),
    _four_d("4d_with_positions", _additive(~WINDOW), "eager",
            position_ids=np.arange(5, 5 + LENGTH)[None]),
    _four_d("4d_embeds_model", _additive(~CAUSAL), "eager", kind="MiniMaxM2Model"),
]  # fmt: skip

CASES = TWO_D + FOUR_D
