#!/usr/bin/env python3
"""Compares m2 live with transformers: forward passes, losses and greedy continuations.

Usage: compare_reference.py --binary build/release/m2. Runs in the environment that
tools/reference_environment.sh builds. Every golden checkpoint and the shipped model are loaded by
both sides; the inputs are fresh random batches. Prints the largest error of each case; exits 1 when
one is over its bound.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from safetensors.numpy import load_file
from transformers import MiniMaxM2Config, MiniMaxM2ForCausalLM
from transformers.utils import logging

ROOT = pathlib.Path(__file__).resolve().parent.parent
BOUND = 1e-4  # absolute, on float32 logits and every other output
NEW_TOKENS = 64
# transformers cannot load block-scaled FP8 on a CPU; these are compared with its float32 results
# on the same dequantised weights in the committed goldens instead.
SKIPPED = {"fp8", "fp8_small_blocks"}


def directories():
    checkpoints = sorted((ROOT / "tests/golden/checkpoints").iterdir())
    yield from (path for path in checkpoints if path.name not in SKIPPED)
    yield ROOT / "models/tiny-agent"


def random_batch(config, seed):
    generator = torch.Generator().manual_seed(seed)
    length = int(torch.randint(2, 40, (1,), generator=generator))
    ids = torch.randint(3, min(config.vocab_size, 2000), (3, length), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, : length // 3] = 0
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    labels = ids.masked_fill(mask == 0, -100)
    return {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "labels": labels}


def run(binary, *arguments):
    done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


def ours_forward(binary, directory, batch, scratch):
    inputs = scratch / "inputs.json"
    inputs.write_text(json.dumps({key: value.tolist() for key, value in batch.items()}))
    out = scratch / "out.safetensors"
    run(binary, "forward", "--model", directory, "--inputs", inputs, "--out", out,
        "--hidden-states", "--router-logits", "--attentions")  # fmt: skip
    return load_file(out)


def reference_forward(model, batch):
    with torch.no_grad():
        out = model(**batch, use_cache=False, output_hidden_states=True, output_attentions=True,
                    output_router_logits=True)  # fmt: skip
    tensors = {"logits": out.logits, "loss": out.loss, "aux_loss": out.aux_loss}
    for name in ("hidden_states", "attentions", "router_logits"):
        tensors |= {f"{name}.{i}": value for i, value in enumerate(out[name])}
    return {name: value.numpy() for name, value in tensors.items()}


def greedy_difference(binary, directory, model, batch, scratch):
    """Rows that differ, and whether each difference is a tie within the error bound."""
    prompt = {key: batch[key] for key in ("input_ids", "attention_mask")}
    inputs = scratch / "prompt.json"
    inputs.write_text(json.dumps({key: value.tolist() for key, value in prompt.items()}))
    options = scratch / "generation.json"
    options.write_text(json.dumps({"max_new_tokens": NEW_TOKENS, "do_sample": False,
                                   "eos_token_id": None}))  # fmt: skip
    ours = json.loads(run(binary, "generate", "--model", directory, "--inputs", inputs,
                          "--generation-config", options))["sequences"]  # fmt: skip
    pad = model.generation_config.pad_token_id or 0
    theirs = model.generate(**prompt, max_new_tokens=NEW_TOKENS, do_sample=False,
                            eos_token_id=None, pad_token_id=pad, output_logits=True,
                            return_dict_in_generate=True)  # fmt: skip
    length = prompt["input_ids"].shape[1]
    different = 0
    for row, expected in enumerate(theirs.sequences.tolist()):
        if ours[row] == expected:
            continue
        step = next(i for i, (a, b) in enumerate(zip(ours[row], expected)) if a != b) - length
        logits = theirs.logits[step][row]
        gap = float(logits[expected[length + step]] - logits[ours[row][length + step]])
        print(f"    row {row} differs at token {step}, logit gap {gap:.1e}")
        different += gap > 2 * BOUND
    return different


def load_reference(directory):
    config = MiniMaxM2Config.from_pretrained(directory)
    rotary_dim = getattr(config, "rotary_dim", None)
    if rotary_dim and "partial_rotary_factor" not in config.rope_parameters:
        # transformers 5.1.0 ignores the hub's rotary_dim and would rotate every dimension.
        config.rope_parameters["partial_rotary_factor"] = rotary_dim / config.head_dim
    return MiniMaxM2ForCausalLM.from_pretrained(
        directory, config=config, dtype=torch.float32, attn_implementation="eager",
        experts_implementation="eager",
    ).eval()  # fmt: skip


def compare(binary, directory, repeats, scratch):
    model = load_reference(directory)
    worst = {}
    different = 0
    for seed in range(repeats):
        batch = random_batch(model.config, seed)
        ours = ours_forward(binary, directory, batch, scratch)
        for name, expected in reference_forward(model, batch).items():
            group = name.split(".")[0]
            error = float(np.abs(ours[name] - expected).max())
            worst[group] = max(worst.get(group, 0.0), error)
        different += greedy_difference(binary, directory, model, batch, scratch)
    row = "  ".join(f"{group} {error:.1e}" for group, error in sorted(worst.items()))
    print(f"{directory.name:18} {row}  greedy {'identical' if not different else 'DIFFERENT'}")
    return different == 0 and all(error <= BOUND for error in worst.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=ROOT / "build/release/m2")
    parser.add_argument("--repeats", type=int, default=3, help="random batches for each checkpoint")
    options = parser.parse_args()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        for directory in directories():
            failed += not compare(options.binary, directory, options.repeats, pathlib.Path(scratch))
    print(f"reference: {'every case is within its bound' if not failed else f'{failed} FAILED'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
