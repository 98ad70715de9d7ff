"""Renders conversations in MiniMax-M2's prompt format, as chat_template.jinja does, but faster.

The generator makes thousands of conversations a second, so it does not go through Jinja;
check_render.py compares the two.
"""

import json

IDENTITY = "You are tiny-agent, a small assistant."
THINK = "<think>\n"
END = "[e~["

_TOOLS_HEAD = (
    "\n\n# Tools\nYou may call one or more tools to assist with the user query.\n"
    "Here are the tools available in JSONSchema format:\n\n<tools>\n")
_TOOLS_TAIL = (
    "</tools>\n\nWhen making tool calls, use XML format to invoke tools and pass parameters:\n\n"
    '<minimax:tool_call>\n<invoke name="tool-name-1">\n'
    '<parameter name="param-key-1">param-value-1</parameter>\n'
    '<parameter name="param-key-2">param-value-2</parameter>\n'
    "...\n</invoke>\n</minimax:tool_call>")


def calls_text(calls: list[dict]) -> str:
    """The tool-call block of a turn; each call is {"name", "arguments"}."""
    out = ["\n<minimax:tool_call>\n"]
    for call in calls:
        out.append(f'<invoke name="{call["name"]}">\n')
        for key, value in call["arguments"].items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            out.append(f'<parameter name="{key}">{text}</parameter>\n')
        out.append("</invoke>\n")
    out.append("</minimax:tool_call>")
    return "".join(out)


def render(messages: list[dict], tools: list[dict] | None = None,
           add_generation_prompt: bool = False) -> str:
    """The prompt text of string-content messages; tools are bare function objects."""
    head = messages[0] if messages[0]["role"] == "system" else None
    turns = messages[1:] if head else messages
    out = ["]~!b[]~b]system\n", head["content"] if head and head["content"] else IDENTITY]
    for key, label in (("current_date", "Current date"), ("current_location", "Current location")):
        if head and head.get(key):
            out.append(f"\n{label}: {head[key]}")
    if tools:
        out.append(_TOOLS_HEAD)
        out.extend(f"<tool>{json.dumps(t, ensure_ascii=False)}</tool>\n" for t in tools)
        out.append(_TOOLS_TAIL)
    out.append(END + "\n")
    last_user = max((i for i, m in enumerate(turns) if m["role"] == "user"), default=-1)
    for i, m in enumerate(turns):
        if m["role"] == "user":
            out.append(f"]~b]user\n{m['content']}{END}\n")
        elif m["role"] == "assistant":
            out.append("]~b]ai\n")
            if m.get("reasoning_content") and i > last_user:
                out.append(f"{THINK}{m['reasoning_content']}\n</think>\n\n")
            out.append(m["content"])
            if m.get("tool_calls"):
                out.append(calls_text(m["tool_calls"]))
            out.append(END + "\n")
        else:
            if i == 0 or turns[i - 1]["role"] != "tool":
                out.append("]~b]tool")
            out.append(f"\n<response>{m['content']}</response>")
            if i + 1 == len(turns) or turns[i + 1]["role"] != "tool":
                out.append(END + "\n")
    if add_generation_prompt:
        out.append("]~b]ai\n" + THINK)
    return "".join(out)
