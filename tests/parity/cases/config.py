"""MiniMaxM2Config: fields, legacy forms, round trips through dict and file."""

import json

import models
from case import Case, error_record

SMALL = {key: value for key, value in models.config_of("gqa").items()
         if key not in ("architectures", "model_type", "rope_parameters", "dtype")}  # fmt: skip
LISTS = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
OWN = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
       "num_attention_heads", "num_key_value_heads", "head_dim", "hidden_act",
       "max_position_embeddings", "initializer_range", "rms_norm_eps", "use_cache", "pad_token_id",
       "bos_token_id", "eos_token_id", "tie_word_embeddings", "attention_dropout",
       "num_experts_per_tok", "num_local_experts", "output_router_logits", "router_aux_loss_coef",
       "router_jitter_noise", "rope_parameters", "model_type")  # fmt: skip


def _plain(value):
    """JSON values alone; numbers that are not finite as text."""
    return json.loads(json.dumps(value), parse_constant=str)


def _looks(side, config):
    """What a config holds and what its file would say."""
    return {"own": {name: _plain(getattr(config, name)) for name in OWN},
            "file": _plain(json.loads(config.to_json_string())),
            "scaling": _plain(config.rope_scaling), "experts": config.num_experts}  # fmt: skip


def _keywords(name, difference="", ours=None, **fields):
    def run(side):
        return _looks(side, side.lib.MiniMaxM2Config(**fields))

    return Case(name, run, difference=difference, ours=ours)


def _file(name, difference="", ours=None, **fields):
    """config.json -> config -> config.json -> config."""

    def run(side):
        directory = side.new_directory()
        models.write_json(directory / "config.json", {"model_type": "minimax_m2", **fields})
        config = side.lib.MiniMaxM2Config.from_pretrained(str(directory))
        config.save_pretrained(str(directory / "again"))
        text = (directory / "again/config.json").read_text()
        again = side.lib.MiniMaxM2Config.from_pretrained(str(directory / "again"))
        form = json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"
        return _looks(side, config) | {"form": text == form, "again": _looks(side, again)}

    return Case(name, run, difference=difference, ours=ours)


def _rope(field, value, again=True):
    """The record with another field of the rope parameters."""
    places = ["/own/rope_parameters", "/file/rope_parameters", "/scaling"]
    places += ["/again" + place for place in places] if again else []
    return {f"{place}/{field}": value for place in places}


def _dict(side):
    config = side.lib.MiniMaxM2Config.from_dict({**SMALL, "extra": {"a": [1, 2]}})
    again = side.lib.MiniMaxM2Config.from_dict(config.to_dict())
    same = config.to_dict() == again.to_dict()
    return {"same": same, "extra": again.extra, "kind": config.model_type,
            "own": {name: _plain(config.to_dict()[name]) for name in OWN}}  # fmt: skip


def _rope_error(name, rope, words=()):
    def run(side):
        return error_record(lambda: side.lib.MiniMaxM2Config(**SMALL, rope_parameters=rope), words)

    return Case(name, run)


def _build_error(name, words=(), difference="", ours=None, **fields):
    """Configs that no model can be made from."""

    def run(side):
        def build():
            side.lib.MiniMaxM2ForCausalLM(side.lib.MiniMaxM2Config(**{**SMALL, **fields}))

        return error_record(build, words)

    return Case(name, run, difference=difference, ours=ours)


def _attributes(side):
    """Fields can be set, and aliases follow."""
    config = side.lib.MiniMaxM2Config(**SMALL)
    config.num_experts = 5
    config.hidden_act = "gelu"
    config.something = "else"
    return {"experts": config.num_local_experts, "act": config.hidden_act,
            "file": _plain(json.loads(config.to_json_string())),
            "absent": error_record(lambda: config.no_such_field, ("no_such_field",))}  # fmt: skip


def _keywords_of_from_pretrained(side):
    directory = side.directory("gqa")
    config, unused = side.lib.MiniMaxM2Config.from_pretrained(
        directory, num_hidden_layers=7, frobnicate=1, return_unused_kwargs=True)  # fmt: skip
    return {"layers": config.num_hidden_layers, "unused": unused}


def _keywords_of_from_dict(side):
    config = side.lib.MiniMaxM2Config.from_dict(dict(SMALL), num_hidden_layers=7, use_cache=False)
    return {"layers": config.num_hidden_layers, "cache": config.use_cache}


def _equal(side):
    make = side.lib.MiniMaxM2Config
    return {"same": make(**SMALL) == make(**SMALL),
            "other": make(**SMALL) == make(**{**SMALL, "hidden_size": 48})}  # fmt: skip


HUB = dict(SMALL, rope_theta=5000000, rotary_dim=8, use_qk_norm=True, qk_norm_type="per_layer",
           use_routing_bias=True, scoring_func="sigmoid", shared_intermediate_size=0, use_mtp=True,
           num_mtp_modules=3, mtp_transformer_layers=1, attn_type_list=[1, 1],
           auto_map={"AutoConfig": "configuration_minimax_m2.MiniMaxM2Config"},
           transformers_version="4.46.1", torch_dtype="bfloat16")  # fmt: skip
YARN = dict(rope_type="yarn", factor=2.0, original_max_position_embeddings=256)
LLAMA = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
             original_max_position_embeddings=64)  # fmt: skip
REFUSED = {"error": ["ValueError", "Exception"], "missing words": []}
LATE = "a config that cannot work is refused when the model is made; the reference fails in forward"

EARLY = ("original_max_position_embeddings at the top acts when the config is read; in the reference "
         "when the model is made")  # fmt: skip

CASES = [
    _keywords("defaults"),
    _keywords("small", **SMALL),
    _keywords("num_experts_is_an_alias", num_experts=12),
    _keywords("unknown_fields_are_kept", **SMALL, extra="x", nested={"a": [1, None, 2.5]}),
    _keywords("theta", **SMALL, rope_theta=1234.5),
    _keywords("partial_rotary_factor", **SMALL, partial_rotary_factor=0.25),
    _keywords("scaling_is_the_old_name", **SMALL, rope_theta=777.0,
              rope_scaling={"type": "linear", "factor": 3.0}),
    _keywords("scaling_null", **SMALL, rope_scaling=None, rope_theta=99.0),
    _keywords("parameters_without_theta", **SMALL, rope_parameters={"rope_type": "default"},
              rope_theta=55.0),
    _keywords("parameters_with_both_thetas", **SMALL, rope_theta=55.0,
              rope_parameters={"rope_type": "default", "rope_theta": 66.0}),
    _keywords("partial_in_both_places", **SMALL, partial_rotary_factor=0.25,
              rope_parameters={"rope_type": "default", "partial_rotary_factor": 0.5}),
    _keywords("linear", **SMALL, rope_parameters={"rope_type": "linear", "factor": 2.0}),
    _keywords("dynamic", **SMALL, rope_parameters={"rope_type": "dynamic", "factor": 2.0}),
    _keywords("yarn", **SMALL, rope_parameters=YARN),
    _keywords("yarn_original_from_the_top", EARLY,
              _rope("original_max_position_embeddings", 128, again=False), **SMALL,
              original_max_position_embeddings=128, rope_parameters=YARN),
    _keywords("yarn_original_missing", **SMALL,
              rope_parameters={"rope_type": "yarn", "factor": 2.0}),
    _keywords("longrope", **SMALL, rope_parameters={"rope_type": "longrope", "factor": 2.0,
                                                    "original_max_position_embeddings": 64,
                                                    "partial_rotary_factor": 0.5, **LISTS}),
    _keywords("llama3", **SMALL, rope_parameters=LLAMA),
    _keywords("null_ids", **{**SMALL, "pad_token_id": None, "eos_token_id": None,
                             "bos_token_id": None}),
    _keywords("eos_list", **{**SMALL, "eos_token_id": [2, 3]}),
    _keywords("generic_fields", **SMALL, output_hidden_states=True, return_dict=False),
    _keywords("labels", **SMALL, num_labels=3),
    _keywords("dtype", **SMALL, dtype="bfloat16"),
    _keywords("generation_fields_are_dropped", **SMALL, temperature=0.5, top_k=7, num_beams=4),
    _file("file_small", **SMALL),
    _file("file_hub", "rotary_dim is honoured, as the published model needs; the reference ignores "
          "it", _rope("partial_rotary_factor", 0.5), **HUB),
    _file("file_empty"),
    _file("file_torch_dtype", **SMALL, torch_dtype="float16"),
    _file("file_dtype_beats_torch_dtype", **SMALL, torch_dtype="float16", dtype="bfloat16"),
    _file("file_old_rope", **SMALL, rope_theta=10000.0,
          rope_scaling={"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 256}),
    _file("file_longrope", EARLY, _rope("original_max_position_embeddings", 64), **SMALL,
          rope_scaling={"type": "longrope", "factor": 2.0, **LISTS},
          original_max_position_embeddings=64, partial_rotary_factor=0.5),
    _file("file_infinity", **SMALL, extra={"__float__": "Infinity"}),
    _file("file_unicode", **SMALL, note="Grüße, 世界"),
    _file("file_quantization", **SMALL,
          quantization_config={"quant_method": "fp8", "weight_block_size": [128, 128],
                               "activation_scheme": "dynamic", "fmt": "float8_e4m3fn"}),
    _file("file_name_or_path", **SMALL, _name_or_path="somewhere"),
    Case("dict_round_trip", _dict),
    Case("attributes", _attributes),
    Case("keywords_of_from_pretrained", _keywords_of_from_pretrained),
    Case("keywords_of_from_dict", _keywords_of_from_dict),
    Case("equality", _equal),
    _rope_error("linear_without_factor", {"rope_type": "linear"}, ("factor", "linear")),
    _rope_error("dynamic_without_factor", {"rope_type": "dynamic"}, ("factor", "dynamic")),
    _rope_error("longrope_without_lists", {"rope_type": "longrope"}, ("short_factor", "longrope")),
    _rope_error("llama3_without_factors", {"rope_type": "llama3", "factor": 2.0},
                ("low_freq_factor", "llama3")),
    _build_error("unknown_activation", ("frobnicate",), hidden_act="frobnicate"),
    _build_error("unknown_rope_type", ("frobnicate",),
                 rope_parameters={"rope_type": "frobnicate", "rope_theta": 10.0}),
    _build_error("longrope_lists_of_a_wrong_length", ("short_factor",),
                 rope_parameters={"rope_type": "longrope", "factor": 2.0, "short_factor": [1.0],
                                  "long_factor": [1.0]}, difference=LATE, ours=REFUSED),
    _build_error("heads_not_a_multiple", ("num_key_value_heads",), num_key_value_heads=3,
                 difference=LATE, ours=REFUSED),
    _build_error("more_chosen_than_experts", ("num_experts_per_tok",), num_experts_per_tok=9,
                 difference=LATE, ours=REFUSED),
    _build_error("negative_size", ("hidden_size",), hidden_size=-1),
    _build_error("null_head_dim", ("head_dim",), head_dim=None),
    _build_error("wrong_type", ("hidden_size",), hidden_size="many"),
]  # fmt: skip
