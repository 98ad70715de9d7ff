"""Arguments of generate() that do not fit."""

import numpy as np

from case import Case, error_record, floats, ids
from forward import arguments

TEXT = ids(1, 6, 24)
TWO = ids(2, 6, 24)


def _error(name, words=(), model="gen", text=TEXT, prepare=None, difference="", ours=None,
           **keywords):
    def run(side):
        used = side.load(model)
        given = {} if text is False else {"input_ids": side.array(text)}
        given |= arguments(side, keywords) | (prepare(side, used) if prepare else {})
        return error_record(lambda: used.generate(**{"max_new_tokens": 4, "do_sample": False,
                                                     **given}), words)  # fmt: skip

    return Case(name, run, difference=difference, ours=ours)


def _config(name, words=(), **fields):
    return Case(name, lambda side: error_record(lambda: side.lib.GenerationConfig(**fields), words))


def _static(side, model):
    return {"past_key_values": side.static_cache(model, 30)}


def _draft(side, model):
    return {"assistant_model": side.load("gen_draft")}


def _small_draft(side, model):
    return {"assistant_model": side.load("gen_eos_often")}


def _early_exit(side):
    """Fails in the reference, which leaves the model cut: so not with a shared one."""
    used = side.open(side.directory("gen"))
    given = arguments(side, {"input_ids": TEXT})
    return error_record(lambda: used.generate(**given, max_new_tokens=2, assistant_early_exit=1),
                        ("assistant_early_exit",))  # fmt: skip


def _field_in_config(side):
    used = side.open(side.directory("gen"))
    used.config.temperature = 0.5
    given = arguments(side, {"input_ids": TEXT})
    return error_record(lambda: used.generate(**given, max_new_tokens=2), ("temperature",))


def _field_saved(side):
    used = side.open(side.directory("gen"))
    used.config.temperature = 0.5
    directory = side.new_directory()
    return error_record(lambda: used.save_pretrained(str(directory)), ("temperature",))


def _saves(name, words, **fields):
    """Saving is strict where generating only warns."""

    def run(side):
        config = side.lib.GenerationConfig(**fields)
        directory = side.new_directory()
        return error_record(lambda: config.save_pretrained(str(directory)), words)

    return Case(name, run)


def _round_trip(name, **fields):
    def run(side):
        config = side.lib.GenerationConfig(**fields)
        directory = side.new_directory()
        config.save_pretrained(str(directory))
        text = (directory / "generation_config.json").read_text()
        again = side.lib.GenerationConfig.from_pretrained(str(directory))
        return {"text": text, "same": again.to_dict() == config.to_dict()}

    return Case(name, run)


REMOVED = "modes that transformers 5 removed are not supported: NotImplementedError"
UNSUPPORTED = {"error": ["NotImplementedError"]}

CASES = [
    _error("unknown_keyword", ("frobnicate",), frobnicate=1),
    _error("prompt_as_long_as_max_length", ("max_length",), max_new_tokens=None, max_length=6),
    _error("prompt_longer_than_max_length", ("max_length",), max_new_tokens=None, max_length=3),
    _error("no_new_tokens", ("max_new_tokens",), max_new_tokens=0),
    _error("negative_new_tokens", ("max_new_tokens",), max_new_tokens=-3),
    _error("greedy_with_several_returns", ("num_return_sequences",), num_return_sequences=2),
    _error("more_returns_than_beams", ("num_return_sequences", "num_beams"), num_beams=2,
           num_return_sequences=3),
    _error("early_stopping_unknown", ("early_stopping",), num_beams=2, early_stopping="sometimes"),
    _error("stop_strings_without_tokenizer", ("tokenizer",), stop_strings=["a"]),
    _error("four_dimensional_mask", ("attention_mask",),
           attention_mask=np.zeros((1, 1, 6, 6), np.float32)),
    _error("bias_id_over_vocabulary", ("64",), sequence_bias={(64,): 1.0}),
    _error("bias_of_integers", ("sequence_bias",), sequence_bias={(5,): 1}),
    _error("bias_empty", ("sequence_bias",), sequence_bias={}),
    _error("bias_list_with_zero", ("sequence_bias",), sequence_bias=[[[0], 1.0]],
           ours={"error": ["none"]},
           difference="token 0 may be biased in the list form, too; the reference takes it in the "
                      "other form alone"),
    _error("bad_words_over_vocabulary", ("70",), bad_words_ids=[[70]]),
    _error("bad_words_empty", ("bad_words_ids",), bad_words_ids=[]),
    _error("bad_words_negative", ("bad_words_ids",), bad_words_ids=[[-3]]),
    _error("prefix_function_gives_nothing", prefix_allowed_tokens_fn=lambda batch, text: []),
    _error("temperature_zero", ("temperature",), do_sample=True, temperature=0.0),
    _error("temperature_integer", ("temperature",), do_sample=True, temperature=2),
    _error("temperature_negative", ("temperature",), do_sample=True, temperature=-0.5),
    _error("top_k_negative", ("top_k",), do_sample=True, top_k=-1),
    _error("top_p_over_one", ("top_p",), do_sample=True, top_p=-0.1),
    _error("min_p_over_one", ("min_p",), do_sample=True, min_p=1.5),
    _error("top_h_zero", ("top_h",), do_sample=True, top_h=0.0),
    _error("typical_zero", ("typical_p",), do_sample=True, typical_p=0.0),
    _error("repetition_penalty_zero", ("penalty",), repetition_penalty=0.0),
    _error("repetition_penalty_integer", ("penalty",), repetition_penalty=2),
    _error("no_repeat_ngram_float", ("ngram_size",), no_repeat_ngram_size=2.5),
    _error("lookup_of_two_rows", ("input_ids", "2"), text=TWO, prompt_lookup_num_tokens=3),
    _error("lookup_of_nothing", prompt_lookup_num_tokens=0),
    _error("lookup_negative", ("prompt_lookup_num_tokens",), prompt_lookup_num_tokens=-2),
    _error("lookup_without_cache", ("use_cache",), prompt_lookup_num_tokens=3, use_cache=False),
    _error("lookup_of_static_cache", prompt_lookup_num_tokens=3, prepare=_static),
    _error("assistant_of_two_rows", ("input_ids", "2"), text=TWO, prepare=_draft),
    _error("assistant_of_other_vocabulary", ("assistant_model", "vocabulary"), prepare=_small_draft),
    _error("assistant_without_cache", ("use_cache",), use_cache=False, prepare=_draft),
    _error("assistant_with_several_returns", ("num_return_sequences",), prepare=_draft,
           num_return_sequences=2, do_sample=True),
    _error("cache_and_its_name", ("cache_implementation",), cache_implementation="static",
           prepare=_static),
    _error("cache_name_unknown", ("cache_implementation",), cache_implementation="frobnicate"),
    _error("cache_is_a_tuple", ("past_key_values",), past_key_values=((1, 2),),
           difference="a cache of a strange type is a TypeError", ours={"error": ["TypeError"]}),
    _error("chunks_without_cache", ("cache",), prefill_chunk_size=2, use_cache=False),
    _error("group_beams_are_gone", difference=REMOVED, ours=UNSUPPORTED, num_beams=4, num_beam_groups=2, diversity_penalty=0.5),
    _error("constraints_are_gone", difference=REMOVED, ours=UNSUPPORTED, num_beams=2, force_words_ids=[[5]]),
    _error("contrastive_is_gone", difference=REMOVED, ours=UNSUPPORTED, penalty_alpha=0.6, top_k=4),
    _error("dola_is_gone", difference=REMOVED, ours=UNSUPPORTED, dola_layers="low"),
    _error("watermark_of_a_dict", ("watermarking_config",),
           watermarking_config={"bias": 2.0, "seeding_scheme": "selfhash"}),
    Case("early_exit", _early_exit),
    _error("token_healing", ("token_healing",), token_healing=True, ours=UNSUPPORTED,
           difference="token healing is not supported"),
    _error("compiled_options_are_fine", disable_compile=True),
    _error("router_logits_of_the_config", model="router_flag", attention_mask=np.ones((1, 6), int),
           ours={"error": ["none"]},
           difference="generate() works when the config asks for router logits; the reference fails "
                      "in the auxiliary loss"),
    Case("generation_field_in_the_model_config", _field_in_config),
    Case("generation_field_saved_in_the_model_config", _field_saved),
    _error("assistant_with_min_new_tokens", prepare=_draft, min_new_tokens=3,
           ours={"error": ["none"]},
           difference="min_new_tokens works with an assistant; the reference refuses it"),
    _error("id_over_vocabulary", ("64",), text=np.array([[5, 64]])),
    _error("no_prompt_and_no_bos", ("bos_token_id",), text=False, bos_token_id=None),
    _error("embeds_too_narrow", ("inputs_embeds",), text=False, inputs_embeds=floats(1, 3, 31)),
    _error("guidance_of_integers_is_fine", guidance_scale=2),
    _error("streamer_with_beams", ("streamer",), num_beams=2,
           prepare=lambda side, model: {"streamer": side.streamer()[0]}),
    _config("config_no_new_tokens", ("max_new_tokens",), max_new_tokens=0),
    _config("config_early_stopping", ("early_stopping",), early_stopping="sometimes"),
    _config("config_greedy_returns", ("num_return_sequences",), num_return_sequences=2),
    _config("config_returns_over_beams", ("num_return_sequences",), num_beams=2,
            num_return_sequences=3),
    _config("config_cache_name", ("cache_implementation",), cache_implementation="frobnicate"),
    _config("config_call_arguments", ("streamer",), streamer=5),
    _saves("save_sampling_fields_without_sampling", ("temperature",), temperature=0.5,
           do_sample=False),
    _saves("save_negative_pad", ("pad_token_id",), pad_token_id=-1),
    _saves("save_length_penalty_with_one_beam", ("length_penalty",), length_penalty=2.0),
    _saves("save_flags_without_record", ("output_scores",), output_scores=True),
    _round_trip("config_round_trip_empty"),
    _round_trip("config_round_trip", do_sample=True, temperature=0.7, top_k=4, top_p=0.9,
                eos_token_id=[1, 2], max_new_tokens=7, repetition_penalty=1.1),
    _round_trip("config_round_trip_lists", bad_words_ids=[[1, 2], [3]], suppress_tokens=[4, 5],
                exponential_decay_length_penalty=[3, 1.5], num_beams=3, early_stopping="never"),
]  # fmt: skip
