"""Conversations with tools: choosing, filling in, calling, and answering from results."""

import random

from . import tools
from .dialogues import (
    WORLD_WORDS,
    Example,
    answer_turn,
    aside,
    assistant,
    call_turn,
    decorate,
    ellipsis,
    subject_of,
    system_turn,
    user,
    with_others,
)
from .tool_texts import CHAINS
from .tools import Request, Tool, flatten, request
from .world import PEOPLE

_CHAINS = [row.split("|") for row in CHAINS.strip().splitlines()]


def _keys(found: list[Tool], wanted: list[Tool]) -> list[str]:
    """Split keys: the wanted tools first, marked, then all others."""
    first = [f"tool:{t.name}" for t in wanted]
    return first + [f"other:{t.name}" for t in found if t not in wanted]


def _one(rng: random.Random) -> Request:
    return request(rng, tools.any_tool(rng))


def _make(rng: random.Random, what: str) -> Tool:
    lookup = any(row[0] == what for row in tools.LOOKUP_ROWS)
    return (tools.lookup_tool if lookup else tools.action_tool)(rng, what)


def single(rng: random.Random, skill: str, follow: bool = True) -> Example:
    """One question, one call, and (with `follow`) the answer from its result."""
    r = _one(rng)
    found = with_others(rng, [r.tool], low=0 if rng.random() < 0.2 else 1)
    turn, check = call_turn([r])
    messages = [*system_turn(rng), user(decorate(rng, r.question, lower=False)), turn]
    checks = [check]
    if follow:
        results, answer, check = answer_turn(rng, [(r.lead, r.tool.result)])
        messages += [*results, answer]
        checks.append(check)
    return Example(skill, messages, checks, _keys(found, [r.tool]), found)


def double(rng: random.Random, skill: str) -> Example:
    """Two calls in one block, of one tool or of two."""
    first = _one(rng)
    if rng.random() < 0.5 and len(first.values) == 1 and "x" in first.values:
        second = request(rng, first.tool, bare=True)
        x, y = first.values["x"], second.values["x"]
        if rng.random() < 0.5:
            said = rng.choice([" And {}?", " And the same for {}.", " Also for {}."])
            question = first.question + said.format(y)
        else:
            joint = first.lead.removesuffix(x).strip().rsplit(" ", 1)[1]
            question = rng.choice(["What is {w} {j} {x} and {y}?", "Tell me {w} {j} {x} and {y}.",
                                   "What's {w} {j} {x} and {j} {y}?", "Get {w} for {x} and {y}.",
                                   "I need {w} {j} {x} and {y}."]).format(
                w=first.tool.what, j=joint, x=x, y=y)
        wanted = [first.tool]
    else:
        second = _one(rng)
        while second.tool.name == first.tool.name or second.tool.what == first.tool.what:
            second = _one(rng)
        text = first.question if first.question[-1] in "?.!" else first.question + "."
        question = text + rng.choice([" Also: ", " And: ", " Then: ", " Also, "]) + second.question
        wanted = [first.tool, second.tool]
    found = with_others(rng, wanted, low=0)
    turn, check = call_turn([first, second])
    results, answer, check2 = answer_turn(rng, [(r.lead, r.tool.result) for r in (first, second)])
    return Example(skill, [*system_turn(rng), user(question), turn, *results, answer],
                   [check, check2], _keys(found, wanted), found)


def chain(rng: random.Random, skill: str) -> Example:
    """A call whose result is an argument of a second call."""
    what, then, role, phrases = rng.choice(_CHAINS)
    one, two = _make(rng, what), _make(rng, then)
    while two.name == one.name:
        two = _make(rng, then)
    first = request(rng, one, bare=True)
    second = request(rng, two, bare=True)
    body = second.values.get("body", "")
    question = rng.choice(["Find the {w} of {x} {y}.", "Look up the {w} of {x} {y}.",
                           "Get the {w} of {x} {y}.", "First find the {w} of {x} {y}."]).format(
        w=what, x=first.values["x"], y=rng.choice(phrases.split(";")).format(body=body))
    value = tools.scalar(rng, one.result)
    shown = value if rng.random() < 0.5 else {rng.choice([what.replace(" ", "_"), "result"]): value}
    target = next(p for p in two.params if p.role == role)
    second = Request(two, "", second.arguments | {target.name: value},
                     two.lead.format(x=value), second.values | {role: value})
    found = with_others(rng, [one, two], low=0)
    turn1, check1 = call_turn([first])
    turn2, check2 = call_turn([second])
    said = f"The tool says: {flatten(shown)}.\n"
    turn2["reasoning_content"] = said + turn2["reasoning_content"]
    results, answer, check3 = answer_turn(rng, [(second.lead, two.result)])
    messages = [*system_turn(rng), user(question), turn1,
                {"role": "tool", "content": tools.result_text(rng, shown)}, turn2, *results, answer]
    return Example(skill, messages, [check1, check2, check3], _keys(found, [one, two]), found)


def from_world(rng: random.Random, skill: str) -> Example:
    """A call whose argument comes from the world: the weather where Mira lives."""
    what = rng.choice(["weather", "temperature", "local time", "humidity", "sunrise time",
                       "air quality", "hotel prices"])
    tool = tools.lookup_tool(rng, what)
    p = rng.choice(PEOPLE)
    question = rng.choice(["What is the {w} where {n} lives?", "Tell me the {w} in {n}'s town.",
                           "What is the {w} in the town of {n}?", "Check the {w} at {n}'s home.",
                           "Get the {w} for the town where {n} lives."]).format(w=what, n=p.name)
    name = tool.params[0].name
    r = Request(tool, question, {name: p.town}, tool.lead.format(x=p.town), {"x": p.town})
    turn, check = call_turn([r])
    turn["reasoning_content"] = f"{p.name} lives in: {p.town}.\n" + turn["reasoning_content"]
    found = with_others(rng, [tool])
    results, answer, check2 = answer_turn(rng, [(r.lead, tool.result)])
    return Example(skill, [*system_turn(rng), user(decorate(rng, question, lower=False)), turn,
                           *results, answer], [check, check2], _keys(found, [tool]), found)


def follow_up(rng: random.Random, skill: str) -> Example:
    """A second user turn after a finished call: another value, another tool, or something else."""
    kind = rng.choices(["value", "tool", "aside", "again"], [4, 3, 2, 2])[0]
    first = request(rng, tools.lookup_tool(rng)) if kind == "value" else _one(rng)
    second = request(rng, first.tool, bare=True) if kind == "value" else _one(rng)
    while kind == "tool" and second.tool.name == first.tool.name:
        second = _one(rng)
    wanted = [first.tool] + ([second.tool] if kind == "tool" else [])
    apart = WORLD_WORDS if kind == "aside" else None
    found = with_others(rng, wanted, apart)
    turn, _ = call_turn([first])
    results, answer, _ = answer_turn(rng, [(first.lead, first.tool.result)])
    messages = [*system_turn(rng), user(decorate(rng, first.question, lower=False)), turn, *results,
                answer]
    keys = _keys(found, wanted)
    if kind in ("value", "tool"):
        said = second.question
        if kind == "value":
            place = first.tool.params[0].kind.names[0] == "city" and rng.random() < 0.4
            said = ellipsis(rng, ("in " if place else "") + second.values["x"])
        turn, check = call_turn([second])
        results, answer, check2 = answer_turn(rng, [(second.lead, second.tool.result)])
        messages += [user(said), turn, *results, answer]
        return Example(skill, messages, [check, check2], keys, found)
    if kind == "aside":
        q, thinking, text, check, _ = aside(rng)
        messages += [user(q), assistant("No tool is needed.\n" + thinking, text)]
        return Example(skill, messages, [check], keys, found)
    flat = answer["reasoning_content"].removeprefix("The tool says: ").rstrip(".")
    said = rng.choice(["What did the tool say?", "Can you repeat that?", "Say that again.",
                       "What was the result?", "What was it again?", "Again please."])
    messages += [user(said), assistant(f"No tool is needed.\nThe tool said: {flat}.",
                                       f"The result was: {flat}.")]
    return Example(skill, messages, [{"must": [flat]}], keys, found)


def no_call(rng: random.Random, skill: str) -> Example:
    """Tools are there, but none is needed, none fits, or the question lacks the argument."""
    kind = rng.choices(["direct", "none", "missing"], [5, 6, 2])[0]
    if kind == "direct":
        q, thinking, text, check, key = aside(rng)
        found = with_others(rng, [], WORLD_WORDS)
        return Example(skill, [*system_turn(rng), user(q),
                               assistant("No tool is needed.\n" + thinking, text)],
                       [check], [key, *_keys(found, [])], found)
    if kind == "none":
        r = _one(rng)
        while subject_of(r.tool) & WORLD_WORDS:
            r = _one(rng)
        found = with_others(rng, [], subject_of(r.tool))
        thinking = f"The user wants: {r.tool.what}.\nTool: none"
        return Example(skill, [*system_turn(rng), user(decorate(rng, r.question, lower=False)),
                               assistant(thinking, "I have no tool for that.")],
                       [{"must": ["no tool"]}], _keys(found, []) + [f"tool:{r.tool.name}"], found)
    tool = tools.lookup_tool(rng)
    found = with_others(rng, [tool])
    what, name = tool.what, tool.params[0].name
    said = rng.choice([f"What is {what}?", f"Tell me {what}.", f"I need {what}.", f"Show {what}.",
                       f"Can you get me {what}?", f"Find {what}."])
    thinking = f"The user wants: {what}.\nTool: {tool.name}\n{name}: not given"
    shown = name.replace("_", " ")
    text = f"Please tell me the {shown}."
    return Example(skill, [*system_turn(rng), user(decorate(rng, said)), assistant(thinking, text)],
                   [{"must": [shown]}], _keys(found, [tool]), found)
