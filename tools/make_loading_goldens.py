#!/usr/bin/env python3
"""Writes tests/golden/loading/cases.json: what transformers 5.1.0 reports of odd checkpoints.

Usage: make_loading_goldens.py [output file]. Each case edits a golden checkpoint (tensors dropped,
added as zeros, or config values changed) and has the four sets of output_loading_info, or the error.
"""

import json
import pathlib
import shutil
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file
from transformers import MiniMaxM2ForCausalLM, MiniMaxM2Model
from transformers.utils import logging

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHECKPOINTS = ROOT / "tests/golden/checkpoints"
MOE = "model.layers.0.block_sparse_moe."


def case(name, golden="gqa", drop=(), put=None, config=None, bare=False, ignore=True):
    return dict(name=name, golden=golden, drop=list(drop), put=put or {}, config=config or {},
                bare=bare, ignore=ignore)  # fmt: skip


CASES = [
    case("complete"),
    case("complete_tied", "tied"),
    case("complete_bare", bare=True),
    case("no_head", drop=["lm_head.weight"]),
    case("no_norm", drop=["model.norm.weight"]),
    case("no_embedding_tied", "tied", drop=["model.embed_tokens.weight"]),
    case("no_router", drop=[MOE + "gate.weight", MOE + "e_score_correction_bias"]),
    case("no_experts", drop=[f"{MOE}experts.{e}.w{w}.weight" for e in range(8) for w in (1, 2, 3)]),
    case("no_down", drop=[f"{MOE}experts.{e}.w2.weight" for e in range(8)]),
    case("one_expert_absent", drop=[f"{MOE}experts.7.w{w}.weight" for w in (1, 2, 3)]),
    case("expert_too_many", put={f"{MOE}experts.8.w{w}.weight": [32, 16] if w == 2 else [16, 32]
                                 for w in (1, 2, 3)}),
    case("extra_tensors", put={"model.mtp.weight": [3], "model.layers.0.self_attn.q_proj.bias": [64]}),
    case("extra_layer", put={"model.layers.2.input_layernorm.weight": [32],
                             "model.layers.2.block_sparse_moe.gate.weight": [8, 32],
                             "model.layers.2.block_sparse_moe.experts.0.w2.weight": [32, 16]}),
    case("inv_freq", put={"model.layers.0.self_attn.rotary_emb.inv_freq": [4]}),
    case("other_vocabulary", config={"vocab_size": 50}),
    case("other_expert_width", config={"intermediate_size": 8}),
    case("fewer_experts", config={"num_local_experts": 6}),
    case("more_layers", config={"num_hidden_layers": 3}),
    case("fused_absent", "internal_names", drop=["model.layers.1.mlp.experts.down_proj"]),
    case("fused_other", "internal_names", put={"model.layers.1.mlp.experts.down_proj": [3, 24, 20]}),
]  # fmt: skip


def run(item):
    with tempfile.TemporaryDirectory() as folder:
        target = pathlib.Path(folder, "model")
        shutil.copytree(CHECKPOINTS / item["golden"], target)
        tensors = load_file(target / "model.safetensors")
        for name in item["drop"]:
            del tensors[name]
        tensors |= {name: torch.zeros(shape) for name, shape in item["put"].items()}
        save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
        config = json.loads((target / "config.json").read_text()) | item["config"]
        (target / "config.json").write_text(json.dumps(config))
        model_class = MiniMaxM2Model if item["bare"] else MiniMaxM2ForCausalLM
        try:
            _, info = model_class.from_pretrained(
                target, output_loading_info=True, ignore_mismatched_sizes=item["ignore"]
            )
        except (RuntimeError, ValueError) as error:
            return {"error": type(error).__name__}
    return {
        "missing_keys": sorted(info["missing_keys"]),
        "unexpected_keys": sorted(info["unexpected_keys"]),
        "mismatched_keys": sorted([name, list(a), list(b)]
                                  for name, a, b in info["mismatched_keys"]),
    }  # fmt: skip


def main():
    default = ROOT / "tests/golden/loading/cases.json"
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps([item | run(item) for item in CASES], indent=1) + "\n")
    print(f"{out}: {len(CASES)} cases")


if __name__ == "__main__":
    main()
