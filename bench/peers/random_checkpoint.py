#!/usr/bin/env python3
"""Writes random weights of a config as the published checkpoint stores them: FP8 with a scale for each
128x128 block, embedding and head in BF16. For measuring how fast files are loaded; needs torch and
safetensors, and is quick on a machine with an NVIDIA device.

Usage: random_checkpoint.py --config bench/peers/real_widths.json --layers 3 --vocab 200064 DIRECTORY
"""

import argparse
import json
import pathlib

import torch
from safetensors.torch import save_file

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def normal(*shape: int, deviation: float) -> torch.Tensor:
    return torch.randn(*shape, device=DEVICE) * deviation


def fp8(name: str, rows: int, cols: int) -> dict:
    weight = normal(rows, cols, deviation=60).clamp(-400, 400).to(torch.float8_e4m3fn).cpu()
    return {f"{name}.weight": weight,
            f"{name}.weight_scale_inv": torch.full((-(-rows // 128), -(-cols // 128)), 2e-4)}  # fmt: skip


def bf16(rows: int, cols: int) -> torch.Tensor:
    return normal(rows, cols, deviation=0.02).bfloat16().cpu()


def ones(size: int) -> torch.Tensor:
    return torch.ones(size, dtype=torch.bfloat16)


def layer(prefix: str, config: dict) -> dict:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    q = config["num_attention_heads"] * config["head_dim"]
    kv = config["num_key_value_heads"] * config["head_dim"]
    experts = config["num_local_experts"]
    tensors = {
        f"{prefix}input_layernorm.weight": ones(hidden),
        f"{prefix}post_attention_layernorm.weight": ones(hidden),
        f"{prefix}self_attn.q_norm.weight": ones(q),
        f"{prefix}self_attn.k_norm.weight": ones(kv),
        f"{prefix}block_sparse_moe.gate.weight": normal(experts, hidden, deviation=0.02).cpu(),
        f"{prefix}block_sparse_moe.e_score_correction_bias": torch.zeros(experts),
    }
    for name, rows, cols in (("q", q, hidden), ("k", kv, hidden), ("v", kv, hidden), ("o", hidden, q)):
        tensors |= fp8(f"{prefix}self_attn.{name}_proj", rows, cols)
    for expert in range(experts):
        for name, rows, cols in (("w1", inner, hidden), ("w3", inner, hidden), ("w2", hidden, inner)):
            tensors |= fp8(f"{prefix}block_sparse_moe.experts.{expert}.{name}", rows, cols)
    return tensors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--layers", type=int, required=True)
    parser.add_argument("--vocab", type=int)
    parser.add_argument("directory", type=pathlib.Path)
    arguments = parser.parse_args()
    config = json.loads(pathlib.Path(arguments.config).read_text())
    config["num_hidden_layers"] = arguments.layers
    config["vocab_size"] = arguments.vocab or config["vocab_size"]
    config["quantization_config"] = {"quant_method": "fp8", "fmt": "float8_e4m3",
                                     "weight_block_size": [128, 128], "activation_scheme": "dynamic"}  # fmt: skip
    torch.manual_seed(1)
    arguments.directory.mkdir(parents=True)
    files = {}

    def save(name: str, tensors: dict) -> None:
        save_file(tensors, arguments.directory / name)
        files.update(dict.fromkeys(tensors, name))

    vocab, hidden = config["vocab_size"], config["hidden_size"]
    save("model-00000.safetensors", {"model.embed_tokens.weight": bf16(vocab, hidden),
                                     "model.norm.weight": ones(hidden),
                                     "lm_head.weight": bf16(vocab, hidden)})  # fmt: skip
    for index in range(arguments.layers):
        save(f"model-{index + 1:05}.safetensors", layer(f"model.layers.{index}.", config))
    index = {"metadata": {}, "weight_map": files}
    (arguments.directory / "model.safetensors.index.json").write_text(json.dumps(index))
    (arguments.directory / "config.json").write_text(json.dumps(config, indent=2))


if __name__ == "__main__":
    main()
