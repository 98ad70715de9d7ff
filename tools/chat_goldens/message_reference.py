"""The rules for preparing messages and tools, written once more, and Jinja2 as transformers sets it
up. Shares nothing with src/chat."""

import json

import jinja2
import jinja2.ext
import jinja2.sandbox


class Refused(Exception):
    """The request is answered with an error that begins like this."""


NO_CALL = "Message has tool role, but there was no previous assistant message with a tool call!"


def prepare(messages, options):
    if not messages:
        raise Refused("messages")
    out = [prepare_one(m, f"messages[{i}]", options) for i, m in enumerate(messages)]
    out = place_system(out, options)
    order_results(out)
    for message in out:
        for key in list(message):
            if key.startswith("_"):
                del message[key]
    return out


def prepare_one(message, where, options):
    role = {"developer": "system", "function": "tool"}.get(message.get("role"), message.get("role"))
    if role not in ("system", "user", "assistant", "tool"):
        raise Refused(where + ".role")
    known = ("role", "content", "name", "tool_calls", "function_call", "reasoning_content",
             "reasoning", "reasoning_details")
    out = {k: v for k, v in message.items() if k not in known}
    out.update(role=role, _where=where)
    out["content"] = prepare_content(message.get("content"), role, where, options)
    if role == "assistant":
        thinking = reasoning(message)
        if thinking is not None:
            out["reasoning_content"] = thinking
        calls = message.get("tool_calls") or []
        if not calls and message.get("function_call"):
            calls = [{"function": message["function_call"]}]
        if calls:
            out["tool_calls"] = [prepare_call(c, where, options) for c in calls]
    out["_name"] = message.get("name") if message.get("role") == "function" else None
    return out


def prepare_content(content, role, where, options):
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = []
    for i, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(part, str):
            parts.append(part)
        elif role == "assistant" and kind in ("thinking", "redacted_thinking"):
            continue
        elif role == "tool" and "output" in part:
            parts.append(part)
        elif kind in ("text", "input_text", "output_text"):
            parts.append({"type": "text", "text": part["text"]})
        elif kind == "refusal":
            parts.append({"type": "text", "text": part["refusal"]})
        elif role == "tool" and kind not in ("image_url", "image"):
            parts.append(part)
        else:
            raise Refused(f"{where}.content[{i}].type: expected text, got {kind}")
    texts = [p if isinstance(p, str) else p.get("text") if p.get("type") == "text" else None
             for p in parts]
    if role == "tool" and options.get("tool_content") == "join" and None not in texts:
        return "\n".join(texts)
    return parts


def reasoning(message):
    for key in ("reasoning_content", "reasoning"):
        if message.get(key) is not None:
            return message[key]
    details = [d["text"] for d in message.get("reasoning_details") or []
               if d.get("type") == "reasoning.text"]
    if details:
        return "".join(details)
    content = message.get("content")
    blocks = [p["thinking"] for p in content if isinstance(p, dict) and p.get("type") == "thinking"
              ] if isinstance(content, list) else []
    return "".join(blocks) if blocks else None


def prepare_call(call, where, options):
    function = call.get("function") or call
    arguments = function.get("arguments")
    if arguments is None:
        arguments = {}
    if isinstance(arguments, str):
        try:
            parsed = json.loads(arguments) if arguments.strip() else {}
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            if options.get("lenient_arguments") is not True:
                raise Refused(where)
            parsed = {"arguments": arguments}
        arguments = parsed
    return {"id": call.get("id"), "type": "function",
            "function": {"name": function["name"], "arguments": arguments}}


def text_of(content):
    if isinstance(content, str):
        return content
    return "".join(p if isinstance(p, str) else p["text"] for p in content)


def place_system(messages, options):
    head = 0
    while head < len(messages) and messages[head]["role"] == "system":
        head += 1
    first, rest = messages[:head], messages[head:]
    mode = options.get("late_system", "user")
    if mode == "append":
        late = [m for m in rest if m["role"] == "system"]
        rest = [m for m in rest if m["role"] != "system"]
        for message in late:
            message["content"] = text_of(message["content"])
        first += late
    for message in rest:
        if message["role"] == "system":
            if mode == "error":
                raise Refused(message["_where"] + ".role")
            message["role"] = "user"
    if len(first) > 1:
        merged = {}
        for message in reversed(first):
            merged.update(message)
        merged["content"] = "\n\n".join(t for t in (text_of(m["content"]) for m in first) if t)
        first = [merged]
    return first + rest


def order_results(messages):
    caller = None
    i = 0
    while i < len(messages):
        if messages[i]["role"] == "assistant":
            caller = messages[i].get("tool_calls")
            used = set()
        if messages[i]["role"] != "tool":
            i += 1
            continue
        end = i
        while end < len(messages) and messages[end]["role"] == "tool":
            end += 1
        ranks = []
        for message in messages[i:end]:
            if not caller:
                raise Refused(f"{message['_where']}: {NO_CALL}")
            ranks.append(rank(message, caller, used))
        group = [m for _, m in sorted(zip(ranks, messages[i:end]), key=lambda pair: pair[0])]
        messages[i:end] = group
        i = end


def rank(message, caller, used):
    given = message.get("tool_call_id")
    free = [j for j in range(len(caller)) if j not in used]
    if given:
        exact = [j for j in range(len(caller)) if caller[j]["id"] == given]
        options = [j for j in exact if j in free] or exact[-1:] or \
            [j for j in free if not caller[j]["id"]]
        if not options:
            raise Refused(message["_where"] + ".tool_call_id")
    else:
        options = [j for j in free if caller[j]["function"]["name"] == message["_name"]] or free or \
            [len(caller)]
    used.add(options[0])
    return options[0]


def prepare_tools(tools):
    out = []
    for tool in tools or []:
        function = tool.get("function") or tool
        kept = {}
        for key, value in function.items():
            key = "parameters" if key == "input_schema" else key
            if key in ("name", "description", "parameters"):
                kept[key] = value
        out.append({"type": "function", "function": kept})
    return out


# -- rendering -------------------------------------------------------------------------------


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols])

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    return env


def render(source, case):
    """The prompt of a case, or {"error": beginning of the message}."""
    options = case.get("options", {})
    continued = options.get("continue_final_message", False)
    try:
        messages = prepare(json.loads(json.dumps(case["messages"])), options)
    except Refused as refused:
        return {"error": str(refused)}
    variables = dict(case.get("kwargs", {}), messages=messages, bos_token="]~!b[",
                     eos_token="[e~[",
                     add_generation_prompt=options.get("add_generation_prompt", True) and
                     not continued)
    tools = prepare_tools(case.get("tools"))
    if tools:
        variables["tools"] = tools
    prompt = environment().from_string(source).render(**variables)
    thinking = False
    if continued:
        assert prompt.endswith("[e~[\n")
        prompt = prompt[:-len("[e~[\n")]
        last = messages[-1]
        if last.get("reasoning_content") and not text_of(last["content"]) and \
                not last.get("tool_calls"):
            prompt = prompt[:prompt.rindex(last["reasoning_content"]) +
                            len(last["reasoning_content"])]
            thinking = True
    elif variables["add_generation_prompt"] and options.get("enable_thinking") is False:
        prompt += "\n</think>\n\n"
    thinking = thinking or prompt.rstrip(" \t\r\n").endswith("<think>")
    return {"prompt": prompt, "starts_in_reasoning": thinking}
