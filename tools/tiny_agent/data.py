"""The mixture of skills, the held-out split, and the text of samples.

A sample is held out when the checksum of one of its keys says so: a pair of question form and
fact, a pair of operands, a tool name, a pair of question form and unknown subject.
"""

import random
import zlib
from collections.abc import Iterator

from . import agents
from .dialogues import Example, chat
from .render import render

MIXTURE = {
    "facts": 8, "small_talk": 10, "unknown": 7, "arithmetic": 18, "tool_choice": 12,
    "no_call": 13, "arguments": 12, "two_calls": 8, "results": 5, "chain": 7, "from_world": 3,
    "follow_up": 10,
}
_MAKERS = {
    "tool_choice": agents.single, "no_call": agents.no_call, "arguments": agents.single,
    "two_calls": agents.double, "results": agents.single, "chain": agents.chain,
    "from_world": agents.from_world, "follow_up": agents.follow_up,
}


def is_held_out(key: str) -> bool:
    """One key in ten never occurs in training; the keys of tools ignore their role."""
    name = key.removeprefix("tool:").removeprefix("other:")
    return bool(name) and zlib.crc32(name.encode()) % 10 == 0


def make(rng: random.Random, skill: str) -> Example:
    """One example of a skill, of either side of the split."""
    maker = _MAKERS.get(skill)
    return maker(rng, skill) if maker else chat(rng, skill)


def training_example(rng: random.Random) -> Example:
    """An example of the mixture in which nothing is held out."""
    while True:
        example = make(rng, rng.choices(list(MIXTURE), list(MIXTURE.values()))[0])
        if not any(is_held_out(k) for k in example.keys):
            return example


def held_out_example(rng: random.Random, skill: str) -> Example:
    """An example of a skill whose subject (not merely a tool beside it) is held out."""
    while True:
        example = make(rng, skill)
        if any(is_held_out(k) for k in example.keys if not k.startswith("other:")):
            return example


def text_of(example: Example) -> str:
    """The whole conversation as the model sees it in training."""
    return render(example.messages, [t.schema for t in example.tools])


def training_texts(seed: int) -> Iterator[str]:
    """An endless stream of training conversations."""
    rng = random.Random(seed)
    while True:
        yield text_of(training_example(rng))


def prompts_of(example: Example) -> Iterator[tuple[list[dict], dict]]:
    """The messages before each learnt assistant turn, with the check of that turn."""
    last_user = max(i for i, m in enumerate(example.messages) if m["role"] == "user")
    learnt = [i for i, m in enumerate(example.messages) if m["role"] == "assistant"
              and i > last_user]
    for i, check in zip(learnt, example.checks, strict=True):
        yield example.messages[:i], check
