"""Measures tiny-agent on held-out prompts, skill by skill, and writes JSON and a table.

The prompts are generated from a seed; see data.py for what held out means. Every assistant turn
after the last user turn is one prompt, after the true turns before it. Decoding is greedy.
"""

import argparse
import json
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from .data import held_out_example, prompts_of
from .render import render
from .scoring import is_right

# skill -> (what it is, which turns count: all, first or last; whether the names suffice)
SKILLS = {
    "facts": ("facts of the world", "all", False),
    "small_talk": ("small talk, questions about itself", "all", False),
    "unknown": ("says that it does not know", "all", False),
    "arithmetic": ("sums with their working", "all", False),
    "tool_choice": ("the right tool among several", "first", True),
    "no_call": ("no call when none fits or is needed", "all", False),
    "arguments": ("the right call with all arguments", "first", False),
    "two_calls": ("two calls in one block", "first", False),
    "results": ("answer from a result", "last", False),
    "chain": ("call, result, second call, answer", "all", False),
    "from_world": ("an argument from the facts", "first", False),
    "follow_up": ("second user turn after a call", "all", False),
}
MAX_NEW_TOKENS = 512


@dataclass
class Prompt:
    """One prompt with what its continuation must hold."""

    skill: str
    ids: list[int]
    tools: list[dict]
    check: dict
    text: str


def make_prompts(tokenizer: Tokenizer, count: int, seed: int, skills: list[str]) -> list[Prompt]:
    """At least `count` prompts for every skill."""
    prompts = []
    for skill in skills:
        rng = random.Random(f"{seed}:{skill}")
        turns = SKILLS[skill][1]
        found: list[Prompt] = []
        while len(found) < count:
            example = held_out_example(rng, skill)
            schemas = [t.schema for t in example.tools]
            each = list(prompts_of(example))
            each = {"all": each, "first": each[:1], "last": each[-1:]}[turns]
            for messages, check in each:
                text = render(messages, schemas, add_generation_prompt=True)
                found.append(Prompt(skill, tokenizer.encode(text).ids, schemas, check, text))
        prompts += found
    return prompts


def _padded(rows: list[list[int]], pad: int) -> tuple[list[list[int]], list[list[int]]]:
    width = max(len(r) for r in rows)
    ids = [[pad] * (width - len(r)) + r for r in rows]
    return ids, [[0] * (width - len(r)) + [1] * len(r) for r in rows]


def transformers_engine(model_dir: Path, pad: int, device: str) -> Callable:
    """Generation by transformers."""
    import torch
    from transformers import MiniMaxM2ForCausalLM

    model = MiniMaxM2ForCausalLM.from_pretrained(model_dir, dtype=torch.bfloat16).to(device).eval()

    def generate(rows: list[list[int]]) -> list[list[int]]:
        ids, mask = _padded(rows, pad)
        with torch.inference_mode():
            out = model.generate(input_ids=torch.tensor(ids, device=device),
                                 attention_mask=torch.tensor(mask, device=device),
                                 max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
        return out[:, len(ids[0]):].tolist()
    return generate


def m2_engine(model_dir: Path, pad: int, binary: Path) -> Callable:
    """Generation by `m2 generate`."""
    def generate(rows: list[list[int]]) -> list[list[int]]:
        ids, mask = _padded(rows, pad)
        with tempfile.TemporaryDirectory() as folder:
            inputs, config = Path(folder) / "inputs.json", Path(folder) / "generation.json"
            inputs.write_text(json.dumps({"input_ids": ids, "attention_mask": mask}))
            config.write_text(json.dumps({"max_new_tokens": MAX_NEW_TOKENS, "do_sample": False,
                                          "eos_token_id": pad, "pad_token_id": pad}))
            done = subprocess.run(
                [binary, "generate", "--model", model_dir, "--inputs", inputs,
                 "--generation-config", config], check=True, capture_output=True, text=True)
        return [row[len(ids[0]):] for row in json.loads(done.stdout)["sequences"]]
    return generate


def run(prompts: list[Prompt], generate: Callable, tokenizer: Tokenizer, batch: int) -> list[str]:
    """The finished turn of every prompt, up to and with its end token."""
    end = tokenizer.token_to_id("[e~[")
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i].ids))
    texts = [""] * len(prompts)
    for start in range(0, len(order), batch):
        part = order[start:start + batch]
        for i, new in zip(part, generate([prompts[i].ids for i in part]), strict=True):
            new = new[:new.index(end) + 1] if end in new else new
            texts[i] = tokenizer.decode(new, skip_special_tokens=False)
    return texts


def table(rows: dict[str, dict]) -> str:
    """The Markdown table of the results."""
    lines = ["| skill | prompts | right | |", "|---|---|---|---|"]
    for skill, row in rows.items():
        lines.append(f"| {skill} | {row['prompts']} | {100 * row['right'] / row['prompts']:.1f} % "
                     f"| {SKILLS[skill][0]} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Evaluates and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/tiny-agent"))
    parser.add_argument("--engine", choices=["transformers", "m2"], default="transformers")
    parser.add_argument("--binary", type=Path, default=Path("build/release/m2"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--count", type=int, default=200, help="prompts per skill")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--skills", default=",".join(SKILLS))
    parser.add_argument("--out", type=Path, help="JSON file; a .md table is put beside it")
    args = parser.parse_args()

    tokenizer = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    pad = tokenizer.token_to_id("[e~[")
    prompts = make_prompts(tokenizer, args.count, args.seed, args.skills.split(","))
    generate = (m2_engine(args.model, pad, args.binary) if args.engine == "m2"
                else transformers_engine(args.model, pad, args.device))
    began = time.time()
    texts = run(prompts, generate, tokenizer, args.batch)
    rows: dict[str, dict] = {}
    for prompt, text in zip(prompts, texts, strict=True):
        row = rows.setdefault(prompt.skill, {"prompts": 0, "right": 0, "wrong": []})
        row["prompts"] += 1
        if is_right(text, prompt.tools, prompt.check, SKILLS[prompt.skill][2]):
            row["right"] += 1
        elif len(row["wrong"]) < 40:
            asked = prompt.text[prompt.text.rindex("]~b]user"):]
            row["wrong"].append({"prompt": asked, "check": prompt.check, "got": text})
    print(table(rows) + f"{len(prompts)} prompts in {time.time() - began:.0f} s")
    if args.out:
        args.out.write_text(json.dumps({"engine": args.engine, "seed": args.seed, "skills": rows},
                                       ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        args.out.with_suffix(".md").write_text(table(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
