#!/usr/bin/env python3
"""Times m2 beside llama.cpp and transformers, one repetition of each in turn.

Usage: compare_engines.py --m2 BINARY [-p 512,2048] [-n 64] [-r 5] [-t 2] [--json OUT] CONTESTANT ...

A contestant is NAME=COMMAND. The first is the one that the others are held against. In a command
{m2} is `BINARY bench --paced --json`, {llama} and {transformers} the workers beside this file, each run
by the Python of its environment (--peers-python, --reference-python). For example:

  compare_engines.py --m2 build/release/m2 \\
      "m2 int4={m2} --random-weights --layers 2 --format int4_g32" "llama.cpp q4_0={llama} -m 2.gguf"

All load first; then every
program waits while another works. Printed are medians, and the median over the rounds of the ratio of
two repetitions that followed each other.
"""

import argparse
import json
import pathlib
import shlex
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]


class Contestant:
    def __init__(self, text: str, arguments):
        self.name, _, command = text.partition("=")
        worker = lambda python, script: shlex.join([python, str(HERE / script)])  # noqa: E731
        command = command.format(
            m2=shlex.join([arguments.m2, "bench", "--paced", "--json"]),
            llama=worker(arguments.peers_python, "llama_worker.py"),
            transformers=worker(arguments.reference_python, "transformers_worker.py"))
        sweep = ["-p", arguments.prefill, "-n", arguments.decode, "-r", str(arguments.repetitions),
                 "-t", str(arguments.threads)]  # fmt: skip
        self.command = shlex.split(command) + sweep
        self.report = None
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)  # fmt: skip

    def wait(self) -> None:
        """Until it is ready for a repetition, or done."""
        for line in self.process.stdout:
            if line.strip() == "ready":
                return
            if line.startswith("{"):
                self.report = json.loads(line)
                return
        sys.exit(f"{self.name}: ended early: {shlex.join(self.command)}")

    def repeat(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.wait()


def seconds_of(result: dict) -> list[float]:
    return [repetition["seconds"] for repetition in result["repetitions"]]


def summarise(contestants: list[Contestant]) -> list[dict]:
    rows = []
    for index, base in enumerate(contestants[0].report["results"]):
        for contestant in contestants:
            result = contestant.report["results"][index]
            ratios = [theirs / ours
                      for ours, theirs in zip(seconds_of(base), seconds_of(result))]  # fmt: skip
            rows.append({"test": f"{result['kind']} {result['num_tokens']}",
                         "name": contestant.name,
                         "tokens_per_second": result["tokens_per_second"],
                         "first_is_faster_by": statistics.median(ratios),
                         "read_share": result.get("read_share")})  # fmt: skip
    return rows


def processor() -> str:
    """Its name: a step of small kernels takes as long as it needs to launch them."""
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def print_table(rows: list[dict]) -> None:
    print(f"{'test':<14} {'program':<28} {'tokens/s':>10} {'ratio':>7} {'of read rate':>13}")
    for row in rows:
        share = f"{row['read_share']:.2f}" if row["read_share"] else ""
        print(f"{row['test']:<14} {row['name']:<28} {row['tokens_per_second']:>10.2f} "
              f"{row['first_is_faster_by']:>7.2f} {share:>13}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--m2", default=str(ROOT / "build/release/m2"))
    parser.add_argument("--peers-python", default=str(ROOT / "build/peers/bin/python"))
    parser.add_argument("--reference-python", default=str(ROOT / "build/reference/bin/python"))
    parser.add_argument("-p", "--prefill", default="512,2048")
    parser.add_argument("-n", "--decode", default="64")
    parser.add_argument("-r", "--repetitions", type=int, default=5)
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--json")
    parser.add_argument("contestants", nargs="+", metavar="NAME=COMMAND")
    arguments = parser.parse_args()
    contestants = []
    for text in arguments.contestants:  # one after the other: loading and warming up take all cores
        contestants.append(Contestant(text, arguments))
        contestants[-1].wait()
    while any(contestant.report is None for contestant in contestants):
        for contestant in contestants:
            contestant.repeat()
    rows = summarise(contestants)
    print_table(rows)
    if arguments.json:
        report = {"processor": processor(), "rows": rows, "contestants": [
            {"name": c.name, "command": shlex.join(c.command), **c.report} for c in contestants]}
        pathlib.Path(arguments.json).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
