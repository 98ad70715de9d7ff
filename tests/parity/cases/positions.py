"""Forward with position_ids and cache_position, inputs_embeds, and packed sequences."""

import numpy as np

from case import floats, ids, left_padding
from forward import forward_case

TEXT = ids(2, 12)
PACKED = np.array([[0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 0, 0, 1, 2, 3]])
ROW = np.array([[0, 1, 2, 3, 4, 0, 1, 2, 0, 1, 2, 3]])


def _ids(name, positions, attention="eager", **more):
    keywords = {"output_hidden_states": True, **more}
    return forward_case(name, "gqa", attention, input_ids=TEXT, position_ids=positions, **keywords)


def _packed(name, positions, attention="eager", **more):
    return _ids(name, positions, attention, use_cache=False,
                output_attentions=attention == "eager", **more)  # fmt: skip


EMBEDS = floats(2, 12, 32)
CASES = [
    _ids("own_for_each_row", np.stack([np.arange(12), np.arange(12) + 100])),
    _ids("one_row_for_all", np.arange(7, 19)[None]),
    _ids("reversed", np.arange(12)[::-1][None].copy()),
    _ids("all_equal", np.full((2, 12), 5)),
    _ids("gaps", np.arange(0, 36, 3)[None]),
    _ids("large", np.arange(5000, 5012)[None]),
    _ids("int32", np.arange(12, dtype=np.int32)[None]),
    _ids("with_cache_not_packed", PACKED),
    _packed("packed", PACKED),
    _packed("packed_sdpa", PACKED, "sdpa"),
    _packed("packed_one_row_for_all", ROW),
    _packed("packed_of_length_one", np.zeros((2, 12), np.int64)),
    _packed("packed_jump_forward", np.array([[0, 1, 2, 7, 8, 9, 10, 11, 12, 13, 14, 15]] * 2)),
    _packed("packed_given_a_mask_is_not", PACKED, attention_mask=np.ones((2, 12), np.int64)),
    _packed("packed_padded_mask_is_not", PACKED, attention_mask=left_padding(2, 12, (0, 4))),
    forward_case("packed_model", kind="MiniMaxM2Model", input_ids=TEXT, position_ids=PACKED,
                 use_cache=False),
    forward_case("cache_position_alone", input_ids=TEXT, cache_position=np.arange(12)),
    forward_case("cache_position_and_position_ids", input_ids=TEXT, cache_position=np.arange(12),
                 position_ids=np.arange(3, 15)[None]),
    forward_case("cache_position_shifts_positions", input_ids=TEXT, use_cache=False,
                 cache_position=np.arange(12), attention_mask=left_padding(2, 12, (0, 5))),
    forward_case("embeds", inputs_embeds=EMBEDS, output_hidden_states=True),
    forward_case("embeds_sdpa", attention="sdpa", inputs_embeds=EMBEDS),
    forward_case("embeds_masked", inputs_embeds=EMBEDS, output_hidden_states=True,
                 attention_mask=left_padding(2, 12, (0, 5))),
    forward_case("embeds_labels", inputs_embeds=EMBEDS, labels=TEXT),
    forward_case("embeds_model", kind="MiniMaxM2Model", inputs_embeds=EMBEDS,
                 output_hidden_states=True),
    forward_case("ids_int32", input_ids=TEXT.astype(np.int32)),
    forward_case("one_token", input_ids=TEXT[:1, :1], output_hidden_states=True),
    forward_case("long_row", input_ids=ids(1, 300), attention="sdpa"),
]  # fmt: skip
