"""Arguments of forward that do not fit: the kind of the error, and what it names."""

import numpy as np

from case import Case, error_record, floats, ids, left_padding
from forward import arguments, forward_case

TEXT = ids(2, 6)
EITHER = ("exactly one of input_ids or inputs_embeds",)
OURS = {"error": ["ValueError", "Exception"], "missing words": []}

MORE_ROWS = "a mask of more rows than the batch is an error; the reference uses its first rows"


def _error(name, words=(), model="gqa", kind="MiniMaxM2ForCausalLM", difference="", ours=None,
           attention="eager", **keywords):
    def run(side):
        given = arguments(side, keywords)
        return error_record(lambda: side.load(model, attention, kind)(**given), words)

    return Case(name, run, difference=difference, ours=ours)


def _with_cache(name, words=(), difference="", ours=None, **keywords):
    def run(side):
        used = side.load("gqa")
        cache = side.lib.DynamicCache()
        used(past_key_values=cache, **arguments(side, {"input_ids": TEXT}))
        given = arguments(side, keywords)
        return error_record(lambda: used(past_key_values=cache, **given), words)

    return Case(name, run, difference=difference, ours=ours)


def _still_usable(side):
    """A refused call changes nothing for the next one."""
    used = side.load("gqa")
    bad = arguments(side, {"input_ids": np.array([[5, 96]])})
    first = error_record(lambda: used(**bad))
    return first | side.record(used(**arguments(side, {"input_ids": TEXT})))


CASES = [
    _error("neither_ids_nor_embeds", EITHER),
    _error("both_ids_and_embeds", EITHER, input_ids=TEXT, inputs_embeds=floats(2, 6, 32)),
    _error("both_model", EITHER, kind="MiniMaxM2Model", input_ids=TEXT,
           inputs_embeds=floats(2, 6, 32)),
    _error("neither_model", EITHER, kind="MiniMaxM2Model"),
    _error("id_too_large", ("96",), input_ids=np.array([[5, 96]])),
    _error("id_negative", ("-1",), input_ids=np.array([[5, -1]])),
    _error("ids_of_floats", ("input_ids",), input_ids=floats(2, 6)),
    _error("ids_of_one_dimension", ("input_ids",), input_ids=TEXT[0]),
    _error("ids_of_three_dimensions", ("input_ids",), input_ids=TEXT[None]),
    _error("embeds_too_narrow", ("inputs_embeds",), inputs_embeds=floats(2, 6, 31)),
    _error("embeds_too_wide", ("inputs_embeds",), inputs_embeds=floats(2, 6, 33)),
    _error("embeds_of_two_dimensions", ("inputs_embeds",), inputs_embeds=floats(6, 32)),
    _error("embeds_of_integers", ("inputs_embeds",), inputs_embeds=np.zeros((2, 6, 32), np.int64)),
    _error("mask_of_other_rows", ("attention_mask",), input_ids=TEXT,
           attention_mask=left_padding(3, 6, (0, 1, 2)), difference=MORE_ROWS, ours=OURS),
    _error("mask_4d_of_other_rows", ("attention_mask",), input_ids=TEXT,
           attention_mask=np.zeros((3, 1, 6, 6), np.float32)),
    _error("mask_4d_of_other_heads", ("attention_mask",), input_ids=TEXT,
           attention_mask=np.zeros((2, 3, 6, 6), np.float32)),
    _error("mask_4d_of_other_queries", ("attention_mask",), input_ids=TEXT,
           attention_mask=np.zeros((2, 1, 5, 6), np.float32)),
    _error("mask_4d_too_few_keys", ("attention_mask",), input_ids=TEXT,
           attention_mask=np.zeros((2, 1, 6, 4), np.float32)),
    _error("positions_too_few", ("position_ids",), input_ids=TEXT,
           position_ids=np.arange(5)[None]),
    _error("positions_too_many", ("position_ids",), input_ids=TEXT,
           position_ids=np.arange(7)[None]),
    _error("positions_of_other_rows", ("position_ids",), input_ids=TEXT,
           position_ids=np.zeros((3, 6), np.int64)),
    _error("keep_position_too_large", ("logits_to_keep",), input_ids=TEXT,
           logits_to_keep=np.array([6])),
    _error("keep_position_too_small", ("logits_to_keep",), input_ids=TEXT,
           logits_to_keep=np.array([-7])),
    _error("keep_bool_of_other_length", ("logits_to_keep",), input_ids=TEXT,
           logits_to_keep=np.ones(5, bool)),
    _error("keep_floats", ("logits_to_keep",), input_ids=TEXT, logits_to_keep=floats(2)),
    _error("labels_of_other_rows", ("labels",), input_ids=TEXT, labels=TEXT[:1]),
    _error("cache_is_a_tuple", input_ids=TEXT, past_key_values=((1, 2),)),
    _with_cache("cache_of_other_rows", input_ids=TEXT[:1]),
    _with_cache("mask_of_other_rows_with_cache", ("attention_mask",), input_ids=TEXT,
                attention_mask=np.ones((3, 12), np.int64), difference=MORE_ROWS, ours=OURS),
    Case("usable_after_an_error", _still_usable),
    _error("unknown_keyword", ("frobnicate",), input_ids=TEXT, frobnicate=3,
           ours={"error": ["TypeError", "Exception"], "missing words": []},
           difference="an unknown keyword of forward is an error; the reference ignores it"),
    forward_case("negative_positions", input_ids=TEXT, position_ids=np.arange(-3, 3)[None]),
]  # fmt: skip
