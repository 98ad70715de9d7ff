#!/usr/bin/env python3
"""Writes the tiny checkpoints of tests/golden/checkpoints and what transformers computes with them.

Usage: make_checkpoints.py [output directory]. Needs torch, safetensors and transformers 5.1.0.

Each folder holds a seeded random model as save_pretrained writes it, and golden.safetensors with
inputs and float32 results of the eager implementation: a batch of two rows, the second padded on
the left.
"""

import json
import pathlib
import shutil
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import MiniMaxM2Config, MiniMaxM2ForCausalLM
from transformers.utils import logging

ROOT = pathlib.Path(__file__).resolve().parent.parent
PADS = 3  # on the left of the second row
PROMPT = 9
NEW_TOKENS = 64

SHAPE = dict(
    vocab_size=96, hidden_size=32, intermediate_size=16, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, head_dim=16, num_local_experts=8,
    num_experts_per_tok=2, max_position_embeddings=512, pad_token_id=0, bos_token_id=1,
    eos_token_id=2, rms_norm_eps=1e-6,
)  # fmt: skip


def make_config(partial=0.5, theta=10000.0, **changes):
    rope = {"rope_type": "default", "rope_theta": theta, "partial_rotary_factor": partial}
    return MiniMaxM2Config(**{**SHAPE, "rope_parameters": rope, **changes})


def random_model(config, seed):
    """Weights of a realistic spread: unit activations, uneven norms, a bias that moves experts."""
    generator = torch.Generator().manual_seed(seed)
    model = MiniMaxM2ForCausalLM(config).eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            noise = torch.randn(tensor.shape, generator=generator)
            if name.endswith("e_score_correction_bias"):
                tensor.copy_(0.3 * noise)
            elif "norm" in name:
                tensor.copy_(1.0 + 0.25 * noise)
            elif "embed_tokens" in name:
                tensor.copy_(noise)
            else:
                gain = 2.0 if "gate.weight" in name or "lm_head" in name else 1.2
                tensor.copy_(gain * noise / tensor.shape[-1] ** 0.5)
    return model


def inputs_for(config, seed):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, config.vocab_size, (2, PROMPT), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, :PADS] = 0
    ids[1, :PADS] = config.pad_token_id
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    return {"input_ids": ids, "attention_mask": mask, "position_ids": positions}


def check_bias_matters(router_logits, config, model):
    """The correction bias must change which experts are chosen, or a test could not see it."""
    changed = total = 0
    for layer, logits in zip(model.model.layers, router_logits):
        scores = torch.sigmoid(logits)
        k = config.num_experts_per_tok
        plain = scores.topk(k).indices.sort().values
        biased = (scores + layer.mlp.e_score_correction_bias).topk(k).indices.sort().values
        changed += int((plain != biased).any(-1).sum())
        total += len(logits)
    assert changed * 10 > total, f"the bias changes only {changed} of {total} choices"


def golden(model, seed):
    config = model.config
    inputs = inputs_for(config, seed)
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    with torch.no_grad():
        out = model(**inputs, labels=labels, use_cache=False, output_hidden_states=True,
                    output_attentions=True, output_router_logits=True)  # fmt: skip
        plain = model(input_ids=inputs["input_ids"][:1], use_cache=False)
        generated = model.generate(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"],
            max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=None,
            pad_token_id=config.pad_token_id, output_logits=True, return_dict_in_generate=True,
        )  # fmt: skip
    check_bias_matters(out.router_logits, config, model)
    best = torch.stack(generated.logits).topk(2).values
    margin = float((best[..., 0] - best[..., 1]).min())
    tensors = {
        **inputs, "labels": labels, "logits": out.logits, "loss": out.loss,
        "aux_loss": out.aux_loss, "logits_unpadded": plain.logits,
        "generated": generated.sequences[:, PROMPT:],
    }  # fmt: skip
    for name, values in (("hidden_states", out.hidden_states), ("attentions", out.attentions),
                         ("router_logits", out.router_logits)):  # fmt: skip
        tensors |= {f"{name}.{i}": value for i, value in enumerate(values)}
    return {name: value.contiguous().clone() for name, value in tensors.items()}, margin


def reload(directory):
    model, info = MiniMaxM2ForCausalLM.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager",
        experts_implementation="eager", output_loading_info=True,
    )  # fmt: skip
    assert not any(info.values()), info
    return model.eval()


def write_golden(directory, model, seed):
    tensors, margin = golden(model, seed)
    save_file(tensors, directory / "golden.safetensors", metadata={"format": "pt"})
    size = sum(path.stat().st_size for path in directory.iterdir())
    print(f"{directory.name:20} {size:8} bytes, smallest margin of greedy search {margin:.2e}")
    # A smaller margin would let rounding decide between two tokens.
    assert margin > 2e-4, "choose another seed"


def edit_config(directory, change):
    path = directory / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def to_hub_form(config):
    """As the published files: rope_theta and rotary_dim at the top, fields the model ignores."""
    rope = config.pop("rope_parameters")
    config["rope_theta"] = int(rope["rope_theta"])
    config["rotary_dim"] = int(config["head_dim"] * rope.get("partial_rotary_factor", 1.0))
    config |= {"use_qk_norm": True, "qk_norm_type": "per_layer", "use_routing_bias": True,
               "scoring_func": "sigmoid", "shared_intermediate_size": 0, "use_mtp": True,
               "num_mtp_modules": 3, "mtp_transformer_layers": 1,
               "attn_type_list": [1] * config["num_hidden_layers"]}  # fmt: skip
    config.pop("dtype", None)


def quantise(weight, block):
    """e4m3 numbers and the scales that multiply them; edge blocks may be partial."""
    rows, cols = weight.shape
    scales = torch.empty(-(-rows // block[0]), -(-cols // block[1]))
    numbers = torch.empty_like(weight)
    for i in range(scales.shape[0]):
        for j in range(scales.shape[1]):
            part = (slice(i * block[0], (i + 1) * block[0]), slice(j * block[1], (j + 1) * block[1]))
            scales[i, j] = weight[part].abs().max() / 448.0
            numbers[part] = (weight[part] / scales[i, j]).clamp(-448, 448)
    return numbers.to(torch.float8_e4m3fn), scales


def dequantise(numbers, scales, block):
    spread = scales.repeat_interleave(block[0], 0).repeat_interleave(block[1], 1)
    return numbers.float() * spread[: numbers.shape[0], : numbers.shape[1]]


def quantised_state(state, block):
    """Splits hub-named tensors as the published FP8 files do, and gives what they stand for."""
    stored, meant = {}, {}
    for name, tensor in state.items():
        if "_proj.weight" in name or ".experts." in name:
            numbers, scales = quantise(tensor, block)
            stored[name] = numbers
            stored[name + "_scale_inv"] = scales
            meant[name] = dequantise(numbers, scales, block)
        elif ".gate." in name or "correction_bias" in name:
            stored[name] = meant[name] = tensor
        else:
            stored[name] = tensor.to(torch.bfloat16)
            meant[name] = stored[name].float()
    return stored, meant


def make_fp8(directory, config, seed, block):
    random_model(config, seed).save_pretrained(directory)
    weights = directory / "model.safetensors"
    stored, meant = quantised_state(load_file(weights), block)
    save_file(meant, weights, metadata={"format": "pt"})
    model = reload(directory)
    save_file(stored, weights, metadata={"format": "pt"})

    def set_quantization(fields):
        to_hub_form(fields)
        fields["quantization_config"] = {
            "activation_scheme": "dynamic", "fmt": "float8_e4m3fn", "quant_method": "fp8",
            "weight_block_size": list(block),
            "modules_to_not_convert": ["gate", "e_score_correction_bias", "lm_head"],
        }  # fmt: skip

    edit_config(directory, set_quantization)
    write_golden(directory, model, seed)


def make_plain(directory, config, seed, dtype=torch.float32, change=None, **save):
    random_model(config, seed).to(dtype).save_pretrained(directory, **save)
    model = reload(directory)
    if change is not None:
        edit_config(directory, change)
    write_golden(directory, model, seed)


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "tests/golden/checkpoints"
    shutil.rmtree(out, ignore_errors=True)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)

    def at(name):
        (out / name).mkdir(parents=True)
        return out / name

    small = dict(hidden_size=24, num_local_experts=4, intermediate_size=20)
    make_plain(at("gqa"), make_config(), 1)
    make_plain(at("mqa"), make_config(num_key_value_heads=1, num_local_experts=5, hidden_size=24,
                                      num_experts_per_tok=3, vocab_size=99), 2)  # fmt: skip
    make_plain(at("mha"), make_config(partial=1.0, num_attention_heads=2, hidden_act="gelu",
                                      **small), 3)  # fmt: skip
    make_plain(at("tied"), make_config(tie_word_embeddings=True, **small), 4)
    make_plain(at("bf16"), make_config(), 5, torch.bfloat16)
    make_plain(at("f16"), make_config(**small), 6, torch.float16)
    make_plain(at("sharded"), make_config(num_hidden_layers=3, **small), 7, max_shard_size="30KB")
    make_plain(at("internal_names"), make_config(**small), 8, save_original_format=False)
    make_plain(at("hub_config"), make_config(theta=5000000.0, **small), 9, change=to_hub_form)
    make_fp8(at("fp8"), make_config(hidden_size=136, intermediate_size=88, num_hidden_layers=1,
                                    num_attention_heads=6, num_key_value_heads=2, head_dim=24,
                                    num_local_experts=4), 10, (128, 128))  # fmt: skip
    make_fp8(at("fp8_small_blocks"), make_config(hidden_size=40, intermediate_size=24), 11, (16, 32))


if __name__ == "__main__":
    main()
