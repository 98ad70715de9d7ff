"""Writes held-out conversations as one text, for m2 perplexity.

Whole conversations in the prompt's format, one after the other, all skills in turn; see data.py for
what held out means. The same seed gives the same text.
"""

import argparse
import random
from pathlib import Path

from .data import held_out_example, text_of
from .evaluate import SKILLS


def held_out_text(count: int, seed: int) -> str:
    """`count` conversations of every skill."""
    rngs = {skill: random.Random(f"{seed}:{skill}") for skill in SKILLS}
    return "".join(text_of(held_out_example(rngs[skill], skill))
                   for _ in range(count) for skill in SKILLS)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=16, help="conversations of every skill")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.write_text(held_out_text(arguments.count, arguments.seed))


if __name__ == "__main__":
    main()
