"""Beam search with all its switches."""

import numpy as np

from case import Case, floats, ids, left_padding
from generation import generate_case

ROWS = ids(2, 6, 24, 21)
OFTEN = dict(model="gen_eos_often", input_ids=ids(3, 5, 24, 22), max_new_tokens=12)
LEFT = left_padding(2, 6, (0, 3))


def _case(name, num_beams=3, **keywords):
    return generate_case(name, greedy=False, num_beams=num_beams,
                         **{"input_ids": ROWS, "max_new_tokens": 7, **keywords})  # fmt: skip


def _often(name, **keywords):
    """Hypotheses end early, so that the pool and early stopping matter."""
    return _case(name, **{**OFTEN, "strict": True, **keywords})


def _allowed(batch, sequence):
    return list(range(4, 40)) if batch == 0 else list(range(10, 60, 3))


def _criterion(side, model):
    return {"stopping_criteria": side.criteria(lambda so_far: so_far[:, -1] % 7 == 3)}


def _boost(so_far, scores):
    scores = scores.copy()
    scores[np.arange(len(scores)), (so_far[:, -1] + 2) % scores.shape[1]] += 3.0
    return scores


def _custom(side, model):
    return {"logits_processor": side.processors(_boost)}


FILLER = ("beams of different lengths are filled with the pad id, also when it is 0; the reference "
          "takes 0 for unset and fills with eos; `strict` as well")  # fmt: skip


def _filler(side):
    """What fills the row that ended first."""
    inner = _often("", record=False, strict=False).run(side)["sequences"]
    return {"filler": int(inner[2, -1])}


CASES = [
    _case("two_beams", 2),
    _case("three_beams"),
    _case("seven_beams", 7),
    _case("beams_ids_alone", record=False),
    _case("one_row", input_ids=ROWS[:1]),
    _case("one_new_token", max_new_tokens=1),
    _case("long", max_new_tokens=25),
    _case("all_returned", num_return_sequences=3),
    _case("two_of_four_returned", 4, num_return_sequences=2),
    _case("max_length", max_new_tokens=None, max_length=11),
    _case("padded", input_ids=np.where(LEFT == 1, ROWS, 0), attention_mask=LEFT),
    _case("padded_sdpa", input_ids=np.where(LEFT == 1, ROWS, 0), attention_mask=LEFT,
          attention="sdpa"),
    _case("without_cache", use_cache=False),
    _case("static_cache", cache_implementation="static"),
    _case("embeds", input_ids=False, inputs_embeds=floats(2, 5, 32, seed=5)),
    _case("no_pad_id", model="gen_no_pad"),
    _case("no_eos", model="gen_no_eos"),
    _often("ends_early"),
    Case("filler", _filler, difference=FILLER, ours={"filler": 0}),
    _often("ends_early_all_returned", num_return_sequences=3),
    _often("early_stopping_true", early_stopping=True),
    _often("early_stopping_true_all_returned", early_stopping=True, num_return_sequences=3),
    _often("early_stopping_false", early_stopping=False),
    _often("early_stopping_never", early_stopping="never"),
    _often("early_stopping_never_positive_penalty", early_stopping="never", length_penalty=2.0),
    _often("early_stopping_never_negative_penalty", early_stopping="never", length_penalty=-1.0),
    _often("length_penalty_zero", length_penalty=0.0, num_return_sequences=3),
    _often("length_penalty_short", length_penalty=-0.5, num_return_sequences=3),
    _often("length_penalty_long", length_penalty=3.0, num_return_sequences=3),
    _often("pad_of_the_call", pad_token_id=23, num_return_sequences=3),
    _often("eos_list", model="gen_eos_list", num_return_sequences=2),
    _often("eos_list_early", model="gen_eos_list", early_stopping=True),
    _often("eos_null", eos_token_id=None),
    _often("min_new_tokens", min_new_tokens=6),
    _often("five_beams", num_beams=5, num_return_sequences=5),
    _case("repetition_penalty", repetition_penalty=1.4),
    _case("no_repeat_ngram", no_repeat_ngram_size=2, max_new_tokens=15),
    _case("bad_words", bad_words_ids=[[9], [4, 5]]),
    _case("sequence_bias", sequence_bias={(30,): 2.0, (30, 31): 3.0}),
    _case("suppress", suppress_tokens=[5, 9, 30, 31]),
    _case("forced_eos", forced_eos_token_id=2),
    _case("renormalize", renormalize_logits=True, repetition_penalty=1.4),
    _case("prefix_allowed_tokens", prefix_allowed_tokens_fn=_allowed),
    _case("callers_processor", prepare=_custom),
    _case("stop_by_criterion", prepare=_criterion, strict=True),
    # Later steps: m2 lets the unconditional stream follow its beam, the reference does not.
    _case("guided", guidance_scale=1.5, input_ids=ROWS[:1], max_new_tokens=2),
    _case("mqa", model="mqa", input_ids=ids(2, 6, 96, 23)),
    _case("longrope_across", model="rope_longrope", input_ids=ids(1, 29, 96, 24),
          max_new_tokens=6),
]  # fmt: skip
