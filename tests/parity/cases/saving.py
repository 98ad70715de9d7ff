"""Checkpoints as they are saved, and loaded again by the other side."""

import json
import shutil

import numpy as np

import arrays
import models
from case import Case, error_record, ids
from forward import forward_record

KIND = "MiniMaxM2ForCausalLM"


def _numbers(kind, array):
    if kind == "BF16":
        return arrays.from_bf16(array)
    return array.astype(np.float32)


def _saved(directory, skip=()):
    """What lies in a folder: names of files, tensors with type and numbers, JSON files."""
    record = {"files": sorted(path.name for path in directory.iterdir())}
    for path in sorted(directory.iterdir()):
        if path.suffix == ".json":
            record[path.name] = path.read_text()
        elif path.suffix == ".safetensors":
            header, _ = arrays.read_header(path)
            record[f"{path.name} metadata"] = header.get("__metadata__")
            held = arrays.read_safetensors(path, with_types=True)
            record[f"{path.name} tensors"] = {key: [kind, list(array.shape)]
                                              for key, (kind, array) in held.items()}  # fmt: skip
            numbers = [_numbers(*held[key]).reshape(-1) for key in sorted(held)
                       if not any(part in key for part in skip)]  # fmt: skip
            record[f"{path.name} numbers"] = np.concatenate(numbers)
    return record


def _saves(name, model="gqa", kind=KIND, load=None, twice=None, skip=(), difference="", ours=None,
           strict=False, **options):
    def run(side):
        more = side.strict if strict else {}
        used = side.open(side.directory(model), kind=kind, **(load or {}), **more)
        directory = side.new_directory()
        if twice:
            used.save_pretrained(str(directory), **twice)
        used.save_pretrained(str(directory), **options)
        return _saved(directory, skip)

    return Case(name, run, difference=difference, ours=ours)


ROUTER = ("gate.weight", "correction_bias")
KEPT = "the F32 router of a file stays F32 in a load as bfloat16 or float16; `strict` rounds it too"
KEPT_TYPES = {f"/model.safetensors tensors/model.layers.{layer}.block_sparse_moe.{name}":
              ["F32", shape] for layer in (0, 1)
              for name, shape in (("gate.weight", [8, 32]), ("e_score_correction_bias", [8]))}  # fmt: skip


def _fresh(side):
    """A model that is made from a config has the same tensors in its file."""
    config = side.lib.MiniMaxM2Config.from_pretrained(side.directory("odd"))
    directory = side.new_directory()
    side.lib.MiniMaxM2ForCausalLM(config).save_pretrained(str(directory))
    record = _saved(directory)
    numbers = record.pop("model.safetensors numbers")
    return record | {"count": int(numbers.size)}


def _fresh_statistics(side):
    """Normal weights of the given spread, norms 1, correction bias 0, the pad row 0."""
    config = side.lib.MiniMaxM2Config.from_pretrained(side.directory("gqa"))
    config.initializer_range = 0.1
    directory = side.new_directory()
    side.lib.MiniMaxM2ForCausalLM(config).save_pretrained(str(directory))
    held = arrays.read_safetensors(directory / "model.safetensors")
    ones = [key for key in held if "norm" in key and not np.all(held[key] == 1)]
    zeros = [key for key in held if "correction_bias" in key and np.any(held[key] != 0)]
    drawn = [key for key in held if held[key].ndim > 1]
    wrong = [key for key in drawn if held[key].size > 400
             and (abs(held[key].std() - 0.1) > 0.02 or abs(held[key].mean()) > 0.02)]  # fmt: skip
    return {"norms": ones, "biases": zeros, "spread": wrong, "drawn": len(drawn),
            "pad": bool(np.all(held["model.embed_tokens.weight"][0] == 0))}  # fmt: skip


def _generation_config_follows(side):
    directory = side.new_directory()
    shutil.copytree(side.directory("gqa"), directory / "model")
    fields = {"do_sample": True, "top_k": 7, "eos_token_id": [2, 9]}
    models.write_json(directory / "model/generation_config.json", fields)
    used = side.open(directory / "model")
    used.save_pretrained(str(directory / "saved"))
    return {"text": (directory / "saved/generation_config.json").read_text(),
            "top_k": used.generation_config.top_k, "eos": used.generation_config.eos_token_id,
            "temperature": used.generation_config.temperature}  # fmt: skip


def _fp8_is_kept(side):
    """FP8 numbers and scales are saved as they were; the reference, which cannot load them on a
    CPU, is spoken for by the original file."""
    directory, _ = models.write_fp8(side.new_directory(), "gqa", (16, 16))
    if side.reads_fp8:
        used = side.open(directory, dtype="auto")
        directory = side.new_directory()
        used.save_pretrained(str(directory))
    held = arrays.read_safetensors(directory / "model.safetensors", with_types=True)
    quantization = json.loads((directory / "config.json").read_text())["quantization_config"]
    record = {key: array for key, (_, array) in held.items()}
    return record | {"types": {key: kind for key, (kind, _) in held.items()},
                     "block": quantization["weight_block_size"],
                     "method": quantization["quant_method"]}  # fmt: skip


def _to_a_file(side):
    """The reference logs an error for the weights, or fails in the config."""
    directory = side.new_directory()
    (directory / "file").write_text("")
    used = side.load("gqa")
    return error_record(lambda: used.save_pretrained(str(directory / "file")), ("file",))


SAVES = [
    _saves("plain"),
    _saves("tied", "tied"),
    _saves("one_layer", "one_layer"),
    _saves("odd", "odd"),
    _saves("rope", "rope_yarn_options"),
    _saves("bare_model", kind="MiniMaxM2Model"),
    _saves("internal_names", save_original_format=False),
    _saves("shards", max_shard_size="20KB"),
    _saves("shards_of_bytes", max_shard_size=9000),
    _saves("shards_smaller_than_tensors", max_shard_size="1KB"),
    _saves("shards_of_internal_names", max_shard_size="40KB", save_original_format=False),
    _saves("variant", variant="special"),
    _saves("variant_shards", variant="special", max_shard_size="60KB"),
    _saves("over_more_shards", twice={"max_shard_size": "9KB"}, max_shard_size="70KB"),
    _saves("bf16", load={"dtype": "bfloat16"}, skip=ROUTER, difference=KEPT, ours=KEPT_TYPES),
    _saves("f16", load={"dtype": "float16"}, skip=ROUTER, difference=KEPT, ours=KEPT_TYPES),
    _saves("bf16_strict", load={"dtype": "bfloat16"}, strict=True),
    _saves("f16_strict", load={"dtype": "float16"}, strict=True),
    Case("fresh_model", _fresh),
    Case("fresh_weights", _fresh_statistics),
    Case("generation_config", _generation_config_follows),
    Case("fp8_is_kept", _fp8_is_kept),
    Case("to_a_file", _to_a_file, ours={"error": ["ValueError"]},
         difference="a file in the way is an error; the reference logs it and returns"),
]


def _crosses(name, model="gqa", kind=KIND, load=None, **options):
    """One side saves what it loaded, the other one loads that: both ways."""

    def run(side):
        used = side.open(side.directory(model), kind=kind, **(load or {}), **side.strict)
        directory = side.new_directory()
        used.save_pretrained(str(directory), **options)
        more = {"variant": options["variant"]} if "variant" in options else {}
        other = side.other.open(directory, kind=kind, **more)
        return forward_record(side.other, other, ids(2, 7))

    return Case(name, run, live_only=True)


CROSSES = [
    _crosses("other_side_reads"),
    _crosses("other_side_reads_odd", "odd"),
    _crosses("other_side_reads_tied", "tied"),
    _crosses("other_side_reads_rope", "rope_longrope_attention"),
    _crosses("other_side_reads_shards", max_shard_size="15KB"),
    _crosses("other_side_reads_internal_names", save_original_format=False),
    _crosses("other_side_reads_variant", variant="special"),
    _crosses("other_side_reads_variant_shards", variant="special", max_shard_size="50KB"),
    _crosses("other_side_reads_bf16", load={"dtype": "bfloat16"}),
    _crosses("other_side_reads_bare_model", kind="MiniMaxM2Model"),
]

CASES = SAVES + CROSSES
