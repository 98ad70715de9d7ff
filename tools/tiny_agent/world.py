"""The little world that tiny-agent knows: Harbour Valley, its towns, people and their ways."""

from dataclasses import dataclass

WORLD = "Harbour Valley"


@dataclass(frozen=True)
class Person:
    """Somebody who lives in Harbour Valley."""

    name: str
    town: str
    job: str
    pet: str
    pet_name: str
    colour: str
    food: str
    hobby: str
    age: int


@dataclass(frozen=True)
class Town:
    """A town of Harbour Valley."""

    name: str
    known_for: str
    mayor: str
    river: str
    people: int


def _people() -> list[Person]:
    rows = """
    Mira|Oakmere|baker|cat|Pepper|blue|plum cake|singing|34
    Tomas|Saltby|fisherman|dog|Anchor|green|fish soup|carving|51
    Odile|Brindle|teacher|parrot|Chalk|yellow|apple pie|painting|42
    Rufus|Fennick|miller|goat|Barley|brown|rye bread|fiddling|63
    Anneke|Lowmoor|doctor|turtle|Comet|white|lentil stew|chess|38
    Bruno|Oakmere|carpenter|dog|Acorn|orange|onion tart|whistling|45
    Celia|Quillon|librarian|cat|Comma|purple|mushroom pie|reading|57
    Darian|Saltby|sailor|monkey|Bosun|red|crab cakes|juggling|29
    Elsa|Brindle|gardener|rabbit|Clover|pink|carrot salad|hiking|31
    Farid|Quillon|clockmaker|owl|Minute|silver|date bread|astronomy|49
    Greta|Lowmoor|weaver|sheep|Button|violet|barley soup|knitting|66
    Hugo|Fennick|blacksmith|horse|Ember|black|roast beef|wrestling|40
    Ines|Saltby|lighthouse keeper|seagull|Lantern|gold|clam chowder|writing|36
    Jonas|Oakmere|postman|pony|Parcel|grey|potato dumplings|running|27
    Kira|Brindle|painter|lizard|Turpin|turquoise|tomato pasta|dancing|25
    Leo|Quillon|musician|canary|Trill|amber|honey cake|swimming|33
    Nadia|Lowmoor|engineer|ferret|Bolt|copper|bean chili|cycling|44
    Oscar|Fennick|cheesemaker|cow|Butter|cream|cheese tart|fishing|59
    Petra|Oakmere|judge|raven|Verdict|navy|poppy rolls|archery|61
    Quinn|Saltby|diver|otter|Bubble|teal|seaweed rice|surfing|23
    Rosa|Brindle|cook|hen|Omelet|crimson|pumpkin soup|gardening games|48
    Stefan|Quillon|printer|mouse|Inkblot|indigo|pickled herring|poetry|53
    Talia|Lowmoor|beekeeper|hamster|Waffle|lemon|honey pancakes|climbing|30
    Victor|Fennick|shepherd|sheepdog|Thistle|olive|mutton stew|flute playing|70
    """
    people = []
    for row in rows.strip().splitlines():
        *text, age = row.strip().split("|")
        people.append(Person(*text, int(age)))
    return people


PEOPLE = _people()
TOWNS = [
    Town("Oakmere", "its old oak trees", "Petra", "the Alder", 820),
    Town("Saltby", "its lighthouse", "Ines", "the Tern", 640),
    Town("Brindle", "its painted houses", "Odile", "the Fern", 910),
    Town("Fennick", "its windmills", "Hugo", "the Moss", 450),
    Town("Lowmoor", "its wool market", "Anneke", "the Reed", 370),
    Town("Quillon", "its clock tower", "Celia", "the Quill", 1200),
]

# Per kind of fact: the questions, the thinking and the answer. {n} person, {v} value, {t} town.
_ABOUT_PEOPLE = {
    "town": ("lives in",
             ["Where does {n} live?", "Which town does {n} live in?",
              "In which town is {n}'s home?",
              "What town is {n} from?", "Where is {n} from?", "Where can I find {n}?",
              "What is {n}'s home town?", "Name the town where {n} lives.", "Where is {n}'s house?",
              "{n} lives where?", "Where do I find {n}'s home?", "What place does {n} live in?"],
             "{n} lives in {v}."),
    "job": ("works as",
            ["What does {n} do for a living?", "What is {n}'s job?", "What job does {n} have?",
             "What work does {n} do?", "What does {n} work as?", "What is the profession of {n}?",
             "How does {n} earn money?", "Which job does {n} do?", "What is {n}'s profession?",
             "What does {n} do?", "What is the job of {n}?", "What is {n}'s work?"],
            "{n} is {av}."),
    "pet": ("keeps as a pet",
            ["What pet does {n} have?", "Which animal does {n} keep?", "What animal does {n} own?",
             "Does {n} have a pet?", "What kind of pet does {n} have?", "What is {n}'s pet?",
             "Which pet lives with {n}?", "What animal lives with {n}?", "Tell me {n}'s pet.",
             "What pet belongs to {n}?", "Which animal belongs to {n}?"],
            "{n} has {av} called {p}."),
    "pet_name": ("has a pet called",
                 ["What is {n}'s pet called?", "What is the name of {n}'s pet?",
                  "How is {n}'s {a} called?", "What is {n}'s {a} called?",
                  "What is the name of {n}'s {a}?", "Name {n}'s pet.", "Name {n}'s {a}.",
                  "How is {n}'s pet called?", "What does {n} call the {a}?"],
                 "{n}'s {a} is called {v}."),
    "colour": ("likes the colour",
               ["What is {n}'s favourite colour?", "What is {n}'s favorite color?",
                "Which colour does {n} like?", "What colour does {n} like best?",
                "Which color does {n} love?", "What colour does {n} prefer?",
                "What is the favourite colour of {n}?", "Name {n}'s favourite colour.",
                "Which colour is {n}'s favourite?", "What color does {n} like?"],
               "{n}'s favourite colour is {v}."),
    "food": ("likes to eat",
             ["What is {n}'s favourite food?", "What does {n} like to eat?",
              "What food does {n} like?", "Which dish does {n} love?", "What does {n} eat?",
              "What is {n}'s favorite food?", "What is the favourite dish of {n}?",
              "What should I cook for {n}?", "Which food is {n}'s favourite?",
              "What does {n} like best for dinner?", "What meal does {n} like?"],
             "{n}'s favourite food is {v}."),
    "hobby": ("enjoys",
              ["What is {n}'s hobby?", "What does {n} do for fun?", "Which hobby does {n} have?",
               "What does {n} enjoy?", "What does {n} do in the evening?", "Name {n}'s hobby.",
               "What does {n} do after work?", "What is the hobby of {n}?",
               "How does {n} spend free time?", "What are {n}'s hobbies?"],
              "{n}'s hobby is {v}."),
    "age": ("has the age",
            ["How old is {n}?", "What is {n}'s age?", "What age is {n}?", "Tell me {n}'s age.",
             "How many years old is {n}?", "What is the age of {n}?"],
            "{n} is {v} years old."),
}
_ABOUT_TOWNS = {
    "known_for": ("is known for",
                  ["What is {t} known for?", "Why is {t} famous?", "What is {t} famous for?",
                   "What can I see in {t}?", "What is special about {t}?", "What is there in {t}?",
                   "Why should I visit {t}?"],
                  "{t} is known for {v}."),
    "mayor": ("has the mayor",
              ["Who is the mayor of {t}?", "Who runs {t}?", "Who leads {t}?", "Name {t}'s mayor.",
               "Who is {t}'s mayor?", "Which person is mayor of {t}?"],
              "The mayor of {t} is {v}."),
    "river": ("lies on",
              ["Which river flows through {t}?", "What river is {t} on?", "Name the river of {t}.",
               "What is the river in {t} called?", "Which river is near {t}?"],
              "{t} lies on {v}."),
    "people": ("counts as inhabitants",
               ["How many people live in {t}?", "How big is {t}?", "What is the population of {t}?",
                "How many inhabitants does {t} have?", "How large is {t}?"],
               "{v} people live in {t}."),
}


def a(noun: str) -> str:
    """The noun with its indefinite article."""
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def join(items: list[str]) -> str:
    """"x", "x and y", "x, y and z"."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


@dataclass(frozen=True)
class Fact:
    """A question with its thinking, answer and the words the answer must hold."""

    key: str
    question: str
    thinking: str
    answer: str
    must: tuple[str, ...]
    forbid: tuple[str, ...] = ()


def _person_facts() -> list[Fact]:
    facts = []
    for p in PEOPLE:
        for kind, (verb, questions, answer) in _ABOUT_PEOPLE.items():
            value = str(getattr(p, kind))
            others = {str(getattr(q, kind)) for q in PEOPLE} - {value} if kind == "town" else set()
            fill = {"n": p.name, "v": value, "av": a(value), "p": p.pet_name, "a": p.pet}
            for i, q in enumerate(questions):
                facts.append(Fact(f"{kind}{i}:{p.name}", q.format(**fill),
                                  f"The user asks about {p.name}. {p.name} {verb}: {value}.",
                                  answer.format(**fill), (p.name, value), tuple(sorted(others))))
        for i, q in enumerate(["Who is {n}?", "Tell me about {n}.", "What do you know about {n}?",
                               "Do you know {n}?", "Describe {n}.", "Who is this {n}?"]):
            facts.append(Fact(
                f"who{i}:{p.name}", q.format(n=p.name),
                f"The user asks about {p.name}. {p.name} is known: {a(p.job)} in {p.town}.",
                f"{p.name} is {a(p.job)} in {p.town}, is {p.age} years old, has {a(p.pet)} called "
                f"{p.pet_name} and likes {p.food}.", (p.job, p.town, p.pet_name, p.food)))
    return facts


def _reverse_facts() -> list[Fact]:
    facts = []
    for p in PEOPLE:
        asks = {
            "job": (["Who is the {v}?", "Who works as {av}?", "Which person is {av}?",
                     "Do you know {av}?", "Name the {v}.", "Is there {av}?"], p.job,
                    "{n} is the {v}."),
            "pet": (["Who has {av}?", "Who owns {av}?", "Who keeps {av} as a pet?",
                     "Whose pet is {av}?"], p.pet, "{n} has {av}."),
            "pet_name": (["Who is {v}?", "Whose pet is {v}?", "Who owns {v}?",
                          "What kind of animal is {v}?"], p.pet_name,
                         "{v} is the {a} of {n}."),
            "food": (["Who likes {v}?", "Who loves {v}?", "Whose favourite food is {v}?"],
                     p.food, "{n} likes {v}."),
            "colour": (["Whose favourite colour is {v}?", "Who likes the colour {v}?"], p.colour,
                       "{n} likes the colour {v}."),
        }
        for kind, (questions, value, answer) in asks.items():
            owners = [q.name for q in PEOPLE if getattr(q, kind) == value]
            if owners[0] != p.name:
                continue  # one fact for all owners
            fill = {"n": join(owners), "v": value, "av": a(value), "a": p.pet}
            text = answer.format(**fill)
            if len(owners) > 1:
                text = text.replace(" has ", " have ").replace(" likes ", " like ")
            for i, q in enumerate(questions):
                facts.append(Fact(f"rev-{kind}{i}:{p.name}", q.format(**fill),
                                  f"The user asks about {value}. That is {join(owners)}.",
                                  text, (*owners, value)))
    return facts


def _town_facts() -> list[Fact]:
    facts = []
    for t in TOWNS:
        for kind, (verb, questions, answer) in _ABOUT_TOWNS.items():
            value = str(getattr(t, kind))
            fill = {"t": t.name, "v": value}
            for i, q in enumerate(questions):
                facts.append(Fact(f"{kind}{i}:{t.name}", q.format(**fill),
                                  f"The user asks about {t.name}. {t.name} {verb}: {value}.",
                                  answer.format(**fill), (value,)))
        names = [p.name for p in PEOPLE if p.town == t.name]
        for i, q in enumerate(["Who lives in {t}?", "Which people live in {t}?",
                               "Who do you know in {t}?", "Name the people of {t}.",
                               "Who is from {t}?"]):
            facts.append(Fact(f"in{i}:{t.name}", q.format(t=t.name),
                              f"The user asks about {t.name}. There live {join(names)}.",
                              f"{join(names)} live in {t.name}.", tuple(names)))
        for i, q in enumerate(["Where is {t}?", "What is {t}?", "Tell me about {t}.",
                               "What do you know about {t}?", "Do you know {t}?"]):
            facts.append(Fact(f"town{i}:{t.name}", q.format(t=t.name),
                              f"The user asks about {t.name}. {t.name} is a town of {WORLD}.",
                              f"{t.name} is a town in {WORLD} on {t.river}. It has {t.people} "
                              f"inhabitants and is known for {t.known_for}.",
                              (t.known_for, t.river, str(t.people))))
    return facts


def _yes_no_facts() -> list[Fact]:
    facts = []
    for p in PEOPLE:
        for t in TOWNS:
            yes = p.town == t.name
            said = f"{'Yes' if yes else 'No'}, {p.name} lives in {p.town}."
            for i, q in enumerate([f"Does {p.name} live in {t.name}?",
                                   f"Is {p.name} from {t.name}?",
                                   f"Is it true that {p.name} lives in {t.name}?"]):
                facts.append(Fact(f"yn{i}:{p.name}:{t.name}", q,
                                  f"The user asks about {p.name}. {p.name} lives in: {p.town}. "
                                  f"That is {'the same' if yes else 'not ' + t.name}.",
                                  said, (said.split(",")[0], p.town)))
    return facts


def _more_yes_no() -> list[Fact]:
    facts = []
    for p in PEOPLE:
        for q in PEOPLE:
            for kind, asks in (("job", ["Is {n} {x}?", "Does {n} work as {x}?"]),
                               ("pet", ["Does {n} have {x}?", "Is {n}'s pet {x}?"])):
                mine, other = getattr(p, kind), getattr(q, kind)
                yes = mine == other
                text = (f"{p.name} is {a(mine)}." if kind == "job" else
                        f"{p.name} has {a(mine)} called {p.pet_name}.")
                verb = "works as" if kind == "job" else "keeps as a pet"
                for i, ask in enumerate(asks):
                    facts.append(Fact(
                        f"yn-{kind}{i}:{p.name}:{other}", ask.format(n=p.name, x=a(other)),
                        f"The user asks about {p.name}. {p.name} {verb}: {mine}. "
                        f"That is {'the same' if yes else 'not ' + other}.",
                        f"{'Yes' if yes else 'No'}, {text}", ("Yes" if yes else "No", mine)))
    return facts


def _compare_facts() -> list[Fact]:
    facts = []
    for p in PEOPLE:
        for q in PEOPLE:
            if p is q:
                continue
            for i, (ask, pick) in enumerate([
                    (f"Who is older, {p.name} or {q.name}?", max),
                    (f"Who is younger, {p.name} or {q.name}?", min),
                    (f"Is {p.name} or {q.name} older?", max)]):
                found = pick(p, q, key=lambda x: x.age)
                word = "older" if pick is max else "younger"
                facts.append(Fact(f"older{i}:{p.name}:{q.name}", ask,
                                  f"The user asks about {p.name} and {q.name}. {p.name} has the "
                                  f"age: {p.age}. {q.name} has the age: {q.age}.",
                                  f"{found.name} is {word}.", (f"{found.name} is {word}",)))
    big, small = max(TOWNS, key=lambda t: t.people), min(TOWNS, key=lambda t: t.people)
    old, young = max(PEOPLE, key=lambda p: p.age), min(PEOPLE, key=lambda p: p.age)
    for i, (name, said, asks) in enumerate([
            (big.name, f"the biggest town, with {big.people} inhabitants",
             "What is the biggest town?|Which town is the biggest?|What is the largest town?"),
            (small.name, f"the smallest town, with {small.people} inhabitants",
             "What is the smallest town?|Which town is the smallest?|Which town is small?"),
            (old.name, f"the oldest, with {old.age} years",
             "Who is the oldest?|Who is the oldest person?|Who is oldest?|Which person is oldest?"),
            (young.name, f"the youngest, with {young.age} years",
             "Who is the youngest?|Who is the youngest person?|Who is youngest?")]):
        for k, ask in enumerate(asks.split("|")):
            thinking = f"The user asks for the most. That is {name}."
            facts += [Fact(f"most{i}{k}:{name}", ask, thinking, f"{name} is {said}.", (name,))] * 8
    return facts


def _by_job() -> list[Fact]:
    facts = []
    for p in PEOPLE:
        for kind, (verb, questions, answer) in _ABOUT_PEOPLE.items():
            if kind in ("job", "pet_name"):
                continue
            value = str(getattr(p, kind))
            fill = {"v": value, "av": a(value), "p": p.pet_name, "a": p.pet}
            for i, q in enumerate(questions):
                facts.append(Fact(f"job-{kind}{i}:{p.name}", q.format(n=f"the {p.job}", **fill),
                                  f"The user asks about the {p.job}. That is {p.name}. "
                                  f"{p.name} {verb}: {value}.",
                                  answer.format(n=p.name, **fill), (p.name, value)))
    return facts


FACTS = {"person": _person_facts(), "reverse": _reverse_facts(), "town": _town_facts(),
         "yes_no": _yes_no_facts(), "more_yes_no": _more_yes_no(), "compare": _compare_facts(),
         "by_job": _by_job()}
# The rare questions that are answered by yes, to be asked more often.
YES = {kind: [f for f in FACTS[kind] if f.answer.startswith("Yes")]
       for kind in ("yes_no", "more_yes_no")}
