#!/usr/bin/env python3
"""Writes a GGUF file with random weights of a MiniMax-M2 config.json, for comparisons of speed.

Usage: random_gguf.py --config config.json [--layers N] [--vocab N] --type q4_0|q8_0|q4_k|q5_k|q6_k|iq4_xs
    OUT.gguf

Matrices get random codes with small scales; norms are 1, the router is random and its bias 0, so that
routing is nearly even. The head is Q8_0 beside q4_0 and q8_0, and Q6_K else. Has no tokenizer. Needs the
packages numpy and gguf. One matrix stack at a time is in memory.
"""

import argparse
import json

import gguf
import numpy as np

QUANTS = {"q4_0": gguf.GGMLQuantizationType.Q4_0, "q8_0": gguf.GGMLQuantizationType.Q8_0,
          "q4_k": gguf.GGMLQuantizationType.Q4_K, "q5_k": gguf.GGMLQuantizationType.Q5_K,
          "q6_k": gguf.GGMLQuantizationType.Q6_K, "iq4_xs": gguf.GGMLQuantizationType.IQ4_XS}
# The head has more bits than the other matrices.
HEADS = {"q4_0": "q8_0", "q8_0": "q8_0"}
# Where the f16 numbers of a block lie, and about what one unit of them stands for.
SCALES = {gguf.GGMLQuantizationType.Q4_0: ([0], 4.6), gguf.GGMLQuantizationType.Q8_0: ([0], 74.0),
          gguf.GGMLQuantizationType.Q4_K: ([0, 2], 280.0),
          gguf.GGMLQuantizationType.Q5_K: ([0, 2], 560.0),
          gguf.GGMLQuantizationType.Q6_K: ([208], 74.0 * 18),
          gguf.GGMLQuantizationType.IQ4_XS: ([0], 74.0 * 18)}


def tensors(config: dict, quant, head):
    """Name, shape (outermost first) and type of every tensor."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    experts, vocab = config["num_local_experts"], config["vocab_size"]
    q = config["num_attention_heads"] * config["head_dim"]
    kv = config["num_key_value_heads"] * config["head_dim"]
    yield "token_embd.weight", (vocab, hidden), quant
    yield "output.weight", (vocab, hidden), head
    yield "output_norm.weight", (hidden,), None
    for i in range(config["num_hidden_layers"]):
        for name, shape in {"attn_norm.weight": (hidden,), "ffn_norm.weight": (hidden,),
                            "attn_q_norm.weight": (q,), "attn_k_norm.weight": (kv,),
                            "exp_probs_b.bias": (experts,),
                            "ffn_gate_inp.weight": (experts, hidden)}.items():  # fmt: skip
            yield f"blk.{i}.{name}", shape, None
        for name, shape in {"attn_q": (q, hidden), "attn_k": (kv, hidden), "attn_v": (kv, hidden),
                            "attn_output": (hidden, q),
                            "ffn_gate_exps": (experts, inner, hidden),
                            "ffn_up_exps": (experts, inner, hidden),
                            "ffn_down_exps": (experts, hidden, inner)}.items():  # fmt: skip
            yield f"blk.{i}.{name}.weight", shape, quant


def floats(name: str, shape: tuple, random) -> np.ndarray:
    if name.endswith("exp_probs_b.bias"):
        return np.zeros(shape, np.float32)
    if len(shape) == 1:
        return np.ones(shape, np.float32)
    return random.normal(0, shape[-1] ** -0.5, shape).astype(np.float32)


def codes(shape: tuple, quant, random) -> np.ndarray:
    elements, size = gguf.GGML_QUANT_SIZES[quant]
    count = int(np.prod(shape)) // elements
    blocks = np.frombuffer(random.bytes(count * size), np.uint8).reshape(count, size).copy()
    places, unit = SCALES[quant]
    scale = random.uniform(0.7, 1.3, count) * (shape[-1] ** -0.5 / unit)
    # Codes have a mean: with scales of one sign all tokens would be alike and go to the same experts.
    scale *= random.choice([-1.0, 1.0], count)
    for place in places:
        blocks[:, place : place + 2] = scale.astype(np.float16).view(np.uint8).reshape(count, 2)
    return blocks.reshape(*shape[:-1], -1)


def add_config(writer: gguf.GGUFWriter, config: dict) -> None:
    rope = config.get("rope_parameters") or config
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_expert_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(config["rotary_dim"])
    writer.add_expert_count(config["num_local_experts"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("none")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--layers", type=int)
    parser.add_argument("--vocab", type=int)
    parser.add_argument("--type", choices=QUANTS, required=True)
    parser.add_argument("out")
    arguments = parser.parse_args()
    with open(arguments.config) as file:
        config = json.load(file)
    if arguments.layers:
        config["num_hidden_layers"] = arguments.layers
    config["vocab_size"] = arguments.vocab or config["vocab_size"]
    quant = QUANTS[arguments.type]
    head = QUANTS[HEADS.get(arguments.type, "q6_k")]
    writer = gguf.GGUFWriter(arguments.out, "minimax-m2")
    add_config(writer, config)
    listed = list(tensors(config, quant, head))
    for name, shape, kind in listed:
        if kind is None:
            writer.add_tensor_info(name, shape, np.dtype(np.float32), int(np.prod(shape)) * 4)
            continue
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        stored = (*shape[:-1], shape[-1] // elements * size)
        writer.add_tensor_info(name, stored, np.dtype(np.uint8), int(np.prod(stored)), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    random = np.random.default_rng(1)
    for name, shape, kind in listed:
        writer.write_tensor_data(floats(name, shape, random) if kind is None
                                 else codes(shape, kind, random))  # fmt: skip
    writer.close()


if __name__ == "__main__":
    main()
