#!/usr/bin/env python3
"""Compares the ids and offsets of `m2 tokenize` with the `tokenizers` library on random text.

Usage: compare_tokenizer.py --m2 BINARY --model DIRECTORY [--count N] [--seed N]

Exits 1 and prints the first differences if there are any.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import tokenizers
import tokenizer_samples as samples

BATCH = 2000


def run_m2(arguments, texts: list[str]) -> list[dict]:
    command = [arguments.m2, "tokenize", "--model", str(arguments.model), "--batch"]
    process = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} failed: {process.stderr}")
    return json.loads(process.stdout)


def differences(tokenizer, arguments, texts: list[str]) -> list[str]:
    found = []
    for text, got in zip(texts, run_m2(arguments, texts), strict=True):
        expected = tokenizer.encode(text)
        if got["ids"] != expected.ids:
            found.append(f"{ascii(text)}\n  expected ids {expected.ids}\n  got          {got['ids']}")
        elif [tuple(o) for o in got["offsets"]] != expected.offsets:
            found.append(f"{ascii(text)}\n  expected offsets {expected.offsets}\n"
                         f"  got              {got['offsets']}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--m2", required=True, help="the m2 program")
    parser.add_argument("--model", required=True, type=pathlib.Path, help="has a tokenizer.json")
    parser.add_argument("--count", type=int, default=20000, help="random strings")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    tokenizer = tokenizers.Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    texts = samples.all_texts() + samples.random_texts(arguments.count, arguments.seed)
    found = []
    for begin in range(0, len(texts), BATCH):
        found += differences(tokenizer, arguments, texts[begin : begin + BATCH])
    for difference in found[:10]:
        print(difference)
    print(f"{len(texts)} texts, {sum(map(len, texts))} characters, {len(found)} differences "
          f"from tokenizers {tokenizers.__version__}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
