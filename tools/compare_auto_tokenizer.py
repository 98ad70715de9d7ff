#!/usr/bin/env python3
"""Compares AutoTokenizer with transformers' own, call by call.

Usage: compare_auto_tokenizer.py TOKENIZER_CLI MODEL [MODEL...]; run by the reference environment's
Python. Exits 77 (skipped) without transformers. Models without a tokenizer_config.json get the
tokens of MiniMax-M2.
"""

import itertools
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

TEXTS = ["hello world, this is it", "hi", "", "Ein Satz mit Umlauten: äöü ß.", "中文字符 and 日本語",
         "👩‍👩‍👧 emoji \u0301 combining", "def f(x):\n    return x ** 2\n", "  spaces   ", "]~b]user\nhi[e~[",
         "<think>\nno\n</think>", "a , b . c ? d ! it 's n't", "0123456789 1,234.5"]
TOOLS = [{"type": "function", "function": {
    "name": "get_weather", "description": "Weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}},
                   "required": ["city"]}}}]
USER = {"role": "user", "content": "What is the weather in Köln?"}
CALL = {"role": "assistant", "content": "", "tool_calls": [
    {"id": "c1", "type": "function",
     "function": {"name": "get_weather", "arguments": {"city": "Köln"}}}]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "12 degrees"}
CONVERSATIONS = [
    [USER],
    [{"role": "system", "content": "Be brief."}, USER],
    [USER, {"role": "assistant", "content": "Rain."}, {"role": "user", "content": "And now?"}],
    [USER, CALL, RESULT],
    [USER, CALL, RESULT, {"role": "assistant", "content": "<think>\nok\n</think>\n\n12 degrees."},
     {"role": "user", "content": "Danke 🙂"}],
]


class Cli:
    def __init__(self, binary, model):
        self.process = subprocess.Popen([binary, model], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def __call__(self, **call):
        self.process.stdin.write(json.dumps(call) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def encode_calls(count, draw):
    for padding, truncation, length, multiple, side in itertools.product(
            (False, True, "max_length"), (None, True), (None, 1, 4, 16), (0, 4), ("left", "right")):
        texts = draw.sample(TEXTS, count)
        yield texts, {"padding": padding, "truncation": truncation, "max_length": length,
                      "pad_to_multiple_of": multiple, "padding_side": side}


def ours(cli, texts, options):
    call = {k: v for k, v in options.items() if v is not None}
    call["pad_to_max_length"] = call["padding"] == "max_length"
    call["padding"] = call["padding"] is True
    return cli(call="encode", texts=texts, **call)


def theirs(tokenizer, texts, options):
    options = {**options, "pad_to_multiple_of": options["pad_to_multiple_of"] or None}
    try:
        batch = tokenizer(texts, **options)
    except ValueError:
        return None
    rows = batch["input_ids"], batch["attention_mask"]
    if len({len(row) for row in rows[0]}) > 1:  # no tensor
        return None
    return dict(zip(("input_ids", "attention_mask"), rows))


def compare_encode(cli, tokenizer, draw):
    for count in (1, 2, 5):
        for texts, options in encode_calls(count, draw):
            if options["padding"] == "max_length" and options["max_length"] is None \
                    and tokenizer.model_max_length > 1e6:
                continue  # transformers turns padding off there
            expected, got = theirs(tokenizer, texts, options), ours(cli, texts, options)
            if expected is None:
                assert "error" in got, (texts, options, got)
            else:
                assert got == expected, (texts, options, got, expected)
            yield


def compare_chat(cli, tokenizer):
    for messages, tools, prompt in itertools.product(CONVERSATIONS, (None, TOOLS), (False, True)):
        expected = tokenizer.apply_chat_template(messages, tools=tools, add_generation_prompt=prompt)
        call = {"messages": messages, "add_generation_prompt": prompt}
        got = cli(call="chat", **call, **({"tools": tools} if tools else {}))
        assert got.get("input_ids") == [list(expected["input_ids"])], (messages, got, expected)
        yield
    messages = CONVERSATIONS[2][:2]
    expected = tokenizer.apply_chat_template(messages, continue_final_message=True)
    got = cli(call="chat", messages=messages, continue_final_message=True)
    assert got["input_ids"] == [list(expected["input_ids"])], (got, expected)
    yield


def compare_decode(cli, tokenizer, draw):
    size = len(tokenizer)
    rows = [[draw.randrange(size) for _ in range(draw.randrange(40))] for _ in range(50)]
    rows += [tokenizer(text)["input_ids"] for text in TEXTS]
    rows += [[i, i + 1] for i in range(size - 60, size - 1)]  # the added tokens
    for skip, clean in itertools.product((False, True), (None, False, True)):
        options = {} if clean is None else {"clean_up_tokenization_spaces": clean}
        expected = [tokenizer.decode(row, skip_special_tokens=skip, **options) for row in rows]
        call = {} if clean is None else {"clean_up": clean}
        got = cli(call="decode", ids=rows, skip_special_tokens=skip, **call)
        for row, a, b in zip(rows, got, expected):
            assert a == b, (row, a, b, skip, clean)
            yield


def compare(binary, model, directory):
    from transformers import AutoTokenizer
    copy = pathlib.Path(directory) / "model"
    shutil.copytree(model, copy, ignore=shutil.ignore_patterns("*.safetensors"))
    if not (copy / "tokenizer_config.json").exists():
        (copy / "tokenizer_config.json").write_text(json.dumps(
            {"bos_token": "]~!b[", "eos_token": "[e~[", "unk_token": "]!d~["}))
    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.pad_token = tokenizer.eos_token
    cli = Cli(binary, copy)
    draw = random.Random(7)
    counts = [sum(1 for _ in calls) for calls in (
        compare_encode(cli, tokenizer, draw), compare_chat(cli, tokenizer),
        compare_decode(cli, tokenizer, draw))]
    cli.process.communicate()
    shutil.rmtree(copy)
    print(f"{model}: {counts[0]} encodings, {counts[1]} prompts, {counts[2]} texts are the same")


def main():
    try:
        import transformers
    except ImportError:
        print("skipped: this Python has no transformers (tools/reference_environment.sh)")
        return 77
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as directory:
        for model in sys.argv[2:]:
            if pathlib.Path(model).is_dir():
                compare(sys.argv[1], model, directory)
            else:
                print(f"skipped: there is no {model}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
