#!/usr/bin/env python3
"""Compares the template engine with Jinja2 on random templates.

    python tools/compare_jinja.py BUILD/tests/jinja/m2_jinja_cli [--cases N] [--seed S]

Expressions and statements are made from a grammar that mixes types freely, so that many of them are
errors: then both sides must fail. Cases that the engine refuses as unsupported or too much work are
counted but not compared. Needs the reference environment of tools/make_jinja_goldens.py.
"""

import argparse
import json
import random
import subprocess
import sys
import warnings

from make_jinja_goldens import render

CONTEXT = {
    "s": "Hello, Wörld", "e": "", "t": "  a\tb\n", "i": 7, "z": 0, "f": 2.5, "b": True, "n": None, "m": "<a&'b\">",
    "l": [3, 1, 2], "w": ["b", "A", "a"], "d": {"a": 1, "b": [1, 2], "é": None}, "x": [[1, 2], ["k", {"v": 2}]],
    "p": [{"n": "Bob", "a": 3}, {"n": "al", "a": 1}, {"n": "Cy"}],
    "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": " U\n"},
                 {"role": "assistant", "content": "<think>r</think>A", "tool_calls": [{"function": {"name": "f", "arguments": {"q": [1.0]}}}]}],
}
NAMES = list(CONTEXT) + ["u", "v", "ns", "loop"]
LITERALS = ["0", "1", "-1", "2", "10", "1.5", "0.0", "1e20", "1e-7", "true", "false", "none", "''", "'a'", "'l'", "'ab c'", "'é'", "'1'", "' x '", "[]", "[1, 'a']", "{}", "{'a': 1}", "()", "(1,)", "(1, 'b')", "'%s'", "'{}'", "'%d-%s'", "'\\n'", "'<'", "range(4)", "'a,b,a'"]
BINARY = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or", "**"]
FILTERS = {
    "abs": 0, "attr": 1, "batch": 1, "capitalize": 0, "center": 1, "count": 0, "default": 1, "dictsort": 0, "escape": 0, "first": 0, "float": 0, "format": 1, "groupby": 1, "indent": 1, "int": 0, "items": 0,
    "join": 1, "last": 0, "length": 0, "list": 0, "lower": 0, "map": 1, "max": 0, "min": 0, "reject": 1, "rejectattr": 1, "replace": 2, "reverse": 0, "round": 0, "safe": 0, "select": 1, "selectattr": 1, "slice": 1, "sort": 0,
    "string": 0, "sum": 0, "title": 0, "tojson": 0, "trim": 0, "truncate": 1, "unique": 0, "upper": 0, "urlencode": 0, "wordcount": 0, "pprint": 0, "d": 1, "e": 0, "forceescape": 0, "filesizeformat": 0, "xmlattr": 0}
FILTER_ARGUMENTS = {"map": ["'upper'", "'length'", "'string'", "attribute='a'", "attribute='n', default='?'", "attribute=0", "'int'", "'first'", "'default', 1"], "select": ["'odd'", "'string'", "'defined'", "'gt', 1", "'in', [1, 'a']", ""], "selectattr": ["'a'", "'n', 'equalto', 'Bob'", "'a', 'defined'", "'role', 'eq', 'user'", "0"],
                    "groupby": ["'a'", "'a', default=0", "0"], "tojson": ["", "indent=2", "ensure_ascii=true", "sort_keys=true", "separators=(',', ':')"], "sort": ["", "reverse=true", "attribute='a'", "attribute='n'", "case_sensitive=true"], "round": ["", "1", "0, 'ceil'", "1, 'floor'", "-1"], "int": ["", "5", "base=16"], "truncate": ["5", "3, true", "8, false, '', 0"],
                    "indent": ["", "2", "2, true", "'>'", "1, true, true"], "attr": ["'upper'", "'a'", "'items'"], "dictsort": ["", "true", "by='value'", "reverse=true"], "max": ["", "attribute='a'"], "min": ["", "true"], "unique": ["", "true", "attribute='a'"], "sum": ["", "start=1", "attribute='a'"], "batch": ["2", "2, 'x'"], "slice": ["2", "3, 0"], "default": ["1", "'d', true"], "xmlattr": [""], "center": ["9"]}
FILTER_ARGUMENTS["reject"] = FILTER_ARGUMENTS["select"]
FILTER_ARGUMENTS["rejectattr"] = FILTER_ARGUMENTS["selectattr"]
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "true", "false", "mapping", "sequence", "iterable", "odd", "even", "lower", "upper", "divisibleby 2", "eq 1", "in [1, 'a']", "sameas none", "callable", "ge 1", "equalto 'a'", "escaped"]
METHODS = ["upper()", "lower()", "strip()", "strip('a')", "lstrip()", "rstrip('\\n')", "split()", "split(',')", "split('l', 1)", "rsplit('l', 1)", "splitlines()", "startswith('H')", "endswith(('x', 'd'))", "find('l')", "rfind('l')", "index('l')", "count('l')", "replace('l', 'L')", "replace('', '-', 2)", "title()", "capitalize()", "swapcase()",
           "partition('l')", "rpartition(',')", "removeprefix('He')", "removesuffix('ld')", "zfill(5)", "center(9, '*')", "ljust(4)", "rjust(4)", "isdigit()", "isalpha()", "isspace()", "islower()", "isupper()", "istitle()", "isalnum()", "join(['a', 'b'])", "join(w)", "format(1, 'x')", "format(a=2)", "expandtabs(4)",
           "items()", "keys()", "values()", "get('a')", "get('zz', 1)", "copy()", "index(1)", "count(1)", "is_integer()", "nope()", "casefold"]
SUBSCRIPTS = ["[0]", "[-1]", "[1:]", "[:2]", "[::-1]", "[1:-1]", "[::2]", "['a']", "['content']", ".a", ".n", ".role", ".content", ".0", "[99]", "[none]", "[i]", "[-3:]", "[5:1:-1]", ".items", "[1.5]", "['items']", "[true]"]


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, items):
        return self.random.choice(items)

    def expression(self, depth=0):
        if self.random.random() < 0.3:
            return self.fitting()
        r = self.random.random()
        if depth > 2 or r < 0.25:
            return self.pick(NAMES) if self.random.random() < 0.65 else self.pick(LITERALS)
        if r < 0.38:
            return f"{self.expression(depth + 1)} {self.pick(BINARY)} {self.expression(depth + 1)}"
        if r < 0.58:
            return f"{self.operand(depth)}|{self.filter(depth)}"
        if r < 0.68:
            return f"{self.operand(depth)}.{self.pick(METHODS)}"
        if r < 0.78:
            return f"{self.operand(depth)}{self.pick(SUBSCRIPTS)}"
        if r < 0.84:
            return f"({self.operand(depth)} is {self.pick(['', 'not '])}{self.pick(TESTS)})"
        if r < 0.88:
            return f"{self.expression(depth + 1)} if {self.expression(depth + 1)}" + (f" else {self.expression(depth + 1)}" if self.random.random() < 0.8 else "")
        if r < 0.91:
            return f"{self.pick(['not ', '-', '+'])}{self.operand(depth)}"
        if r < 0.95:
            return "[" + ", ".join(self.expression(depth + 1) for _ in range(self.random.randint(0, 3))) + "]"
        if r < 0.97:
            return "{" + ", ".join(f"{self.pick(LITERALS)}: {self.expression(depth + 1)}" for _ in range(self.random.randint(0, 2))) + "}"
        return f"({self.expression(depth + 1)})"

    # Mostly fitting ones, so that not too many templates are errors.
    FITTING = {
        "s": ["upper()", "strip()", "split()", "split('l', 1)", "replace('l', 'L')", "startswith('H')", "[1:]", "[::-1]", "[0]", "|length", "|title", "|wordcount", "|tojson", "|e", "|list", "|truncate(5)", "|indent", "|reverse"],
        "l": ["[1:]", "[-1]", "|sort", "|sum", "|max", "|join('-')", "|map('string')|list", "|select('odd')|list", "|batch(2)|list", "|tojson", "|first", "|unique|list", ".index(1)", "|reverse|list", "|slice(2)|list"],
        "d": [".a", "['b']", "|dictsort", "|items|list", "|length", "|tojson(indent=1)", "|list", "|xmlattr", ".get('q', 5)", "|pprint", "|urlencode"],
        "p": ["|map(attribute='n')|list", "|selectattr('a', 'defined')|list", "|groupby('n')", "|sort(attribute='n')", "[0].n", "|rejectattr('a')|map(attribute='n')|join", "|tojson(sort_keys=true)", "|last", "[:2]|sum(attribute='a')"],
        "f": ["|round", "|int", "* 3", "// 2", "% 2", "** 2", "|string", "|tojson", "/ 7", "|abs"],
        "i": ["* 3", "// 2", "% 4", "** 20", "/ 7", "|string", "|float", "is odd", "- 10"],
    }

    def fitting(self):
        name = self.pick(list(self.FITTING))
        operation = self.pick(self.FITTING[name])
        dot = "." if operation[0].isalpha() and not operation.startswith("is ") else ""
        text = name + dot + (" " if operation[0] in "*/%i-" else "") + operation
        return text if self.random.random() < 0.7 else f"({text}) {self.pick(['~', '==', 'in', 'or', 'and', '!='])} {self.pick(NAMES)}"

    def operand(self, depth):
        text = self.expression(depth + 1)
        return text if text.isalnum() or self.random.random() < 0.3 else f"({text})"

    def filter(self, depth):
        name = self.pick(list(FILTERS))
        if name in FILTER_ARGUMENTS:
            arguments = self.pick(FILTER_ARGUMENTS[name])
        else:
            arguments = ", ".join(self.expression(depth + 2) for _ in range(FILTERS[name]))
        return f"{name}({arguments})" if arguments or self.random.random() < 0.2 else name

    def space(self):
        return self.pick(["", "", " ", "\n", "  ", "\n  ", " \n", "\t", "x", "a\n", "\n\n"])

    def tag(self, inner):
        return "{%" + self.pick(["", "", "-", "+"]) + f" {inner} " + self.pick(["", "", "-", "+"]) + "%}"

    def variable(self, inner):
        return "{{" + self.pick(["", "", "-"]) + f" {inner} " + self.pick(["", "", "-"]) + "}}"

    def body(self, depth):
        return "".join(self.space() + self.statement(depth) for _ in range(self.random.randint(1, 3))) + self.space()

    def statement(self, depth=0):
        r = self.random.random()
        if depth > 2 or r < 0.3:
            return self.variable(self.pick([self.pick(NAMES), f"{self.pick(NAMES)}|string", self.expression(2)]))
        name = self.pick(["v", "u", "i", "s", "q"])
        if r < 0.42:
            return self.tag(f"if {self.expression(2)}") + self.body(depth + 1) + self.pick(["", self.tag("else") + self.body(depth + 1), self.tag(f"elif {self.pick(NAMES)}") + self.body(depth + 1)]) + self.tag("endif")
        if r < 0.6:
            source = self.pick(["l", "w", "d", "p", "x", "range(3)", "d.items()", "messages", "'ab'", "[]", "l|map('string')", self.expression(3)])
            target = self.pick([name, name, f"{name}, k", "m"])
            condition = self.pick(["", "", "", f" if {self.pick(NAMES)}", f" if {name}"])
            inner = self.body(depth + 1) + self.pick(["", "", self.variable("loop.index"), self.variable("loop.last"), self.variable("loop.nextitem"), self.tag(f"if {self.pick(NAMES)}") + self.tag(self.pick(["break", "continue"])) + self.tag("endif")])
            return self.tag(f"for {target} in {source}{condition}") + inner + self.pick(["", "", self.tag("else") + self.body(depth + 1)]) + self.tag("endfor")
        if r < 0.72:
            return self.tag(f"set {name} = {self.expression(2)}")
        if r < 0.77:
            return self.tag(f"set {name}{self.pick(['', ' | upper', ' | trim'])}") + self.body(depth + 1) + self.tag("endset")
        if r < 0.82:
            return self.tag(f"set ns = namespace(a={self.pick(LITERALS)})") + self.tag(f"set ns.{self.pick(['a', 'b'])} = {self.expression(3)}") + self.variable("ns.a")
        if r < 0.9:
            macro = self.pick(["f", "g"])
            parameters = self.pick(["", "v", "v, k=1", f"v, q={self.pick(NAMES)}"])
            call = self.pick([f"{macro}()", f"{macro}({self.pick(NAMES)})", f"{macro}(1, 2)", f"{macro}(v={self.pick(NAMES)})"])
            return self.tag(f"macro {macro}({parameters})") + self.body(depth + 1) + self.pick(["", "", "{{ varargs }}", "{{ kwargs }}", "{{ caller() if caller }}"]) + self.tag("endmacro") + self.pick([self.variable(call), self.tag(f"call {call}") + self.body(depth + 1) + self.tag("endcall")])
        if r < 0.93:
            return self.tag(f"with {name} = {self.pick(NAMES)}") + self.body(depth + 1) + self.tag("endwith")
        if r < 0.96:
            return self.tag(f"filter {self.pick(['upper', 'trim', 'length', 'replace(1, 2)'])}") + self.body(depth + 1) + self.tag("endfilter")
        return self.pick(["{# c #}", "{#- c -#}", "{% raw %} {{ x }} {% endraw %}", "{%- raw -%} y {%- endraw -%}", "{{ '{{' }}"])

    def template(self):
        if self.random.random() < 0.5:
            return "{{ " + self.expression() + " }}"
        return self.body(0)


def comparable(want, got):
    if got.get("code") in ("unsupported", "resource_exhausted"):
        return False
    # Constants are folded when Jinja2 compiles, with a rule of its own for slices of numbers.
    if "cannot be sliced" in got.get("error", ""):
        return False
    # A loop variable that a macro uses after the loop shows as a name of the compiler.
    text = want.get("ok", "").lower()
    return " at 0x" not in text and "<generator" not in text and "missing" not in text


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cli")
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=20)
    arguments = parser.parse_args()

    warnings.simplefilter("ignore")
    generator = Generator(arguments.seed)
    engine = subprocess.Popen([arguments.cli], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    counts = {"same text": 0, "both fail": 0, "not compared": 0, "different": 0}
    for _ in range(arguments.cases):
        template = generator.template()
        engine.stdin.write(json.dumps({"template": template, "context": CONTEXT}) + "\n")
        engine.stdin.flush()
        line = engine.stdout.readline()
        if not line:
            sys.exit(f"the engine died at {template!r}")
        got = json.loads(line)
        want = render(template, CONTEXT)
        if not comparable(want, got):
            counts["not compared"] += 1
        elif "ok" in want and got.get("ok") == want["ok"]:
            counts["same text"] += 1
        elif "ok" not in want and "ok" not in got:
            counts["both fail"] += 1
        else:
            counts["different"] += 1
            if counts["different"] <= arguments.show:
                print(f"{template!r}\n  jinja2: {want}\n  engine: {got}")
    print(counts)
    return counts["different"] != 0


if __name__ == "__main__":
    sys.exit(main())
