#!/usr/bin/env python3
"""Writes tests/golden/rope: rotary frequencies and tables of transformers for every rope type.

Usage: make_rope_goldens.py [output directory]. Needs torch, safetensors and transformers 5.1.0.

configs.json maps a case to its config.json; tables.safetensors holds for every case the frequencies
and attention scale after construction and, for every batch of positions, cosines and sines [T, R/2].
Every batch runs on a fresh module, so none sees the state that a longer one left behind.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import MiniMaxM2Config
from transformers.models.minimax_m2.modeling_minimax_m2 import MiniMaxM2RotaryEmbedding
from transformers.utils import logging

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAX_POSITIONS = 4096

BATCHES = {
    "short": [0, 1, 2, 3, 17, 100, 1000, 1023],
    "original": [1024, 5, 0, 2047],
    "long": [4095, 4096, 9000, 8, 65535],
    "far": [196607, 1 << 20, 3],
}


def spread(first, last, count):
    return [first + (last - first) * i / (count - 1) for i in range(count)]


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}
LONGROPE = {
    "rope_type": "longrope", "original_max_position_embeddings": 1024,
    "short_factor": spread(1.0, 1.7, 16), "long_factor": spread(1.1, 30.0, 16),
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 1024,
}  # fmt: skip

CASES = {
    "default": {},
    "default_full": {"partial_rotary_factor": 1.0},
    "default_published": {"rope_theta": 5000000.0, "head_dim": 128},
    "linear": {"rope_type": "linear", "factor": 2.5},
    "dynamic": {"rope_type": "dynamic", "factor": 2.5},
    "dynamic_theta": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 5000000.0},
    "yarn": YARN,
    "yarn_published": YARN | {"rope_theta": 5000000.0, "head_dim": 128},
    "yarn_mscale": YARN | {"mscale": 0.9, "mscale_all_dim": 0.6},
    "yarn_attention_factor": YARN | {"attention_factor": 1.25},
    "yarn_betas": YARN | {"beta_fast": 16.0, "beta_slow": 2.0, "truncate": False},
    "yarn_zero_betas": YARN | {"beta_fast": 0.0, "beta_slow": None},
    "yarn_null_factor": YARN | {"factor": None},
    "yarn_narrow": YARN | {"beta_fast": 4.0, "beta_slow": 4.0, "truncate": False},
    "longrope": LONGROPE,
    "longrope_factor": LONGROPE | {"factor": 16.0},
    "longrope_small_factor": LONGROPE | {"factor": 0.5},
    "longrope_attention_factor": LONGROPE | {"attention_factor": 1.1},
    "llama3": LLAMA3,
    "llama3_published": LLAMA3 | {"rope_theta": 5000000.0, "head_dim": 128},
}


def config_fields(case):
    rope = {"rope_theta": 10000.0, "partial_rotary_factor": 0.5} | case
    head_dim = rope.pop("head_dim", 64)
    return {
        "model_type": "minimax_m2", "head_dim": head_dim, "rope_parameters": rope,
        "max_position_embeddings": MAX_POSITIONS,
    }  # fmt: skip


def tables(name, fields):
    def module():
        copied = json.loads(json.dumps(fields))
        return MiniMaxM2RotaryEmbedding(MiniMaxM2Config(**copied))

    built = module()
    half = built.inv_freq.numel()
    yield f"{name}.inv_freq", built.inv_freq.clone()
    yield f"{name}.attention_scale", torch.tensor(float(built.attention_scaling))
    for batch, positions in BATCHES.items():
        rope = module()
        cos, sin = rope(torch.zeros(1), torch.tensor([positions]))
        yield f"{name}.{batch}.inv_freq", rope.inv_freq.clone()
        yield f"{name}.{batch}.cos", cos[0, :, :half].contiguous()
        yield f"{name}.{batch}.sin", sin[0, :, :half].contiguous()


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "tests/golden/rope"
    out.mkdir(parents=True, exist_ok=True)
    logging.set_verbosity_error()
    configs = {name: config_fields(case) for name, case in CASES.items()}
    tensors = {f"positions.{name}": torch.tensor(values) for name, values in BATCHES.items()}
    for name, fields in configs.items():
        tensors |= dict(tables(name, fields))
    save_file(tensors, out / "tables.safetensors", metadata={"format": "pt"})
    (out / "configs.json").write_text(json.dumps(configs, indent=1) + "\n")


if __name__ == "__main__":
    main()
