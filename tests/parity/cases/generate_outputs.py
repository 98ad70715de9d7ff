"""What generate() returns: records, presence, order, and transition scores."""

import numpy as np

from case import Case, floats, ids, left_padding
from forward import arguments
from generation import generate_case

ROWS = ids(2, 5, 24, 41)
DICT = dict(return_dict_in_generate=True)
ALL = dict(DICT, output_scores=True, output_logits=True, output_attentions=True,
           output_hidden_states=True)  # fmt: skip


def _case(name, **keywords):
    return generate_case(name, record=False, greedy=False,
                         **{"input_ids": ROWS, "max_new_tokens": 4, **keywords})  # fmt: skip


def _shapes(name, **keywords):
    """Types, lengths and shapes alone, for sampling."""
    inner = _case(name, do_sample=True, **keywords)

    def run(side):
        return {key: list(value.shape) if isinstance(value, np.ndarray) else value
                for key, value in inner.run(side).items()}  # fmt: skip

    return Case(name, run)


def _transition(name, normalize=False, **keywords):
    def run(side):
        used = side.load("gen_eos_often")
        given = arguments(side, {"input_ids": ids(2, 5, 24, 42)})
        output = used.generate(**given, max_new_tokens=9, do_sample=False, output_scores=True,
                               return_dict_in_generate=True, **keywords)  # fmt: skip
        beams = {"beam_indices": output.beam_indices} if "beam_indices" in output else {}
        scores = used.compute_transition_scores(output.sequences, output.scores,
                                                normalize_logits=normalize, **beams)  # fmt: skip
        return {"sequences": side.numpy(output.sequences), "transition": side.numpy(scores)}

    return Case(name, run)


def _cache_lengths(side):
    used = side.load("gen")
    output = used.generate(**arguments(side, {"input_ids": ROWS}), max_new_tokens=6, **DICT,
                           do_sample=False)  # fmt: skip
    return {"length": int(output.past_key_values.get_seq_length()),
            "sequences": list(output.sequences.shape)}  # fmt: skip


def _tuple(side):
    used = side.load("gen")
    output = used.generate(**arguments(side, {"input_ids": ROWS}), max_new_tokens=3, **ALL,
                           do_sample=False)  # fmt: skip
    steps, layers = len(output.attentions), len(output.attentions[0])
    return {"length": len(output), "first": side.numpy(output[0]), "steps": steps,
            "layers": layers, "parts": len(output.to_tuple())}  # fmt: skip


CASES = [
    _case("record_alone", **DICT),
    _case("scores", **DICT, output_scores=True),
    _case("logits", **DICT, output_logits=True),
    _case("scores_and_logits_differ", **DICT, output_scores=True, output_logits=True,
          repetition_penalty=1.7),
    _case("hidden_states", **DICT, output_hidden_states=True),
    _case("attentions", **DICT, output_attentions=True),
    _case("everything", **ALL),
    _case("everything_padded", **ALL, input_ids=np.where(left_padding(2, 5, (0, 2)) == 1, ROWS, 0),
          attention_mask=left_padding(2, 5, (0, 2))),
    _case("everything_without_cache", **ALL, use_cache=False),
    _case("everything_static_cache", **ALL, cache_implementation="static"),
    _case("everything_chunked", **ALL, prefill_chunk_size=2),
    _case("everything_embeds", **ALL, input_ids=False, inputs_embeds=floats(2, 4, 32, seed=6)),
    _case("everything_one_token", **{**ALL, "max_new_tokens": 1}),
    _case("everything_one_layer", **ALL, model="gen_draft"),
    _case("attentions_with_sdpa", **DICT, output_attentions=True, attention="sdpa"),
    _case("flags_without_record", output_scores=True, output_logits=True),
    _case("without_cache_field", **DICT, use_cache=False),
    _case("beams_record_alone", **DICT, num_beams=2),
    _case("beams_scores", **DICT, num_beams=2, output_scores=True),
    _case("beams_logits", **DICT, num_beams=2, output_logits=True),
    _case("beams_everything", **ALL, num_beams=3),
    _case("beams_everything_returned", **ALL, num_beams=3, num_return_sequences=2),
    _case("beams_everything_ending", **ALL, num_beams=3, model="gen_eos_often",
          input_ids=ids(2, 5, 24, 22), max_new_tokens=8),
    _case("lookup_everything", **DICT, output_hidden_states=True, output_attentions=True,
          prompt_lookup_num_tokens=3, input_ids=np.array([[5, 9, 14, 5, 9, 14, 5, 9]])),
    _shapes("sample_everything", **ALL),
    _shapes("sample_returns", **ALL, num_return_sequences=3),
    _shapes("beam_sample_everything", **ALL, num_beams=2),
    _shapes("beam_sample_returns", **ALL, num_beams=4, num_return_sequences=3),
    _transition("transition_scores"),
    _transition("transition_scores_normalized", True),
    _transition("transition_scores_beams", num_beams=3, num_return_sequences=2),
    _transition("transition_scores_beams_normalized", True, num_beams=3),
    Case("cache_holds_all_but_the_last_token", _cache_lengths),
    Case("as_a_tuple", _tuple),
]  # fmt: skip
