"""Random outputs, most of them close to what a model writes, with what they must be parsed into."""

import random

from output_reference import parse_output

TOOLS = [
    {"type": "function", "function": {"name": "f", "parameters": {
        "type": "object",
        "properties": {
            "a": {"type": "string"},
            "b": {"type": "integer"},
            "c": {"anyOf": [{"type": "object"}, {"type": "array"}, {"type": "null"}]},
            "d": {"$ref": "#/$defs/d"}},
        "$defs": {"d": {"type": ["number", "boolean"]}}}}},
    {"type": "function", "function": {"name": "g"}},
]

HEADERS = ['<invoke name="f">', "<invoke name='g'>", "<invoke name=h>", '<invoke\tname = "f" >',
           '<invoke name="f', "<invoke name=\"\">"]
PARAMETERS = ['<parameter name="a">', '<parameter name="b">', "<parameter name='c'>",
              '<parameter name="d">', '<parameter name="z">', '<parameter name="a', "<parameter "]
ENDS = ["</parameter>", "</invoke>", "</minimax:tool_call>", "</think>", "</param", "</inv", "</",
        "</minimax:tool_c"]
STARTS = ["<minimax:tool_call>", "<think>", "<", "<minimax:", "<th"]
SPACES = ["\n", "\n\n", " ", "\t", "\r\n", ""]
VALUES = ["x", "line\nline", "7", " +007 ", "1.50", "-0", "null", "None", "TRUE", "1e3", "1e999",
          '{"k": [1, 2.50, "\\u00e9"]}', "{'k': (True, None)}", "[1,\n 2]", "['a',]", "{'a'}",
          "NaN", '"quoted"', "&lt;", "\\", "\u00e9\u6f22", "\u3000", "\x01", "12345678901234567890123",
          "{\"a\": 1, \"a\": 2}", "<b>", "a < b"]


def noise(rng):
    pool = rng.choice([HEADERS, PARAMETERS, ENDS, STARTS, SPACES, VALUES])
    return rng.choice(pool)


def call(rng):
    """A call as the model writes it."""
    text = rng.choice(HEADERS[:4]) + "\n"
    for _ in range(rng.randrange(4)):
        text += rng.choice(PARAMETERS[:5]) + rng.choice(VALUES) + "</parameter>\n"
    return text + "</invoke>\n"


def mutated(rng, text):
    for _ in range(rng.choice([0, 0, 0, 1, 1, 2])):
        at = rng.randrange(len(text) + 1)
        kind = rng.randrange(3)
        if kind == 0:
            text = text[:at] + noise(rng) + text[at:]
        elif kind == 1:
            text = text[:at] + text[at + rng.randrange(12):]
        else:
            text = text[:at]
    return text


def random_output(rng):
    if rng.random() < 0.3:
        return "".join(noise(rng) for _ in range(rng.randrange(1, 16)))
    text = rng.choice(["", "", "<think>\n"]) + rng.choice(["", "thinking\nmore", "r"])
    text += rng.choice(["\n</think>\n\n", "</think>", "\n", ""])
    text += rng.choice(["", "", "Answer", "A\n\nB "])
    for _ in range(rng.choice([0, 1, 1, 1, 2])):
        text += rng.choice(["\n", ""]) + "<minimax:tool_call>" + rng.choice(["\n", ""])
        text += "".join(call(rng) for _ in range(rng.choice([1, 1, 1, 2])))
        text += "</minimax:tool_call>" + rng.choice(["", "", "\ntail", "\n"])
    return mutated(rng, text)


def random_options(rng):
    return {
        "tools_active": rng.random() < 0.95,
        "parse_reasoning": rng.random() < 0.95,
        "starts_in_reasoning": rng.random() < 0.8,
        "trim_values": rng.choice(["off", "off", "newlines", "strip"]),
        "unknown_tools": rng.choice(["forward", "forward", "drop", "content"]),
        "parallel_tool_calls": rng.random() < 0.9,
    }


def output_cases(count, seed):
    rng = random.Random(seed)
    cases = []
    for _ in range(count):
        text, options = random_output(rng), random_options(rng)
        end = rng.choice(["stop", "stop", "stop", "length"])
        cases.append({"text": text, "options": options, "end": end,
                      "expected": parse_output(text, TOOLS, options, end)})
    return cases
