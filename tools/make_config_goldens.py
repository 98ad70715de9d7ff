#!/usr/bin/env python3
"""Writes tests/golden/config/cases.json: config files and what transformers 5.1.0 makes of them.

Usage: make_config_goldens.py [output file]. Each case has the text of a config.json, the text that
save_pretrained writes after a model was built from it, and how many warnings there were; or the
kind of the error.
"""

import json
import logging as python_logging
import pathlib
import sys
import tempfile

from transformers import MiniMaxM2Config
from transformers.models.minimax_m2.modeling_minimax_m2 import MiniMaxM2RotaryEmbedding
from transformers.utils import logging

ROOT = pathlib.Path(__file__).resolve().parent.parent
HUB = {
    "architectures": ["MiniMaxM2ForCausalLM"], "attn_type_list": [1, 1], "auto_map": {
        "AutoConfig": "configuration_minimax_m2.MiniMaxM2Config",
        "AutoModelForCausalLM": "modeling_minimax_m2.MiniMaxM2ForCausalLM"},
    "head_dim": 128, "hidden_act": "silu", "hidden_size": 3072, "intermediate_size": 1536,
    "max_position_embeddings": 196608, "model_type": "minimax_m2", "mtp_transformer_layers": 1,
    "num_attention_heads": 48, "num_experts_per_tok": 8, "num_hidden_layers": 62,
    "num_key_value_heads": 8, "num_local_experts": 256, "num_mtp_modules": 3,
    "qk_norm_type": "per_layer",
    "quantization_config": {"activation_scheme": "dynamic", "fmt": "float8_e4m3fn",
                            "quant_method": "fp8", "weight_block_size": [128, 128],
                            "modules_to_not_convert": ["gate", "e_score_correction_bias",
                                                       "lm_head"]},
    "rms_norm_eps": 1e-06, "rope_theta": 5000000, "rotary_dim": 64, "scoring_func": "sigmoid",
    "shared_intermediate_size": 0, "tie_word_embeddings": False, "transformers_version": "4.46.1",
    "use_cache": True, "use_mtp": True, "use_qk_norm": True, "use_routing_bias": True,
    "vocab_size": 200064,
}  # fmt: skip
LONG = dict(short_factor=[1.0, 1.5], long_factor=[2, 4.0])
LLAMA = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0)


def rope(**parameters):
    return {"rope_parameters": parameters}


CASES = {
    "empty": {},
    "hub": HUB,
    "hub_m27": HUB | {"max_position_embeddings": 204800, "torch_dtype": "bfloat16"},
    "num_experts": {"num_experts": 16},
    "num_experts_wins": {"num_local_experts": 32, "num_experts": 16},
    "dtypes": {"dtype": "float16", "torch_dtype": "bfloat16"},
    "legacy_dtype": {"torch_dtype": "half"},
    "null_dtype": {"dtype": None, "torch_dtype": None},
    "integer_floats": {"rms_norm_eps": 1, "initializer_range": 0, "attention_dropout": 0,
                       "router_aux_loss_coef": 1, "router_jitter_noise": 0},
    "odd_floats": {"rms_norm_eps": 1e-5, "initializer_range": 0.1, "router_aux_loss_coef": 1e16,
                   "a": 1e15, "b": 123456789.125, "c": 0.0001, "d": 0.00001, "e": 1e22, "f": -0.0,
                   "g": 1.7976931348623157e308, "h": 5e-324, "i": [1, 1.0, 2.5e-7]},
    "eos_list": {"eos_token_id": [1, 2]},
    "eos_list_of_one": {"eos_token_id": [7]},
    "eos_null": {"eos_token_id": None, "bos_token_id": None, "pad_token_id": 3},
    "unknown_keys": {"zeta": {"b": [1, 2.5], "a": "\u00fc\u007f\u2028\U0001F600\"\\\n"},
                     "alpha": None, "empty": {}, "none": [], "nested": {"_commit_hash": "x", "y": 1},
                     "Zeta": True, "numbers": {"10": 1, "9": 2}},
    "special_floats": {"inf": {"__float__": "Infinity"}, "list": [{"__float__": "-Infinity"}]},
    "generic_defaults": {"return_dict": True, "output_hidden_states": False,
                         "output_attentions": False, "chunk_size_feed_forward": 0,
                         "is_encoder_decoder": False, "problem_type": None,
                         "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
                         "label2id": {"LABEL_0": 0, "LABEL_1": 1}},
    "generic_changed": {"return_dict": False, "output_hidden_states": True,
                        "output_attentions": True, "chunk_size_feed_forward": 4,
                        "problem_type": "regression"},
    "num_labels": {"num_labels": 12},
    "two_labels": {"num_labels": 2},
    "id2label": {"id2label": {"1": "b", "0": "a", "10": "c"}},
    "private_keys": {"_name_or_path": "x", "name_or_path": "y", "_commit_hash": "z",
                     "attn_implementation": "eager", "experts_implementation": "eager",
                     "_attn_implementation": "sdpa"},
    "generation_keys": {"temperature": 0.5, "top_k": 3, "do_sample": True, "max_length": 5,
                        "num_beams": 2, "bad_words_ids": [[1]], "top_h": 0.5},
    "other_model_type": {"model_type": "llama"},
    "fp8_null_block": {"quantization_config": {"quant_method": "fp8", "weight_block_size": None}},
    "fp8_static": {"quantization_config": {"quant_method": "fp8", "activation_scheme": "STATIC"}},
    "rope_theta": {"rope_theta": 10000.0},
    "rope_both_thetas": {"rope_theta": 2.0, **rope(rope_theta=3.0)},
    "rope_legacy_scaling": {"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_theta": 77.0,
                            **rope(rope_type="dynamic", factor=4.0, rope_theta=3.0)},
    "rope_null_scaling": {"rope_scaling": None, **rope(rope_theta=3)},
    "partial_top": {"partial_rotary_factor": 0.5},
    "partial_both": {"partial_rotary_factor": 0.5, **rope(partial_rotary_factor=0.25)},
    "partial_both_linear": {"partial_rotary_factor": 0.5,
                            **rope(rope_type="linear", factor=2.0, partial_rotary_factor=0.25)},
    "linear_integer": rope(rope_type="linear", factor=2),
    "linear_small": rope(rope_type="linear", factor=0.5),
    "linear_unused_key": rope(rope_type="linear", factor=2.0, beta=1, attention_factor=None),
    "dynamic": rope(rope_type="dynamic", factor=2.0),
    "yarn": rope(rope_type="yarn", factor=2.0),
    "yarn_original": rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=49152),
    "yarn_all": rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=4096,
                     attention_factor=1, beta_fast=1, beta_slow=2.0, mscale=1.0,
                     mscale_all_dim=0.5, truncate=False),
    "yarn_top_original": {"original_max_position_embeddings": 8192,
                          **rope(rope_type="yarn", factor=24.0,
                                 original_max_position_embeddings=4096)},
    "longrope": {"head_dim": 4, **rope(rope_type="longrope", factor=4.0, **LONG)},
    "longrope_no_factor": {"head_dim": 4, **rope(rope_type="longrope", **LONG,
                                                 original_max_position_embeddings=4096)},
    "llama3": rope(**LLAMA, original_max_position_embeddings=8192),
    "llama3_odd": rope(**(LLAMA | {"low_freq_factor": 4, "high_freq_factor": 1.0})),
    "default_with_factor": rope(rope_type="default", factor=2.0),
    "error_linear": rope(rope_type="linear"),
    "error_yarn": rope(rope_type="yarn"),
    "error_longrope": rope(rope_type="longrope", short_factor=[1.0]),
    "error_llama3": rope(rope_type="llama3", factor=2.0),
    "error_problem_type": {"problem_type": "chess"},
}  # fmt: skip


class Counter(python_logging.Handler):
    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


def run(fields, counter):
    counter.messages.clear()
    logging.get_logger("transformers").warning_once.cache_clear()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "config.json")
        path.write_text(json.dumps(fields))
        try:
            config = MiniMaxM2Config.from_pretrained(folder)
            warnings = list(counter.messages)
            MiniMaxM2RotaryEmbedding(config, device="cpu")
        except (KeyError, ValueError, AttributeError) as error:
            return {"error": type(error).__name__}
        config.save_pretrained(folder)
        return {"text": path.read_text(), "warnings": warnings}


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "tests/golden/config/cases.json"
    counter = Counter()
    logging.disable_default_handler()
    logging.add_handler(counter)
    cases = [{"name": name, "config": json.dumps(fields), **run(fields, counter)}
             for name, fields in CASES.items()]  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(cases, indent=1) + "\n")
    print(f"{out}: {len(cases)} cases")


if __name__ == "__main__":
    main()
