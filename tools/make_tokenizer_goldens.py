#!/usr/bin/env python3
"""Writes tests/golden/tokenizer/: what the `tokenizers` library makes of the sample texts.

Usage: make_tokenizer_goldens.py [--real DIRECTORY] [--tiny DIRECTORY]

texts.json      the sample texts, shared by the files of the models
minimax_m2.json the published tokenizer (--real; kept as it is when the directory is not given)
tiny_agent.json the tokenizer of the model that this repository ships
generic.json    small tokenizers, in the file itself, with the options that these two do not use
"""

import argparse
import json
import os
import pathlib
import random
import sys

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import tokenizers
import tokenizer_samples as samples
from tokenizers import Tokenizer

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden" / "tokenizer"
ENCODING_STEP = 17  # every so many-th text gets offsets and word ids, too


def write(name: str, content) -> None:
    """One member or item a line where it helps to read a diff."""
    if isinstance(content, dict):
        lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}"
                           for k, v in content.items())
        text = "{\n" + lines + "\n}\n"
    else:
        lines = ",\n".join(json.dumps(v, separators=(",", ":")) for v in content)
        text = "[\n" + lines + "\n]\n"
    (GOLDEN / name).write_text(text)


def record(encoding, with_tokens: bool) -> dict:
    result = {
        "ids": encoding.ids,
        "offsets": encoding.offsets,
        "word_ids": [-1 if w is None else w for w in encoding.word_ids],
    }
    if with_tokens:
        result["tokens"] = encoding.tokens
    return result


def invalid_cases(tokenizer) -> list:
    cases = []
    for data in samples.INVALID_UTF8:
        encoding = tokenizer.encode(data.decode("utf-8", errors="replace"))
        cases.append([data.hex(), encoding.ids, encoding.offsets])
    return cases


def decode_cases(tokenizer) -> list:
    """Random ids: bytes that are not UTF-8, special tokens, ids without a token."""
    rng = random.Random(7)
    limit = tokenizer.get_vocab_size()
    special = [tokenizer.token_to_id(t) for t in ("]~b]", "[e~[", "<think>", "</think>")]
    cases = []
    for _ in range(150):
        pool = rng.choice(([*range(256)], [*range(limit)], [*range(128, 256), *special]))
        ids = [rng.choice(pool) for _ in range(rng.randint(1, 12))]
        if rng.random() < 0.2:
            ids.insert(rng.randrange(len(ids)), limit + rng.randrange(20))
        cases.append([ids, tokenizer.decode(ids, skip_special_tokens=True),
                      tokenizer.decode(ids, skip_special_tokens=False)])
    return cases


INPUTS = [
    ["one two three four five six"],
    ["a b", "c d e f g h"],
    ["a b c d e f", "g h"],
    ["a b c", "d e f g h"],
    [""],
    ["Cafe\u0301 <think>x</think>", ""],
]


def truncation_cases(tokenizer) -> list:
    """Every strategy and direction; an error of the library is recorded as null."""
    cases = []
    for inputs in INPUTS:
        for strategy in ("longest_first", "only_first", "only_second"):
            for side in ("right", "left"):
                for max_length, stride in ((0, 0), (1, 0), (2, 0), (3, 1), (4, 0), (4, 1), (5, 2),
                                           (6, 0), (100, 3)):
                    tokenizer.enable_truncation(max_length, stride=stride, strategy=strategy,
                                                direction=side)
                    try:
                        encoding = tokenizer.encode(*inputs)
                        result = [[encoding.ids, encoding.type_ids],
                                  [o.ids for o in encoding.overflowing]]
                    except BaseException as error:  # the library panics on a bad stride
                        if isinstance(error, KeyboardInterrupt):
                            raise
                        result = None
                    cases.append([inputs, strategy, side, max_length, stride, result])
    tokenizer.no_truncation()
    return cases


def padding_cases(tokenizer) -> list:
    batches = [["a", "one two three", ""], ["x"], ["one two", "three four five six seven"]]
    cases = []
    for batch in batches:
        for side in ("right", "left"):
            for length in (None, 0, 2, 6):
                for multiple in (None, 4, 5):
                    tokenizer.enable_padding(direction=side, pad_id=20, pad_type_id=3,
                                             pad_token="<p>", length=length,
                                             pad_to_multiple_of=multiple)
                    rows = [{"ids": e.ids, "attention_mask": e.attention_mask,
                             "type_ids": e.type_ids, "special": e.special_tokens_mask}
                            for e in tokenizer.encode_batch(batch)]
                    cases.append([batch, side, -1 if length is None else length, multiple or 0, rows])
    tokenizer.no_padding()
    return cases


def model_goldens(path: pathlib.Path, texts: list[str], complete: bool) -> dict:
    """What all models are tested on; `complete` adds what does not depend on the vocabulary."""
    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encodings = [tokenizer.encode(text) for text in texts]
    plain = Tokenizer.from_file(str(path / "tokenizer.json"))
    plain.encode_special_tokens = True
    special = [i for i, text in enumerate(texts) if "<" in text or "]" in text][::4]
    goldens = {
        "vocab_size": tokenizer.get_vocab_size(),
        "ids": [e.ids for e in encodings],
        "encodings": [[i, record(encodings[i], complete)]
                      for i in range(0, len(texts), ENCODING_STEP)],
        "special_as_text": [[i, plain.encode(texts[i]).ids] for i in special],
        "invalid": invalid_cases(tokenizer),
    }
    if complete:
        goldens["decode"] = decode_cases(tokenizer)
        goldens["truncation"] = truncation_cases(tokenizer)
        goldens["padding"] = padding_cases(tokenizer)
    return goldens


def byte_alphabet() -> list[str]:
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    extra = iter(range(0x100, 0x200))
    return [chr(b if b in printable else next(extra)) for b in range(256)]


MERGES = [("a", "b"), ("ab", "c"), ("Ġ", "a"), ("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"),
          ("Ġ", "hello"), ("Ġ", "Ġ"), ("ĠĠ", "ĠĠ"), ("Ã", "©"), ("1", "2"), ("'", "s"), ("a", "a"),
          ("aa", "aa"), ("c", "ab"), ("Ġa", "b")]


def added(content: str, *flags: str) -> dict:
    names = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return {"content": content, **{name: name in flags for name in names}}


def byte_level(prefix: bool, regex: bool) -> dict:
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True,
            "use_regex": regex}


def small_tokenizer(characters, merges=MERGES, extra=(), **parts) -> dict:
    """A tokenizer.json over single characters, merges and extra tokens."""
    names = list(dict.fromkeys([*characters, *(a + b for a, b in merges), *extra]))
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
             "ignore_merges": False, "vocab": {name: i for i, name in enumerate(names)},
             "merges": [list(pair) for pair in merges]}
    model.update(parts.pop("model", {}))
    # The library gives added tokens the id they have in the vocabulary, else the next free one.
    free = len(names)
    for token in parts.get("added_tokens", []):
        token["id"] = model["vocab"].get(token["content"], free)
        free += token["id"] == free
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
                 "normalizer": None, "pre_tokenizer": byte_level(False, True),
                 "post_processor": None, "decoder": byte_level(True, True)}
    return {**tokenizer, **parts, "model": model}


def o200k_regex() -> str:
    tiny = json.loads((ROOT / "models/tiny-agent/tokenizer.json").read_text())
    return tiny["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]


def generic_tokenizers() -> dict[str, dict]:
    alphabet = byte_alphabet()
    letters = list("abchelo1'ĠÃ© 2s")
    isolated = {"type": "Split", "pattern": {"Regex": o200k_regex()}, "behavior": "Isolated",
                "invert": False}
    sequence = {"type": "Sequence", "pretokenizers": [isolated, byte_level(True, False)]}
    both = {"type": "Sequence", "pretokenizers": [isolated, byte_level(True, True)]}
    flags = [added("<a>", "lstrip"), added("<b>", "rstrip", "special"),
             added("<c>", "single_word"), added("<d>", "lstrip", "rstrip", "normalized"),
             added("Ae\u0301", "normalized"), added("<ab", "special"),
             added("<abc>", "single_word", "special"), added(" x"),
             added("abc", "single_word", "normalized"), added("\u00e9\u00e9")]
    text_merges = [["Ġ", "Ġ"], ["a", "b"]]
    subwords = [("a", "##b"), ("ab", "##c</w>"), ("h", "##e")]
    hexes = [f"<0x{b:02X}>" for b in range(256)]
    return {
        "gpt2_prefix_space_trimmed": small_tokenizer(
            alphabet, pre_tokenizer=byte_level(True, True), post_processor=byte_level(True, True)),
        "gpt2_trimmed": small_tokenizer(alphabet, post_processor=byte_level(False, True)),
        "no_regex": small_tokenizer(alphabet, pre_tokenizer=byte_level(False, False)),
        "prefix_space_on_every_piece": small_tokenizer(alphabet, pre_tokenizer=sequence),
        "split_prefix_space_split": small_tokenizer(alphabet, pre_tokenizer=both),
        "added_token_flags": small_tokenizer(
            alphabet, added_tokens=flags, normalizer={"type": "Sequence",
                                                      "normalizers": [{"type": "NFC"}]}),
        "text_merges": small_tokenizer(
            alphabet, merges=[tuple(m) for m in text_merges],
            model={"merges": [" ".join(m) for m in text_merges]}),
        "ignore_merges": small_tokenizer(
            alphabet, extra=["world", "Ġworld", "123"], model={"ignore_merges": True}),
        "unreachable_tokens": small_tokenizer(alphabet, extra=["world", "Ġworld", "123", "bca"]),
        "missing_bytes_dropped": small_tokenizer(letters),
        "missing_bytes_unk": small_tokenizer(letters, extra=["<unk>"],
                                             model={"unk_token": "<unk>"}),
        "code_points_fused_unk": small_tokenizer(
            letters, extra=["<unk>"], pre_tokenizer=None,
            model={"unk_token": "<unk>", "fuse_unk": True}),
        "byte_fallback": small_tokenizer(
            letters, extra=["<unk>", *hexes], pre_tokenizer=None,
            model={"unk_token": "<unk>", "byte_fallback": True}),
        "partial_byte_fallback": small_tokenizer(
            letters, extra=["<unk>", *hexes[:200]], pre_tokenizer=None,
            model={"unk_token": "<unk>", "byte_fallback": True, "fuse_unk": True}),
        "prefix_and_suffix": small_tokenizer(
            [*"abche", *("##" + c for c in "abche"), "c</w>", "##c</w>", "##e</w>"], merges=[],
            extra=["ab", "abc</w>", "he", "<unk>"],
            model={"merges": [list(m) for m in subwords], "unk_token": "<unk>",
                   "continuing_subword_prefix": "##", "end_of_word_suffix": "</w>"}),
    }


GENERIC_TEXTS = [
    "", " ", "a", "abc", " abc  abc ", "hello world", "  hello  hello\n\n hello", "it's 12 123",
    "caf\u00e9 e\u0301\u00e9\u00e9", "abcabcab", "aaaaaaa", "a" * 200, "ab" * 100, "x<a>y", "x  <a>  y",
    "x <b>  \n y<b>", "x<c>y <c> <c>!", "\t<d>\n<d> z", "Ae\u0301 A\u00e9 Ae", "<ab <abc> <abc>d",
    "  <abc>", "a x x", "an abc,abcd abc", "日本 12\u00a0abc", "\U0001f600hello\U0001f600", "hello\r\n",
    "\u3000hello \u3000", "don't We'LL 'sab", "<b>   x<a>", "a\u0323\u0301 <d>\u0301",
    "he abc ab", "world 123 bca",
]


def generic_goldens() -> list:
    cases = []
    for name, spec in generic_tokenizers().items():
        tokenizer = Tokenizer.from_str(json.dumps(spec))
        plain = Tokenizer.from_str(json.dumps(spec))
        plain.encode_special_tokens = True
        rows = []
        for text in GENERIC_TEXTS:
            encoding = tokenizer.encode(text)
            decoded = tokenizer.decode(encoding.ids, skip_special_tokens=False)
            rows.append([text, record(encoding, True), decoded, plain.encode(text).ids])
        cases.append({"name": name, "tokenizer": spec, "rows": rows})
    return cases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", type=pathlib.Path, help="has the published tokenizer.json")
    parser.add_argument("--tiny", type=pathlib.Path, default=ROOT / "models" / "tiny-agent")
    arguments = parser.parse_args()
    if tokenizers.__version__ != "0.22.2":
        sys.exit(f"tokenizers 0.22.2 is the reference, this is {tokenizers.__version__}")
    GOLDEN.mkdir(parents=True, exist_ok=True)
    texts = samples.all_texts() + samples.random_texts(300, seed=2024)
    write("texts.json", texts)
    write("generic.json", generic_goldens())
    if arguments.tiny.exists():
        write("tiny_agent.json", model_goldens(arguments.tiny, texts, complete=True))
    if arguments.real:
        write("minimax_m2.json", model_goldens(arguments.real, texts, complete=False))


if __name__ == "__main__":
    main()
