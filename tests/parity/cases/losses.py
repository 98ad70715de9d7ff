"""Language-model loss and auxiliary loss."""

import numpy as np

from case import Case, error_record, ids, left_padding, positions_of
from forward import arguments, forward_case

TEXT = ids(3, 9, seed=7)
MASK = left_padding(3, 9, (0, 2, 6))
HIDDEN = np.where(MASK == 1, TEXT, -100)
NONE = np.full((3, 9), -100)
HALF = np.where(np.arange(9) % 2 == 0, TEXT, -100)


def _loss(name, model="gqa", **keywords):
    return forward_case(name, model, **{"input_ids": TEXT, "labels": TEXT, **keywords})


def _aux(name, model="gqa", **keywords):
    return forward_case(name, model, **{"input_ids": TEXT, "output_router_logits": True,
                                        **keywords})  # fmt: skip


def _error(name, words=(), **keywords):
    def run(side):
        given = arguments(side, {"input_ids": TEXT, **keywords})
        return error_record(lambda: side.load("gqa")(**given), words)

    return Case(name, run)


def _aux_with_cache(side):
    """The mask covers the past as well, the router's logits do not."""
    used = side.load("gqa")
    first = used(**arguments(side, {"input_ids": TEXT[:, :5], "attention_mask": MASK[:, :5]}))
    given = arguments(side, {"input_ids": TEXT[:, 5:], "attention_mask": MASK})
    return error_record(lambda: used(past_key_values=first.past_key_values,
                                     output_router_logits=True, **given))  # fmt: skip


def _aux_with_cache_no_mask(side):
    used = side.load("gqa")
    first = used(**arguments(side, {"input_ids": TEXT[:, :5]}))
    given = arguments(side, {"input_ids": TEXT[:, 5:]})
    return side.record(used(past_key_values=first.past_key_values, output_router_logits=True,
                            labels=given["input_ids"], **given))  # fmt: skip


WRONG = TEXT.copy()
WRONG[0, 3] = 96
CASES = [
    _loss("labels"),
    _loss("labels_hidden", labels=HIDDEN, attention_mask=MASK, position_ids=positions_of(MASK)),
    _loss("labels_half", labels=HALF),
    _loss("labels_none_valid", labels=NONE),
    _loss("labels_none_valid_counted", labels=NONE, num_items_in_batch=5),
    _loss("one_row", input_ids=TEXT[:1], labels=TEXT[:1]),
    _loss("one_position_is_none", input_ids=TEXT[:, :1], labels=TEXT[:, :1]),
    _loss("ignore_index", labels=np.where(MASK == 1, TEXT, 0), ignore_index=0),
    _loss("ignore_index_is_a_token", ignore_index=int(TEXT[0, 4])),
    _loss("num_items_in_batch", num_items_in_batch=24),
    _loss("num_items_in_batch_one", num_items_in_batch=1),
    _loss("num_items_in_batch_many", num_items_in_batch=1000),
    _loss("shift_labels", shift_labels=np.roll(TEXT, -1, 1)),
    _loss("shift_labels_beat_labels", labels=NONE, shift_labels=TEXT),
    _loss("shift_labels_hidden", shift_labels=HIDDEN),
    _loss("shift_labels_alone_give_none", labels=None, shift_labels=TEXT),
    _loss("shift_labels_with_kept_logits", shift_labels=TEXT[:, 6:], logits_to_keep=3),
    _loss("shift_labels_counted", shift_labels=TEXT, num_items_in_batch=7),
    _loss("wide_vocabulary", "wide_vocab", labels=TEXT + 200),
    _loss("tied", "tied"),
    _loss("with_aux", output_router_logits=True),
    _loss("with_aux_masked", labels=HIDDEN, attention_mask=MASK, output_router_logits=True),
    _loss("with_aux_counted", output_router_logits=True, num_items_in_batch=9),
    _loss("aux_of_the_config", "router_flag"),
    _loss("aux_switched_off", "router_flag", output_router_logits=False),
    _loss("aux_and_none_valid", labels=NONE, output_router_logits=True),
    _aux("aux_alone"),
    _aux("aux_masked", attention_mask=MASK),
    _aux("aux_mask_of_ones", attention_mask=np.ones((3, 9), np.int64)),
    _aux("aux_mask_of_zeros", attention_mask=np.zeros((3, 9), np.int64)),
    _aux("aux_mask_int32", attention_mask=MASK.astype(np.int32)),
    _aux("aux_weighted_mask", attention_mask=MASK * 3),
    _aux("aux_all_experts", "all_experts"),
    _aux("aux_one_expert", "one_expert"),
    _aux("aux_many_experts", "many_experts", attention_mask=MASK),
    _aux("aux_bias_is_not_used", "bias_rules"),
    _aux("aux_four_layers", "four_layers", attention_mask=MASK),
    Case("aux_cached_without_mask", _aux_with_cache_no_mask),
    Case("aux_cached_with_mask", _aux_with_cache),
    _error("label_out_of_range", labels=WRONG),
    _error("label_negative", labels=np.where(TEXT == TEXT[0, 3], -7, TEXT)),
    _error("labels_of_another_length", labels=TEXT[:, :5]),
    _error("labels_with_kept_logits", labels=TEXT, logits_to_keep=2),
    _error("aux_with_a_4d_mask", output_router_logits=True,
           attention_mask=np.ones((3, 1, 9, 9), bool).astype(np.float32)),
    _error("aux_with_a_longer_mask", output_router_logits=True,
           attention_mask=np.ones((3, 12), np.int64)),
]  # fmt: skip
