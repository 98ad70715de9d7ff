#!/usr/bin/env python3
"""Writes src/jinja/unicode_properties.inc and unicode_case.inc: what Python's str methods know.

Run with the Python whose behaviour the template engine follows (3.11: Unicode 14):
    python tools/make_jinja_unicode.py
"""

import pathlib
import unicodedata

# Bits of the property table; src/jinja/unicode.cc names them in the same order.
PROPERTIES = [
    lambda c: c.isalpha(),
    lambda c: c.isdecimal(),
    lambda c: c.isdigit(),
    lambda c: c.isnumeric(),
    lambda c: c.islower(),
    lambda c: c.isupper(),
    lambda c: unicodedata.category(c) == "Lt",
    lambda c: c.isspace(),
    lambda c: c.isprintable(),
    lambda c: is_cased(c),
    lambda c: is_case_ignorable(c),
    lambda c: c.isidentifier() and c != "_",
]


def is_cased(c):
    """str.lower() ends a word with the final sigma only behind a cased letter."""
    return (c + "\u03a3").lower()[-1] == "\u03c2"


def is_case_ignorable(c):
    """Characters that the search for that cased letter skips."""
    return ("A" + c + "\u03a3").lower()[-1] == "\u03c2" and (c + "\u03a3").lower()[-1] != "\u03c2"


def property_ranges():
    last = None
    for point in range(0x110000):
        c = chr(point)
        flags = 0 if 0xD800 <= point < 0xE000 else sum(1 << i for i, f in enumerate(PROPERTIES) if f(c))
        if flags != last:
            yield point, flags
            last = flags


def simple_mappings(convert):
    """Runs (first, last, stride, delta) of code points that map to one code point."""
    runs = []
    for point in range(0x110000):
        mapped = convert(chr(point))
        if len(mapped) != 1 or ord(mapped) == point:
            continue
        delta = ord(mapped) - point
        if runs and runs[-1][3] == delta:
            first, last, stride, _ = runs[-1]
            if point - last == stride or (first == last and point - last <= 2):
                runs[-1] = (first, point, point - last, delta)
                continue
        runs.append((point, point, 1, delta))
    return runs


def special_mappings(convert):
    for point in range(0x110000):
        mapped = convert(chr(point))
        if len(mapped) > 1:
            yield point, mapped


def fill(entries):
    """Lines of at most 100 columns."""
    line = "   "
    for entry in entries:
        if len(line) + len(entry) + 2 > 100:
            yield line
            line = "   "
        line += f" {entry},"
    yield line


def array(kind, name, entries):
    return [f"constexpr {kind} {name}[] = {{", *fill(entries), "};"]


def properties():
    # A code point and, in the 12 bits below, the properties from it up to the next entry.
    return array("uint64_t", "kProperties", (hex(p << 12 | f) for p, f in property_ranges()))


def case_tables():
    lines = []
    for name, convert in (("Lower", str.lower), ("Upper", str.upper), ("Title", str.title),
                          ("Fold", str.casefold)):
        runs = simple_mappings(convert)
        lines += array("CaseRun", f"k{name}Runs",
                       (f"{{{a:#x}, {b:#x}, {s}, {d}}}" for a, b, s, d in runs))
        specials = special_mappings(convert)
        lines += array("CaseSpecial", f"k{name}Specials",
                       (f"{{{p:#x}, U\"" + "".join(f"\\x{ord(c):04x}" for c in m) + '"}'
                        for p, m in specials))
    return lines


def main():
    folder = pathlib.Path(__file__).resolve().parent.parent / "src" / "jinja"
    title = f"// Made by tools/make_jinja_unicode.py from Unicode {unicodedata.unidata_version}."
    for name, lines in (("unicode_properties.inc", properties()), ("unicode_case.inc", case_tables())):
        (folder / name).write_text("\n".join([title, *lines]) + "\n")


if __name__ == "__main__":
    main()
