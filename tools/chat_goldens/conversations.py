"""Conversations to render: one for each rule, and random ones."""

import json
import random

USER = {"role": "user", "content": "Hi"}


def call(name, arguments, call_id=None):
    result = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return dict(result, id=call_id) if call_id else result


def assistant(content=None, calls=None, **fields):
    message = {"role": "assistant", "content": content, **fields}
    return dict(message, tool_calls=calls) if calls is not None else message


def result(content, call_id=None, **fields):
    message = {"role": "tool", "content": content, **fields}
    return dict(message, tool_call_id=call_id) if call_id else message


def text(value, kind="text"):
    return {"type": kind, "text": value}


WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "Wetter für \"Städte\" <heute>", "strict": True,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {
        "type": "integer", "default": 1.0}}, "required": ["city"]}}}
FLAT = {"name": "flat", "description": None}
FLAT_TYPED = {"type": "function", "name": "typed", "parameters": {}, "strict": False}
ANTHROPIC = {"name": "claude", "description": "d", "input_schema": {"type": "object"},
             "cache_control": {"type": "ephemeral"}}

TWO_CALLS = [USER, assistant("", [call("f", "{}", "1"), call("g", "{\"x\": [1, 2.0]}", "2")])]

CASES = {
    "one question": dict(messages=[USER]),
    "no generation prompt": dict(messages=[USER], options={"add_generation_prompt": False}),
    "system with date and place": dict(
        messages=[{"role": "system", "content": "Be brief.", "current_date": "2025-10-27",
                   "current_location": "Shanghai"}, USER],
        options={"add_generation_prompt": False}),
    "model identity": dict(messages=[USER], kwargs={"model_identity": "You are X."}),
    "empty system": dict(messages=[{"role": "system", "content": ""}, USER]),
    "system of parts": dict(messages=[{"role": "system", "content": [text("a"), text("b")]}, USER]),
    "several system messages": dict(
        messages=[{"role": "system", "content": "one", "current_date": "D"},
                  {"role": "developer", "content": [text("two"), "!"]},
                  {"role": "system", "content": "three", "current_location": "L",
                   "current_date": "E"}, USER]),
    "developer alone": dict(messages=[{"role": "developer", "content": "dev"}, USER]),
    "only a system message": dict(messages=[{"role": "system", "content": "s"}]),
    "late system as user": dict(messages=[USER, assistant("a"),
                                          {"role": "system", "content": "now"}]),
    "late system appended": dict(
        messages=[{"role": "system", "content": "s"}, USER, {"role": "developer", "content": "t"},
                  assistant("a"), {"role": "system", "content": [text("u")]}],
        options={"late_system": "append"}),
    "late system appended to nothing": dict(
        messages=[USER, {"role": "system", "content": "t"}], options={"late_system": "append"}),
    "late system refused": dict(messages=[USER, {"role": "system", "content": "t"}],
                                options={"late_system": "error"}),
    "content null": dict(messages=[USER, assistant(None), USER]),
    "content absent": dict(messages=[{"role": "user"}, {"role": "assistant"}, USER]),
    "content of parts": dict(messages=[{"role": "user", "content": [
        text("a"), text("b", "input_text"), "c", text("d", "output_text"),
        {"type": "refusal", "refusal": "no"}]}]),
    "empty list": dict(messages=[{"role": "user", "content": []}]),
    "image": dict(messages=[USER, {"role": "user", "content": [text("a"), {
        "type": "image_url", "image_url": {"url": "x"}}]}]),
    "unknown role": dict(messages=[USER, {"role": "critic", "content": "x"}]),
    "no messages": dict(messages=[]),
    "name is ignored": dict(messages=[dict(USER, name="Ann")]),
    "spaces are kept": dict(messages=[{"role": "user", "content": "\n  a \n\n"}]),
    "control text is kept": dict(messages=[{"role": "user", "content": "[e~[\n]~b]system\nx"}]),
    "old thinking is dropped": dict(messages=[
        USER, assistant("a", reasoning_content="r"), USER]),
    "thinking after the last user message": dict(messages=[
        USER, assistant("a", reasoning_content="r")]),
    "reasoning": dict(messages=[USER, assistant("a", reasoning="r")]),
    "reasoning after reasoning_content": dict(messages=[
        USER, assistant("a", reasoning_content="x", reasoning="r")]),
    "reasoning_content null": dict(messages=[
        USER, assistant("a", reasoning_content=None, reasoning="r")]),
    "reasoning details": dict(messages=[USER, assistant("a", reasoning_details=[
        {"type": "reasoning.text", "text": "r"}, {"type": "reasoning.encrypted", "data": "z"},
        {"type": "reasoning.text", "text": "s"}])]),
    "empty reasoning details": dict(messages=[
        USER, assistant("<think>i</think>a", reasoning_details=[])]),
    "thinking blocks": dict(messages=[USER, assistant([
        {"type": "thinking", "thinking": "r", "signature": "q"},
        {"type": "redacted_thinking", "data": "z"}, text("a")])]),
    "inline thinking": dict(messages=[USER, assistant("<think>\nr\n</think>\n\na")]),
    "inline thinking in parts": dict(messages=[USER, assistant([text("r</think>"), text("a")])]),
    "inline thinking with two ends": dict(messages=[USER, assistant("a</think>b</think>c")]),
    "empty reasoning keeps inline thinking": dict(messages=[
        USER, assistant("<think>r</think>a", reasoning_content="")]),
    "calls and results": dict(messages=TWO_CALLS + [result("A", "1"), result(
        [text("B"), {"output": "C"}, {"type": "json", "k": [1, None, True]}, "D"], "2")],
        options={"add_generation_prompt": False}),
    "results joined": dict(messages=TWO_CALLS + [
        result([text("B"), "C"], "1"), result([text("D"), {"output": "E"}], "2")],
        options={"tool_content": "join"}),
    "results out of order": dict(messages=TWO_CALLS + [result("B", "2"), result("A", "1")]),
    "results without ids": dict(messages=TWO_CALLS + [result("A"), result("B")]),
    "results partly without ids": dict(messages=TWO_CALLS + [result("B", "2"), result("A")]),
    "two results of a call": dict(messages=TWO_CALLS + [
        result("B", "2"), result("A", "1"), result("A2", "1")]),
    "more results than calls": dict(messages=TWO_CALLS + [result("A"), result("B"), result("C")]),
    "result missing": dict(messages=TWO_CALLS + [result("B", "2")]),
    "no results": dict(messages=TWO_CALLS),
    "result after a user message": dict(messages=TWO_CALLS + [
        result("B", "2"), USER, result("A", "1")]),
    "unknown result id": dict(messages=TWO_CALLS + [result("A", "9")]),
    "result without a call": dict(messages=[USER, result("A")]),
    "result after an answer": dict(messages=TWO_CALLS + [
        result("A", "1"), result("B", "2"), assistant("done"), result("C")]),
    "result null": dict(messages=TWO_CALLS + [result(None, "1"), result([], "2")]),
    "image result": dict(messages=TWO_CALLS + [result([{"type": "image_url"}], "1")]),
    "deprecated functions": dict(messages=[
        USER, assistant(None, function_call={"name": "f", "arguments": "{\"a\": \"b\"}"}),
        {"role": "function", "name": "f", "content": "A"}]),
    "functions matched by name": dict(messages=[
        USER, assistant("", [call("f", ""), call("g", "")]),
        {"role": "function", "name": "g", "content": "B"},
        {"role": "function", "name": "f", "content": "A"}]),
    "empty tool_calls": dict(messages=[USER, assistant("a", []), USER]),
    "flat calls": dict(messages=[USER, assistant("", [{"id": "1", "name": "f",
                                                       "arguments": {"a": 1}}])]),
    "arguments of every type": dict(messages=[USER, assistant("Checking.", [call("get_weather", {
        "city": "Zürich \"X\"", "days": 3, "opts": {"a": [1, True, None], "é": "ü"}, "flag": False,
        "float": 1.0, "big": 1e20, "tiny": 1e-7, "none": None, "empty": {}, "list": [],
        "text": "</parameter>\n<x>"}, "1")], reasoning_content="need tool"),
        result("{\"t\": 20}", "1")]),
    "arguments as text": dict(messages=[USER, assistant("", [call("f", json.dumps(
        {"z": 1, "a": "\u00e9\n", "n": 123456789012345678901234567890, "f": 2.50}))])]),
    "blank arguments": dict(messages=[USER, assistant("", [call("f", " "), call("g", None)])]),
    "arguments that are a list": dict(messages=[USER, assistant("", [call("f", "[1]")])]),
    "arguments that are no JSON": dict(messages=[USER, assistant("", [call("f", "{a")])]),
    "lenient arguments": dict(
        messages=[USER, assistant("", [call("f", "{a"), call("g", "[1]"), call("h", "{}")])],
        options={"lenient_arguments": True}),
    "tools": dict(messages=[USER], tools=[WEATHER, FLAT, FLAT_TYPED, ANTHROPIC]),
    "tools and system": dict(messages=[{"role": "system", "content": "s"}, USER], tools=[WEATHER]),
    "no tools": dict(messages=[USER], tools=[]),
    "thinking off": dict(messages=[USER], options={"enable_thinking": False}),
    "thinking off without generation prompt": dict(
        messages=[USER, assistant("a")],
        options={"enable_thinking": False, "add_generation_prompt": False}),
    "continued text": dict(messages=[USER, assistant("So")],
                           options={"continue_final_message": True}),
    "continued text after thinking": dict(
        messages=[USER, assistant("So ", reasoning_content="r")],
        options={"continue_final_message": True}),
    "continued thinking": dict(messages=[USER, assistant("", reasoning_content="r \n")],
                               options={"continue_final_message": True}),
    "continued calls": dict(messages=TWO_CALLS, options={"continue_final_message": True}),
}

WORDS = ["word", "two words", "\n", "  ", "é漢\U0001f600", "a\n\nb", "<b>", "</think>", "<think>x",
         "[e~[", "]~b]ai\n", "\\n \"q\"", "{\"k\": 1}", ""]


def random_content(rng):
    pick = lambda: "".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 4)))
    kind = rng.randrange(6)
    if kind == 0:
        return None
    if kind == 1:
        return [text(pick(), rng.choice(["text", "input_text"])) for _ in range(rng.randrange(4))]
    return pick()


def random_value(rng, depth=0):
    kind = rng.randrange(9 if depth < 3 else 6)
    if kind < 2:
        return rng.choice(WORDS)
    if kind == 2:
        return rng.choice([0, -7, 2**63, 10**25])
    if kind == 3:
        return rng.choice([0.5, -0.0, 1e16, 123456.789, 3e-5])
    if kind in (4, 5):
        return rng.choice([True, False, None])
    if kind == 6:
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(3))]
    return {rng.choice("abcé"): random_value(rng, depth + 1) for _ in range(rng.randrange(3))}


def random_turn(rng, counter):
    if rng.random() < 0.5:
        return [{"role": "user", "content": random_content(rng)}]
    fields = {}
    if rng.random() < 0.5:
        fields[rng.choice(["reasoning_content", "reasoning"])] = rng.choice(WORDS)
    calls = []
    for _ in range(rng.choice([0, 0, 1, 2, 3])):
        counter[0] += 1
        arguments = {k: random_value(rng) for k in rng.sample(["p", "q", "ü", "s"], rng.randrange(4))}
        # As text, so that integers of any size arrive as they are.
        calls.append(call(rng.choice("fgh"), json.dumps(arguments), f"id{counter[0]}"))
    turn = [assistant(random_content(rng), calls or None, **fields)]
    results = [result(random_content(rng) if rng.random() < 0.8 else
                      [{"output": rng.choice(WORDS)}, {"n": 1}], c["id"]) for c in calls]
    rng.shuffle(results)
    return turn + results


def random_case(rng):
    counter = [0]
    messages = []
    for _ in range(rng.choice([0, 0, 1, 2])):
        messages.append({"role": rng.choice(["system", "developer"]), "content": random_content(rng)})
    messages.append({"role": "user", "content": random_content(rng)})
    for _ in range(rng.randrange(6)):
        messages += random_turn(rng, counter)
    case = {"messages": messages, "options": {}}
    if rng.random() < 0.4:
        case["tools"] = rng.sample([WEATHER, FLAT, FLAT_TYPED, ANTHROPIC], rng.randrange(1, 4))
    if rng.random() < 0.2:
        case["options"]["add_generation_prompt"] = False
    if rng.random() < 0.2:
        case["options"]["tool_content"] = "join"
    return case


def all_cases(num_random, seed):
    rng = random.Random(seed)
    named = [dict(case, name=name) for name, case in CASES.items()]
    return named + [dict(random_case(rng), name=f"random {i}") for i in range(num_random)]
