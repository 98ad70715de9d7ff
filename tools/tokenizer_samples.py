"""Texts for testing tokenizers: fixed samples by topic and seeded random strings.

All texts were written for this project. Used by make_tokenizer_goldens.py and
compare_tokenizer.py.
"""

import itertools
import random
import unicodedata

SPECIAL_TEXTS = [
    "]~!b[", "]~b]", "[e~[", "]!d~[", "]!p~[", "<think>", "</think>", "<minimax:tool_call>",
    "</minimax:tool_call>", "<fim_prefix>", "<reponame>", "]<]image[>[", "]<]start of speech[>[",
    "<function_call>", "<file_sep>",
]

PROSE = {
    "english": "The ship left at dawn; by noon we couldn't see the shore, and nobody said it'd be easy.",
    "german": "Die Straßenbahn fährt übermäßig langsam, weil Öl auf den Schienen klebt.",
    "french": "L'été dernier, j'ai goûté un cœur d'artichaut près de la forêt — délicieux !",
    "spanish": "¿Cuántos años cumple mañana la niña? ¡Feliz cumpleaños, pequeña!",
    "portuguese": "A solução não é tão fácil: três irmãs vão à praça amanhã.",
    "polish": "Żółw idzie ścieżką, a gęś pływa w źródle pod mostem.",
    "czech": "Příliš těžký kůň pomalu táhl dřevěný vůz přes úzkou řeku.",
    "turkish": "İstanbul'da ılık bir gün; çocuklar ağacın gölgesinde şarkı söylüyor.",
    "vietnamese": "Buổi sáng, những người bán hàng đẩy xe qua cầu và cười rất vui vẻ.",
    "russian": "Весной снег тает, и ручьи бегут по улицам нашего города.",
    "ukrainian": "Її дідусь їде до міста, щоб купити свіжий хліб і ґудзики.",
    "greek": "Ο ψαράς γύρισε αργά στο λιμάνι, μα το δίχτυ του ήταν άδειο.",
    "armenian": "Գարնանը ծառերը ծաղկում են, իսկ գետը բարձրանում է։",
    "georgian": "მთაში თოვლი მოვიდა და გზა დაიკეტა.",
    "hebrew": "הילדים הלכו לגן, וְהַשֶּׁמֶשׁ זרחה מעל הבתים.",
    "arabic": "ذهب الولد إلى السوق صباحًا واشترى ٣ تفاحات وخبزًا.",
    "persian": "کتاب‌های تازه روی میز است و چای هنوز گرم می‌باشد.",
    "urdu": "بارش کے بعد گلی میں پانی کھڑا ہو گیا۔",
    "hindi": "बारिश के बाद गाँव की सड़कें कीचड़ से भर गईं।",
    "bengali": "নদীর ধারে একটি পুরনো নৌকা বাঁধা আছে।",
    "tamil": "மலையின் மேல் ஒரு சிறிய கோயில் இருக்கிறது.",
    "telugu": "పిల్లలు చెట్టు కింద ఆడుకుంటున్నారు.",
    "malayalam": "മഴ പെയ്തപ്പോൾ കുട്ടികൾ വീട്ടിലേക്ക് ഓടി.",
    "thai": "แมวสีดำนอนหลับอยู่ใต้โต๊ะไม้เก่า",
    "lao": "ເດັກນ້ອຍແລ່ນຫຼິ້ນຢູ່ເດີ່ນບ້ານ",
    "khmer": "ក្មេងៗលេងបាល់នៅក្រោមដើមស្វាយ។",
    "burmese": "ကလေးများ ကျောင်းသို့ လမ်းလျှောက်သွားကြသည်။",
    "tibetan": "གངས་རི་དཀར་པོའི་འོག་ཏུ་གྲོང་ཚོ་ཞིག་ཡོད།",
    "amharic": "ልጆቹ በዛፉ ጥላ ስር ተቀምጠዋል።",
    "chinese": "傍晚时分，渔民把小船拖上沙滩，数了数一共有37条鱼。",
    "traditional": "傍晚時分，漁民把小船拖上沙灘，點了三盞燈籠。",
    "japanese": "夕方になると、カモメが港の上をぐるぐる飛んでいた。ﾊﾝｶｸも混ざる。",
    "korean": "저녁이 되자 아이들은 집으로 돌아가 따뜻한 국을 먹었다.",
    "cherokee": "ᎠᏂᏍᎦᏯ ᎠᎹ ᎠᏂᏗᏔᏍᎩ ꭰꮒꮝ",
    "mongolian": "ᠮᠣᠩᠭᠣᠯ ᠬᠥᠮᠦᠨ ба морь",
    "gothic": "𐌲𐌿𐍄𐌰 𐌷𐌰𐌱𐌰𐌹𐌸 𐍃𐌺𐌹𐍀",
    "mathematical": "𝐀𝛼𝟘 ∀x∈ℝ: ⌈x⌉ ≥ x ⇒ ∑ᵢ xᵢ² ≤ ½",
}

CODE = {
    "cpp": "#include <vector>\n\ntemplate <typename T>\nT sum(const std::vector<T>& v) {\n  T s{};\n"
           "  for (auto&& x : v) s += x;  // don't overflow!\n  return s;\n}\n",
    "python": "class Pond:\n    def __init__(self, depth=3.5):\n        self.depth = depth\n\n"
              "    @property\n    def label(self):\n        return f\"{self.depth:.2f} m\"\n",
    "javascript": "const fishes = await fetch(`/api/v2/fish?id=${id}`).then(r => r.json());\n"
                  "if (fishes?.length !== 0) { console.log('It\\'s wet', fishes[0]); }\n",
    "rust": "fn clamp<'a>(v: &'a mut [i64], hi: i64) -> &'a [i64] {\n\tfor x in v.iter_mut() {\n"
            "\t\tif *x > hi { *x = hi; }\n\t}\n\tv\n}\n",
    "go": "func (s *Store) Get(key string) (val []byte, err error) {\n\ts.mu.RLock()\n"
          "\tdefer s.mu.RUnlock()\n\tif v, ok := s.m[key]; ok {\n\t\treturn v, nil\n\t}\n"
          "\treturn nil, ErrMissing\n}\n",
    "java": "@Override\npublic Optional<String> findUserByIdOrNull(final long id) {\r\n"
            "    return users.stream().filter(u -> u.getId() == id).findFirst();\r\n}\r\n",
    "html": "<!DOCTYPE html>\n<div class=\"row\"><p>A &amp; B</p>\n  <!-- note --><br/>\n</div>\n",
    "sql": "SELECT a.id, COUNT(*) AS n\nFROM boats AS a\nLEFT JOIN trips t ON t.boat_id = a.id\n"
           "WHERE a.name LIKE '%O''Neil%' AND t.day >= '2024-02-29'\nGROUP BY 1;\n",
    "shell": "for f in *.tar.gz; do\n  tar -xzf \"$f\" -C /tmp/out || { echo \"bad: $f\" >&2; exit 1; }\n"
             "done\n",
    "json": '{"name": "höhe", "values": [1, -2.5e-10, null, true],\n "path": "C:\\\\tmp\\\\x"}\n',
    "yaml": "jobs:\n  build:\n    steps:\n      - run: make -j8 all   # fast\n",
    "lisp": "(defun fact (n)\n  (if (<= n 1) 1 (* n (fact (- n 1)))))\n",
    "latex": "\\begin{equation}\n  \\hat{x}_{t+1} = \\sum_{i=0}^{n} \\alpha_i x_{t-i}\n\\end{equation}\n",
    "assembly": "_start:\n\tmov\trax, 60\n\txor\trdi, rdi\n\tsyscall\t\t; exit(0)\n",
}

EMOJI = [
    "😀", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "🇩🇪🇫🇷🇯🇵", "1️⃣2️⃣#️⃣", "❤️‍🔥", "☺︎☺️", "🧑🏿‍🚀🚀",
    "🫱🏻‍🫲🏿", "👁️‍🗨️", "🐈‍⬛", "🤷🏼‍♀️ what?", "a😀b 😀 c", "😀😀😀!", "🚀🎉", "©️®️™️",
]

LETTERS = [
    "a", "Z", "é", "É", "ß", "ŉ", "ſ", "İ", "ı", "ǅ", "ǲ", "ʰ", "ª", "º", "中", "가", "ا", "क", "は",
    "ｶ", "ꭰ", "Ა", "ა", "ﬁ", "𝐀", "𝛼", "𐐀", "𐐨", "ᲀ", "\u1c89", "\ua7dc", "\U00011935", "K",
]
MARKS = [
    "\u0301", "\u0308", "\u0323", "\u0327", "\u0345", "\u093f", "\u094d", "\u0e31", "\u20dd",
    "\u3099", "\ufe0f", "\u0334", "\U0001d165", "\U00011930", "\u1dfa", "\u0489", "\u05b0",
]
NUMBERS = ["0", "7", "٣", "²", "½", "Ⅷ", "①", "〇", "𝟘", "๓", "\U0001fbf0", "一"]
SPACES = [" ", "\t", "\n", "\r", "\r\n", "\x0b", "\x0c", "\x85", "\xa0", "\u1680", "\u2003",
          "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"]
OTHERS = ["!", "'", "’", "/", "//", "-", "_", ".", "<", ">", "[", "]", "~", "\x00", "\x1c", "\x7f",
          "\u200b", "\u200d", "\u2060", "\ufeff", "\u180e", "€", "+", "😀", "\ue000", "\ufffd",
          "\U000e0061", "\u0378", "\U000323b0", "\U00010ec5"]
CONTRACTIONS = ["'s", "'S", "'t", "'re", "'RE", "'rE", "'ve", "'m", "'ll", "'LL", "'d", "'ſ", "'r",
                "'l", "'v", "'", "''s", "'sx"]
NFC_PIECES = ["e\u0301", "a\u0323\u0302", "a\u0302\u0323", "\u1e9b\u0323", "\u212b", "\u0344",
              "\u0958", "\u2adc", "\u0f73", "\u1100\u1161", "\u1100\u1161\u11a8", "\uac00\u11a8",
              "\uac00\u11a7", "\u1161\u11a8", "\u0b47\u0300\u0b3e", "\u09c7\u09be", "\u0b92\u0bd7",
              "\U0001d15e", "\ufb1d", "\ufa10", "\u2126", "\u0387", "\u1fef", "\u0300\u0315\u0327",
              "\U00011935\U00011930", "\U0001611e\U0001611e", "q\u0307\u0323", "\u0340\u0341"]


def unicode_rows() -> list[str]:
    """Characters of every assigned stretch of Unicode, alone, in words and after spaces."""
    rows = []
    for start in range(0, 0x32000, 64):
        step = 64 if start < 0x3400 or 0xA000 <= start < 0xAC00 or 0xF900 <= start < 0x14700 else 1024
        if start % step:
            continue
        chars = [chr(c) for c in range(start, start + step)
                 if unicodedata.category(chr(c)) not in ("Cn", "Cs")]
        if not chars:
            continue
        picked = chars[:: max(1, len(chars) // 12)][:12]
        rows.append("".join(picked))
        rows.append(" ".join(picked[:6]) + "x" + "A".join(picked[6:]))
    rows += ["".join(map(chr, range(c, c + 4))) for c in
             (0xE000, 0xF8FC, 0xE0001, 0xE0100, 0xF0000, 0x10FFFA, 0x323B0, 0x10EC5, 0x11F00)]
    return rows


def prose() -> list[str]:
    texts = list(PROSE.values())
    texts += [t.upper() for t in PROSE.values()] + [t.title() for t in PROSE.values()]
    texts += [unicodedata.normalize("NFD", t) for t in PROSE.values()]
    texts += [a + " " + b for a, b in zip(PROSE.values(), list(PROSE.values())[1:])]
    return texts


def code() -> list[str]:
    texts = list(CODE.values())
    texts += [t.replace("\n", "\r\n") for t in CODE.values()]
    texts += ["\n".join("        " + line for line in t.split("\n")) for t in CODE.values()]
    texts += [line for t in CODE.values() for line in t.split("\n") if line]
    return texts


def emoji() -> list[str]:
    return EMOJI + ["".join(pair) for pair in itertools.pairwise(EMOJI)]


def digits() -> list[str]:
    texts = ["1" * n for n in range(1, 25)] + ["9876543210" * 30, "3.14159", "-1e-10", "0x1F", "1,000,000"]
    texts += [a + b + c for a, b, c in itertools.product(NUMBERS[:6], NUMBERS[3:9], ("", " ", "a"))]
    return texts


def spaces() -> list[str]:
    texts = [s * n for s in SPACES for n in (1, 2, 3, 7)]
    texts += [a + b + tail for a, b in itertools.product(SPACES, SPACES) for tail in ("", "x", "!")]
    texts += [" " * n + "return" for n in range(1, 40, 3)] + ["x" + "\n" * n for n in range(1, 12)]
    return texts


def words() -> list[str]:
    texts = [w + c + tail for w in ("it", "THEY", "Ǆe", "中", "1", "!") for c in CONTRACTIONS
             for tail in ("", "x", " y")]
    texts += [a + b + c for a, b, c in itertools.product("aA中\u0301!ǅʰ", repeat=3)]
    texts += ["camelCase", "HTMLParser", "XMLHttpRequest2", "snake_case_name", "ALLCAPS", "iOS",
              "don't", "O'Neil", "rock'n'roll", "e-mail@example.org", "https://a.b/c?d=e&f#g"]
    return texts


def specials() -> list[str]:
    texts = [s + t for s in SPECIAL_TEXTS for t in ("", " x", "\u0301", s, "\n")]
    texts += [s[:i] for s in SPECIAL_TEXTS for i in range(1, len(s))]
    texts += [s[:i] + " " + s[i:] for s in SPECIAL_TEXTS[:8] for i in range(1, len(s))]
    texts += [s.upper() for s in SPECIAL_TEXTS] + ["]]~b]", "[[e~[", "<<think>>", "]<]]<]image[>[",
              "[PAD200063]", "<unk>", "<|endoftext|>", "]~b]user\nHi[e~[\n]~b]ai\n<think>\n"]
    return texts


def normalization() -> list[str]:
    texts = NFC_PIECES + ["x" + p + "y" for p in NFC_PIECES]
    texts += [a + b for a, b in itertools.product(NFC_PIECES, NFC_PIECES[:12])]
    texts += [a + m1 + m2 for a, m1, m2 in itertools.product("eaक中", MARKS[:8], MARKS[:8])]
    return texts


def random_texts(count: int, seed: int) -> list[str]:
    """Strings of random length from random mixtures of the tables above and of all code points."""
    rng = random.Random(seed)
    pools = [LETTERS, MARKS, NUMBERS, SPACES, OTHERS, CONTRACTIONS, NFC_PIECES, SPECIAL_TEXTS, EMOJI,
             list("etaoinshrdlu"), list("ETAOIN"), list(" \n\t"), list(PROSE.values()),
             list(CODE.values())]

    def any_code_point() -> str:
        limit = rng.choice((0x100, 0x800, 0x3400, 0x10000, 0x20000, 0x110000))
        c = rng.randrange(limit)
        return chr(c) if not 0xD800 <= c <= 0xDFFF else "\ud7ff"

    texts = []
    for _ in range(count):
        chosen = rng.sample(pools, rng.randint(1, 5))
        wild = rng.random() < 0.3
        parts = []
        for _ in range(rng.choice((1, 3, 8, 20, 50))):
            part = any_code_point() if wild and rng.random() < 0.5 else rng.choice(rng.choice(chosen))
            if len(part) > 12:  # a sentence: some of it
                begin = rng.randrange(len(part))
                part = part[begin : begin + rng.randint(1, 30)]
            parts.append(part)
        texts.append("".join(parts))
    return texts


INVALID_UTF8 = [bytes.fromhex(h) for h in (
    "80", "ff", "c0af", "c3", "c328", "e282", "e28261", "eda080", "edbfbf", "f09f98", "f09f9861",
    "f0808080", "f4908080", "f8888080", "6162ff6364", "61c361c361", "e4bda0e5a5", "c3a9cc81ff",
    "fe", "5d7e625dff5d7e625d", "e0809f", "f0908d", "f0908dff", "205be47e5b", "65cc", "65cc81cc",
    "efbfbd", "efbfbdff",
)]

TOPICS = {
    "unicode": unicode_rows,
    "prose": prose,
    "code": code,
    "emoji": emoji,
    "digits": digits,
    "spaces": spaces,
    "words": words,
    "specials": specials,
    "normalization": normalization,
}


def all_texts() -> list[str]:
    """Every fixed sample, without repetitions."""
    return list(dict.fromkeys(text for topic in TOPICS.values() for text in topic()))
