"""Checkpoints of every form that loads, and what the load reports."""

import json

import numpy as np

import arrays
import models
from case import Case, ids
from forward import arguments, forward_record

TEXT = ids(2, 7, seed=10)
KIND = "MiniMaxM2ForCausalLM"


def _loads(name, make, model="gqa", kind=KIND, strict=False, **options):
    """make(directory, config, tensors) writes the files; the load's report and a forward are
    compared."""

    def run(side):
        directory = side.new_directory()
        options_of_side = options | (side.strict if strict else {})
        changed = make(directory, models.config_of(model), models.weights_of(model))
        if changed:
            options_of_side |= changed
        used, info = side.open(directory, kind=kind, output_loading_info=True, **options_of_side)
        return forward_record(side, used, TEXT) | {"info": _info(info)}

    return Case(name, run)


def _info(info):
    mismatched = sorted([key, list(a), list(b)] for key, a, b in info["mismatched_keys"])
    return {"missing": sorted(info["missing_keys"]), "mismatched": mismatched,
            "unexpected": sorted(info["unexpected_keys"])}  # fmt: skip


def _config_only(directory, config):
    models.write_json(directory / "config.json", config)


def _single(directory, config, tensors):
    models.write_model(directory, None, config, tensors)


def _with_changes(change):
    """change(config, tensors) edits in place."""

    def make(directory, config, tensors):
        change(config, tensors)
        _single(directory, config, tensors)

    return make


def _sharded(count, edit=None):
    def make(directory, config, tensors):
        _config_only(directory, config)
        models.write_shards(directory, tensors, count)
        if edit:
            edit(directory)

    return make


def _rename_shards(directory):
    """Names carry no meaning: zero based, a total that is wrong."""
    path = directory / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    for i, file in enumerate(sorted(set(index["weight_map"].values()))):
        (directory / file).rename(directory / f"part-{i:03d}-of-00130.safetensors")
        for key, where in index["weight_map"].items():
            if where == file:
                index["weight_map"][key] = f"part-{i:03d}-of-00130.safetensors"
    models.write_json(path, index)


def _drop_from_map(directory):
    """A tensor that the map does not name is found in its file all the same."""
    path = directory / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    del index["weight_map"]["model.norm.weight"]
    models.write_json(path, index)


def _swap_in_map(directory):
    """A tensor that the map places in another shard is still found."""
    path = directory / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    places = index["weight_map"]
    places["model.norm.weight"], places["lm_head.weight"] = (
        places["lm_head.weight"], places["model.norm.weight"])  # fmt: skip
    models.write_json(path, index)


def _single_beside_index(directory, config, tensors):
    """The single file wins; the shards hold other numbers."""
    models.write_shards(directory, {key: value * 2 for key, value in tensors.items()}, 2)
    _single(directory, config, tensors)


def _internal(directory, config, tensors):
    _single(directory, config, models.fuse(tensors, config))


def _mixed_names(directory, config, tensors):
    """Layer 0 with the hub's names, layer 1 with the internal ones."""
    fused = models.fuse(tensors, config)
    mixed = {key: value for key, value in tensors.items() if "layers.1." not in key}
    mixed |= {key: value for key, value in fused.items() if "layers.1." in key}
    _single(directory, config, mixed)


def _variant(directory, config, tensors):
    _single(directory, config, tensors)
    (directory / "model.safetensors").rename(directory / "model.special.safetensors")
    return {"variant": "special"}


def _variant_sharded(directory, config, tensors):
    _config_only(directory, config)
    models.write_shards(directory, tensors, 2)
    (directory / "model.safetensors.index.json").rename(
        directory / "model.safetensors.index.special.json")  # fmt: skip
    return {"variant": "special"}


def _subfolder(directory, config, tensors):
    (directory / "inner").mkdir()
    _single(directory / "inner", config, tensors)
    return {"subfolder": "inner"}


def _typed(kinds):
    """Every tensor in a type of `kinds`, in turn."""

    def make(directory, config, tensors):
        stored = {}
        for i, key in enumerate(sorted(tensors)):
            kind, value = kinds[i % len(kinds)], tensors[key]
            stored[key] = {"F16": lambda v: v.astype(np.float16), "F32": lambda v: v,
                           "F64": lambda v: v.astype(np.float64),
                           "BF16": lambda v: ("BF16", arrays.to_bf16(v))}[kind](value)  # fmt: skip
        _single(directory, config, stored)

    return make


def _set(**fields):
    return _with_changes(lambda config, tensors: config.update(fields))


def _add(name, *shape):
    return _with_changes(lambda config, tensors: tensors.update({name: np.ones(shape, "f4")}))


def _strip_prefix(config, tensors):
    for key in list(tensors):
        tensors[key.removeprefix("model.")] = tensors.pop(key)


def _no_head(config, tensors):
    tensors.pop("lm_head.weight")


def _only_head(config, tensors):
    tensors["lm_head.weight"] = tensors.pop("model.embed_tokens.weight")


def _extra_layer(config, tensors):
    config["num_hidden_layers"] = 1


def _both_tied(config, tensors):
    config["tie_word_embeddings"] = True


def _equal_tied(config, tensors):
    config["tie_word_embeddings"] = True
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].copy()


def _rotary_dim(config, tensors):
    """The published form: the rotating width by name."""
    config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
    config["rotary_dim"] = 8


LOADS = [
    _loads("single", _single),
    _loads("two_shards", _sharded(2)),
    _loads("nine_shards", _sharded(9)),
    _loads("shards_with_other_names", _sharded(3, _rename_shards)),
    _loads("tensor_not_in_the_map", _sharded(2, _drop_from_map)),
    _loads("tensor_in_another_shard", _sharded(2, _swap_in_map)),
    _loads("single_beats_index", _single_beside_index),
    _loads("internal_names", _internal),
    _loads("internal_names_odd", _internal, "odd"),
    _loads("mixed_names", _mixed_names),
    _loads("variant", _variant),
    _loads("variant_sharded", _variant_sharded),
    _loads("subfolder", _subfolder),
    _loads("bf16", _typed(["BF16"])),
    _loads("f16", _typed(["F16"])),
    _loads("f64", _typed(["F64"])),
    _loads("mixed_types", _typed(["F32", "BF16", "F16"])),
    _loads("without_prefix", _with_changes(_strip_prefix)),
    _loads("bare_model", _single, kind="MiniMaxM2Model"),
    _loads("bare_model_without_prefix",
           _with_changes(lambda c, t: (t.pop("lm_head.weight"), _strip_prefix(c, t))),
           kind="MiniMaxM2Model"),
    _loads("tied_only_embedding", _single, "tied"),
    _loads("tied_only_head", _with_changes(_only_head), "tied"),
    _loads("tied_both", _with_changes(_both_tied)),
    _loads("tied_both_equal", _with_changes(_equal_tied)),
    _loads("rotary_frequencies_are_ignored",
           _add("model.layers.0.self_attn.rotary_emb.inv_freq", 4)),
    _loads("unexpected", _add("model.layers.0.self_attn.extra.weight", 3, 2)),
    _loads("unexpected_layer", _with_changes(_extra_layer)),
    _loads("config_keyword", _single, num_hidden_layers=1),
    _loads("config_keyword_experts", _single, num_experts_per_tok=5),
    _loads("eps_of_the_config", _set(rms_norm_eps=0.1)),
    _loads("rotary_dim_strict", _with_changes(_rotary_dim), "mqa", strict=True),
]  # fmt: skip


def _auto_classes(side):
    """The Auto classes find the class of config.json."""
    directory = side.directory("gqa")
    options = {"dtype": "float32", "attn_implementation": "eager"}
    config = side.lib.AutoConfig.from_pretrained(directory)
    used = side.lib.AutoModelForCausalLM.from_pretrained(directory, **options)
    bare = side.lib.AutoModel.from_pretrained(directory, **options)
    given = arguments(side, {"input_ids": TEXT})
    return {"config": type(config).__name__, "model": type(used).__name__,
            "bare": type(bare).__name__,
            "hidden": side.numpy(bare(**given).last_hidden_state)} | forward_record(side, used, TEXT)  # fmt: skip


def _honours_rotary_dim(side):
    """Does `rotary_dim` mean what the partial factor of the model itself means?"""
    config, tensors = models.config_of("gqa"), models.weights_of("gqa")
    _rotary_dim(config, tensors)
    directory = models.write_model(side.new_directory(), None, config, tensors)
    gap = (forward_record(side, side.open(directory), TEXT)["logits"]
           - forward_record(side, side.load("gqa"), TEXT)["logits"])  # fmt: skip
    return {"half rotates": bool(np.abs(gap).max() < 1e-5)}


def _config_given(side):
    directory = side.directory("gqa")
    config = side.lib.MiniMaxM2Config.from_pretrained(directory)
    config.rms_norm_eps = 0.3
    return forward_record(side, side.open(directory, config=config), TEXT)


def _state(side):
    used = side.open(side.directory("gqa"))
    return {"training": used.training, "parameters": int(used.num_parameters()),
            "layers": used.config.num_hidden_layers, "dtype": str(used.dtype).split(".")[-1],
            "eos": used.generation_config.eos_token_id,
            "bos": used.generation_config.bos_token_id}  # fmt: skip


def _fp8(name, model, block, **options):
    """FP8 against the same numbers in F32: the reference drops scales on a CPU."""

    def run(side):
        rounded = options.get("dtype") == "bfloat16"
        fp8, meant = models.write_fp8(side.new_directory(), model, block, rounded)
        if not side.reads_fp8:
            return forward_record(side, side.open(meant), TEXT)
        return forward_record(side, side.open(fp8, **options), TEXT)

    return Case(name, run)


CASES = [
    *LOADS,
    Case("auto_classes", _auto_classes),
    Case("rotary_dim", _honours_rotary_dim, ours={"half rotates": True},
         difference="rotary_dim in config.json is honoured; the reference ignores it, and `strict`"),
    Case("config_given", _config_given),
    Case("state_after_loading", _state),
    _fp8("fp8", "gqa", (16, 16)),
    _fp8("fp8_partial_blocks", "odd", (16, 32)),
    _fp8("fp8_one_block", "gqa", (128, 128)),
    _fp8("fp8_dequantised", "gqa", (16, 16), dequantize=True),
    _fp8("fp8_dequantised_to_bf16", "gqa", (16, 16), dequantize=True, dtype="bfloat16"),
]  # fmt: skip
