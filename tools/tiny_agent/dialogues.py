"""Conversations: who says what, which tools are there, and what a right reply must hold."""

import random
from dataclasses import dataclass, field

from . import arithmetic, smalltalk, tools, words
from .tools import Request, Tool, flatten
from .world import FACTS, YES, Fact

# Words of `what` that say nothing about the subject of a tool.
_EMPTY = {"the", "a", "an", "of", "to", "in", "on", "or", "for"}
_NEAR = [{"weather", "temperature", "humidity", "sunrise", "forecast", "air"},
         {"message", "email", "call", "text", "phone", "reminder", "note"},
         {"definition", "synonyms", "plural", "translate", "news", "search", "ingredients"},
         {"price", "prices", "balance", "invoice", "salary", "pay"},
         {"status", "location", "delivery", "track", "delay", "light"},
         {"route", "distance", "flights"}, {"list", "things", "product", "menu"}]
WORLD_WORDS = set("""
mayor population colour weather recipe capital search address news definition temperature owner
forecast air add multiply evaluate calories ingredients time numbers mean square
""".split())
_SYSTEMS = ["You are a helpful assistant.", "You are a helpful assistant.", "Be brief.",
            "You are a friendly assistant.", "Answer the user.", "You are a kind robot.",
            "You help people with tools.", "You are tiny-agent, a small assistant."]


@dataclass
class Example:
    """One training sample: the assistant turns after the last user turn are learnt."""

    skill: str
    messages: list[dict]
    checks: list[dict]  # one for each learnt assistant turn
    keys: list[str]  # what the held-out split looks at
    tools: list[Tool] = field(default_factory=list)


def user(text: str) -> dict:
    """A user turn."""
    return {"role": "user", "content": text}


def assistant(thinking: str, content: str, calls: list[dict] | None = None) -> dict:
    """An assistant turn."""
    turn = {"role": "assistant", "content": content, "reasoning_content": thinking}
    return turn | {"tool_calls": calls} if calls else turn


def decorate(rng: random.Random, text: str, lower: bool = True) -> str:
    """The same question as various people type it."""
    roll = rng.random()
    if roll < 0.5:
        return text[0].upper() + text[1:] if rng.random() < 0.7 else text
    if roll < 0.65:
        return text.rstrip("?.!")
    if roll < 0.8 and lower:
        text = text.lower()
        return text if rng.random() < 0.5 else text.rstrip("?.!")
    if roll < 0.93:
        return rng.choice(["Hi! ", "Hello. ", "Hey, ", "Hello! ", "Please tell me: ", "Question: ",
                           "One question: ", "I want to ask: ", "So, ", "Well, ", "Ok. "]) + text
    return text.rstrip("?.!") + rng.choice([" please", ", please", "??", " ?", "...", " :)"])


def system_turn(rng: random.Random) -> list[dict]:
    """Mostly no system turn at all, sometimes one with or without text, date and place."""
    if rng.random() < 0.6:
        return []
    turn = {"role": "system", "content": rng.choice(_SYSTEMS) if rng.random() < 0.8 else ""}
    if rng.random() < 0.15:
        turn["current_date"] = words.date(rng)
    if rng.random() < 0.1:
        turn["current_location"] = words.city(rng)
    return [turn]


def _fact(rng: random.Random) -> Fact:
    kinds = {"person": 12, "reverse": 4, "town": 4, "yes_no": 2, "more_yes_no": 2, "compare": 2,
             "by_job": 3}
    kind = rng.choices(list(kinds), list(kinds.values()))[0]
    facts = FACTS[kind]
    if kind in ("yes_no", "more_yes_no") and rng.random() < 0.4:
        facts = YES[kind]
    return rng.choice(facts)


def direct(rng: random.Random, skill: str) -> tuple[str, str, str, dict, str]:
    """A question that needs no tool: question, thinking, answer, check, key."""
    if skill == "facts":
        f = _fact(rng)
        return (decorate(rng, f.question), f.thinking, f.answer,
                {"must": list(f.must), "forbid": list(f.forbid)}, f.key)
    if skill == "arithmetic":
        if rng.random() < 0.08:
            q, thinking, answer = arithmetic.too_hard(rng)
            return decorate(rng, q), thinking, answer, {"answer": answer}, q
        q, thinking, answer, key = arithmetic.problem(rng)
        return decorate(rng, q), thinking, answer, {"answer": answer}, key
    if skill == "unknown":
        q, thinking, answer, key = smalltalk.unknown(rng)
        must = {"favourite": "I have no favourite", "act": "no tool"}.get(
            key.partition(":")[0].rstrip("0123456789"), "I don't know")
        return decorate(rng, q, lower=False), thinking, answer, {"must": [must]}, key
    text, thinking, answer, _ = smalltalk.small_talk(rng)
    q = decorate(rng, text)
    plain = q.lower() == text.lower()  # the plain phrases are always learnt
    return q, thinking, answer, {"answer": answer}, "" if plain else q


def aside(rng: random.Random) -> tuple[str, str, str, dict, str]:
    """A question for which no tool is needed though there are tools."""
    while True:
        found = direct(rng, rng.choice(["facts", "facts", "small_talk", "unknown", "arithmetic"]))
        if not found[4].startswith(("other", "act")):
            return found


def _date_question(rng: random.Random) -> tuple[list[dict], str, str, str]:
    """A question about the date or place that the system turn may tell."""
    head: dict = {"role": "system", "content": rng.choice(["", *_SYSTEMS])}
    told = rng.random() < 0.6
    if rng.random() < 0.6:
        q = rng.choice(["What is the date?", "Which day is it?", "What day is it today?",
                        "What is today's date?", "Tell me the date.", "What is the date today?"])
        if told:
            head["current_date"] = words.date(rng)
            d = head["current_date"]
            return [head], q, f"The user asks for the date. The date is {d}.", f"Today is {d}."
        return ([head] if head["content"] else [], q,
                "The user asks for the date. Nobody told me.", "I don't know today's date.")
    q = rng.choice(["Where am I?", "What is my location?", "Which city am I in?", "Where are we?"])
    if told:
        head["current_location"] = words.city(rng)
        place = head["current_location"]
        return [head], q, f"The user asks for the place. It is {place}.", f"You are in {place}."
    return ([head] if head["content"] else [], q,
            "The user asks for the place. Nobody told me.", "I don't know where you are.")


def _name_talk(rng: random.Random) -> tuple[list[dict], str, str, str]:
    """The user tells a name, or asks for it later."""
    name = words.person(rng)
    tell = rng.choice(["My name is {}.", "I am {}.", "I'm {}.", "Call me {}.", "my name is {}",
                       "Hello, I am {}.", "Hi, my name is {}."]).format(name)
    ask = rng.choice(["What is my name?", "Who am I?", "Do you know my name?", "What's my name?"])
    greet = f"Nice to meet you, {name}."
    roll = rng.random()
    if roll < 0.4:
        return [], tell, f"The user is called {name}.", greet
    if roll < 0.6:
        return [], ask, "The user asks for the own name. Nobody told me.", (
            "I don't know your name.")
    return ([user(tell), assistant(f"The user is called {name}.", greet)], ask,
            f"The user asks for the own name. It is {name}.", f"Your name is {name}.")


def ellipsis(rng: random.Random, x: str) -> str:
    """The same question again about x."""
    return rng.choice(["And {}?", "What about {}?", "And what about {}?", "{}?", "And for {}?",
                       "Now {}.", "How about {}?", "and {}"]).format(x)


def chat(rng: random.Random, skill: str) -> Example:
    """Talk without tools, sometimes with earlier turns."""
    messages = system_turn(rng)
    if skill == "small_talk" and rng.random() < 0.06:
        messages, q, thinking, answer = _date_question(rng)
        return Example(skill, [*messages, user(q), assistant(thinking, answer)],
                       [{"answer": answer}], [])
    if skill == "small_talk" and rng.random() < 0.08:
        before, q, thinking, answer = _name_talk(rng)
        return Example(skill, [*messages, *before, user(q), assistant(thinking, answer)],
                       [{"answer": answer}], [])
    if rng.random() < 0.25:
        for _ in range(rng.randint(1, 3)):
            q, thinking, answer, _, _ = direct(rng, rng.choice(
                ["facts", "small_talk", "unknown", "arithmetic"]))
            messages += [user(q), assistant(thinking, answer)]
    if skill == "facts" and rng.random() < 0.12:
        one = rng.choice(FACTS["person"])
        kind, name = one.key.split(":")
        two = rng.choice([f for f in FACTS["person"] if f.key.startswith(kind + ":")])
        other = two.key.split(":")[1]
        messages += [user(decorate(rng, one.question)), assistant(one.thinking, one.answer),
                     user(ellipsis(rng, other)), assistant(two.thinking, two.answer)]
        return Example(skill, messages, [{"must": list(two.must), "forbid": list(two.forbid)}],
                       [f"and:{kind}:{name}:{other}"])
    q, thinking, answer, check, key = direct(rng, skill)
    return Example(skill, [*messages, user(q), assistant(thinking, answer)], [check], [key])


def subject_of(tool: Tool) -> set[str]:
    """The words that tell what a tool is about, with those of its neighbours."""
    found = {w for w in tool.what.split() if w not in _EMPTY}
    for group in _NEAR:
        if found & group:
            found = found | group
    return found


def with_others(rng: random.Random, wanted: list[Tool], apart: set[str] | None = None,
                low: int = 1) -> list[Tool]:
    """The wanted tools among others of other names and subjects, shuffled."""
    out = list(wanted)
    goal = len(wanted) + rng.choices(range(low, 5), [5, 5, 4, 3, 1][low:5])[0]
    while len(out) < goal:
        other = tools.any_tool(rng)
        same = any(other.name == t.name or other.what == t.what for t in out)
        if not same and not (apart and subject_of(other) & apart):
            out.append(other)
    rng.shuffle(out)
    return out


def call_of(request: Request) -> dict:
    """The call that answers a request."""
    return {"name": request.tool.name, "arguments": request.arguments}


def plan(request: Request) -> str:
    """The thinking that leads to a call: what is wanted, the tool, its arguments in words."""
    lines = [f"The user wants: {request.tool.what}.", f"Tool: {request.tool.name}"]
    said = {p.name: request.values[p.role] for p in request.tool.params
            if p.name in request.arguments}
    lines += [f"{name}: {value}" for name, value in said.items()]
    return "\n".join(lines)


def call_turn(requests: list[Request]) -> tuple[dict, dict]:
    """The assistant turn that makes the calls, with its check."""
    calls = [call_of(r) for r in requests]
    return assistant("\n".join(plan(r) for r in requests), "", calls), {"calls": calls}


def answer_turn(rng: random.Random, leads: list[tuple[str, str]]) -> tuple[list[dict], dict, dict]:
    """The tool turns for (lead, result kind) pairs, the answer to them, and its check."""
    turns, said, text, must = [], [], [], []
    for lead, kind in leads:
        value = tools.result(rng, kind)
        turns.append({"role": "tool", "content": tools.result_text(rng, value)})
        flat = flatten(value)
        said.append(f"The tool says: {flat}.")
        if failed := tools.failure(value):
            text.append(f"That did not work: {failed}.")
            must.append(failed)
        else:
            text.append(f"{lead}: {flat}.")
            must.append(flat)
    return turns, assistant("\n".join(said), " ".join(text)), {"must": must}
