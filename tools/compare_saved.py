#!/usr/bin/env python3
"""Compares what m2 and transformers save, live: files byte for byte, and logits of either loading
what the other saved.

Usage: compare_saved.py --resave build/release/tests/api/m2_resave --binary build/release/m2. Runs
in the environment that tools/reference_environment.sh builds. Exits 1 when a case differs.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file
from transformers import MiniMaxM2Config, MiniMaxM2ForCausalLM
from transformers.utils import logging

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHECKPOINTS = ROOT / "tests/golden/checkpoints"
BOUND = 1e-4  # on float32 logits
# (golden, arguments of m2_resave, of from_pretrained, of save_pretrained)
CASES = [
    ("gqa", [], {}, {}),
    ("gqa", ["--max-shard-size", "20KB"], {}, {"max_shard_size": "20KB"}),
    ("gqa", ["--max-shard-size", "3KB"], {}, {"max_shard_size": "3KB"}),
    ("gqa", ["--internal"], {}, {"save_original_format": False}),
    ("gqa", ["--internal", "--max-shard-size", "30KB"], {},
     {"save_original_format": False, "max_shard_size": "30KB"}),
    ("gqa", ["--dtype", "bfloat16", "--strict"], {"dtype": "bfloat16"}, {}),
    ("bf16", ["--dtype", "float32"], {"dtype": "float32"}, {}),
    ("bf16", ["--max-shard-size", "50KB"], {}, {"max_shard_size": "50KB"}),
    ("f16", [], {}, {}),
    ("tied", [], {}, {}),
    ("tied", ["--internal"], {}, {"save_original_format": False}),
    ("sharded", ["--max-shard-size", "30KB"], {}, {"max_shard_size": "30KB"}),
    ("internal_names", [], {}, {}),
    ("mqa", ["--internal"], {}, {"save_original_format": False}),
    ("hub_config", [], {}, {}),
]  # fmt: skip


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr}")


def load(directory, **options):
    return MiniMaxM2ForCausalLM.from_pretrained(directory, **options).eval()


def reference_logits(directory, ids):
    with torch.no_grad():
        # "eager": torch's grouped product wants aligned data, which files need not have.
        model = load(directory, dtype=torch.float32, experts_implementation="eager")
        return model(input_ids=ids, use_cache=False).logits


def our_logits(binary, directory, ids, scratch):
    inputs = scratch / "inputs.json"
    inputs.write_text(json.dumps({"input_ids": ids.tolist()}))
    out = scratch / "out.safetensors"
    run(binary, "forward", "--model", directory, "--inputs", inputs, "--out", out)
    return load_file(out)["logits"]


def differing_files(ours, theirs):
    names = {path.name for folder in (ours, theirs) for path in folder.iterdir()}
    for name in sorted(names):
        a, b = ours / name, theirs / name
        if not a.exists() or not b.exists() or a.read_bytes() != b.read_bytes():
            yield name


def compare(case, options, scratch):
    golden, arguments, load_options, save_options = case
    source = CHECKPOINTS / golden
    ours, theirs = scratch / "ours", scratch / "theirs"
    run(options.resave, source, ours, *arguments)
    load(source, **load_options).save_pretrained(theirs, **save_options)
    problems = list(differing_files(ours, theirs))
    if golden == "hub_config":  # m2 reads rotary_dim; 5.1.0 does not
        problems = [name for name in problems if name != "config.json"]
    ids = torch.randint(3, 90, (2, 7), generator=torch.Generator().manual_seed(1))
    first = reference_logits(ours, ids)
    second = our_logits(options.binary, ours, ids, scratch)
    error = float((first - second).abs().max())
    if golden != "hub_config":
        third = our_logits(options.binary, theirs, ids, scratch)
        error = max(error, float((first - third).abs().max()))
    if error > BOUND:
        problems.append(f"logits differ by {error:.2e}")
    return error, problems


def fresh_model(options, scratch):
    """A model that m2 made must load completely and look like one of transformers."""
    source = CHECKPOINTS / "gqa"
    run(options.resave, source, scratch / "fresh", "--random", "3")
    model, info = MiniMaxM2ForCausalLM.from_pretrained(
        scratch / "fresh", output_loading_info=True
    )
    problems = [str(info)] if any(info.values()) else []
    torch.manual_seed(0)
    expected = MiniMaxM2ForCausalLM(MiniMaxM2Config.from_pretrained(source)).state_dict()
    for name, tensor in model.state_dict().items():
        other = expected[name]
        if tensor.shape != other.shape or tensor.dtype != other.dtype:
            problems.append(f"{name}: {tensor.shape} {tensor.dtype}")
        elif abs(float(tensor.std() - other.std())) > 0.2 * float(other.std()) + 1e-6:
            problems.append(f"{name}: deviation {tensor.std():.4f}, not {other.std():.4f}")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--resave", required=True)
    parser.add_argument("--binary", required=True)
    options = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    failed = 0
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            error, problems = compare(case, options, pathlib.Path(folder))
        print(f"{case[0]:16}{' '.join(case[1]):36}{error:.2e}  {', '.join(problems) or 'equal'}")
        failed += bool(problems)
    with tempfile.TemporaryDirectory() as folder:
        problems = fresh_model(options, pathlib.Path(folder))
    print(f"{'fresh model':52}{', '.join(problems) or 'fits'}")
    return 1 if failed or problems else 0


if __name__ == "__main__":
    sys.exit(main())
