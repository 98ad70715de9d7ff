"""Word lists and makers of random values, all written for this project."""

import random

FIRST_NAMES = """
Ana Ben Carla Dora Emil Fiona Gus Hanna Igor Julia Karl Lena Marco Nora Otto Paula Ralf Sofia
Tim Uma Vera Walter Xenia Yuri Zoe Adam Bella Cyrus Diana Eric Flora George Helen Ivan Jack Kate
Liam Mona Noah Olga Peter Rita Sam Tara Ulrich Vince Wendy Alan Betty Clara David Emma Frank Gina
Henry Irma Jim Laura Max Nina Pablo Ruth Simon Tess Anton Mina Tom Marie Lucas Alice Bob Carol
Dave Eve Omar Layla Chen Yuki Raj Priya Kofi Amara Lars Ingrid Pierre Chloe Diego Lucia
""".split()

LAST_NAMES = """
Smith Jones Miller Brown Weber Novak Rossi Silva Khan Tanaka Larsen Dubois Garcia Kowalski Berg
Fischer Moreau Costa Petrov Lindgren Hall Young Baker Stone Rivers Marsh Frost Woods Lake Hill
""".split()

CITIES = """
Oslo Bergen Paris London Berlin Madrid Rome Vienna Prague Lisbon Dublin Athens Warsaw Tokyo Cairo
Lima Boston Chicago Denver Seattle Austin Sydney Toronto Delhi Seoul Osaka Hanoi Nairobi Tunis
Munich Hamburg Zurich Geneva Milan Naples Porto Seville Lyon Ghent Utrecht Malmo Turin Riga
Vilnius Tallinn Helsinki Stockholm Copenhagen Reykjavik Ankara Beirut Amman Doha Dubai Mumbai
Bangkok Manila Jakarta Perth Auckland Santiago Bogota Quito Havana Montreal Vancouver Dallas
""".split() + ["New York", "San Francisco", "Cape Town", "Buenos Aires", "Hong Kong", "Los Angeles"]

COUNTRIES = """
France Spain Norway Italy Germany Japan Peru Kenya Canada Brazil Egypt India China Greece Poland
Sweden Finland Ireland Portugal Chile Mexico Turkey Morocco Vietnam Iceland Austria Belgium
""".split()

NOUNS = """
apple pear bread butter cheese soup cake rice pasta tomato onion carrot potato egg fish honey
sugar salt pepper tea coffee milk juice water lemon banana grape melon olive mushroom bean corn
table chair lamp door window mirror carpet shelf bed pillow blanket clock phone laptop keyboard
mouse screen printer camera radio guitar piano drum violin flute book pencil paper notebook pen
bag box bottle cup plate spoon fork knife pot pan oven fridge car bike train boat plane bus truck
ship rocket engine wheel tyre road bridge tower castle church school library museum garden park
forest river mountain valley desert island beach ocean lake volcano cloud rain snow wind storm
sun moon star planet comet galaxy atom cell gene bone heart brain blood tooth hand foot cat dog
horse cow sheep goat pig hen duck goose rabbit fox wolf bear lion tiger eagle owl frog snake whale
shark spider ant bee butterfly tree flower rose grass leaf seed root stone sand gold silver iron
copper glass wood wool cotton silk shoe hat coat shirt sock glove scarf ring watch coin ticket
letter stamp map key rope ladder hammer nail saw drill brush paint candle mirror soap towel toy
ball kite puzzle game chess football tennis music song dance movie poem story painting statue
""".split()

TOPICS = """
history physics chemistry biology economics philosophy politics astronomy geology medicine
football tennis chess opera jazz painting poetry cooking gardening sailing cycling photography
democracy gravity evolution electricity magnetism inflation photosynthesis relativity
mathematics geometry algebra grammar linguistics psychology robotics programming Python
Napoleon Shakespeare Einstein Mozart Cleopatra Newton Darwin Picasso Beethoven Plato Caesar
Bitcoin Linux Wikipedia Google Netflix Mars Jupiter Saturn Venus dinosaurs volcanoes vampires
blockchain
""".split() + [
    "quantum computers", "machine learning", "climate change", "black holes", "the stock market",
    "the Roman Empire", "the French Revolution", "the Moon landing", "World War II", "the internet",
    "the ocean", "the news", "the president", "the universe"]

FOODS = """
mayonnaise mustard ketchup vinegar pesto hummus salsa curry pizza lasagna ramen sushi tacos
pancakes waffles omelette chili risotto paella goulash bread cake cookies muffins brownies
lemonade smoothie salad soup stew chicken beef tofu salmon shrimp noodles dumplings
""".split()

KINDS = """
condiment colour color food drink animal movie book song band sport hobby season number word
country city flower fruit vegetable game holiday month day teacher subject language car shape
dessert cheese pizza toy tree bird planet
""".split()

VERB_TASKS = """
bake a cake|fix a bike|build a house|learn the piano|write a novel|grow tomatoes|train a dog|
paint a wall|tie a tie|catch a fish|sew a button|climb a mountain|clean a carpet|make a kite|
change a tyre|plan a wedding|start a company|invest money|lose weight|sleep better|file my taxes|
install Linux|write a poem|solve an equation|cook rice|boil an egg|brew beer|knit a scarf|
play chess|speak French|draw a horse|pack a suitcase|sharpen a knife|repair a clock|make soap
""".replace("\n", "").split("|")

MESSAGES = """
see you at five|I will be late|the meeting is moved|happy birthday|please call me back|
dinner is ready|the train is late|thank you for the help|good luck today|lunch at noon|
the report is done|we need more milk|I am on my way|do not forget the keys|hello from me|
the door is open|all is well|come home soon|the parcel has arrived|let us talk tomorrow|
the tickets are booked|the car is fixed|bring an umbrella|the shop is closed|see you soon
""".replace("\n", "").split("|")

COLOURS = "red blue green yellow orange purple pink black white brown grey".split()
ROOMS = "kitchen bedroom bathroom garage office hallway garden attic cellar nursery".split() + [
    "living room", "guest room", "dining room"]
LANGUAGES = "French German Spanish Italian Dutch Polish Greek Turkish Swedish Japanese".split()
CURRENCIES = "USD EUR GBP JPY CHF NOK SEK PLN CAD AUD".split()
UNITS = ["kilometres", "miles", "metres", "feet", "kilograms", "pounds", "litres", "gallons"]
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split() + ["today", "tomorrow"]
SMALL_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()

_ONSETS = "b br c ch d dr f fl g gr h j k kl l m n p pl qu r s sh sk st t th tr v w y z".split()
_VOWELS = "a a e e i i o o u u ai ee oo ou ia".split()
_CODAS = ["", "", "", "n", "r", "l", "s", "m", "t", "k", "nd", "rt", "x", "ck", "p", "lm"]


def pseudo_word(rng: random.Random, low: int = 1, high: int = 3) -> str:
    """A pronounceable word that exists nowhere, so that copying has to be learnt."""
    return "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS)
                   for _ in range(rng.randint(low, high)))


def person(rng: random.Random) -> str:
    """A first name, sometimes with a last name."""
    first = rng.choice(FIRST_NAMES) if rng.random() < 0.6 else pseudo_word(rng, 1, 2).capitalize()
    if rng.random() < 0.25:
        last = rng.choice(LAST_NAMES) if rng.random() < 0.6 else pseudo_word(rng).capitalize()
        return f"{first} {last}"
    return first


def city(rng: random.Random) -> str:
    """A city, half of the time an invented one."""
    if rng.random() < 0.5:
        return rng.choice(CITIES)
    name = pseudo_word(rng, 1, 3).capitalize()
    return name + rng.choice(["", "", "", "ville", "ton", "burg", " Falls", " City"])


def noun(rng: random.Random) -> str:
    """A thing, sometimes with a colour, sometimes an invented word."""
    word = rng.choice(NOUNS) if rng.random() < 0.7 else pseudo_word(rng)
    return f"{rng.choice(COLOURS)} {word}" if rng.random() < 0.15 else word


def code(rng: random.Random) -> str:
    """An identifier such as AB-1234 or 48213."""
    digits = "".join(rng.choice("0123456789") for _ in range(rng.randint(2, 5)))
    letters = "".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(rng.randint(1, 3)))
    return rng.choice([f"{letters}-{digits}", f"{letters}{digits}", digits, f"#{digits}"])


def email(rng: random.Random) -> str:
    """An e-mail address."""
    user = person(rng).lower().replace(" ", rng.choice([".", "_", ""]))
    host = rng.choice(["example", "mail", "post", "work", pseudo_word(rng, 1, 2)])
    return f"{user}@{host}.{rng.choice(['com', 'org', 'net', 'de', 'io'])}"


def phone(rng: random.Random) -> str:
    """A phone number."""
    return rng.choice(["555-", "0", "+47 ", "020 "]) + str(rng.randint(1000, 99999))


def date(rng: random.Random) -> str:
    """A calendar date in ISO form."""
    return f"20{rng.randint(20, 35)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"


def time(rng: random.Random) -> str:
    """A time of day."""
    return f"{rng.randint(0, 23):02d}:{rng.choice(['00', '15', '30', '45', '10', '05'])}"


def path(rng: random.Random) -> str:
    """A file path."""
    stem = rng.choice(NOUNS) if rng.random() < 0.6 else pseudo_word(rng)
    name = stem + "." + rng.choice(["txt", "md", "py", "csv", "json", "cc", "log"])
    folder = rng.choice(["", "", "docs/", "src/", "notes/", "/tmp/", "data/",
                         pseudo_word(rng) + "/"])
    return folder + name


def title(rng: random.Random) -> str:
    """A title of a book, song or event."""
    word = rng.choice(NOUNS).capitalize() if rng.random() < 0.6 else pseudo_word(rng).capitalize()
    return rng.choice([f"The {rng.choice(COLOURS).capitalize()} {word}", f"The {word}", word,
                       f"{word} and {rng.choice(NOUNS).capitalize()}"])


def message(rng: random.Random) -> str:
    """A short sentence to be sent or noted."""
    roll = rng.random()
    if roll < 0.2:
        return sentence(rng, 2, 6)
    if roll < 0.65:
        return rng.choice(MESSAGES)
    return rng.choice(["buy {}", "bring the {}", "I found the {}", "the {} is broken",
                       "no more {} please", "we like the {}"]).format(noun(rng))


def gibberish(rng: random.Random) -> str:
    """Letters as a hand on a keyboard makes them."""
    letters = rng.choice(["asdfghjkl", "qwertyuiop", "zxcvbnm", "abcdefghijklmnopqrstuvwxyz"])
    return "".join(rng.choice(letters) for _ in range(rng.randint(3, 8)))


def _part(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.45:
        return rng.choice(NOUNS)
    if kind < 0.6:
        return pseudo_word(rng)
    if kind < 0.75:
        return rng.choice("the a is and with from very not to of in it we no was has".split())
    if kind < 0.9:
        unit = rng.choice(["", "", "%", " km", "°C", " €", "th", " kg", " km/h", "°"])
        return rng.choice([str(rng.randint(0, 999)), decimal(rng)]) + unit
    return rng.choice(["It's", "don't", "OK", "(new)", person(rng), city(rng), code(rng),
                       time(rng)])


def sentence(rng: random.Random, low: int = 3, high: int = 9) -> str:
    """A sentence without sense, to learn the copying of any text."""
    parts = [_part(rng) for _ in range(rng.randint(low, high))]
    out = parts[0]
    for part in parts[1:]:
        out += rng.choice([" "] * 9 + [", ", "; ", " - ", ": "]) + part
    return (out[0].upper() + out[1:] if rng.random() < 0.7 else out) + rng.choice(["", ".", "!"])


def expression(rng: random.Random) -> str:
    """A sum in one line."""
    gap = rng.choice(["", " "])
    out = str(rng.randint(0, 10 ** rng.randint(1, 4)))
    for _ in range(rng.randint(1, 3)):
        out += f"{gap}{rng.choice('+-*/')}{gap}{rng.randint(0, 10 ** rng.randint(1, 4))}"
    return out


def decimal(rng: random.Random) -> str:
    """A number with a fraction."""
    return f"{rng.randint(0, 300)}.{rng.choice(['5', '25', '75', '1', '9', '99', '4'])}"
