"""Greedy search: lengths, stopping, padding, embeddings, caches, chunked prompts."""

import numpy as np

from case import Case, floats, ids, left_padding, positions_of, right_padding
from forward import arguments
from generation import generate_case

ROWS = ids(3, 8, 24, 11)
LEFT = left_padding(3, 8, (0, 2, 5))
PADDED = np.where(LEFT == 1, ROWS, 0)


def _case(name, **keywords):
    return generate_case(name, **keywords)


def _batch(name, **keywords):
    return generate_case(name, **{"input_ids": PADDED, "attention_mask": LEFT, **keywords})


def _cached(name, known, static=0, **keywords):
    """A cache that holds the first tokens of the prompt is not computed again."""

    def prepare(side, model):
        cache = side.static_cache(model, static) if static else side.lib.DynamicCache()
        if known:
            model(past_key_values=cache, **arguments(side, {"input_ids": ROWS[:, :known]}))
        return {"past_key_values": cache}

    return generate_case(name, input_ids=ROWS, prepare=prepare, **keywords)


def _continued(side):
    """The cache of one call serves the next, longer prompt."""
    used = side.load("gen")
    options = {"do_sample": False, "return_dict_in_generate": True, "output_scores": True}
    first = used.generate(**arguments(side, {"input_ids": ROWS[:1]}), max_new_tokens=4, **options)
    longer = np.concatenate([side.numpy(first.sequences), ids(1, 2, 24, 12)], axis=1)
    second = used.generate(**arguments(side, {"input_ids": longer}), max_new_tokens=4,
                           past_key_values=first.past_key_values, **options)  # fmt: skip
    return side.record(second)


def _criterion(side, model):
    """Stops a row after its eleventh token."""
    return {"stopping_criteria": side.criteria(
        lambda so_far: np.full(len(so_far), so_far.shape[1] >= 11))}  # fmt: skip


def _criterion_of_rows(side, model):
    return {"stopping_criteria": side.criteria(lambda so_far: so_far[:, -1] % 3 == 0)}


def _positional(side):
    used = side.load("gen")
    return {"sequences": side.numpy(used.generate(side.array(ROWS), max_new_tokens=3,
                                                  do_sample=False))}  # fmt: skip


def _config_object(side):
    """A generation config of the call, and a keyword that beats it."""
    used = side.load("gen")
    config = side.lib.GenerationConfig(max_new_tokens=9, do_sample=False, repetition_penalty=1.4)
    given = arguments(side, {"input_ids": ROWS})
    return {"config": side.numpy(used.generate(generation_config=config, **given)),
            "keyword": side.numpy(used.generate(generation_config=config, max_new_tokens=4,
                                                **given))}  # fmt: skip


def _models_config(side):
    """Fields of the model's own generation config act; max_length is added to the prompt."""
    used = side.open(side.directory("gen"))
    used.generation_config.max_length = 7
    used.generation_config.repetition_penalty = 1.5
    used.generation_config.do_sample = False
    given = arguments(side, {"input_ids": ROWS})
    return {"own": side.numpy(used.generate(**given)),
            "switched off": side.numpy(used.generate(repetition_penalty=None, **given))}  # fmt: skip


def _no_prompt(side):
    used = side.load("gen")
    return {"sequences": side.numpy(used.generate(max_new_tokens=5, do_sample=False))}


def _positions_go_on(side):
    """Given positions of the prompt that are the usual ones change nothing."""
    plain = _batch("", record=False).run(side)["sequences"]
    given = _batch("", record=False, position_ids=positions_of(LEFT)).run(side)["sequences"]
    return {"same": bool(np.array_equal(plain, given))}


EMBEDS = floats(2, 5, 32, seed=3)
CASES = [
    _case("plain"),
    _case("ids_alone", record=False),
    _case("longer", max_new_tokens=40),
    _case("one_new_token", max_new_tokens=1),
    _case("max_length", max_new_tokens=None, max_length=10),
    _case("default_length", max_new_tokens=None),
    _case("max_new_tokens_beats_max_length", max_length=7, max_new_tokens=5),
    _case("three_rows", input_ids=ROWS),
    _case("one_token_prompt", input_ids=np.array([[17]])),
    _batch("left_padded"),
    _batch("left_padded_sdpa", attention="sdpa"),
    _batch("left_padded_long", max_new_tokens=20),
    _batch("mask_from_pad_id", attention_mask=None),
    _batch("mask_not_from_eos", attention_mask=None, pad_token_id=2,
           input_ids=np.where(LEFT == 1, ROWS, 2)),
    _batch("right_padded", input_ids=np.where(right_padding(3, 8, (0, 2, 5)) == 1, ROWS, 0),
           attention_mask=right_padding(3, 8, (0, 2, 5))),
    _batch("mask_with_holes", input_ids=ROWS,
           attention_mask=np.array([[1, 1, 0, 0, 1, 1, 1, 1], [1] * 8, [0, 1, 0, 1, 0, 1, 1, 1]])),
    _batch("positions_given", position_ids=positions_of(LEFT), max_new_tokens=1),
    _batch("positions_given_strict", position_ids=positions_of(LEFT), strict=True),
    Case("positions_given_go_on", _positions_go_on, ours={"same": True},
         difference="position_ids of a call go on by 1 with each token; the reference repeats the "
                    "last one; `strict` as well"),
    _case("eos_ends_rows", model="gen_eos_often", input_ids=ids(6, 5, 24, 13), max_new_tokens=25),
    _case("eos_list_ends_rows", model="gen_eos_list", input_ids=ids(6, 5, 24, 13),
          max_new_tokens=25),
    _case("eos_of_the_call", eos_token_id=9, model="gen_eos_often", input_ids=ids(6, 5, 24, 13),
          max_new_tokens=25),
    _case("eos_list_of_the_call", eos_token_id=[9, 10, 11, 12], model="gen_eos_often",
          input_ids=ids(6, 5, 24, 13), max_new_tokens=25),
    _case("eos_null", eos_token_id=None, model="gen_eos_often", input_ids=ids(6, 5, 24, 13),
          max_new_tokens=25),
    _case("pad_of_the_call", pad_token_id=23, model="gen_eos_often", input_ids=ids(6, 5, 24, 13),
          max_new_tokens=25),
    _case("pad_missing_becomes_eos", model="gen_no_pad", input_ids=ROWS, eos_token_id=[7, 8, 9]),
    _case("no_eos_in_the_config", model="gen_no_eos", input_ids=ROWS),
    _case("without_cache", use_cache=False, input_ids=ROWS),
    _batch("without_cache_padded", use_cache=False),
    _case("static_cache", cache_implementation="static", input_ids=ROWS),
    _batch("static_cache_padded", cache_implementation="static"),
    _case("dynamic_cache_named", cache_implementation="dynamic", input_ids=ROWS),
    _case("offloaded_cache", cache_implementation="dynamic_full", input_ids=ROWS),
    _case("prefill_chunk_3", prefill_chunk_size=3, input_ids=ROWS),
    _case("prefill_chunk_1", prefill_chunk_size=1, input_ids=ROWS),
    _case("prefill_chunk_longer_than_prompt", prefill_chunk_size=50, input_ids=ROWS),
    _batch("prefill_chunk_padded", prefill_chunk_size=3),
    _cached("cache_empty", 0),
    _cached("cache_holds_some", 5),
    _cached("cache_holds_all_but_one", 7),
    _cached("cache_static_empty", 0, static=20),
    Case("cache_continued", _continued),
    _case("embeds", input_ids=False, inputs_embeds=EMBEDS),
    _case("embeds_sdpa", input_ids=False, inputs_embeds=EMBEDS, attention="sdpa"),
    _case("embeds_masked", input_ids=False, inputs_embeds=EMBEDS,
          attention_mask=left_padding(2, 5, (0, 2))),
    _case("embeds_with_ids", input_ids=ids(2, 5, 24, 14), inputs_embeds=EMBEDS),
    _case("embeds_max_length", input_ids=False, inputs_embeds=EMBEDS, max_new_tokens=None,
          max_length=9),
    _case("stop_by_criterion", input_ids=ROWS, prepare=_criterion),
    _case("stop_rows_by_criterion", input_ids=ROWS, prepare=_criterion_of_rows,
          max_new_tokens=20),
    _case("max_time_over", max_time=0.0, input_ids=ROWS),
    _case("tied", model="tied", input_ids=ids(2, 6, 96, 15)),
    _case("mqa", model="mqa", input_ids=ids(2, 6, 96, 16)),
    _case("odd", model="odd", input_ids=ids(2, 6, 99, 17)),
    _case("bias_rules", model="bias_rules", input_ids=ids(2, 6, 96, 28)),
    _case("longrope_across", model="rope_longrope", input_ids=ids(2, 28, 96, 19),
          max_new_tokens=10),
    _case("yarn_across", model="rope_yarn", input_ids=ids(2, 28, 96, 20), max_new_tokens=10),
    Case("positional_prompt", _positional),
    Case("no_prompt_starts_with_bos", _no_prompt),
    Case("config_of_the_call", _config_object),
    Case("config_of_the_model", _models_config),
]  # fmt: skip
