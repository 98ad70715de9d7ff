"""Kinds of tool parameters: JSON type, usual names, descriptions and makers of values."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from . import words
from .world import PEOPLE, TOWNS, join


@dataclass(frozen=True)
class Kind:
    """A kind of parameter; `make` gives the words of the user and the JSON value."""

    type: str
    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    make: Callable[[random.Random], tuple[str, object]]


@dataclass
class Param:
    """A parameter of one concrete tool."""

    role: str
    name: str
    kind: Kind
    required: bool
    enum: list[str] = field(default_factory=list)

    def value(self, rng: random.Random) -> tuple[str, object]:
        """The words of the user and the JSON value."""
        if self.enum:
            choice = rng.choice(self.enum)
            return choice, choice
        return self.kind.make(rng)

    def schema(self, rng: random.Random) -> dict:
        """The JSON schema of this parameter."""
        out: dict = {"type": self.kind.type}
        if rng.random() < 0.7:
            out["description"] = rng.choice(self.kind.descriptions)
        if self.kind.type == "array":
            number = "numbers" in self.kind.descriptions[0]
            out["items"] = {"type": "integer" if number else "string"}
        if self.enum:
            out["enum"] = self.enum
        return out


def _text(maker: Callable[[random.Random], str]) -> Callable:
    def make(rng: random.Random) -> tuple[str, object]:
        value = maker(rng)
        return value, value
    return make


def _int(low: int, high: int, in_words: bool = False) -> Callable:
    def make(rng: random.Random) -> tuple[str, object]:
        value = rng.randint(low, max(low, min(high, 10 ** rng.randint(1, len(str(high))))))
        if in_words and 2 <= value <= 12 and rng.random() < 0.3:
            return words.SMALL_NUMBERS[value], value
        return str(value), value
    return make


def _number(rng: random.Random) -> tuple[str, object]:
    if rng.random() < 0.5:
        value = rng.randint(1, 999)
        return str(value), value
    text = words.decimal(rng)
    return text, float(text)


def _list(maker: Callable[[random.Random], object]) -> Callable:
    def make(rng: random.Random) -> tuple[str, object]:
        items = [maker(rng) for _ in range(rng.randint(2, 4))]
        return join([str(i) for i in items]), items
    return make


def _bool(rng: random.Random) -> tuple[str, object]:
    value = rng.random() < 0.5
    return rng.choice([("on", "off"), ("true", "false"), ("yes", "no")])[0 if value else 1], value


def _person(rng: random.Random) -> str:
    return rng.choice(PEOPLE).name if rng.random() < 0.2 else words.person(rng)


def _city(rng: random.Random) -> str:
    return rng.choice(TOWNS).name if rng.random() < 0.15 else words.city(rng)


def _kind(kind: str, names: str, descriptions: str, make: Callable) -> Kind:
    return Kind(kind, tuple(names.split()), tuple(descriptions.split("|")), make)


KINDS: dict[str, Kind] = {
    "city": _kind("string", "city location place town city_name where", "Name of the city.|The "
                  "city|Which place|City or town, e.g. Rome", _text(_city)),
    "origin": _kind("string", "origin from source start from_city", "Where the trip starts.|Start",
                    _text(_city)),
    "destination": _kind("string", "destination to target to_city", "Where the trip ends.|Goal",
                         _text(_city)),
    "country": _kind("string", "country nation country_name", "Name of the country.|The country",
                     _text(lambda r: r.choice(words.COUNTRIES) if r.random() < 0.6
                           else words.pseudo_word(r, 2, 3).capitalize())),
    "person": _kind("string", "person name who contact person_name employee", "Name of the person."
                    "|Who|The person", _text(_person)),
    "recipient": _kind("string", "to recipient receiver name contact", "Who gets it.|Name of the "
                       "receiver|Recipient", _text(_person)),
    "email": _kind("string", "to email address recipient email_address", "Email address of the "
                   "receiver.|The address", _text(words.email)),
    "phone": _kind("string", "phone number phone_number to", "Phone number.|The number to use",
                   _text(words.phone)),
    "noun": _kind("string", "item product thing object article name", "Name of the item.|The "
                  "product|Which thing", _text(words.noun)),
    "word": _kind("string", "word term text", "The word.|Word to look up",
                  _text(lambda r: r.choice(words.NOUNS) if r.random() < 0.6
                        else words.pseudo_word(r))),
    "topic": _kind("string", "topic query subject search q keywords", "What to search for.|The "
                   "topic|Search words", _text(lambda r: r.choice(
                       [r.choice(words.TOPICS), words.noun(r), r.choice(words.FOODS) + " recipes",
                        words.person(r), words.city(r)]))),
    "food": _kind("string", "food dish meal ingredient", "Name of the food.|The dish",
                  _text(lambda r: r.choice(words.FOODS) if r.random() < 0.7
                        else words.pseudo_word(r))),
    "code": _kind("string", "id order_id code reference number key", "The identifier.|Id|Reference "
                  "code", _text(words.code)),
    "date": _kind("string", "date day when on", "The date, YYYY-MM-DD.|Date", _text(words.date)),
    "day": _kind("string", "day when date weekday", "The day.|Which day",
                 _text(lambda r: r.choice(words.DAYS))),
    "time": _kind("string", "time at hour start_time when", "Time of day, HH:MM.|The time",
                  _text(words.time)),
    "path": _kind("string", "path file filename file_path", "Path of the file.|File to use",
                  _text(words.path)),
    "title": _kind("string", "title name subject book song movie", "The title.|Title or name",
                   _text(words.title)),
    "message": _kind("string", "message text body content note", "The text.|What to say|Content",
                     _text(words.message)),
    "room": _kind("string", "room area zone where", "The room.|Which room",
                  _text(lambda r: r.choice(words.ROOMS))),
    "colour": _kind("string", "color colour", "The colour.|Colour name",
                    _text(lambda r: r.choice(words.COLOURS))),
    "language": _kind("string", "language target_language to lang", "Target language.|Language",
                      _text(lambda r: r.choice(words.LANGUAGES))),
    "from_currency": _kind("string", "from from_currency source base", "Currency to convert from.|"
                           "Source currency", _text(lambda r: r.choice(words.CURRENCIES))),
    "to_currency": _kind("string", "to to_currency target into", "Currency to convert to.|Target "
                         "currency", _text(lambda r: r.choice(words.CURRENCIES))),
    "count": _kind("integer", "count quantity number amount n", "How many.|The number",
                   _int(1, 99, True)),
    "people": _kind("integer", "people guests persons party_size", "How many people.|Guests",
                    _int(1, 12, True)),
    "minutes": _kind("integer", "minutes duration length", "Time in minutes.|Minutes",
                     _int(1, 120, True)),
    "days": _kind("integer", "days num_days nights", "How many days.|Days", _int(2, 14, True)),
    "level": _kind("integer", "level value percent brightness volume", "Level from 0 to 100.|The "
                   "level", _int(0, 100)),
    "low": _kind("integer", "min low minimum start", "Smallest value.|Lower end", _int(0, 50)),
    "high": _kind("integer", "max high maximum end", "Largest value.|Upper end", _int(60, 999)),
    "int_a": _kind("integer", "a x first left", "First number.|The first number", _int(0, 9999)),
    "int_b": _kind("integer", "b y second right", "Second number.|The second number",
                   _int(0, 9999)),
    "amount": _kind("number", "amount value sum total", "The amount.|How much", _number),
    "degrees": _kind("number", "temperature degrees target value", "Temperature in degrees.|The "
                     "temperature", _number),
    "expression": _kind("string", "expression formula expr input", "The expression.|What to "
                        "calculate", _text(words.expression)),
    "number": _kind("number", "number x value", "The number.|A number", _number),
    "switch": _kind("boolean", "on enabled state active", "True to switch on.|On or off", _bool),
    "onoff": _kind("boolean", "on enabled state active power", "True to switch on.|On or off",
                   lambda r: r.choice([("on", True), ("off", False)])),
    "flag": _kind("boolean", "flag enabled force", "Yes or no.|Set to true or false", _bool),
    "things": _kind("array", "items things list products", "The items.|List of items",
                    _list(words.noun)),
    "names": _kind("array", "names people attendees recipients", "The names.|List of people",
                   _list(_person)),
    "integers": _kind("array", "numbers values data", "The numbers.|List of numbers",
                      _list(lambda r: r.randint(0, 999))),
    "choice": _kind("string", "mode unit type kind format", "One of the values.|How to do it",
                    _text(lambda r: r.choice(words.COLOURS))),
}
