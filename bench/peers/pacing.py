"""What the workers have in common: they wait for a line before every repetition, as `m2 bench --paced`
does, so that one program works at a time and rounds alternate."""

import argparse
import json
import statistics
import sys
import time


def parser(description: str) -> argparse.ArgumentParser:
    """The options of a sweep, with the names of m2 bench."""
    result = argparse.ArgumentParser(description=description)
    numbers = lambda text: [int(part) for part in text.split(",")]  # noqa: E731
    result.add_argument("-m", "--model", required=True)
    result.add_argument("-p", "--prefill", type=numbers, default=[512])
    result.add_argument("-n", "--decode", type=numbers, default=[64])
    result.add_argument("-r", "--repetitions", type=int, default=5)
    result.add_argument("-t", "--threads", type=int, default=2)
    return result


def run(arguments, prefill, decode, about: dict) -> None:
    """Times prefill(n) and decode(n) after one run of each to warm up; prints JSON at the end."""
    results = []
    tests = [("prefill", n, prefill) for n in arguments.prefill if n > 0]
    tests += [("decode", n, decode) for n in arguments.decode if n > 0]
    for kind, num_tokens, body in tests:
        body(num_tokens)
        seconds = []
        for _ in range(arguments.repetitions):
            print("ready", flush=True)
            sys.stdin.readline()
            begin = time.perf_counter()
            body(num_tokens)
            seconds.append(time.perf_counter() - begin)
        results.append({"kind": kind, "num_tokens": num_tokens,
                        "tokens_per_second": num_tokens / statistics.median(seconds),
                        "repetitions": [{"seconds": s} for s in seconds]})  # fmt: skip
    print(json.dumps({**about, "results": results}), flush=True)
