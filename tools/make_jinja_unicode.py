#!/usr/bin/env python3
"""Writes src/jinja/unicode_data.inc: the character properties behind Python's str methods.

Run with the Python whose behaviour the template engine follows (3.11: Unicode 14):
    python tools/make_jinja_unicode.py > src/jinja/unicode_data.inc
"""

import sys
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


def emit(kind, name, entries):
    print(f"constexpr {kind} {name}[] = {{")
    line = "   "
    for entry in entries:
        text = " {" + ", ".join(entry) + "},"
        if len(line) + len(text) > 100:
            print(line)
            line = "   "
        line += text
    print(line)
    print("};")


def main():
    print("// Made by tools/make_jinja_unicode.py from Unicode", unicodedata.unidata_version + ".")
    emit("PropertyRange", "kProperties", ((hex(p), hex(f)) for p, f in property_ranges()))
    for name, convert in (("Lower", str.lower), ("Upper", str.upper), ("Title", str.title)):
        runs = simple_mappings(convert)
        emit("CaseRun", f"k{name}Runs", ((hex(a), hex(b), str(s), str(d)) for a, b, s, d in runs))
        specials = special_mappings(convert)
        emit("CaseSpecial", f"k{name}Specials",
             ((hex(p), 'U"' + "".join(f"\\x{ord(c):04x}" for c in m) + '"') for p, m in specials))


if __name__ == "__main__":
    sys.stdout.reconfigure(newline="\n")
    main()
