#!/usr/bin/env python3
"""Compares m2 and llama.cpp on the same GGUF files: token ids of texts and greedy continuations.

Usage: build/peers/bin/python tools/compare_gguf.py --m2 BINARY --export BINARY --model DIRECTORY

The model is exported to every format that m2 writes, and llama.cpp quantises the float32 file to
every format that m2 reads; both programs then continue the same prompts from each file.

Both round activations to 8 bits for quantised weights, in groups of different sizes, and llama.cpp to
16 for F16, so there a continuation may leave m2's: at a near tie, or where another expert is chosen.
These files are therefore also expanded to float32 by m2, which neither program rounds: from that file
all continuations must be equal, and those of the rounding products in all prompts but one. Exits 1 when
they are not, or when a file does not load.
"""

import argparse
import ctypes
import json
import pathlib
import subprocess
import sys
import tempfile

import llama_cpp
import numpy as np

WRITTEN = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_k", "q6_k")
# llama_ftype of llama.h: files that llama.cpp makes.
QUANTISED = {"Q8_0": 7, "Q4_0": 2, "Q4_1": 3, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K_M": 12,
             "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K_M": 17, "Q6_K": 18, "IQ4_NL": 25, "IQ4_XS": 30}
PROMPTS = (
    "]~b]user\nHello![e~[\n]~b]ai\n",
    "]~b]user\nWhat is 17 * 25?[e~[\n]~b]ai\n",
    "]~b]user\nName three colours.[e~[\n]~b]ai\n",
)
TEXTS = (
    "Hello, world!", "  two  spaces\n\n\tand a tab", "naïve café, 漢字かな, Ω≈ç√", "🚀🎉", "12345678 1²",
    "]~b]user\n<think>a</think>[e~[", "<minimax:tool_call>x</minimax:tool_call>", "don't I'LL we'Ve",
    "a" * 100, "x = {'a': [1, 2, 3]}  # comment\r\n",
)
NUM_TOKENS = 32


def run_m2(arguments, *words: str, text: str = ""):
    process = subprocess.run([arguments.m2, *words], input=text, capture_output=True, text=True)
    if process.returncode != 0:
        sys.exit(f"m2 {' '.join(words)} failed: {process.stderr}")
    return json.loads(process.stdout)


class Llama:
    """A model in llama.cpp; a context of its own for every prompt."""

    def __init__(self, path: pathlib.Path):
        parameters = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_load_model_from_file(str(path).encode(), parameters)
        if not self.model:
            sys.exit(f"{path}: llama.cpp does not load it")
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.size = llama_cpp.llama_vocab_n_tokens(self.vocab)

    def tokenize(self, text: str) -> list[int]:
        data = text.encode()
        ids = (llama_cpp.llama_token * (len(data) + 8))()
        count = llama_cpp.llama_tokenize(self.vocab, data, len(data), ids, len(ids), False, True)
        return list(ids[:count])

    def greedy(self, ids: list[int], follow: int) -> list[int]:
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = 512
        parameters.n_threads = parameters.n_threads_batch = 2
        context = llama_cpp.llama_new_context_with_model(self.model, parameters)
        out: list[int] = []
        batch = ids
        while len(out) < follow:
            tokens = (llama_cpp.llama_token * len(batch))(*batch)
            status = llama_cpp.llama_decode(
                context, llama_cpp.llama_batch_get_one(tokens, len(batch)))
            if status != 0:
                sys.exit(f"llama_decode: {status}")
            pointer = llama_cpp.llama_get_logits_ith(context, -1)
            out.append(int(np.ctypeslib.as_array(pointer, shape=(self.size,)).argmax()))
            if llama_cpp.llama_vocab_is_eog(self.vocab, out[-1]):
                break
            batch = out[-1:]
        llama_cpp.llama_free(context)
        return out

    def close(self) -> None:
        llama_cpp.llama_free_model(self.model)


def continuations(arguments, path: pathlib.Path) -> list[list[int]]:
    return [run_m2(arguments, "generate", "--model", str(path), "--raw", "--greedy", "--json", "-n",
                   str(NUM_TOKENS), "--prompt", prompt)["ids"] for prompt in PROMPTS]


def equal_continuations(mine: list[list[int]], llama: Llama) -> int:
    equal = 0
    for prompt, ids in zip(PROMPTS, mine, strict=True):
        theirs = llama.greedy(llama.tokenize(prompt), NUM_TOKENS)
        # One of them may keep the token that ends the text.
        length = min(len(ids), len(theirs))
        equal += ids[:length] == theirs[:length] and abs(len(ids) - len(theirs)) <= 1
    return equal


def compare_tokens(arguments, path: pathlib.Path, llama: Llama) -> int:
    def ids(model: pathlib.Path) -> list[list[int]]:
        rows = run_m2(arguments, "tokenize", "--model", str(model), "--batch",
                      text=json.dumps(TEXTS))
        return [row["ids"] for row in rows]

    differences = 0
    for text, of_file, of_json in zip(TEXTS, ids(path), ids(arguments.model), strict=True):
        theirs = llama.tokenize(text)
        if not of_file == of_json == theirs:
            differences += 1
            print(f"  {text!r}\n    GGUF {of_file}\n    json {of_json}\n    llama.cpp {theirs}")
    return differences


def export(arguments, source: pathlib.Path, target: pathlib.Path, kind: str) -> None:
    subprocess.run([arguments.export, source, target, kind], check=True)


def quantise(source: pathlib.Path, target: pathlib.Path, kind: int) -> None:
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = kind
    parameters.nthread = 2
    status = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(),
                                            ctypes.byref(parameters))
    if status != 0:
        sys.exit(f"{target}: llama_model_quantize: {status}")


@llama_cpp.llama_log_callback
def silent(_level, _text, _data) -> None:
    pass


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--m2", required=True, help="the m2 program")
    parser.add_argument("--export", required=True, help="m2_export_gguf of the tests")
    parser.add_argument("--model", required=True, type=pathlib.Path)
    parser.add_argument("--verbose", action="store_true", help="show what llama.cpp says")
    arguments = parser.parse_args()
    if not arguments.verbose:
        llama_cpp.llama_log_set(silent, None)
    llama_cpp.llama_backend_init()

    failed = False
    with tempfile.TemporaryDirectory() as directory:
        folder = pathlib.Path(directory)
        files = []
        for kind in WRITTEN:
            files.append((f"m2 {kind}", folder / f"{kind}.gguf", kind in ("f32", "bf16")))
            export(arguments, arguments.model, files[-1][1], kind)
        for kind, number in QUANTISED.items():
            files.append((f"llama.cpp {kind}", folder / f"llama-{kind}.gguf", False))
            quantise(folder / "f32.gguf", files[-1][1], number)
        for name, path, exact in files:
            mine = continuations(arguments, path)
            llama = Llama(path)
            direct = equal_continuations(mine, llama)
            texts = compare_tokens(arguments, path, llama) if name == "m2 f32" else 0
            llama.close()
            line = f"{name:18} equal to llama.cpp's: {direct} of {len(PROMPTS)}"
            bad = texts > 0 or (exact and direct < len(PROMPTS))
            if not exact:
                expanded_file = folder / "expanded.gguf"
                export(arguments, path, expanded_file, "f32")
                llama = Llama(expanded_file)
                rounded = equal_continuations(mine, llama)
                expanded = equal_continuations(continuations(arguments, expanded_file), llama)
                llama.close()
                line += (f", to those of float32 {rounded} of {len(PROMPTS)}; "
                         f"float32 in both {expanded} of {len(PROMPTS)}")
                bad = bad or expanded < len(PROMPTS) or rounded < len(PROMPTS) - 1
            failed = failed or bad
            print(line + ("  FAILED" if bad else ""), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
