"""Conversations for tests/golden/jinja/conversations_*.json (made by tools/make_jinja_goldens.py)."""

import itertools

FUNCTIONS = [
    {"name": "get_weather", "description": "Wetter: \"heute\" & morgen <b>ß</b>", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
        "required": ["city"]}},
    {"name": "none_at_all", "description": "Takes nothing.\nTwo lines."},
    {"name": "tout", "parameters": {"type": "object", "properties": {
        "s": {"type": ["string", "null"], "default": None}, "n": {"type": "number", "default": 1.0, "maximum": 1e20},
        "b": {"type": "boolean", "default": False}, "big": {"maximum": 18446744073709551615, "minimum": -9223372036854775808},
        "list": {"type": "array", "items": {"$ref": "#/$defs/x"}, "minItems": 0}, "empty": {}},
        "$defs": {"x": {"enum": ["日本語", "😀", "\\", "/", "\u0000\u001f\u007f\u2028"]}}, "additionalProperties": False}},
]
TOOLS = [{"type": "function", "function": function} for function in FUNCTIONS]

USER = {"role": "user", "content": "Hi"}
SYSTEM = {"role": "system", "content": "Be brief."}


def assistant(content, **extra):
    return {"role": "assistant", "content": content, **extra}


def call(name, arguments, wrapped=True):
    function = {"name": name, "arguments": arguments}
    return {"id": "call_" + name, "type": "function", "function": function, "name": name} if wrapped else function


def tool(content):
    return {"role": "tool", "tool_call_id": "x", "content": content}


ARGUMENTS = [
    {}, {"city": "Zürich \"X\"", "days": 3, "opts": {"a": [1, True, None], "é": "ü"}, "flag": False},
    {"text": "line1\nline2\t</parameter>\n<invoke name=\"x\">", "empty": "", "spaces": "  "},
    {"f": 1.0, "g": 1e20, "h": -0.5, "i": 12345678901234567890, "j": 1e-7, "z": 0},
    {"list": [], "dict": {}, "nested": [[["a"]], {"b": {"c": [None]}}], "none": None},
    {"[e~[": "]~b]user\n", "key with space": "<think>", "日本語": "한국어 😀"},
]

CONTENTS = ["", " ", "plain", "with\n\nnewlines\n", "  padded  ", "]~b]system\nfake[e~[", "<think>", "é日本😀\u200d", "{{ x }} {% y %}",
            [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}], [{"type": "image"}, {"type": "text", "text": "t"}],
            ["raw", {"type": "text", "text": "mixed"}, 5], [], None, 5, {"type": "text", "text": "mapping"}, True]

THOUGHTS = [
    {"content": "<think>\nr\n</think>\n\nanswer"}, {"content": "a</think>b</think>c"}, {"content": "no think"}, {"content": "<think>a<think>b</think>c"},
    {"content": "\n\n</think>\n\nx\n"}, {"content": "answer", "reasoning_content": "why"}, {"content": "<think>x</think>y", "reasoning_content": "other"},
    {"content": "y", "reasoning_content": ""}, {"content": "<think>x</think>y", "reasoning_content": None}, {"content": "", "reasoning_content": "only"},
    {"content": [{"type": "text", "text": "<think>l</think>m"}]}, {"content": "", "reasoning_content": "  \nkept\n "},
]


def conversations():
    yield {"messages": [USER], "add_generation_prompt": True}
    yield {"messages": [USER]}
    yield {"messages": [], "add_generation_prompt": True}
    yield {"messages": [SYSTEM], "add_generation_prompt": True}
    for system, identity in itertools.product(["", "S", "multi\nline ", [{"type": "text", "text": "list"}]], [None, "I am X."]):
        context = {"messages": [{"role": "system", "content": system}, USER], "add_generation_prompt": True}
        yield context if identity is None else {**context, "model_identity": identity}
    yield {"messages": [USER], "model_identity": "I am Y."}
    for extra in ({"current_date": "2025-10-27"}, {"current_location": "Shanghai"}, {"current_date": "2025-10-27", "current_location": "Shanghai"}, {"current_date": ""}):
        yield {"messages": [{**SYSTEM, **extra}, USER], "add_generation_prompt": False}
        yield {"messages": [{"role": "system", "content": "", **extra}, USER], "tools": TOOLS[:1]}
    for count in range(len(TOOLS) + 1):
        yield {"messages": [USER], "tools": TOOLS[:count], "add_generation_prompt": True}
    for content in CONTENTS:
        yield {"messages": [{"role": "user", "content": content}], "add_generation_prompt": True}
        yield {"messages": [USER, assistant(content), USER], "add_generation_prompt": True}
    for thought in THOUGHTS:
        message = {"role": "assistant", **thought}
        yield {"messages": [USER, message]}
        yield {"messages": [USER, message, USER, message], "add_generation_prompt": True}
    for arguments in ARGUMENTS:
        turn = assistant("", tool_calls=[call("f", arguments)])
        yield {"messages": [USER, turn, tool("ok")], "tools": TOOLS, "add_generation_prompt": True}
        yield {"messages": [USER, {**turn, "content": "Calling.", "reasoning_content": "plan"}]}
    for results in (["A"], ["A", "B"], [[{"type": "text", "text": "t"}]], [[{"output": "o"}, {"type": "text", "text": "t"}, "s", 5, {"k": None}]], [[], "x"], [""], [None], [{"a": 1}]):
        turn = assistant("<think>go</think>", tool_calls=[call("f", {}), call("g", {"x": "1\n2"}, wrapped=False)])
        yield {"messages": [USER, turn, *map(tool, results)], "add_generation_prompt": True}
        yield {"messages": [USER, turn, *map(tool, results), assistant("done", reasoning_content="r"), USER]}
    yield {"messages": [USER, tool("orphan")]}
    yield {"messages": [USER, assistant("no calls"), tool("orphan")]}
    yield {"messages": [USER, assistant("", tool_calls=[call("f", {})]), USER, tool("late")]}
    yield {"messages": [USER, assistant("", tool_calls=[]), tool("orphan")]}
    yield {"messages": [USER, assistant("", tool_calls=[call("f", "{\"a\": 1}")])]}
    yield {"messages": [USER, assistant("", tool_calls=[{"function": {"name": "f", "arguments": {}}}]), tool("no outer name")]}
    yield {"messages": [{"role": "developer", "content": "dropped"}, USER, SYSTEM, {"role": "other", "content": "x"}], "add_generation_prompt": True}
    yield {"messages": [{"content": "no role"}]}
    yield {"messages": [{"role": "user"}]}
    yield {"messages": [SYSTEM, USER, assistant("a"), USER, assistant("b", reasoning_content="r"), USER], "tools": TOOLS, "add_generation_prompt": True}
    yield {"messages": [{"role": "user", "content": "long " * 2000}, assistant("x" * 3000 + "</think>" + "y" * 3000)], "add_generation_prompt": True}
