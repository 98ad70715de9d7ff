#!/usr/bin/env python3
"""Writes tests/golden/chat/*.json with reference code that shares nothing with src/chat.

Usage: make_chat_goldens.py [repository root]
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "chat_goldens"))

from output_cases import TOOLS, output_cases  # noqa: E402


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n",
                    encoding="utf-8")
    print(f"{path}: {len(value['cases'])} cases, {path.stat().st_size} bytes")


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1])
    golden = root / "tests" / "golden" / "chat"
    write(golden / "output.json", {"tools": TOOLS, "cases": output_cases(1000, seed=2)})


if __name__ == "__main__":
    main()
