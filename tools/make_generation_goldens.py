#!/usr/bin/env python3
"""Makes tests/golden/generation from the transformers library (5.1.0) and torch on the CPU.

Usage: make_generation_goldens.py [output folder]

processors.json  score rows, cases (options, ids so far) and where their results stand in
processors.f32   little-endian float32: the rows, then the processed row of each case
config.json      configurations: what the library reads, refuses, and calls generate with
"""

import json
import pathlib
import random
import sys
from types import SimpleNamespace

import torch
import transformers
from transformers import GenerationConfig
from transformers.generation import EosTokenCriteria, MaxLengthCriteria, StoppingCriteriaList
from transformers.generation.utils import GenerationMixin

INF = float("inf")


def make_rows() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(20260101)

    def normal(size: int, scale: float) -> torch.Tensor:
        return torch.randn(size, generator=generator) * scale

    peaked = normal(300, 1.0)
    peaked[123] = 40.0
    masked = normal(300, 3.0)
    masked[torch.rand(300, generator=generator) < 0.6] = -INF
    one_left = torch.full((100,), -INF)
    one_left[37] = -2.5
    extreme = normal(100, 1.0)
    extreme[[3, 50, 51, 70, 71]] = torch.tensor([3e38, -3e38, 1e30, 1e-38, -1e-42])
    far = normal(100, 100.0)
    invalid = normal(50, 2.0)
    invalid[[0, 7, 20, 49]] = torch.tensor([float("nan"), INF, -INF, float("nan")])
    return {
        "normal50": normal(50, 3.0),
        "normal300": normal(300, 3.0),
        "normal2000": normal(2000, 2.0),
        "flat300": normal(300, 0.1),
        "peaked300": peaked,
        "ties300": (normal(300, 2.0)).round(),
        "equal64": torch.full((64,), -1.5),
        "masked300": masked,
        "one_left100": one_left,
        "removed50": torch.full((50,), -INF),
        "extreme100": extreme,
        "far100": far,
        "invalid50": invalid,
    }


TIED_ROWS = {"ties300", "equal64", "removed50"}
FILTERS = {
    "temperature": [0.3, 1.7],
    "top_k": [1, 5, 40, 5000],
    "top_p": [0.0, 0.1, 0.5, 0.9, 0.95, 0.999],
    "min_p": [0.0, 0.05, 0.5, 1.0],
    "typical_p": [0.2, 0.5, 0.95],
    "epsilon_cutoff": [1e-4, 0.01, 0.3],
    "eta_cutoff": [1e-4, 0.01, 0.3],
    "top_h": [0.1, 0.4, 0.9],
}


def reference_row(case: dict, scores: torch.Tensor) -> torch.Tensor:
    """Runs the library's own list of processors on one row."""
    options = dict(case["config"])
    config = GenerationConfig(num_beams=case.get("num_beams", 1))
    for name, value in options.items():
        setattr(config, name, value)
    eos = config.eos_token_id
    config._eos_token_tensor = None if eos is None else torch.tensor(eos).reshape(-1)
    ids = torch.tensor([case["ids"]], dtype=torch.long)
    prompt = ids[:, : case["prompt_length"]]
    allowed = case.get("allowed")
    processors = GenerationMixin._get_logits_processor(
        SimpleNamespace(
            config=None,
            _merge_criteria_processor_list=lambda default, custom: default,
        ),
        generation_config=config,
        input_ids_seq_length=prompt.shape[1],
        encoder_input_ids=prompt,
        prefix_allowed_tokens_fn=(lambda batch, row: allowed) if allowed else None,
        logits_processor=[],
        device="cpu",
    )
    beams = case.get("num_beams", 1)
    ids, scores = ids.expand(beams, -1), scores.expand(beams, -1)
    return processors(ids, scores.clone())[0]


def filter_cases(rows: dict[str, torch.Tensor]) -> list[dict]:
    cases = []
    for row in rows:
        if row == "invalid50":
            continue
        for name, values in FILTERS.items():
            if row == "removed50" and name in ("eta_cutoff", "top_h"):
                continue  # the library raises; here the sampler does
            chosen = values[:: 2 if row == "normal2000" else 1]
            for value in chosen:
                for beams in (1, 4) if row in ("normal50", "masked300") else (1,):
                    config = {"do_sample": True, name: value}
                    if beams > 1:
                        config["eos_token_id"] = [2, 7]
                    cases.append(
                        {
                            "name": f"{name}={value} beams={beams} {row}",
                            "row": row,
                            "config": config,
                            "ids": [1, 2, 3],
                            "prompt_length": 2,
                            "num_beams": beams,
                            # the library leaves open which of several equal scores it keeps
                            "any_tie": row in TIED_ROWS and name in ("top_p", "top_h"),
                        }
                    )
    return cases


def penalty_configs(size: int) -> list[tuple[dict, int]]:
    """Options and the prompt length to use them with; the ids so far are ids_for()'s."""
    last = size - 1
    eos = {"eos_token_id": [5, 9]}
    return [
        ({"repetition_penalty": 1.3}, 6),
        ({"repetition_penalty": 0.7}, 6),
        ({"encoder_repetition_penalty": 1.3}, 6),
        ({"encoder_repetition_penalty": 0.8}, 3),
        ({"no_repeat_ngram_size": 1}, 6),
        ({"no_repeat_ngram_size": 2}, 6),
        ({"no_repeat_ngram_size": 3}, 6),
        ({"no_repeat_ngram_size": 13}, 6),
        ({"no_repeat_ngram_size": 40}, 6),
        ({"encoder_no_repeat_ngram_size": 1}, 6),
        ({"encoder_no_repeat_ngram_size": 2}, 6),
        ({"encoder_no_repeat_ngram_size": 3}, 6),
        ({"sequence_bias": [[[4], 1.5], [[3, 4], -2.25], [[2, 3, 4], 0.5], [[8, 4], 99.0]]}, 6),
        ({"sequence_bias": [[[last], -3.0], [[last], 2.0], [[3, 7], 1.0], [[3, 7], 4.0]]}, 6),
        ({"bad_words_ids": [[4], [3, 11], [2, 3, 12], [9, 13]]}, 6),
        ({"bad_words_ids": [[5], [4], [3, 5]], **eos}, 6),
        ({"min_length": 13, **eos}, 6),
        ({"min_length": 12, **eos}, 6),
        ({"min_length": 13}, 6),
        ({"min_new_tokens": 7, **eos}, 6),
        ({"min_new_tokens": 6, **eos}, 6),
        ({"forced_eos_token_id": [5, 9], "max_length": 13}, 6),
        ({"forced_eos_token_id": 5, "max_length": 14}, 6),
        ({"forced_bos_token_id": 3}, 6),
        ({"exponential_decay_length_penalty": [2, 1.25], **eos}, 6),
        ({"exponential_decay_length_penalty": [6, 1.25], **eos}, 6),
        ({"exponential_decay_length_penalty": [0, 0.5], **eos}, 6),
        ({"suppress_tokens": [0, 3, 4, last, 100000]}, 6),
        ({"begin_suppress_tokens": [0, 3, 4]}, 12),
        ({"begin_suppress_tokens": [0, 3, 4]}, 11),
        ({"renormalize_logits": True}, 6),
    ]


def ids_for(size: int) -> list[int]:
    return [1, 2, 3, 4, 1, 2, 3, size - 1, 7, 1, 2, 3]


def penalty_cases(rows: dict[str, torch.Tensor]) -> list[dict]:
    cases = []
    for row in ("normal50", "masked300", "far100"):
        size = len(rows[row])
        for config, prompt_length in penalty_configs(size):
            if row == "masked300" and "exponential_decay_length_penalty" in config:
                continue  # a banned end-of-sequence id becomes NaN in the library (inf - inf)
            cases.append(
                {
                    "name": f"{json.dumps(config)} {row}",
                    "row": row,
                    "config": config,
                    "ids": ids_for(size),
                    "prompt_length": prompt_length,
                }
            )
    special = [
        ({"forced_bos_token_id": 3}, [8], 1, {}),
        ({"begin_suppress_tokens": [3, 4], "forced_bos_token_id": 3}, [8], 1, {}),
        ({"begin_suppress_tokens": [3, 4], "forced_bos_token_id": 3}, [8, 3], 1, {}),
        ({"begin_suppress_tokens": [3, 4]}, [8], 1, {}),
        ({}, [8, 3], 1, {"allowed": [3, 4, 49]}),
        ({"repetition_penalty": 2.0, "no_repeat_ngram_size": 2}, [8], 1, {}),
        ({"encoder_no_repeat_ngram_size": 4}, [8, 9], 2, {}),
    ]
    for config, ids, prompt_length, extra in special:
        cases.append(
            {
                "name": f"{json.dumps(config)} ids={ids}",
                "row": "normal50",
                "config": config,
                "ids": ids,
                "prompt_length": prompt_length,
                **extra,
            }
        )
    for config in (
        {"remove_invalid_values": True},
        {"remove_invalid_values": True, "suppress_tokens": [3]},
        {"remove_invalid_values": True, "bad_words_ids": [[4]], "do_sample": True, "top_k": 5},
    ):
        cases.append(
            {
                "name": f"{json.dumps(config)} invalid50",
                "row": "invalid50",
                "config": config,
                "ids": [1, 2],
                "prompt_length": 1,
            }
        )
    return cases


def chain_cases(rows: dict[str, torch.Tensor]) -> list[dict]:
    rng = random.Random(7)
    hub = {"do_sample": True, "temperature": 1.0, "top_k": 40, "top_p": 0.95}
    cases = []
    for row in ("normal50", "normal300", "normal2000", "flat300", "masked300", "far100"):
        size = len(rows[row])
        ids = ids_for(size)
        penalties = [c for c, p in penalty_configs(size) if p == 6 and "forced" not in str(c)]
        for number in range(9 if size < 2000 else 3):
            config = dict(hub)
            for name in rng.sample(list(FILTERS), rng.randint(0, 5)):
                config[name] = rng.choice(FILTERS[name])
            for option in rng.sample(penalties, rng.randint(0, 4)):
                config.update(option)
            if number == 0:
                config = dict(hub)
            if "exponential_decay_length_penalty" in config:
                # as in penalty_cases
                for name in ("min_length", "min_new_tokens", "bad_words_ids"):
                    config.pop(name, None)
                if row == "masked300":
                    config.pop("exponential_decay_length_penalty")
            cases.append(
                {
                    "name": f"chain {number} {row}",
                    "row": row,
                    "config": config,
                    "ids": ids,
                    "prompt_length": 6,
                }
            )
    return cases


def write_processors(folder: pathlib.Path) -> None:
    rows = make_rows()
    data = bytearray()
    row_index = {}

    def append(values: torch.Tensor) -> int:
        offset = len(data) // 4
        data.extend(values.float().contiguous().numpy().astype("<f4").tobytes())
        return offset

    for name, values in rows.items():
        row_index[name] = {"offset": append(values), "size": len(values)}
    cases = filter_cases(rows) + penalty_cases(rows) + chain_cases(rows)
    for case in cases:
        case["expected"] = append(reference_row(case, rows[case["row"]]))
        beams = case.pop("num_beams", 1)
        if beams > 1:
            case["min_tokens_to_keep"] = len(case["config"].get("eos_token_id", [0])) + 1
    write_json(folder / "processors.json", {"rows": row_index, "cases": cases})
    (folder / "processors.f32").write_bytes(bytes(data))
    print(f"{len(cases)} processor cases, {len(data)} bytes")


# --- configurations ------------------------------------------------------------------------------

HUB = {
    "bos_token_id": 200019,
    "do_sample": True,
    "eos_token_id": 200020,
    "temperature": 1.0,
    "top_k": 40,
    "top_p": 0.95,
    "transformers_version": "4.46.1",
}
FIELDS = [
    "max_length", "max_new_tokens", "min_length", "min_new_tokens", "max_time", "eos_token_id",
    "pad_token_id", "bos_token_id", "forced_bos_token_id", "forced_eos_token_id", "do_sample",
    "num_return_sequences", "use_cache", "sequence_bias", "encoder_repetition_penalty",
    "repetition_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids",
    "remove_invalid_values", "exponential_decay_length_penalty", "suppress_tokens",
    "begin_suppress_tokens", "renormalize_logits", "temperature", "top_h", "top_k", "top_p",
    "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "stop_strings", "num_beams",
    "early_stopping", "length_penalty", "guidance_scale", "num_assistant_tokens",
    "num_assistant_tokens_schedule", "assistant_confidence_threshold", "prompt_lookup_num_tokens",
    "max_matching_ngram_size", "cache_implementation", "cache_config", "prefill_chunk_size",
    "return_dict_in_generate", "output_scores", "output_logits", "output_hidden_states",
    "output_attentions",
]  # fmt: skip


def resolve(model: dict, call: dict | None, keywords: dict, prompt: dict) -> dict:
    """What generate() does to the configuration before it starts."""
    call_config = None if call is None else GenerationConfig(**call)
    has_default_max = keywords.get("max_length") is None and (
        call_config is None or call_config.max_length is None
    )
    has_default_min = keywords.get("min_length") is None and (
        call_config is None or call_config.min_length is None
    )
    self = SimpleNamespace(
        generation_config=GenerationConfig(**model),
        config=SimpleNamespace(
            _get_generation_parameters=dict,
            max_position_embeddings=prompt.get("max_position_embeddings"),
            is_encoder_decoder=False,
        ),
    )
    config, unused = GenerationMixin._prepare_generation_config(self, call_config, **keywords)
    if unused:
        raise ValueError(f"unknown: {unused}")
    num_tokens, num_embeds = prompt["num_tokens"], prompt.get("num_embeds", 0)
    inputs = torch.zeros(1, num_embeds or num_tokens)
    config = GenerationMixin._prepare_generated_length(
        self,
        generation_config=config,
        has_default_max_length=has_default_max,
        has_default_min_length=has_default_min,
        model_input_name="inputs_embeds" if num_embeds else "input_ids",
        inputs_tensor=inputs,
        input_ids_length=num_tokens,
    )
    GenerationMixin._validate_generated_length(self, config, num_tokens, has_default_max)
    return {name: getattr(config, name) for name in FIELDS}


RESOLVE_CASES = [
    ({}, None, {}, {"num_tokens": 7}),
    (HUB, None, {}, {"num_tokens": 7, "max_position_embeddings": 196608}),
    (HUB, {}, {}, {"num_tokens": 7}),
    (HUB, {"top_k": 5, "max_length": 100}, {}, {"num_tokens": 7}),
    (HUB, {"top_k": 5}, {"top_k": None}, {"num_tokens": 7}),
    (HUB, None, {"top_k": None, "top_p": 0.5, "do_sample": False}, {"num_tokens": 7}),
    ({"do_sample": True}, None, {}, {"num_tokens": 7}),
    ({"max_length": 50}, None, {}, {"num_tokens": 7}),
    ({"max_length": 50}, {}, {}, {"num_tokens": 7, "max_position_embeddings": 30}),
    ({"max_length": 50}, {"max_length": 50}, {}, {"num_tokens": 7}),
    ({"max_length": 50}, None, {"max_length": 50}, {"num_tokens": 7, "max_position_embeddings": 30}),
    ({"max_length": 50}, None, {"max_new_tokens": 3}, {"num_tokens": 7}),
    ({"max_new_tokens": 3}, None, {"max_length": 50}, {"num_tokens": 7}),
    ({"min_length": 9}, None, {"min_new_tokens": 4}, {"num_tokens": 7}),
    ({"min_length": 9}, None, {}, {"num_tokens": 7}),
    ({}, None, {"min_length": 90}, {"num_tokens": 7}),
    ({}, None, {"max_length": 7}, {"num_tokens": 7}),
    ({}, None, {"max_length": 8}, {"num_tokens": 7}),
    ({}, None, {"max_length": 30}, {"num_tokens": 0, "num_embeds": 7}),
    ({"min_length": 9}, None, {}, {"num_tokens": 0, "num_embeds": 7}),
    ({}, None, {"max_new_tokens": 5, "min_new_tokens": 2}, {"num_tokens": 0, "num_embeds": 7}),
    ({}, None, {}, {"num_tokens": 7, "num_embeds": 7}),
    ({}, None, {}, {"num_tokens": 0, "num_embeds": 30}),
    ({}, None, {"num_return_sequences": 3}, {"num_tokens": 7}),
    ({}, None, {"num_return_sequences": 3, "do_sample": True}, {"num_tokens": 7}),
    ({}, None, {"max_new_tokens": 0}, {"num_tokens": 7}),
    ({}, None, {"eos_token_id": [1, 2], "stop_strings": ["a", "b"]}, {"num_tokens": 7}),
    ({"eos_token_id": [1, 2]}, None, {"eos_token_id": None}, {"num_tokens": 7}),
    ({}, None, {"no_such_option": 1}, {"num_tokens": 7}),
    ({"num_beams": 3}, None, {"num_return_sequences": 3}, {"num_tokens": 7}),
    ({"num_beams": 3, "length_penalty": 0.5}, {"early_stopping": True}, {"num_beams": 2}, {"num_tokens": 7}),
    ({"repetition_penalty": 1.1, "bad_words_ids": [[1, 2]]}, {"typical_p": 0.3}, {"min_p": 0.1},
     {"num_tokens": 7}),
]  # fmt: skip

READ_CASES = [
    {},
    HUB,
    {"num_beams": 1, "early_stopping": False, "length_penalty": 1.0, "temperature": None},
    {"num_beams": 4, "early_stopping": "never", "length_penalty": -0.5, "num_return_sequences": 4},
    {"num_beams": 4, "num_return_sequences": 5},
    {"early_stopping": True, "length_penalty": 2.0},
    {"use_cache": False, "cache_implementation": "static", "cache_config": {"nbits": 4, "q_group_size": 64, "residual_length": 128}},
    {"cache_implementation": "quantized", "cache_config": {"nbits": 8, "q_group_size": 32, "residual_length": 16}},
    {"output_scores": True, "output_logits": True, "output_hidden_states": True, "output_attentions": True},
    {"output_scores": True, "return_dict_in_generate": True},
    {"guidance_scale": 1.5, "prompt_lookup_num_tokens": 3, "max_matching_ngram_size": 4, "prefill_chunk_size": 7},
    {"num_assistant_tokens": 5, "num_assistant_tokens_schedule": "heuristic", "assistant_confidence_threshold": 0.2},
    {"max_new_tokens": -1},
    {"early_stopping": "sometimes"},
    {"cache_implementation": "no such cache"},
    {"num_return_sequences": 2},
    {"num_return_sequences": 2, "do_sample": True},
    {"streamer": 1},
    {"logits_processor": []},
    {"prefix_allowed_tokens_fn": None},
    {"assistant_model": "x"},
    {"suppress_tokens": [1, 2], "begin_suppress_tokens": [3], "exponential_decay_length_penalty": [3, 1.5]},
    {"temperature": 0.5, "min_p": 0.1, "top_h": 0.5, "typical_p": 0.9, "top_k": 3},
    {"temperature": 0.5, "do_sample": True, "epsilon_cutoff": 0.1, "eta_cutoff": 0.1},
    {"epsilon_cutoff": 0.1, "eta_cutoff": 0.1, "top_p": 0.5},
    {"pad_token_id": -1},
    {"pad_token_id": 0, "eos_token_id": [1, 2], "forced_eos_token_id": [2]},
]  # fmt: skip

MODEL_CONFIG_CASES = [
    {"vocab_size": 200064, "use_cache": True, "num_beams": 1, "unrelated": {"top_k": 3}},
    {"bos_token_id": 1, "eos_token_id": [2, 3], "top_k": 7, "hidden_size": 8, "pad_token_id": None},
    {"max_length": 77, "do_sample": True, "max_position_embeddings": 10},
]

# Options that only building the processors refuses.
BUILD_CASES = [
    {"do_sample": True, "temperature": 0.0},
    {"do_sample": True, "temperature": -1.0},
    {"do_sample": False, "temperature": -1.0},
    {"do_sample": True, "top_k": -1},
    {"do_sample": False, "top_k": -1},
    {"do_sample": True, "top_k": 0},
    {"do_sample": True, "top_p": -0.1},
    {"do_sample": True, "top_p": 1.5},
    {"do_sample": True, "min_p": 1.1},
    {"do_sample": True, "min_p": -0.1},
    {"do_sample": True, "top_h": 0.0},
    {"do_sample": True, "top_h": 1.5},
    {"do_sample": True, "typical_p": 0.0},
    {"do_sample": True, "typical_p": 2.0},
    {"do_sample": True, "epsilon_cutoff": 2.0, "eta_cutoff": -1.0},
    {"repetition_penalty": 0.0},
    {"repetition_penalty": -1.0},
    {"encoder_repetition_penalty": 0.0},
    {"no_repeat_ngram_size": -1},
    {"bad_words_ids": []},
    {"bad_words_ids": [[]]},
    {"bad_words_ids": [[5]], "eos_token_id": [5]},
    {"bad_words_ids": [[50]]},
    {"bad_words_ids": [[-1]]},
    {"sequence_bias": []},
    {"sequence_bias": [[[50], 1.0]]},
    {"sequence_bias": [[[49], 1.0]]},
    {"forced_bos_token_id": 50},
    {"forced_eos_token_id": [50]},
    {"forced_eos_token_id": [-1]},
    {"exponential_decay_length_penalty": [1, 1.5]},
]


def attempt(function, *args):
    try:
        return {"value": function(*args)}
    except (ValueError, TypeError, IndexError, RuntimeError) as error:
        return {"error": type(error).__name__}


def read(text: dict) -> dict:
    config = GenerationConfig(**text)
    fields = {n: getattr(config, n) for n in FIELDS if getattr(config, n) is not None}
    try:
        config.validate(strict=True)
        warned = []
    except ValueError as error:
        lines = str(error).splitlines()
        warned = sorted(line.split("`")[1] for line in lines if line.startswith("- `"))
    return {"fields": fields, "warnings": warned}


def from_model_config(text: dict) -> dict:
    config = GenerationConfig.from_model_config(dict(text))
    return {n: getattr(config, n) for n in FIELDS if getattr(config, n) is not None}


def build(options: dict) -> bool:
    # the position at which a forced token is forced
    forces_bos = "forced_bos_token_id" in options
    case = {"config": {"max_length": 3, **options}, "ids": [1] if forces_bos else [1, 2],
            "prompt_length": 1}  # fmt: skip
    reference_row(case, torch.zeros(1, 50))
    return True


def stopping(max_length: int, eos: list[int] | None, ids: list[int]) -> bool:
    criteria = StoppingCriteriaList([MaxLengthCriteria(max_length)])
    if eos is not None:
        criteria.append(EosTokenCriteria(eos))
    return bool(criteria(torch.tensor([ids]), None)[0])


STOPPING_CASES = [
    (5, None, [1, 2]), (5, None, [1, 2, 3, 4, 5]), (5, [2], [1, 2]), (5, [2], [2, 1]),
    (5, [2, 1], [2, 1]), (2, [2], [1, 2]), (3, [2], [1, 1, 1, 1]),
]  # fmt: skip


def write_config(folder: pathlib.Path) -> None:
    content = {
        "read": [{"json": c, **attempt(read, c)} for c in READ_CASES],
        "model_config": [{"json": c, **attempt(from_model_config, c)} for c in MODEL_CONFIG_CASES],
        "resolve": [
            {"model": m, "call": c, "keywords": k, "prompt": p, **attempt(resolve, m, c, k, p)}
            for m, c, k, p in RESOLVE_CASES
        ],
        "build": [{"json": c, **attempt(build, c)} for c in BUILD_CASES],
        "stopping": [
            {"max_length": m, "eos": e, "ids": i, "done": stopping(m, e, i)}
            for m, e, i in STOPPING_CASES
        ],
    }
    write_json(folder / "config.json", content)
    print({name: len(cases) for name, cases in content.items()})


def write_json(path: pathlib.Path, content: dict) -> None:
    lines = []
    for name, value in content.items():
        if isinstance(value, list):
            items = ",\n".join(json.dumps(item) for item in value)
            lines.append(f"{json.dumps(name)}: [\n{items}\n]")
        else:
            lines.append(f"{json.dumps(name)}: {json.dumps(value)}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main() -> None:
    root = pathlib.Path(__file__).resolve().parent.parent
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / "tests/golden/generation"
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    write_processors(folder)
    write_config(folder)


if __name__ == "__main__":
    main()
