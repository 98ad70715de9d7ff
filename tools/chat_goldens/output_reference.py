"""The rules for parsing model output, written once more for whole texts.

It shares nothing with src/chat and does no streaming: every rule is a regular expression on the
full text.
"""

import ast
import json
import re

WS = " \t\r\n"
TH, TC = "<think>", "</think>"
TS, TE = "<minimax:tool_call>", "</minimax:tool_call>"
END_INVOKE, END_PARAMETER = "</invoke>", "</parameter>"


def header_pattern(keyword):
    return re.compile(
        r"<%s[ \t\r\n]+name[ \t]*=[ \t]*"
        r"(?:\"([^\"\n]*)\"|'([^'\n]*)'|([^\"' \t\r\n>][^ \t\r\n>]*))[ \t]*>" % keyword)


HEADERS = {"invoke": header_pattern("invoke"), "parameter": header_pattern("parameter")}
SPACE = re.compile(r"[ \t\r\n]*")


def header(text, pos, keyword):
    """(name, end) of a header at pos, or None."""
    match = HEADERS[keyword].match(text, pos)
    if not match:
        return None
    name = next(g for g in match.groups() if g is not None).strip(WS)
    return (name, match.end()) if name else None


def skip_space(text, pos):
    return SPACE.match(text, pos).end()


class Writer:
    """The arguments of one call."""

    def __init__(self):
        self.parts = []

    def text(self, complete):
        inner = ", ".join(self.parts)
        if complete:
            return "{" + inner + "}"
        return "{" + inner if self.parts else ""


class OutputReference:
    def __init__(self, text, tools, options, end):
        self.text, self.end, self.options = text, end, options
        self.tools = {t["function"]["name"]: t["function"].get("parameters", {}) for t in tools}
        self.pos = 0
        self.pieces = {"reasoning": "", "content": ""}
        self.calls = []  # [name, arguments, complete]
        self.stopped = False

    # -- text --------------------------------------------------------------------------------

    def run(self):
        think = self.options["parse_reasoning"]
        active = self.options["tools_active"] and self.tools
        channel = "reasoning" if think and self.options["starts_in_reasoning"] else "content"
        stray = False
        text = self.text
        while self.pos < len(text) and not self.stopped:
            at = lambda tag: text.startswith(tag, self.pos)
            if think and at(TC):
                channel = "content"
                self.pos += len(TC)
            elif think and at(TH) and self.reopens(channel):
                channel = "reasoning"
                self.pos += len(TH)
            elif active and at(TS) and header(text, skip_space(text, self.pos + len(TS)), "invoke"):
                self.pos = skip_space(text, self.pos + len(TS))
                stray = self.block()
                channel = "content"
            elif active and at(TE) and channel == "content" and stray:
                stray = False
                self.pos += len(TE)
            else:
                self.pieces[channel] += text[self.pos]
                self.pos += 1
        return self.result()

    def reopens(self, channel):
        if channel == "reasoning":
            return not self.pieces["reasoning"].strip()
        return not self.pieces["content"].strip() and not self.calls

    def result(self):
        texts = {k: v.strip("\n") if v.strip() else "" for k, v in self.pieces.items()}
        if self.end == "length":
            reason = "length"
        else:
            reason = "tool_calls" if any(c[2] for c in self.calls) else "stop"
        return {"reasoning": texts["reasoning"], "content": texts["content"],
                "calls": self.calls, "finish_reason": reason}

    # -- blocks ------------------------------------------------------------------------------

    def block(self):
        """From the first invoke header; returns whether the block ended without its end tag."""
        text = self.text
        while True:
            after = skip_space(text, self.pos)
            found = header(text, after, "invoke")
            if found:
                self.pos = after
                self.invoke(*found)
                if self.stopped:
                    return False
            elif text.startswith(TE, after):
                self.pos = after + len(TE)
                return False
            elif after == len(text):
                self.pos = after
                return False
            else:
                return True  # the white space is content, too

    def invoke(self, name, pos):
        text, begin = self.text, self.pos
        writer, given = Writer(), set()
        complete = True
        while True:
            if pos >= len(text):
                complete = self.end != "length"
                break
            parameter = header(text, pos, "parameter")
            if parameter:
                key, value_begin = parameter
                given.add(key)
                value_end, pos, safe = self.value(name, given, value_begin)
                whole = safe is None or self.end != "length"
                self.add_argument(writer, name, key, text[value_begin:value_end if whole else safe],
                                  whole)
                if not whole:
                    complete = False
                    pos = len(text)
                    break
            elif text.startswith(END_INVOKE, pos):
                pos += len(END_INVOKE)
                break
            elif text.startswith(TE, pos) or header(text, pos, "invoke"):
                break
            else:
                pos += 1
        self.pos = pos
        self.add_call(name, writer, complete, text[begin:pos])

    def add_call(self, name, writer, complete, raw):
        mode = "forward" if name in self.tools else self.options["unknown_tools"]
        if mode == "content":
            self.pieces["content"] += raw
        elif mode == "forward":
            if complete:
                self.calls.append([name, writer.text(True), True])
                self.stopped = not self.options["parallel_tool_calls"]
            else:
                self.calls.append([name, getattr(writer, "open", writer.text(False)), False])

    def value(self, tool, given, begin):
        """(end of the value, where parsing goes on, end of what is certain when the output is cut
        off or None when the value was closed by a rule)."""
        text = self.text
        pos = begin
        while pos < len(text):
            if text[pos] != "<":
                pos += 1
                continue
            stripped = begin + len(text[begin:pos].rstrip("\r\n"))
            if text.startswith(END_PARAMETER, pos):
                after = skip_space(text, pos + len(END_PARAMETER))
                if after == len(text) or text.startswith((END_INVOKE, TE), after) or \
                        header(text, after, "parameter") or header(text, after, "invoke"):
                    return pos, pos + len(END_PARAMETER), None
            if pos > begin and text[pos - 1] == "\n":
                for key in self.tools.get(tool, {}).get("properties", {}):
                    if key not in given and text.startswith('<parameter name="%s">' % key, pos):
                        return stripped, pos, None
            if text.startswith(END_INVOKE, pos):
                after = skip_space(text, pos + len(END_INVOKE))
                follow = header(text, after, "invoke")
                if after == len(text) or (follow and follow[0] in self.tools):
                    return stripped, pos, None
                if text.startswith(TE, after) and skip_space(text, after + len(TE)) == len(text):
                    return stripped, pos, None
            if text.startswith(TE, pos) and skip_space(text, pos + len(TE)) == len(text):
                return stripped, pos, None
            pos += 1
        return len(text), len(text), self.safe_end(tool, given, begin)

    def safe_end(self, tool, given, begin):
        """Up to here an unclosed value cannot be the beginning of something that closes it."""
        text = self.text
        for pos in range(begin, len(text)):
            if text[pos] == "<" and self.may_close(tool, given, begin, pos):
                return begin + len(text[begin:pos].rstrip("\r\n"))
        return begin + len(text[begin:].rstrip("\r\n"))

    def may_close(self, tool, given, begin, pos):
        rest = self.text[pos:]
        if pos > begin and self.text[pos - 1] == "\n":
            for key in self.tools.get(tool, {}).get("properties", {}):
                if key not in given and ('<parameter name="%s">' % key).startswith(rest):
                    return True
        if any(tag.startswith(rest) for tag in (END_PARAMETER, END_INVOKE, TE)):
            return True
        if rest.startswith(END_PARAMETER):
            tail = rest[len(END_PARAMETER):].lstrip(WS)
            return any(tag.startswith(tail) for tag in (END_INVOKE, TE)) or \
                header_prefix(tail, "parameter") or header_prefix(tail, "invoke")
        if rest.startswith(END_INVOKE):
            tail = rest[len(END_INVOKE):].lstrip(WS)
            return TE.startswith(tail) or header_prefix(tail, "invoke")
        return False

    def add_argument(self, writer, tool, key, value, whole):
        key_text = json.dumps(key, ensure_ascii=False) + ": "
        types = parameter_types(self.tools.get(tool, {}), key)
        trim = self.options["trim_values"]
        if whole:
            value = trimmed(value, trim)
            writer.parts.append(key_text + argument_json(value, types))
            return
        done = writer.text(False)
        if types != {"string"}:
            writer.open = done
            return
        writer.open = (done + ", " if done else "{") + key_text + \
            json.dumps(trimmed(value, trim), ensure_ascii=False)[:-1]


def header_prefix(tail, keyword):
    """Whether a header may still come of the whole of tail."""
    full = "<%s name=" % keyword
    if full.startswith(tail):
        return True
    pattern = r"<%s[ \t\r\n]*$|<%s[ \t\r\n]+(n|na|nam|name[ \t]*)$|" \
        r"<%s[ \t\r\n]+name[ \t]*=[ \t]*(\"[^\"\n]*|'[^'\n]*|[^\"' \t\r\n>][^ \t\r\n>]*[ \t]*|" \
        r"\"[^\"\n]*\"[ \t]*|'[^'\n]*'[ \t]*)?$"
    return re.match(pattern % ((keyword,) * 3), tail) is not None


def trimmed(value, mode):
    if mode == "newlines":
        value = value[1:] if value.startswith("\n") else value
        return value[:-1] if value.endswith("\n") else value
    return value.strip() if mode == "strip" else value


# -- values ----------------------------------------------------------------------------------

NAMES = {"string": "string str text", "integer": "integer int long",
         "number": "number float double", "boolean": "boolean bool", "object": "object dict map",
         "array": "array list", "null": "null none nil"}
ALIASES = {alias: name for name, aliases in NAMES.items() for alias in aliases.split()}
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def parameter_types(parameters, key):
    schema = parameters.get("properties", {}).get(key)
    return schema_types(schema, parameters, 0) or {"string"}


def schema_types(schema, root, depth):
    if not isinstance(schema, dict) or depth > 16:
        return set()
    result = set()
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        result |= {ALIASES[n] for n in names if isinstance(n, str) and n in ALIASES}
    if str(schema.get("$ref", "")).startswith("#/"):
        target = root
        for step in schema["$ref"][2:].split("/"):
            target = target.get(step, {})
        result |= schema_types(target, root, depth + 1)
    for key in ("anyOf", "oneOf", "allOf"):
        for item in schema.get(key, []):
            result |= schema_types(item, root, depth + 1)
    if "type" not in schema:
        values = schema.get("enum", []) + ([schema["const"]] if "const" in schema else [])
        python = {type(None): "null", bool: "boolean", int: "integer", float: "number",
                  str: "string", dict: "object", list: "array"}
        result |= {python[type(v)] for v in values}
        result |= {"object"} if "properties" in schema else set()
        result |= {"array"} if "items" in schema else set()
    if schema.get("nullable") is True:
        result.add("null")
    return result


class Raw(str):
    """A number that keeps its characters."""


def dump(value):
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        # A list of pairs, so that a repeated key is written again.
        raise TypeError
    if isinstance(value, Pairs):
        return "{" + ", ".join(dump(k) + ": " + dump(v) for k, v in value.pairs) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(dump, value)) + "]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


class Pairs:
    def __init__(self, pairs):
        self.pairs = pairs


def load_json(text):
    def refuse(_):
        raise ValueError
    return json.loads(text, parse_int=Raw, parse_float=Raw, parse_constant=refuse,
                      object_pairs_hook=Pairs)


def load_python(text):
    def convert(value):
        if isinstance(value, dict):
            pairs = []
            for key, item in value.items():
                if not isinstance(key, (str, int, float, type(None))):
                    raise ValueError
                pairs.append((key if isinstance(key, str) else json.dumps(key), convert(item)))
            return Pairs(pairs)
        if isinstance(value, (list, tuple)):
            return [convert(item) for item in value]
        if not isinstance(value, (str, int, float, type(None))):
            raise ValueError
        return value
    return convert(ast.literal_eval(text))


def container(text, brackets):
    if text[:1] != brackets:
        return None
    for load in (load_json, load_python):
        try:
            return dump(load(text))
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            pass
    return None


def argument_json(value, types):
    text = value.strip(WS)
    if types != {"string"}:
        if "null" in types and text.lower() == "null":
            return "null"
        is_number = NUMBER.fullmatch(text)
        if "integer" in types:
            if re.fullmatch("[+-]?[0-9]+", text):
                return str(int(text))
            if is_number and float(text).is_integer() and abs(float(text)) < 2**53:
                return str(int(float(text)))
        if "number" in types:
            plain = text[1:] if text.startswith("+") else text
            if NUMBER.fullmatch(plain) and abs(float(plain)) != float("inf") and \
                    not text.startswith("+-"):
                return plain
        if "boolean" in types and text.lower() in ("true", "false", "0", "1"):
            return "true" if text.lower() in ("true", "1") else "false"
        for kind, bracket in (("object", "{"), ("array", "[")):
            if kind in types and (found := container(text, bracket)) is not None:
                return found
    return json.dumps(value, ensure_ascii=False)


def parse_output(text, tools, options, end):
    return OutputReference(text, tools, options, end).run()
