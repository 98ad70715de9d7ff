#!/usr/bin/env python3
"""Compares m2 and llama.cpp on the same GGUF files: token ids of texts and greedy continuations.

Usage: build/peers/bin/python tools/compare_gguf.py --m2 BINARY --export BINARY --model DIRECTORY

The model is exported to every format that m2 writes, and llama.cpp quantises the float32 file to
every format that m2 reads; both programs then continue the same prompts from each file.

Both round activations to 8 bits for quantised weights, in groups of different sizes, and llama.cpp to
16 for F16, so there a continuation may leave the other's. These files are therefore also expanded to
float32 by m2, which neither program rounds: from that file all continuations must be equal. Where m2's
leaves llama.cpp's of the file itself or of the expanded one, the token that m2 took must be as good as
the best up to rounding: behind it in the exact logits by at most four times the root mean square of m2's
errors there. And these errors must be like llama.cpp's: their ratio is at most 1.5 in the median over all
such files and prompts. Exits 1 when something of that does not hold, or when a file does not load.
"""

import argparse
import ctypes
import json
import pathlib
import statistics
import struct
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
MOST_ERRORS = 4.0  # a token may be behind the best by
MOST_RATIO = 1.5  # of m2's errors to llama.cpp's


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

    def new_context(self):
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = 512
        parameters.n_threads = parameters.n_threads_batch = 2
        return llama_cpp.llama_new_context_with_model(self.model, parameters)

    def step(self, context, ids: list[int]) -> np.ndarray:
        """The last token's logits; they are the context's."""
        tokens = (llama_cpp.llama_token * len(ids))(*ids)
        status = llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(tokens, len(ids)))
        if status != 0:
            sys.exit(f"llama_decode: {status}")
        pointer = llama_cpp.llama_get_logits_ith(context, -1)
        return np.ctypeslib.as_array(pointer, shape=(self.size,))

    def logits(self, ids: list[int]) -> np.ndarray:
        context = self.new_context()
        result = self.step(context, ids).astype(np.float64)
        llama_cpp.llama_free(context)
        return result

    def greedy(self, ids: list[int], follow: int) -> list[int]:
        context = self.new_context()
        out: list[int] = []
        batch = ids
        while len(out) < follow:
            out.append(int(self.step(context, batch).argmax()))
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


def first_difference(mine: list[int], theirs: list[int]) -> int | None:
    """Where the continuations part; one of them may keep the token that ends the text."""
    length = min(len(mine), len(theirs))
    for i in range(length):
        if mine[i] != theirs[i]:
            return i
    return None if abs(len(mine) - len(theirs)) <= 1 else length


def equal_continuations(mine: list[list[int]], llama: Llama) -> int:
    return sum(first_difference(ids, llama.greedy(llama.tokenize(prompt), NUM_TOKENS)) is None
               for prompt, ids in zip(PROMPTS, mine, strict=True))


def m2_logits(arguments, path: pathlib.Path, ids: list[int]) -> np.ndarray:
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        run_m2(arguments, "forward", "--model", str(path), "--inputs", "-", "--out", file.name,
               "--json", text=json.dumps({"input_ids": [ids]}))
        data = pathlib.Path(file.name).read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])["logits"]
    begin, end = (8 + size + offset for offset in header["data_offsets"])
    values = np.frombuffer(data[begin:end], np.float32).reshape(header["shape"])
    return values[0, -1].astype(np.float64)


def root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values * values)))


class Rounding:
    """What the rounding of a file's products changes: both programs against the expanded file."""

    def __init__(self, arguments, path: pathlib.Path, llama: Llama, exact: Llama):
        self.arguments, self.path, self.llama, self.exact = arguments, path, llama, exact

    def ratios(self) -> list[float]:
        """m2's errors to llama.cpp's, at the end of each prompt."""
        result = []
        for prompt in PROMPTS:
            ids = self.llama.tokenize(prompt)
            exact = self.exact.logits(ids)
            mine = root_mean_square(m2_logits(self.arguments, self.path, ids) - exact)
            result.append(mine / root_mean_square(self.llama.logits(ids) - exact))
        return result

    def unexplained(self, mine: list[list[int]], theirs: Llama) -> list[str]:
        """Where m2's continuations leave the others' with a token that rounding does not excuse."""
        result = []
        for prompt, ids in zip(PROMPTS, mine, strict=True):
            start = theirs.tokenize(prompt)
            at = first_difference(ids, theirs.greedy(start, NUM_TOKENS))
            if at is None:
                continue
            if at == len(ids):
                result.append(f"  {prompt!r}: ends after {at} tokens")
                continue
            context = start + ids[:at]
            exact = self.exact.logits(context)
            behind = exact.max() - exact[ids[at]]
            error = root_mean_square(m2_logits(self.arguments, self.path, context) - exact)
            if behind > MOST_ERRORS * error:
                result.append(f"  {prompt!r}: token {at} is {behind:.3f} behind the best, "
                              f"errors are {error:.3f}")
        return result


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
    ratios: list[float] = []
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
            line = f"{name:18} equal to llama.cpp's: {direct} of {len(PROMPTS)}"
            bad = texts > 0 or (exact and direct < len(PROMPTS))
            unexplained: list[str] = []
            if not exact:
                expanded_file = folder / "expanded.gguf"
                export(arguments, path, expanded_file, "f32")
                exact_llama = Llama(expanded_file)
                rounding = Rounding(arguments, path, llama, exact_llama)
                ratios += rounding.ratios()
                unexplained = (rounding.unexplained(mine, llama)
                               + rounding.unexplained(mine, exact_llama))  # fmt: skip
                rounded = equal_continuations(mine, exact_llama)
                expanded = equal_continuations(continuations(arguments, expanded_file), exact_llama)
                exact_llama.close()
                line += (f", to those of float32 {rounded} of {len(PROMPTS)}; "
                         f"float32 in both {expanded} of {len(PROMPTS)}")
                bad = bad or expanded < len(PROMPTS) or bool(unexplained)
            llama.close()
            failed = failed or bad
            print("\n".join([line + ("  FAILED" if bad else ""), *unexplained]), flush=True)
    ratio = statistics.median(ratios)
    bad = ratio > MOST_RATIO
    print(f"errors of rounding, m2's to llama.cpp's: {ratio:.2f}" + ("  FAILED" if bad else ""))
    failed = failed or bad
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
