#!/usr/bin/env python3
"""Times m2's tokenizer beside the `tokenizers` library, one thread each, on the same texts.

Usage: tokenizer_vs_hf.py --bench BINARY --tokenizer tokenizer.json TEXT [TEXT ...]

BINARY is m2_tokenizer_timer. Both read each text as documents of 16 kB and encode one after the
other; the rounds of the two alternate, so that both see the same load of the machine. The best
round of each counts. The ids are compared, too.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tokenizers

DOCUMENT = 16384  # characters
MAX_TEXT = 2_000_000


class Timer:
    """The m2_tokenizer_timer process: takes documents once, then times a round per request."""

    def __init__(self, binary: str, tokenizer: str, documents: list[str]):
        command = [binary, tokenizer]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.send(json.dumps(documents))

    def send(self, line: str) -> None:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def round(self) -> tuple[float, float, int]:
        """Seconds for the ids alone, seconds with offsets, checksum of the ids."""
        self.send("round")
        ids_s, full_s, checksum = self.process.stdout.readline().split()
        return float(ids_s), float(full_s), int(checksum)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def checksum(rows: list[list[int]]) -> int:
    value = 0
    for ids in rows:
        for token in ids:
            value = (value * 1000003 + token) % (1 << 61)
    return value


def compare(arguments, tokenizer, path: pathlib.Path) -> bool:
    text = path.read_bytes().decode("utf-8", errors="replace")[:MAX_TEXT]
    documents = [text[i : i + DOCUMENT] for i in range(0, len(text), DOCUMENT)]
    megabytes = len(text.encode()) / 1e6
    timer = Timer(arguments.bench, arguments.tokenizer, documents)
    best = [float("inf")] * 3
    for _ in range(arguments.rounds):
        ids_s, full_s, got = timer.round()
        begin = time.perf_counter()
        encodings = [tokenizer.encode(document) for document in documents]
        hf_s = time.perf_counter() - begin
        best = [min(pair) for pair in zip(best, (ids_s, full_s, hf_s))]
    timer.close()
    same = got == checksum([encoding.ids for encoding in encodings])
    ids_speed, full_speed, hf_speed = (megabytes / seconds for seconds in best)
    print(f"{path.name}: {megabytes:.2f} MB, m2 ids {ids_speed:.1f} MB/s, with offsets "
          f"{full_speed:.1f} MB/s, tokenizers {hf_speed:.2f} MB/s, ratio {ids_speed / hf_speed:.1f} "
          f"(with offsets {full_speed / hf_speed:.1f}), ids {'equal' if same else 'DIFFER'}")
    return same


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bench", required=True, help="m2_tokenizer_timer")
    parser.add_argument("--tokenizer", required=True, help="a tokenizer.json")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("texts", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    begin = time.perf_counter()
    tokenizer = tokenizers.Tokenizer.from_file(arguments.tokenizer)
    print(f"tokenizers {tokenizers.__version__} loads in {time.perf_counter() - begin:.2f} s")
    return 0 if all([compare(arguments, tokenizer, path) for path in arguments.texts]) else 1


if __name__ == "__main__":
    sys.exit(main())
