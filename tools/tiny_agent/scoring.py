"""Reads a finished assistant turn strictly and compares it with what it had to hold."""

import json
import re

_TURN = re.compile(r"(?P<thinking>.+?)\n</think>\n\n(?P<rest>.*)\[e~\[", re.DOTALL)
_BLOCK = re.compile(r"(?P<text>.*?)\n<minimax:tool_call>\n(?P<calls>.+)</minimax:tool_call>",
                    re.DOTALL)
_INVOKE = re.compile(r'<invoke name="([^"\n]+)">\n'
                     r'((?:<parameter name="[^"\n]+">.*?</parameter>\n)*)</invoke>\n', re.DOTALL)
_PARAMETER = re.compile(r'<parameter name="([^"\n]+)">(.*?)</parameter>\n', re.DOTALL)


def parse(text: str, tools: list[dict]) -> tuple[str, list[dict]] | None:
    """The content and the calls of a turn that ends properly; None if the format is wrong."""
    turn = _TURN.fullmatch(text)
    if not turn or "<think>" in text:
        return None
    block = _BLOCK.fullmatch(turn["rest"])
    if not block:
        return None if "minimax:tool_call" in turn["rest"] else (turn["rest"], [])
    if "".join(m[0] for m in _INVOKE.finditer(block["calls"])) != block["calls"]:
        return None
    schemas = {t["name"]: t["parameters"]["properties"] for t in tools}
    calls = []
    for name, body in _INVOKE.findall(block["calls"]):
        arguments = {}
        for key, value in _PARAMETER.findall(body):
            kind = schemas.get(name, {}).get(key, {}).get("type", "string")
            if kind == "string":
                arguments[key] = value
                continue
            try:
                arguments[key] = json.loads(value)
            except ValueError:
                return None
        calls.append({"name": name, "arguments": arguments})
    return block["text"], calls


def _same(a: object, b: object) -> bool:
    """Equal in value and JSON type."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def is_right(text: str, tools: list[dict], check: dict, names_only: bool = False) -> bool:
    """Whether a turn fulfils its check.

    A check has `calls` (with `names_only` their names suffice), or it holds that no call is made
    and that the content equals `answer`, or has all of `must` and none of `forbid`.
    """
    parsed = parse(text, tools)
    if parsed is None:
        return False
    content, calls = parsed
    if "calls" in check:
        if names_only:
            return [c["name"] for c in calls] == [c["name"] for c in check["calls"]]
        return not content and _same(calls, check["calls"])
    if calls:
        return False
    if "answer" in check:
        return content == check["answer"]
    return (all(m in content for m in check["must"])
            and not any(f in content for f in check.get("forbid", [])))
