#!/usr/bin/env python3
"""Writes tests/golden/chat/*.json with reference code that shares nothing with src/chat.

Prompts are rendered by Jinja2 with the template of models/tiny-agent.

Usage: make_chat_goldens.py [repository root]
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "chat_goldens"))

from conversations import all_cases  # noqa: E402
from message_reference import render  # noqa: E402
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
    source = (root / "models" / "tiny-agent" / "chat_template.jinja").read_text(encoding="utf-8")
    prompts = [dict(case, expected=render(source, case)) for case in all_cases(80, seed=3)]
    write(golden / "prompts.json", {"cases": prompts})


if __name__ == "__main__":
    main()
