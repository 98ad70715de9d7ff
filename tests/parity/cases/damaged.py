"""Damaged checkpoints: both sides refuse, and m2 names the file or the tensor."""

# The kinds of errors differ: the reference fails wherever the damage shows first.

import json
import struct

import numpy as np

import arrays
import models
from case import Case, error_record

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
GATE = "model.layers.1.block_sparse_moe.gate.weight"
REFUSED = {"refused": True}
STRICT = "missing and misshapen tensors are errors; the reference warns and draws random values"
CHECKED = "refused; the reference does not look"


def _refusal(action, words):
    record = error_record(action, words)
    return {"refused": record["error"] != ["none"], "missing words": record["missing words"]}


def _damaged(name, words, damage, difference="", ours=None, model="gqa"):
    """damage(directory) edits a good checkpoint."""

    def run(side):
        directory = models.write_model(side.new_directory() / "model", model)
        damage(directory)
        return _refusal(lambda: side.open(directory), words)

    return Case(name, run, difference=difference, ours=ours)


def _tensors(name, words, change, difference="", ours=None, model="gqa"):
    """change(config, tensors) edits what is written."""

    def damage(directory):
        config, tensors = models.config_of(model), models.weights_of(model)
        change(config, tensors)
        models.write_model(directory, model, config, tensors)

    return _damaged(name, words, damage, difference, ours, model)


def _config(name, words, difference="", ours=None, **fields):
    return _tensors(name, words, lambda config, tensors: config.update(fields), difference, ours)


def _remove(file):
    return lambda directory: (directory / file).unlink()


def _text(file, text):
    return lambda directory: (directory / file).write_text(text)


def _truncate(bytes_kept):
    def damage(directory):
        data = (directory / WEIGHTS).read_bytes()
        kept = bytes_kept if bytes_kept >= 0 else len(data) + bytes_kept
        (directory / WEIGHTS).write_bytes(data[:kept])

    return damage


def _header(edit):
    """edit(header) changes the JSON of the header in place, or returns its new text."""

    def damage(directory):
        path = directory / WEIGHTS
        header, start = arrays.read_header(path)
        data = path.read_bytes()[start:]
        text = edit(header)
        text = (json.dumps(header) if text is None else text).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + data)

    return damage


def _field(tensor, **fields):
    return _header(lambda header: header[tensor].update(fields))


def _append(directory):
    with open(directory / WEIGHTS, "ab") as file:
        file.write(b"\0" * 64)


def _length(value):
    def damage(directory):
        data = (directory / WEIGHTS).read_bytes()
        (directory / WEIGHTS).write_bytes(struct.pack("<Q", value) + data[8:])

    return damage


def _overlap(header):
    first, second = sorted(name for name in header if header[name].get("shape") == [32])[:2]
    header[second]["data_offsets"] = header[first]["data_offsets"]


def _index(edit, count=2):
    def damage(directory):
        (directory / WEIGHTS).unlink()
        models.write_shards(directory, models.weights_of("gqa"), count)
        index = json.loads((directory / INDEX).read_text())
        text = edit(directory, index)
        if isinstance(text, str):
            (directory / INDEX).write_text(text)
        else:
            models.write_json(directory / INDEX, index)

    return damage


def _drop_shard(directory, index):
    (directory / "model-00002-of-00002.safetensors").unlink()


def _map_to(file):
    def edit(_, index):
        index["weight_map"]["model.norm.weight"] = file

    return edit


def _without(*parts):
    """Drops the tensors whose names contain one of the parts."""

    def change(config, tensors):
        for key in [key for key in tensors if any(part in key for part in parts)]:
            del tensors[key]

    return change


def _shaped(tensor, *shape):
    return lambda config, tensors: tensors.update({tensor: np.ones(shape, np.float32)})


def _pickle_only(directory):
    (directory / WEIGHTS).rename(directory / "pytorch_model.bin")


def _directory_for_file(directory):
    (directory / WEIGHTS).unlink()
    (directory / WEIGHTS).mkdir()


def _no_config(side):
    """Through the Auto class: MiniMaxM2ForCausalLM of the reference would make the full model."""
    directory = models.write_model(side.new_directory() / "model", "gqa")
    (directory / "config.json").unlink()
    return _refusal(lambda: side.open(directory, kind="AutoModelForCausalLM"),
                        ("config.json",))  # fmt: skip


def _no_directory(side):
    return _refusal(lambda: side.open(side.new_directory() / "absent"), ("absent",))


def _fp8(name, words, change, difference="", ours=None):
    """change(config, stored) on an FP8 checkpoint."""

    def run(side):
        directory, _ = models.write_fp8(side.new_directory(), "gqa", (16, 16))
        config = json.loads((directory / "config.json").read_text())
        stored = arrays.read_safetensors(directory / WEIGHTS, with_types=True)
        change(config, stored)
        models.write_model(directory, None, config, stored)
        return _refusal(lambda: side.open(directory), words)

    return Case(name, run, difference=difference, ours=ours)


Q = "model.layers.0.self_attn.q_proj.weight"
EXPERT = "model.layers.1.block_sparse_moe.experts.3."


def _reports_missing(side):
    """What the reference does by default, asked for by name here."""
    config, tensors = models.config_of("gqa"), models.weights_of("gqa")
    del tensors["model.norm.weight"], tensors[GATE]
    directory = models.write_model(side.new_directory(), "gqa", config, tensors)
    _, info = side.open(directory, output_loading_info=True, **side.initialise_missing)
    return {"missing": sorted(info["missing_keys"])}


def _reports_mismatched(side):
    config, tensors = models.config_of("gqa"), models.weights_of("gqa")
    tensors["model.norm.weight"] = np.ones(31, np.float32)
    directory = models.write_model(side.new_directory(), "gqa", config, tensors)
    _, info = side.open(directory, output_loading_info=True, ignore_mismatched_sizes=True)
    return {"mismatched": [[key, list(a), list(b)] for key, a, b in info["mismatched_keys"]]}


CASES = [
    Case("no_directory", _no_directory),
    Case("no_config", _no_config),
    _damaged("config_is_not_json", ("config.json",), _text("config.json", "{ not json")),
    _damaged("config_is_empty", ("config.json",), _text("config.json", "")),
    _damaged("config_is_a_list", ("config.json",), _text("config.json", "[1, 2]")),
    _damaged("no_weights", ("model.safetensors",), _remove(WEIGHTS)),
    _damaged("weights_are_a_directory", ("model.safetensors",), _directory_for_file),
    _damaged("pickle_only", ("pytorch_model.bin",), _pickle_only),
    _damaged("weights_are_empty", (WEIGHTS,), _truncate(0)),
    _damaged("cut_in_the_length", (WEIGHTS,), _truncate(5)),
    _damaged("cut_in_the_header", (WEIGHTS,), _truncate(200)),
    _damaged("cut_in_the_data", (WEIGHTS,), _truncate(-100)),
    _damaged("longer_than_its_tensors", (WEIGHTS,), _append),
    _damaged("header_length_huge", (WEIGHTS,), _length(2**63)),
    _damaged("header_length_zero", (WEIGHTS,), _length(0)),
    _damaged("header_is_not_json", (WEIGHTS,), _header(lambda header: "{" * 40)),
    _damaged("header_is_a_list", (WEIGHTS,), _header(lambda header: "[1, 2]")),
    _damaged("offsets_out_of_range", (WEIGHTS, "model.norm.weight"),
             _field("model.norm.weight", data_offsets=[10**9, 10**9 + 128])),
    _damaged("offsets_reversed", (WEIGHTS, "model.norm.weight"),
             _field("model.norm.weight", data_offsets=[256, 128])),
    _damaged("offsets_negative", (WEIGHTS,),
             _field("model.norm.weight", data_offsets=[-128, 0])),
    _damaged("offsets_overlap", (WEIGHTS,), _header(_overlap)),
    _damaged("shape_and_bytes_differ", (WEIGHTS, "model.norm.weight"),
             _field("model.norm.weight", shape=[31])),
    _damaged("shape_overflows", (WEIGHTS, "model.norm.weight"),
             _field("model.norm.weight", shape=[2**62, 8])),
    _damaged("shape_negative", (WEIGHTS,), _field("model.norm.weight", shape=[-32])),
    _damaged("type_unknown", (WEIGHTS, "F99"), _field("model.norm.weight", dtype="F99")),
    _damaged("type_missing", (WEIGHTS,),
             _header(lambda header: header["model.norm.weight"].pop("dtype") and None)),
    _damaged("index_names_an_absent_file", ("model-00002-of-00002",), _index(_drop_shard)),
    _damaged("index_is_not_json", (INDEX,), _index(lambda directory, index: "{ not json")),
    _damaged("index_without_map", (INDEX, "weight_map"),
             _index(lambda directory, index: index.pop("weight_map"))),
    _damaged("index_leaves_the_folder", ("../",), _index(_map_to("../elsewhere.safetensors"))),
    _damaged("index_map_holds_numbers", (INDEX,), _index(_map_to(7))),
    _tensors("missing_norm", ("model.norm.weight",), _without("model.norm"), STRICT, REFUSED),
    _tensors("missing_router", (GATE,), _without(GATE), STRICT, REFUSED),
    _tensors("missing_head", ("lm_head.weight",), _without("lm_head"), STRICT, REFUSED),
    _tensors("missing_embedding", ("embed_tokens",), _without("embed_tokens"), STRICT, REFUSED),
    _tensors("missing_layer", ("layers.1",), _without("layers.1."), STRICT, REFUSED),
    _tensors("missing_experts_of_a_layer", ("layers.0", "experts"),
             _without("layers.0.block_sparse_moe.experts"), STRICT, REFUSED),
    _tensors("missing_expert", ("layers.1", "3"), _without("layers.1.block_sparse_moe.experts.3.")),
    _tensors("missing_w3", ("w3",), _without("experts.3.w3")),
    _tensors("missing_all_w3", ("w3",), _without(".w3.")),
    _tensors("missing_w2", ("w2",), _without("experts.3.w2")),
    _tensors("missing_everything", ("model.",), _without("."), STRICT, REFUSED),
    _tensors("misshapen_norm", ("model.norm.weight", "31", "32"), _shaped("model.norm.weight", 31)),
    _tensors("misshapen_transposed", (Q, "64", "32"), _shaped(Q, 32, 64)),
    _tensors("misshapen_rank", (Q,), _shaped(Q, 64, 32, 1)),
    _tensors("misshapen_expert", ("experts.3.w1",), _shaped(EXPERT + "w1.weight", 15, 32)),
    _tensors("misshapen_bias", ("e_score_correction_bias",),
             _shaped("model.layers.0.block_sparse_moe.e_score_correction_bias", 9)),
    _tensors("extra_expert", ("8",), lambda config, tensors: [
        tensors.update({f"model.layers.0.block_sparse_moe.experts.8.{w}.weight":
                        np.ones(shape, np.float32)})
        for w, shape in (("w1", (16, 32)), ("w2", (32, 16)), ("w3", (16, 32)))]),
    _tensors("vocabulary_differs", ("embed_tokens",),
             lambda config, tensors: config.update(vocab_size=97)),
    _tensors("tensor_of_integers", ("model.norm.weight",),
             lambda config, tensors: tensors.update(
                 {"model.norm.weight": np.ones(32, np.int64)}), CHECKED, REFUSED),
    Case("missing_is_reported", _reports_missing),
    Case("mismatched_is_reported", _reports_mismatched),
    _config("config_heads", ("num_key_value_heads",), num_key_value_heads=3),
    _config("config_chosen_experts", ("num_experts_per_tok",), CHECKED, REFUSED,
            num_experts_per_tok=9),
    _config("config_activation", ("frobnicate",), hidden_act="frobnicate"),
    _config("config_rope_type", ("frobnicate",),
            rope_parameters={"rope_type": "frobnicate", "rope_theta": 1.0}),
    _config("config_scoring", ("scoring_func", "softmax"), CHECKED, REFUSED, scoring_func="softmax"),
    _config("config_qk_norm", ("qk_norm_type",), CHECKED, REFUSED, qk_norm_type="per_head"),
    _config("config_quantization", ("frobnicate",), CHECKED, REFUSED,
            quantization_config={"quant_method": "frobnicate"}),
    _config("config_size_of_a_string", ("hidden_size",), hidden_size="many"),
    # On a CPU the reference refuses every FP8 checkpoint, for want of another package.
    _fp8("fp8_without_scale", (Q,), lambda config, stored: stored.pop(Q + "_scale_inv")),
    _fp8("fp8_scale_without_weight", (Q,), lambda config, stored: stored.pop(Q)),
    _fp8("fp8_misshapen_scale", (Q, "scale"),
         lambda config, stored: stored.update({Q + "_scale_inv": np.ones((3, 2), np.float32)})),
    _fp8("fp8_other_type", (Q, "F8_E5M2"),
         lambda config, stored: stored.update({Q: ("F8_E5M2", stored[Q][1])})),
    _fp8("fp8_scale_of_an_expert_missing", ("experts.3.w2",),
         lambda config, stored: stored.pop(EXPERT + "w2.weight_scale_inv")),
    _fp8("fp8_block_size", ("weight_block_size",),
         lambda config, stored: config["quantization_config"].update(weight_block_size=[16])),
]  # fmt: skip
