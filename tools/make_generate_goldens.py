#!/usr/bin/env python3
"""Makes tests/golden/generate: what generate() of transformers 5.1.0 returns in float32.

Usage: make_generate_goldens.py [output folder]. Needs torch, safetensors and transformers.

cases.json          models, arguments and returned sequences, or the kind of error
arrays.safetensors  per case what was recorded: scores, logits [N, rows, V], ...
streams.json        the pieces that TextStreamer gives out

A case is kept only if float64 gives the same sequences, so that rounding decides nothing. (float64
needs sdpa: the eager softmax is float32, where the mask's float64 minimum is -inf.)
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, DynamicCache, LogitsProcessor, MiniMaxM2ForCausalLM
from transformers import StoppingCriteria, TextStreamer
from transformers.utils import logging

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = {
    "gqa": ROOT / "tests/golden/checkpoints/gqa",
    "f16": ROOT / "tests/golden/checkpoints/f16",
    "tiny-agent": ROOT / "models/tiny-agent",
}

ONE = [[11, 52, 33, 74, 15, 86, 27]]
TWO = [[11, 52, 33, 74, 15, 86, 27], [0, 0, 0, 41, 62, 23, 84]]
TWO_MASK = [[1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1, 1]]
REPEATS = [[11, 52, 33, 74, 11, 52, 33, 60, 11, 52, 33]]
# Ends come early and at different lengths.
EOS = [5, 9, 13, 17, 21, 29, 37, 45, 53, 61, 69, 77, 85, 93]
# Makes the model repeat a text.
OVERSHOOT = [[[a, b], 60.0] for a, b in [(11, 52), (52, 33), (33, 74), (74, 15), (15, 86), (86, 11)]]
RECORD = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
ALL = {**RECORD, "output_hidden_states": True, "output_attentions": True}


def allowed(batch_index, ids):
    """A grammar over ids: the next one and the last one add up to a multiple of 3."""
    last = int(ids[-1])
    return [i for i in range(96) if (i + last + batch_index) % 3 == 0]


class Bump(LogitsProcessor):
    """Adds 3 to the score of one id that depends on the length and the last token."""

    def __call__(self, input_ids, scores):
        scores = scores.clone()
        for row, ids in enumerate(input_ids):
            scores[row, (7 * len(ids) + int(ids[-1])) % scores.shape[1]] += 3.0
        return scores


class Multiple(StoppingCriteria):
    """Ends a row after an id that 4 divides."""

    def __call__(self, input_ids, scores, **kwargs):
        return input_ids[:, -1] % 4 == 0


def greedy_cases():
    yield "plain", {"ids": ONE}, {"max_new_tokens": 12, **ALL}
    yield "default length", {"ids": ONE}, {}
    yield "max_length", {"ids": ONE}, {"max_length": 10}
    yield "left padding", {"ids": TWO, "mask": TWO_MASK}, {"max_new_tokens": 10, **ALL}
    yield "padding found", {"ids": TWO}, {"max_new_tokens": 10}
    yield "pad is eos", {"ids": TWO}, {"max_new_tokens": 10, "eos_token_id": [0, 5]}
    yield "no pad", {"ids": TWO}, {"max_new_tokens": 10, "pad_token_id": None, "eos_token_id": EOS}
    yield "eos list", {"ids": TWO, "mask": TWO_MASK}, {"max_new_tokens": 20, "eos_token_id": EOS, **RECORD}
    yield "no eos", {"ids": ONE}, {"max_new_tokens": 10, "eos_token_id": None}
    yield "stop without eos", {"ids": TWO, "mask": TWO_MASK, "stopping": "multiple"}, {"max_new_tokens": 20, "eos_token_id": None}
    yield "stop with eos", {"ids": TWO, "mask": TWO_MASK, "stopping": "multiple"}, {"max_new_tokens": 20, "pad_token_id": 3}
    yield "min_length", {"ids": ONE}, {"max_new_tokens": 12, "min_length": 12, "eos_token_id": EOS}
    yield "min_new_tokens", {"ids": ONE}, {"max_new_tokens": 12, "min_new_tokens": 6, "eos_token_id": EOS}
    yield "penalties", {"ids": ONE}, {"max_new_tokens": 12, "repetition_penalty": 1.5, "encoder_repetition_penalty": 1.2, **RECORD}
    yield "ngrams", {"ids": REPEATS}, {"max_new_tokens": 16, "no_repeat_ngram_size": 2, "encoder_no_repeat_ngram_size": 2}
    yield "bias", {"ids": ONE}, {"max_new_tokens": 12, "sequence_bias": [[[40], 2.5], [[27, 44], -9.0]], "bad_words_ids": [[12], [40, 40]], **RECORD}
    yield "forced ends", {"ids": [[11]]}, {"max_new_tokens": 6, "forced_bos_token_id": 7, "forced_eos_token_id": [5, 6]}
    yield "suppress", {"ids": ONE}, {"max_new_tokens": 8, "suppress_tokens": list(range(20, 60)), "begin_suppress_tokens": list(range(60, 90))}
    yield "decay", {"ids": ONE}, {"max_new_tokens": 20, "exponential_decay_length_penalty": [2, 1.6]}
    yield "renormalize", {"ids": ONE}, {"max_new_tokens": 6, "renormalize_logits": True, "remove_invalid_values": True, **RECORD}
    yield "prefix", {"ids": TWO, "mask": TWO_MASK, "allowed": True}, {"max_new_tokens": 10}
    yield "processor", {"ids": ONE, "processor": "bump"}, {"max_new_tokens": 10, **RECORD}
    yield "bos alone", {}, {"max_new_tokens": 6}
    yield "no bos", {}, {"max_new_tokens": 6, "bos_token_id": None}
    yield "embeds", {"embeds_of": ONE}, {"max_new_tokens": 8, **ALL}
    yield "embeds max_length", {"embeds_of": ONE}, {"max_length": 12}
    yield "embeds and ids", {"ids": ONE, "embeds_of": [[51, 12, 73, 34, 55, 46, 67]]}, {"max_new_tokens": 8}
    yield "positions", {"ids": ONE, "positions": [[3, 4, 5, 6, 7, 8, 9]], "strict": True}, {"max_new_tokens": 8}
    yield "past", {"ids": ONE, "past": 4}, {"max_new_tokens": 8}
    yield "no cache", {"ids": TWO, "mask": TWO_MASK}, {"max_new_tokens": 6, "use_cache": False, **ALL}
    yield "static cache", {"ids": TWO, "mask": TWO_MASK}, {"max_new_tokens": 8, "cache_implementation": "static"}
    yield "chunks", {"ids": TWO, "mask": TWO_MASK}, {"max_new_tokens": 8, "prefill_chunk_size": 3}
    yield "too long", {"ids": ONE}, {"max_length": 7}
    yield "greedy sequences", {"ids": ONE}, {"max_new_tokens": 3, "num_return_sequences": 2}
    yield "flat mask", {"ids": ONE, "mask": [1, 1, 1, 1, 1, 1, 1]}, {"max_new_tokens": 3}


def guidance_cases():
    options = {"max_new_tokens": 10, "guidance_scale": 1.7}
    yield "guidance", {"ids": ONE}, {**options, **RECORD}
    yield "negative prompt", {"ids": ONE, "negative": [[44, 55, 66]]}, {**options, **RECORD}
    yield "guidance batch", {"ids": TWO, "mask": TWO_MASK, "negative": [[44, 55, 66], [0, 71, 31]], "negative_mask": [[1, 1, 1], [0, 1, 1]]}, options
    yield "guidance no cache", {"ids": ONE, "negative": [[44, 55, 66]]}, {**options, "use_cache": False}
    yield "guidance processors", {"ids": ONE}, {**options, "repetition_penalty": 1.4, "no_repeat_ngram_size": 2}
    yield "guidance beams", {"ids": ONE, "strict": True}, {**options, "num_beams": 3}


def beam_cases():
    base = {"max_new_tokens": 12, "num_beams": 3, "eos_token_id": EOS, "pad_token_id": 3}
    yield "beams", {"ids": ONE}, {**base, **ALL}
    yield "beams short", {"ids": ONE}, {**base, "max_new_tokens": 2, "num_return_sequences": 3, **RECORD}
    yield "beams batch", {"ids": TWO, "mask": TWO_MASK}, {**base, "num_return_sequences": 2, **RECORD}
    yield "two beams", {"ids": TWO, "mask": TWO_MASK}, {**base, "num_beams": 2}
    yield "pad 0", {"ids": TWO, "mask": TWO_MASK, "strict": True}, {**base, "pad_token_id": 0, "num_return_sequences": 3}
    yield "no eos beams", {"ids": ONE}, {**base, "eos_token_id": None, "num_return_sequences": 3, **RECORD}
    yield "one eos", {"ids": ONE}, {**base, "eos_token_id": 44, "num_beams": 5, "num_return_sequences": 5}
    for stopping in (True, "never"):
        for penalty in (-1.0, 0.0, 0.5, 2.0):
            yield f"{stopping} {penalty}", {"ids": TWO, "mask": TWO_MASK}, {**base, "early_stopping": stopping, "length_penalty": penalty, "num_return_sequences": 2, **({} if penalty else RECORD)}
    for penalty in (-1.0, 0.0, 0.5, 2.0):
        yield f"False {penalty}", {"ids": ONE}, {**base, "num_beams": 4, "length_penalty": penalty, "num_return_sequences": 4, "return_dict_in_generate": True, "output_scores": True}
    yield "beam penalties", {"ids": ONE}, {**base, "repetition_penalty": 1.5, "no_repeat_ngram_size": 2, **RECORD}
    yield "beam minimum", {"ids": ONE}, {**base, "min_new_tokens": 6, "num_return_sequences": 3}
    yield "beam prefix", {"ids": TWO, "mask": TWO_MASK, "allowed": True}, base
    yield "beam renormalize", {"ids": ONE}, {**base, "renormalize_logits": True, "bad_words_ids": [[12], [40]], "num_return_sequences": 3, **RECORD}
    yield "beam processor", {"ids": ONE, "processor": "bump"}, {**base, "num_return_sequences": 3}
    yield "beam stopping", {"ids": ONE, "stopping": "multiple", "strict": True}, {**base, "eos_token_id": None, "num_return_sequences": 3}
    yield "beam no cache", {"ids": TWO, "mask": TWO_MASK}, {**base, "use_cache": False}
    yield "beam static", {"ids": ONE}, {**base, "cache_implementation": "static"}
    yield "beam embeds", {"embeds_of": ONE}, {**base, "num_return_sequences": 2}
    yield "beam chunks", {"ids": ONE}, {**base, "prefill_chunk_size": 2}
    yield "many sequences", {"ids": ONE}, {**base, "num_return_sequences": 4}


def assisted_cases():
    lookup = {"max_new_tokens": 14, "prompt_lookup_num_tokens": 4}
    yield "lookup", {"ids": REPEATS}, {**lookup, **RECORD}
    yield "lookup ngram", {"ids": REPEATS}, {**lookup, "max_matching_ngram_size": 3}
    yield "lookup eos", {"ids": REPEATS}, {**lookup, "eos_token_id": EOS, "max_new_tokens": 30}
    yield "lookup bans", {"ids": REPEATS}, {**lookup, "bad_words_ids": [[60], [33, 74]], "repetition_penalty": 1.2}
    yield "lookup overshoot", {"ids": [[11, 52, 33, 74, 15, 86] * 3], "strict": True}, {**lookup, "max_new_tokens": 3, "prompt_lookup_num_tokens": 8, "sequence_bias": OVERSHOOT}
    yield "lookup batch", {"ids": TWO}, lookup
    yield "lookup static", {"ids": REPEATS, "past": 3, "static_past": True}, lookup
    yield "lookup no cache", {"ids": REPEATS}, {**lookup, "use_cache": False}
    yield "assistant", {"ids": ONE, "assistant": "f16"}, {"max_new_tokens": 14, **RECORD}
    yield "assistant eos", {"ids": ONE, "assistant": "f16"}, {"max_new_tokens": 30, "eos_token_id": EOS}
    yield "itself", {"ids": ONE, "assistant": "gqa"}, {"max_new_tokens": 14, **RECORD}
    yield "itself eos", {"ids": ONE, "assistant": "gqa"}, {"max_new_tokens": 30, "eos_token_id": EOS}
    yield "itself heuristic", {"ids": ONE, "assistant": "gqa", "assistant_options": {"num_assistant_tokens": 2, "num_assistant_tokens_schedule": "heuristic", "assistant_confidence_threshold": 0.0}}, {"max_new_tokens": 20}
    yield "assistant transient", {"ids": ONE, "assistant": "f16", "assistant_options": {"num_assistant_tokens": 3, "num_assistant_tokens_schedule": "heuristic_transient", "assistant_confidence_threshold": 0.0}}, {"max_new_tokens": 20, "repetition_penalty": 1.3}
    yield "assistant batch", {"ids": TWO, "assistant": "f16"}, {"max_new_tokens": 4}


def text_cases():
    prompt = [[2019, 300, 301, 302, 400]]
    for stop in (["e"], ["tion", " the"], ["\n"], ["zzzz"]):
        yield f"stop {stop}", {"ids": prompt, "model": "tiny-agent"}, {"max_new_tokens": 24, "eos_token_id": None, "stop_strings": stop, "repetition_penalty": 1.3}
    yield "stop lookup", {"ids": prompt, "model": "tiny-agent"}, {"max_new_tokens": 16, "stop_strings": "e"}
    yield "stop beams", {"ids": prompt, "model": "tiny-agent"}, {"max_new_tokens": 8, "stop_strings": "e", "num_beams": 2}
    yield "no tokenizer", {"ids": prompt, "model": "tiny-agent", "no_tokenizer": True}, {"max_new_tokens": 16, "stop_strings": "e"}


class Zoo:
    def __init__(self, dtype):
        self.dtype = dtype
        self.models = {}

    def __getitem__(self, name):
        if name not in self.models:
            model = MiniMaxM2ForCausalLM.from_pretrained(
                MODELS[name], dtype=self.dtype,
                attn_implementation="eager" if self.dtype == torch.float32 else "sdpa",
                experts_implementation="eager",
            ).eval()  # fmt: skip
            self.models[name] = model
        return self.models[name]


def keywords(case, options, zoo):
    """The arguments of a case as generate() takes them."""
    model = zoo[case.get("model", "gqa")]
    arguments = {}
    for name, key in (("input_ids", "ids"), ("attention_mask", "mask"), ("position_ids", "positions"),
                      ("negative_prompt_ids", "negative"),
                      ("negative_prompt_attention_mask", "negative_mask")):  # fmt: skip
        if key in case:
            arguments[name] = torch.tensor(case[key])
    if "embeds_of" in case:
        arguments["inputs_embeds"] = model.model.embed_tokens(torch.tensor(case["embeds_of"]))
    if "past" in case:
        if case.get("static_past"):
            from transformers import StaticCache
            cache = StaticCache(config=model.config, max_cache_len=64)
        else:
            cache = DynamicCache()
        model(torch.tensor(case["ids"])[:, : case["past"]], past_key_values=cache)
        arguments["past_key_values"] = cache
    if case.get("allowed"):
        arguments["prefix_allowed_tokens_fn"] = allowed
    if "processor" in case:
        arguments["logits_processor"] = [Bump()]
    if "stopping" in case:
        arguments["stopping_criteria"] = [Multiple()]
    if "assistant" in case:
        assistant = zoo[case["assistant"]]
        if assistant is model:
            assistant = Zoo(zoo.dtype)[case["assistant"]]
        for name in ("num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold"):
            setattr(assistant.generation_config, name, case.get("assistant_options", {}).get(name))
        arguments["assistant_model"] = assistant
    if "stop_strings" in options and not case.get("no_tokenizer"):
        arguments["tokenizer"] = AutoTokenizer.from_pretrained(MODELS[case["model"]])
    options = dict(options)
    if "sequence_bias" in options:
        options["sequence_bias"] = {tuple(ids): bias for ids, bias in options["sequence_bias"]}
    return model, {**arguments, **options}


def run(case, options, zoo):
    with torch.no_grad():
        model, arguments = keywords(case, options, zoo)
        return model.generate(**arguments, do_sample=False)


def sequences_of(result):
    return (result if isinstance(result, torch.Tensor) else result.sequences).tolist()


def arrays_of(result):
    if isinstance(result, torch.Tensor):
        return {}
    arrays = {}
    for name in ("scores", "logits"):
        if getattr(result, name, None) is not None:
            arrays[name] = torch.stack(getattr(result, name))
    for name in ("sequences_scores", "beam_indices"):
        if getattr(result, name, None) is not None:
            arrays[name] = getattr(result, name)
    for name in ("hidden_states", "attentions"):
        if getattr(result, name, None) is not None:
            for step in (0, 1):
                for layer, value in enumerate(getattr(result, name)[step]):
                    arrays[f"{name}.{step}.{layer}"] = value
    return {name: value.contiguous().clone() for name, value in arrays.items()}


class Pieces(TextStreamer):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.pieces = []

    def on_finalized_text(self, text, stream_end=False):
        if text or stream_end:
            self.pieces.append(text)


STREAMED = [
    "One word after the other,\nand a line more",
    "a  b\n\n  indented \ttabs end ",
    "\u4f60\u597d\u4e16\u754c, mixed \u6587\u5b57 and words",
    "emoji \U0001f642\U0001f680 in words \u00e9\u00e8 \u20ac",
    "]~b]ai\nspecial [e~[ tokens<think> too",
    "",
]


def streams():
    tokenizer = AutoTokenizer.from_pretrained(MODELS["tiny-agent"])
    prompt = tokenizer("The prompt: ")["input_ids"]
    for text in STREAMED:
        for options in ({}, {"skip_prompt": True}, {"skip_special_tokens": True}):
            streamer = Pieces(tokenizer, **options)
            ids = tokenizer(text)["input_ids"]
            streamer.put(torch.tensor([prompt]))
            for token in ids:
                streamer.put(torch.tensor([token]))
            streamer.end()
            yield {"prompt": prompt, "ids": ids, "options": options, "pieces": streamer.pieces}


def write_list(path, items):
    lines = ",\n".join(json.dumps(item) for item in items)
    path.write_text(f"[\n{lines}\n]\n")


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "tests/golden/generate"
    folder.mkdir(parents=True, exist_ok=True)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    single, double = Zoo(torch.float32), Zoo(torch.float64)
    cases, arrays = [], {}
    for group in (greedy_cases, guidance_cases, beam_cases, assisted_cases, text_cases):
        for name, case, options in group():
            entry = {"name": name, **case, "options": options}
            try:
                result = run(case, options, single)
            except (ValueError, TypeError, IndexError) as error:
                cases.append({**entry, "error": str(error).splitlines()[0][:120]})
                print(f"{name}: {type(error).__name__} {str(error)[:80]}")
                continue
            entry["sequences"] = sequences_of(result)
            plain = {k: v for k, v in options.items() if not k.startswith("output_")}
            same = sequences_of(run(case, plain, double)) == entry["sequences"]
            print(f"{name}: {[len(row) for row in entry['sequences']]}", "" if same else "ROUNDING")
            if not same:
                continue
            cases.append(entry)
            for key, value in arrays_of(result).items():
                arrays[f"{name}/{key}"] = value
    write_list(folder / "cases.json", cases)
    write_list(folder / "streams.json", streams())
    save_file(arrays, folder / "arrays.safetensors", metadata={"format": "pt"})
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{len(cases)} cases, {size} bytes")


if __name__ == "__main__":
    main()
