"""Makes concrete tools with questions that need them, and results of their calls."""

import json
import random
from dataclasses import dataclass, field

from . import words
from .slots import KINDS, Param
from .tool_texts import ACTIONS, GENERIC, LOOKUPS, MODES, VERBS
from .world import a, join

LOOKUP_ROWS = [row.split("|") for row in LOOKUPS.strip().splitlines()]
ACTION_ROWS = [row.split("|") for row in ACTIONS.strip().splitlines()]
_FETCH = ["get", "fetch", "lookup", "find", "show", "query", "read", "check", "give", "retrieve",
          "get", "load", "request", "ask", "tell", "search", "view", "display", "obtain", "pull"]
_MARKS = ["v2", "tool", "api", "now", "info", "my", "new", "all", "fast", "home", "x", "pro", "web"]
_ASK = ["What is the {w} of {x}?", "Tell me the {w} of {x}.", "Find the {w} of {x}.",
        "Look up the {w} of {x}.", "Can you get me the {w} of {x}?", "I need the {w} of {x}.",
        "Show me the {w} of {x}.", "{w} of {x}?", "Please check the {w} of {x}.",
        "Do you know the {w} of {x}?", "Which {w} has {x}?", "Get the {w} for {x}.",
        "What {w} does {x} have?", "What's the {w} of {x}?", "Give me the {w} for {x}, please.",
        "I want to know the {w} of {x}."]
_ASK_PLACE = ["What is the {w} in {x}?", "Tell me the {w} in {x}.", "What's the {w} in {x}?",
              "Can you tell me the {w} in {x}?", "{w} in {x}?", "Show the {w} in {x}.",
              "I want to know the {w} in {x}.", "Check the {w} in {x}."]
_EXTRA = [("d:date?", " on {d}"), ("lang:language?", " in {lang}"),
          ("limit:count?", " with limit {limit}"), ("day:day?", " on {day}"),
          ("detail:flag?", " with detail {detail}"), ("unit:choice(short,long,full)?", ", {unit}")]
_ASK_MORE = {
    "weather": ["How is the weather in {x}?", "What's the weather like in {x}?",
                "Is it raining in {x}?", "Will I need an umbrella in {x}?"],
    "temperature": ["How warm is it in {x}?", "How cold is it in {x}?", "How hot is it in {x}?"],
    "population": ["How many people live in {x}?"], "local time": ["What time is it in {x}?"],
    "price": ["How much is the {x}?", "What does the {x} cost?", "How expensive is the {x}?"],
    "stock level": ["How many {x} are in stock?"], "weight": ["How heavy is the {x}?"],
    "author": ["Who wrote {x}?"], "director": ["Who directed {x}?"],
    "definition": ["What does {x} mean?", "Define {x}."], "birthday": ["When was {x} born?"],
    "calories": ["How many calories does {x} have?"], "news": ["What is new about {x}?"],
    "opening hours": ["When does {x} open?"], "mayor": ["Who is the mayor of {x}?"],
    "phone number": ["How can I call {x}?"], "status": ["How is order {x} doing?"],
    "delivery date": ["When does order {x} arrive?"], "recipe": ["How do I make {x}?"],
    "page count": ["How many pages does {x} have?"], "manager": ["Who is the boss of {x}?"],
    "file size": ["How big is {x}?"], "address": ["Where does {x} live?"],
    "capital": ["Which city is the capital of {x}?"], "room temperature": ["How warm is the {x}?"],
}


@dataclass
class Tool:
    """A tool in a prompt, with what the generator knows about it."""

    name: str
    what: str  # the canonical phrase, which its description holds
    schema: dict
    params: list[Param]
    questions: list[str]
    result: str
    lead: str  # starts the answer; may hold {roles}
    options: dict[str, str] = field(default_factory=dict)


@dataclass
class Request:
    """A question that one call of a tool answers."""

    tool: Tool
    question: str
    arguments: dict
    lead: str
    values: dict[str, str]


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(w.capitalize() for w in rest)


def _style(rng: random.Random, name: str) -> str:
    """A tool's name as various authors write it; names must be read, not remembered."""
    name = name.lower().replace(" ", "_").replace("-", "_")
    roll = rng.random()
    if roll < 0.1:
        name = "_".join(words.pseudo_word(rng, 1, 2) for _ in range(rng.randint(1, 2)))
    elif roll < 0.4:
        mark = rng.choice(_MARKS) if rng.random() < 0.4 else words.pseudo_word(rng, 1, 2)
        name = f"{name}_{mark}" if rng.random() < 0.5 else f"{mark}_{name}"
    roll = rng.random()
    if roll < 0.15:
        return _camel(name)
    return name.replace("_", "-") if roll < 0.2 else name


def _params(rng: random.Random, spec: str) -> list[Param]:
    params: list[Param] = []
    for item in spec.split():
        role, kind_name = item.rstrip("?").split(":")
        enum: list[str] = []
        if "(" in kind_name:
            kind_name, _, options = kind_name.rstrip(")").partition("(")
            enum = options.replace("_", " ").split(",")
        kind = KINDS[kind_name]
        names = list(kind.names) + ([role] * 3 if enum and len(role) > 1 else [])
        name = rng.choice(names)
        roll = rng.random()
        if roll < 0.15:
            mark = rng.choice(_MARKS) if roll < 0.07 else words.pseudo_word(rng, 1, 1)
            name = f"{name}_{mark}" if rng.random() < 0.5 else f"{mark}_{name}"
        while any(p.name == name for p in params):
            name = f"{rng.choice(names)}_{len(params) + 1}"
        params.append(Param(role, name, kind, not item.endswith("?"), enum))
    return params


def _schema(rng: random.Random, name: str, description: str, params: list[Param]) -> dict:
    parameters: dict = {"type": "object",
                        "properties": {p.name: p.schema(rng) for p in params}}
    required = [p.name for p in params if p.required]
    if required or rng.random() < 0.3:
        parameters["required"] = required
    if rng.random() < 0.1:
        parameters["additionalProperties"] = False
    if rng.random() < 0.04:
        return {"name": name, "parameters": parameters}
    return {"name": name, "description": description, "parameters": parameters}


def lookup_tool(rng: random.Random, wanted: str = "") -> Tool:
    """A tool that looks one thing up; `wanted` names a row of the list."""
    if wanted or rng.random() < 0.7:
        rows = [r for r in LOOKUP_ROWS if r[0] == wanted] if wanted else LOOKUP_ROWS
        what, kind, entity, result = rng.choice(rows)
    else:
        what = words.pseudo_word(rng, 1, 3)
        if rng.random() < 0.5:
            what = f"{rng.choice(words.NOUNS)} {rng.choice(words.NOUNS)}"
        kind = rng.choice(["city", "noun", "person", "code", "title", "word", "path"])
        entity, result = kind, rng.choice(["number", "word", "text", "price", "status", "list"])
        entity = {"noun": "product", "code": "order", "path": "file"}.get(entity, entity)
    fetch = rng.choice(_FETCH)
    name = _style(rng, rng.choice([f"{fetch}_{what}"] * 4 + [
        f"{what}_{fetch}", f"{what} of {entity}", f"{entity} {what}", what,
        f"{fetch} {entity} {what}"]))
    extra, phrase = rng.choice(_EXTRA)
    if what in ("weather", "temperature") and rng.random() < 0.6:
        extra, phrase = "unit:choice(celsius,fahrenheit)?", " in {unit}"
    elif rng.random() < 0.7:
        extra = phrase = ""
    params = _params(rng, f"x:{kind} {extra}")
    description = rng.choice([
        f"Get the {what} of a {entity}.", f"Returns the {what} for the given {entity}.",
        f"Look up the {what} of {a(entity)}", f"Finds the {what} of one {entity}.",
        f"The {what} of {a(entity)}.", f"Gives the {what} for a {entity}",
        f"Get current {what} information", f"{what.capitalize()} service"])
    asks = _ASK + (_ASK_PLACE * 2 if kind in ("city", "room") else [])
    more = _ASK_MORE.get(what, [])
    asks = [q.replace("{w}", what) for q in asks] + more * (1 + 8 // (len(more) or 1))
    joint = "in" if kind in ("city", "room") else "of"
    return Tool(name, f"the {what}", _schema(rng, name, description, params), params, asks, result,
                f"The {what} {joint} {{x}}", {extra.split(":")[0]: phrase} if extra else {})


def action_tool(rng: random.Random, wanted: str = "") -> Tool:
    """A tool of the hand-written list of actions; `wanted` names a row."""
    rows = [r for r in ACTION_ROWS if r[0] == wanted] if wanted else ACTION_ROWS
    what, names, spec, questions, options, result = rng.choice(rows)
    name = _style(rng, rng.choice(names.split()))
    params = _params(rng, spec)
    text = what[0].upper() + what[1:]
    description = rng.choice([f"{text}.", text, f"Use this to {what}.", f"A tool to {what}."])
    lead = "Done" if result in ("done", "sent", "created", "order") else "Here is the result"
    phrases = dict(o.split("=", 1) for o in options.split(";") if o)
    return Tool(name, what, _schema(rng, name, description, params), params,
                questions.split(";"), result, lead, phrases)


def generic_tool(rng: random.Random) -> Tool:
    """A verb and an object, often invented, with parameters that questions name."""
    verb = rng.choice(VERBS) if rng.random() < 0.7 else words.pseudo_word(rng, 1, 2)
    thing = rng.choice(words.NOUNS) if rng.random() < 0.7 else words.pseudo_word(rng, 1, 3)
    name = _style(rng, rng.choice([f"{verb}_{thing}", f"{verb}_{thing}", f"{thing}_{verb}",
                                   f"{verb}_the_{thing}", f"do_{verb}_{thing}"]))
    params = []
    for label, kind in rng.sample(GENERIC, rng.randint(0, 3)):
        enum = rng.sample(MODES, rng.randint(2, 4)) if kind == "choice" else []
        params.append(Param(label, label, KINDS[kind], rng.random() < 0.6, enum))
    what = f"{verb} the {thing}"
    text = what[0].upper() + what[1:]
    description = rng.choice([f"{text}.", text, f"Use this to {what}.", f"A tool to {what}."])
    asks = [f"{text}", f"Please {what}", f"Can you {what}", f"I want to {what}", f"Now {what}",
            f"{text} for me", f"You should {what}"]
    return Tool(name, what, _schema(rng, name, description, params), params, asks,
                rng.choice(["done", "done", "status", "number", "text"]), "Done",
                {p.role: "" for p in params})


def any_tool(rng: random.Random) -> Tool:
    """A tool of one of the three families."""
    return rng.choice([lookup_tool, lookup_tool, action_tool, action_tool, generic_tool])(rng)


def _generic_request(rng: random.Random, tool: Tool) -> Request:
    arguments, values, parts = {}, {}, []
    for p in tool.params:
        if not p.required and rng.random() < 0.4:
            continue
        said, value = p.value(rng)
        arguments[p.name], values[p.role] = value, said
        parts.append(f"{p.name} {said}")
    order = parts[:]
    rng.shuffle(order)
    question = rng.choice(tool.questions)
    if order:
        question += rng.choice([" with ", " using ", ", "]) + join(order)
    question += "?" if question.startswith("Can") else rng.choice([".", "", "!"])
    return Request(tool, question, arguments, tool.lead, values)


def request(rng: random.Random, tool: Tool, bare: bool = False) -> Request:
    """A question for the tool with the arguments it gives, in the order of `tool.params`.

    A `bare` request leaves out what is optional.
    """
    if tool.options and all(v == "" for v in tool.options.values()):
        return _generic_request(rng, tool)
    if tool.lead == "Done" and not tool.params and not tool.questions[0].endswith(("?", ".")):
        return _generic_request(rng, tool)
    question = rng.choice(tool.questions)
    arguments, values, tail = {}, {}, ""
    for p in tool.params:
        if not p.required and (bare or p.role not in tool.options or rng.random() < 0.5):
            continue
        said, value = p.value(rng)
        arguments[p.name], values[p.role] = value, said
        if not p.required:
            tail += tool.options[p.role].format(**{p.role: said})
    question = question.format(**values)
    if tail and question[-1] in "?.!":
        question = question[:-1] + tail + question[-1]
    else:
        question += tail
    return Request(tool, question, arguments, tool.lead.format(**values), values)


_WEATHER = ["sunny", "rainy", "cloudy", "windy", "snowy", "foggy", "clear", "stormy"]


def scalar(rng: random.Random, kind: str) -> object:
    """One value of a result."""
    if kind in ("number", "percent", "minutes", "degrees", "rating"):
        return rng.choice([rng.randint(-9 if kind == "degrees" else 0, 10 ** rng.randint(1, 5)),
                           float(words.decimal(rng))])
    if kind == "price":
        return rng.choice([f"{rng.randint(1, 900)} {rng.choice(words.CURRENCIES)}",
                           float(words.decimal(rng)), f"${rng.randint(1, 999)}"])
    makers = {"time": words.time, "date": words.date, "person": words.person, "city": words.city,
              "phone": words.phone, "email": words.email, "file": words.path,
              "text": lambda r: r.choice([words.message(r),
                                          f"{words.noun(r)} and {words.noun(r)}"]),
              "word": lambda r: r.choice([words.pseudo_word(r), r.choice(words.NOUNS)]),
              "status": lambda r: r.choice(["open", "closed", "shipped", "delayed", "ready", "lost",
                                            "on the way", "delivered", "paid", "waiting"]),
              "quality": lambda r: r.choice(["good", "bad", "fair"])}
    if kind == "list":
        maker = rng.choice([words.noun, words.path, words.title, words.time, words.person])
        return [maker(rng) for _ in range(rng.randint(1, 4))]
    if kind == "order":
        return words.code(rng)
    return makers[kind](rng) if kind in makers else rng.choice(["ok", "done", "success", "sent"])


_KEYS = {"order": ["order_id", "confirmation", "reference"], "done": ["status", "result", "state"],
         "sent": ["status", "message", "state"], "created": ["status", "result", "id"],
         "list": ["items", "results", "files", "matches"], "text": ["text", "content", "result"],
         "number": ["result", "value", "count", "total"], "degrees": ["temperature", "degrees"]}


def result(rng: random.Random, kind: str) -> object:
    """What a call returned: a string, a number, a list or a flat object."""
    roll = rng.random()
    if rng.random() < 0.12:
        return words.sentence(rng)
    if roll < 0.06 and rng.random() < 0.4:
        return rng.choice(["Error: ", "error: ", "Error - ", "ERROR: "]) + rng.choice([
            "not found", "access denied", "timeout", f"unknown {rng.choice(words.NOUNS)}",
            f"{words.pseudo_word(rng)} failed", "city not found", "no such file"])
    if roll < 0.06:
        return {"error": rng.choice(["not found", "access denied", "timeout", "no connection",
                                     f"unknown name {words.pseudo_word(rng)}", "invalid value"])}
    if kind == "weather":
        data = {"temperature": rng.randint(-15, 38), "condition": rng.choice(_WEATHER)}
        if roll < 0.3:
            t, c = data["temperature"], data["condition"]
            return rng.choice([f"{t} degrees and {c}", f"{c}, {t} degrees", f"It is {c}.",
                               f"{c}", f"{t} C", f"It is {t} degrees and {c}."])
        if roll < 0.4:
            data = {rng.choice(["temp", "t", "degrees", "temperature_c", "celsius"]):
                    data["temperature"], rng.choice(["sky", "weather", "description", "summary"]):
                    data["condition"]}
        elif roll < 0.6:
            data[rng.choice(["wind", "humidity", "wind_speed"])] = rng.randint(0, 99)
        return data
    value = scalar(rng, kind)
    if roll < 0.45:
        if roll < 0.12 and not isinstance(value, list):
            said = rng.choice(["It is {}.", "The answer is {}.", "{}.", "I found {}."])
            return said.format(value)
        return value
    main = rng.choice(_KEYS.get(kind, [kind, "result", "value"]))
    data = {main if rng.random() < 0.8 else rng.choice(words.NOUNS): value}
    for _ in range(rng.choice([0, 0, 1, 1, 2])):
        extra = rng.choice(["status", "date", "person", "number", "time", "word", "city"])
        label = rng.choice([extra, extra, rng.choice(words.NOUNS), words.pseudo_word(rng),
                            f"{rng.choice(words.NOUNS)}_{rng.choice(words.NOUNS)}"])
        data[label] = scalar(rng, extra) if rng.random() < 0.8 else rng.random() < 0.5
    return data


def result_text(rng: random.Random, value: object) -> str:
    """The result as the tool turn shows it."""
    if isinstance(value, str):
        return value if rng.random() < 0.85 else json.dumps(value, ensure_ascii=False)
    style = rng.random()
    if style < 0.15:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(value, ensure_ascii=False, indent=2 if style < 0.25 else None)


def _say(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return join([_say(v) for v in value]) if value else "nothing"
    return str(value)


def failure(value: object) -> str:
    """What went wrong, or nothing if the result is none of a failure."""
    if isinstance(value, dict):
        return str(value.get("error", ""))
    text = value if isinstance(value, str) else ""
    if text.lower().startswith(("error: ", "error - ")):
        return text.split(" ", 1)[1].removeprefix("- ")
    return ""


def flatten(value: object) -> str:
    """The result in words, without a full stop."""
    if isinstance(value, dict) and len(value) == 1 and "error" not in value:
        return _say(next(iter(value.values()))).rstrip(".")
    if isinstance(value, dict):
        return ", ".join(f"{k.replace('_', ' ')} is {_say(v)}" for k, v in value.items())
    return _say(value).rstrip(".")
