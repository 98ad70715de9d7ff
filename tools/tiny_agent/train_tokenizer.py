"""Trains tiny-agent's tokenizer and writes tokenizer.json and tokenizer_config.json.

The components are those of MiniMax-M2's file (NFC, its split pattern, byte level, its 54 added
tokens); the merges are learnt from generated conversations, with two limits that help a tiny
model: digits never merge, and a leading space merges only after everything else, so that a word
is cut alike with and without a space before it. Base id b below 256 is byte b and merge r makes
id 256 + r, as in the original.
"""

import argparse
import itertools
import json
import re
from collections import Counter
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from .data import training_texts

PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")

ADDED = """]!p~[|<fim_prefix>|<fim_middle>|<fim_suffix>|<fim_pad>|<reponame>|<filename>|<gh_stars>
<issue_start>|<issue_comment>|<issue_closed>|<jupyter_start>|<jupyter_text>|<jupyter_code>
<jupyter_output>|<empty_output>|<commit_before>|<commit_msg>|<commit_after>|]~b]|[e~[|]!d~[
<function_call>|<code_interpreter>|]<]speech[>[|]<]image[>[|]<]video[>[|]<]start of speech[>[
]<]end of speech[>[|]<]start of image[>[|]<]end of image[>[|]<]start of video[>[
]<]end of video[>[|]<]vision pad[>[|]~!b[|<jupyter_error>|<add_file>|<delete_file>|<rename_file>
<edit_file>|<commit_message>|<empty_source_file>|<repo_struct>|<code_context>|<file_content>
<source_files>|<pr_start>|<review_comment>|<filepath>|<file_sep>|<think>|</think>
<minimax:tool_call>|</minimax:tool_call>""".replace("\n", "|").split("|")
NUM_PLAIN = 4  # the last added tokens stay visible when special tokens are skipped

VOCAB_ROWS = 2048  # rows of the embedding; ten of them have no token, as in the original
BASE_TOKENS = VOCAB_ROWS - len(ADDED) - 10
SPACED = 620  # merges of a leading space


def byte_alphabet() -> list[str]:
    """The printable character of each byte, in byte order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (b for b in range(256) if b not in printable)
    extra = {b: chr(256 + i) for i, b in enumerate(others)}
    return [extra.get(b, chr(b)) for b in range(256)]


def split() -> pre_tokenizers.Split:
    """The pattern's matches are the pieces."""
    return pre_tokenizers.Split(Regex(PATTERN), behavior="removed", invert=True)


def learn_merges(texts: list[str], count: int) -> list[tuple[str, str]]:
    """Merges over pieces without their leading space, digits apart."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        split(), pre_tokenizers.Split(" ", behavior="isolated"),
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    alphabet = byte_alphabet()
    trainer = trainers.BpeTrainer(vocab_size=256 + count, initial_alphabet=alphabet,
                                  show_progress=False)
    marks = re.compile("|".join(re.escape(t) for t in ADDED))
    tokenizer.train_from_iterator((p for t in texts for p in marks.split(t) if p), trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [tuple(m) for m in merges]


def build(merges: list[tuple[str, str]]) -> Tokenizer:
    """The tokenizer with M2's components around these merges."""
    vocab = {c: b for b, c in enumerate(byte_alphabet())}
    for left, right in merges:
        vocab[left + right] = len(vocab)
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        split(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=True, trim_offsets=True, use_regex=True)
    return tokenizer


def space_merges(merges: list[tuple[str, str]], texts: list[str], count: int) -> list:
    """Merges of a space with the tokens that most often follow one."""
    encoding = build(merges)
    seen: Counter[str] = Counter()
    for text in texts:
        tokens = encoding.encode(text).tokens
        seen.update(b for a, b in itertools.pairwise(tokens) if a == "Ġ")
    known = {left + right for left, right in merges}
    digits = set("0123456789")
    found = [("Ġ", "Ġ"), ("ĠĠ", "ĠĠ")]
    for token, _ in seen.most_common():
        if len(found) == count:
            break
        fresh = "Ġ" + token not in known and token[0] not in digits and token != "Ġ"
        if fresh:
            found.append(("Ġ", token))
    return found


def main() -> None:
    """Writes the tokenizer's files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models/tiny-agent"))
    parser.add_argument("--samples", type=int, default=12000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    texts = list(itertools.islice(training_texts(args.seed), args.samples))
    merges = learn_merges(texts, BASE_TOKENS - 256 - SPACED)
    merges += space_merges(merges, texts[:3000], SPACED)
    data = json.loads(build(merges).to_str())
    data["added_tokens"] = [
        {"id": BASE_TOKENS + i, "content": text, "single_word": False, "lstrip": False,
         "rstrip": False, "normalized": False, "special": i < len(ADDED) - NUM_PLAIN}
        for i, text in enumerate(ADDED)]
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
             "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False,
             "vocab": data["model"]["vocab"], "merges": [" ".join(m) for m in merges]}
    data["model"] = model
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "tokenizer.json"
    path.write_text(json.dumps(data, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    assert len(model["vocab"]) == BASE_TOKENS, len(model["vocab"])

    config = {"bos_token": "]~!b[", "clean_up_tokenization_spaces": False, "eos_token": "[e~[",
              "model_max_length": 2048, "tokenizer_class": "PreTrainedTokenizerFast",
              "unk_token": "]!d~["}
    (args.out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    lengths = [len(e.ids) for e in Tokenizer.from_file(str(path)).encode_batch(texts[:3000])]
    lengths.sort()
    print(f"tokens per conversation: mean {sum(lengths) / len(lengths):.0f}, "
          f"99% {lengths[len(lengths) * 99 // 100]}, longest {lengths[-1]}")


if __name__ == "__main__":
    main()
