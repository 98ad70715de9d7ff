"""Prompt lookup and assistant models: greedy text as without them."""

import numpy as np

from case import Case, ids
from generation import generate_case

REPEATS = np.array([[5, 9, 14, 5, 9, 14, 5, 9, 14, 5, 9]], np.int64)
MIXED = ids(1, 12, 24, 31)


def _lookup(name, num=3, **keywords):
    return generate_case(name, prompt_lookup_num_tokens=num, strict=True,
                         **{"input_ids": REPEATS, "max_new_tokens": 12, **keywords})  # fmt: skip


def _length(side):
    inner = generate_case("", prompt_lookup_num_tokens=10, input_ids=REPEATS, max_new_tokens=24)
    return {"new tokens": inner.run(side)["sequences"].shape[1] - REPEATS.shape[1]}


def _assistant(of, **fields):
    def prepare(side, model):
        draft = side.open(side.directory(of))
        for key, value in fields.items():
            setattr(draft.generation_config, key, value)
        return {"assistant_model": draft}

    return prepare


def _assisted(name, of="gen_draft", fields=None, **keywords):
    return generate_case(name, prepare=_assistant(of, **(fields or {})),
                         **{"input_ids": MIXED, "max_new_tokens": 12, **keywords})  # fmt: skip


CLAMPED = ("drafts of prompt lookup never run past the length limit; the reference may return "
           "more tokens than asked for; so does `strict`")  # fmt: skip

CASES = [
    _lookup("lookup"),
    _lookup("lookup_one", 1),
    _lookup("lookup_ten", 10, max_new_tokens=24),
    Case("lookup_length", _length, difference=CLAMPED, ours={"new tokens": 24}),
    _lookup("lookup_ngram_1", max_matching_ngram_size=1),
    _lookup("lookup_ngram_4", max_matching_ngram_size=4),
    _lookup("lookup_nothing_matches", input_ids=np.array([[3, 4, 5, 6, 7, 8]])),
    _lookup("lookup_mixed", input_ids=MIXED),
    _lookup("lookup_penalty", repetition_penalty=1.2),
    _lookup("lookup_no_repeat_ngram", no_repeat_ngram_size=3),
    _lookup("lookup_suppress", suppress_tokens=[14, 33]),
    _lookup("lookup_min_new_tokens", model="gen_eos_often", min_new_tokens=6, input_ids=MIXED),
    _lookup("lookup_eos_list", model="gen_eos_list", input_ids=MIXED),
    _lookup("lookup_ids_alone", record=False),
    _lookup("lookup_sdpa", attention="sdpa"),
    _lookup("lookup_max_length", max_new_tokens=None, max_length=23),
    _assisted("assistant"),
    _assisted("assistant_is_the_model", of="gen"),
    _assisted("assistant_without_confidence", fields={"assistant_confidence_threshold": 0.0}),
    _assisted("assistant_always_stops", fields={"assistant_confidence_threshold": 1.0}),
    _assisted("assistant_one_token", fields={"num_assistant_tokens": 1}),
    _assisted("assistant_four_tokens", fields={"num_assistant_tokens": 4}),
    _assisted("assistant_heuristic", fields={"num_assistant_tokens": 3,
                                             "num_assistant_tokens_schedule": "heuristic"}),
    _assisted("assistant_heuristic_transient",
              fields={"num_assistant_tokens": 3,
                      "num_assistant_tokens_schedule": "heuristic_transient"}),
    _assisted("assistant_penalty", repetition_penalty=1.3),
    _assisted("assistant_long", max_new_tokens=40),
    _assisted("assistant_ids_alone", record=False),
    _assisted("assistant_eos", of="gen_eos_list", model="gen_eos_often"),
    _assisted("assistant_sdpa", attention="sdpa"),
    _assisted("assistant_max_length", max_new_tokens=None, max_length=19),
]  # fmt: skip
