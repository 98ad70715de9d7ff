#!/usr/bin/env python3
"""Writes src/text/unicode_tables.cc: the Unicode data that the tokenizer needs.

Usage: make_unicode_tables.py > src/text/unicode_tables.cc

The data is measured on the `tokenizers` library (version 0.22.2), code point by code point, so
that it equals what that library does: its regex engine, its word test for added tokens and its
NFC carry tables of different Unicode versions. No Unicode file gives the same mixture.
"""

import sys
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, __version__, models, normalizers, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
HANGUL_SYLLABLES = range(0xAC00, 0xD7A4)
HANGUL_V = range(0x1161, 0x1176)
HANGUL_T = range(0x11A8, 0x11C3)

# The values of m2::unicode::CharClass and of the flags beside it (src/text/unicode.h).
CLASSES = {
    "other": 0,
    "space": 1,
    "newline": 2,
    "number": 3,
    "mark": 4,
    "upper": 5,
    "lower": 6,
    "other_letter": 7,
}
WORD_FLAG = 0x08
NFC_FLAG = 0x10

nfc = normalizers.NFC().normalize_str
nfd = normalizers.NFD().normalize_str


def matching(regex: str) -> set[int]:
    """Code points that the library's regex engine puts into a class."""
    split = pre_tokenizers.Split(Regex(regex + "+"), "removed", invert=True)
    text = "".join(map(chr, CODE_POINTS))
    return {
        c for _, (start, end) in split.pre_tokenize_str(text) for c in CODE_POINTS[start:end]
    }


def word_characters() -> set[int]:
    """Code points that stop a single_word token from matching right after them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.add_tokens([AddedToken("QQ", single_word=True)])
    text = "".join(f" {chr(c)}QQ" for c in CODE_POINTS)
    matched = {start for start, _ in tokenizer.encode(text).offsets}
    return {c for i, c in enumerate(CODE_POINTS) if 4 * i + 2 not in matched}


def reordered(candidates: list[int], make) -> set[int]:
    """Candidates whose two-character string is changed by NFD, that is, put into order."""
    text = "".join("\n" + make(chr(c)) for c in candidates)
    parts = nfd(text).split("\n")[1:]
    return {c for c, part in zip(candidates, parts) if part != make(chr(c))}


def combining_classes() -> dict[int, int]:
    """Canonical combining classes, found by which marks the library moves past which others."""
    stable = [c for c in CODE_POINTS if nfd(chr(c)) == chr(c) and c != ord("\n")]
    nonzero = sorted(
        reordered(stable, lambda x: "\u0345" + x) | reordered(stable, lambda x: x + "\u0334")
    )
    reference = {}
    for c in nonzero:
        reference.setdefault(unicodedata.combining(chr(c)), chr(c))
    below = {v: reordered(nonzero, lambda x, r=r: r + x) for v, r in reference.items()}
    above = {v: reordered(nonzero, lambda x, r=r: x + r) for v, r in reference.items()}
    classes = {}
    for c in nonzero:
        (classes[c],) = [v for v in reference if c not in below[v] and c not in above[v]]
    return classes


def compositions(decomposition: dict[int, str]) -> dict[tuple[int, int], int]:
    """Primary composites as (first, second) -> composed."""
    pairs = {}
    for c, parts in decomposition.items():
        if nfc(chr(c)) != chr(c):
            continue
        first = nfc(parts[:-1])
        assert len(first) == 1 and nfc(first + parts[-1]) == chr(c), hex(c)
        pairs[ord(first), ord(parts[-1])] = c
    return pairs


def runs(values: dict[int, int]) -> list[tuple[int, int]]:
    """(first code point, value) wherever the value changes; 0 for code points not in values."""
    result = []
    for c in range(0x110000):
        value = values.get(c, 0)
        if not result or result[-1][1] != value:
            result.append((c, value))
    return result


def write_array(declaration: str, items: list[str]) -> None:
    print(f"{declaration} = {{")
    line = "   "
    for item in items:
        if len(line) + len(item) + 2 > 100:
            print(line)
            line = "   "
        line += f" {item},"
    print(line)
    print("};\n")


def main() -> None:
    if __version__ != "0.22.2":
        sys.exit(f"tokenizers 0.22.2 is the reference, this is {__version__}")
    decomposition = {
        c: nfd(chr(c))
        for c in CODE_POINTS
        if c not in HANGUL_SYLLABLES and nfd(chr(c)) != chr(c)
    }
    combining = combining_classes()
    pairs = compositions(decomposition)

    members = {
        "upper": matching(r"[\p{Lu}\p{Lt}]"),
        "lower": matching(r"\p{Ll}"),
        "other_letter": matching(r"[\p{Lm}\p{Lo}]"),
        "mark": matching(r"\p{M}"),
        "number": matching(r"\p{N}"),
        "newline": {10, 13},
        "space": matching(r"\s") - {10, 13},
    }
    assert sum(map(len, members.values())) == len(set().union(*members.values()))
    assert members["upper"] | members["lower"] | members["other_letter"] == matching(r"\p{L}")
    properties = {c: CLASSES[name] for name, chars in members.items() for c in chars}
    for c in word_characters():
        properties[c] = properties.get(c, 0) | WORD_FLAG
    needs_nfc = (
        set(combining)
        | {c for c in decomposition if nfc(chr(c)) != chr(c)}
        | {second for _, second in pairs}
        | set(HANGUL_V)
        | set(HANGUL_T)
    )
    for c in needs_nfc:
        properties[c] = properties.get(c, 0) | NFC_FLAG

    print("// Made by tools/make_unicode_tables.py; do not edit.")
    print('#include "text/unicode_tables.h"\n')
    print("namespace m2::unicode {\n")
    print("// clang-format off")
    write_array(
        "const PropertyRun kPropertyRuns[]",
        [f"{{0x{start:X}, 0x{value:X}}}" for start, value in runs(properties)],
    )
    print("const size_t kNumPropertyRuns = sizeof(kPropertyRuns) / sizeof(kPropertyRuns[0]);\n")
    write_array(
        "const PropertyRun kCombiningClassRuns[]",
        [f"{{0x{start:X}, {value}}}" for start, value in runs(combining)],
    )
    print("const size_t kNumCombiningClassRuns =")
    print("    sizeof(kCombiningClassRuns) / sizeof(kCombiningClassRuns[0]);\n")
    flat, entries = [], []
    for c, parts in sorted(decomposition.items()):
        entries.append(f"{{0x{c:X}, {len(flat)}, {len(parts)}}}")
        flat += [f"0x{ord(part):X}" for part in parts]
    write_array("const char32_t kDecomposed[]", flat)
    write_array("const Decomposition kDecompositions[]", entries)
    print("const size_t kNumDecompositions = sizeof(kDecompositions) / sizeof(kDecompositions[0]);\n")
    write_array(
        "const Composition kCompositions[]",
        [f"{{0x{a:X}, 0x{b:X}, 0x{c:X}}}" for (a, b), c in sorted(pairs.items())],
    )
    print("const size_t kNumCompositions = sizeof(kCompositions) / sizeof(kCompositions[0]);")
    print("// clang-format on\n")
    print("}  // namespace m2::unicode")


if __name__ == "__main__":
    main()
