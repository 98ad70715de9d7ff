"""Checks that render.py writes what chat_template.jinja writes, on generated conversations."""

import argparse
import random
from pathlib import Path

from transformers import AutoTokenizer

from .data import MIXTURE, make, prompts_of
from .render import render


def main() -> None:
    """Compares whole conversations and prompts of every skill."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/tiny-agent"))
    parser.add_argument("--count", type=int, default=20, help="conversations per skill")
    args = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    rng, compared = random.Random(3), 0
    for skill in MIXTURE:
        for _ in range(args.count):
            example = make(rng, skill)
            schemas = [t.schema for t in example.tools]
            tools = [{"type": "function", "function": s} for s in schemas] or None
            texts = [(example.messages, False)]
            texts += [(messages, True) for messages, _ in prompts_of(example)]
            for messages, prompt in texts:
                wanted = tokenizer.apply_chat_template(
                    messages, tools=tools, add_generation_prompt=prompt, tokenize=False)
                got = render(messages, schemas, prompt)
                if got != wanted:
                    raise SystemExit(f"{skill}: expected {wanted!r}, got {got!r}")
                compared += 1
    print(f"{compared} texts are the same")


if __name__ == "__main__":
    main()
