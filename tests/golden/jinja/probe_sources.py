"""Templates and contexts for tests/golden/jinja/probes.json (made by tools/make_jinja_goldens.py)."""

PROBES = []


def probe(template, **context):
    PROBES.append((template, context))


def each(context, *templates):
    for template in templates:
        PROBES.append((template, context))


def expressions(*texts, **context):
    for text in texts:
        PROBES.append(("{{ " + text + " }}", context))


# Probes that the specification of the engine lists.
expressions("'a' ~ 1 ~ none", "[1,'a',none,true,1.5,{'k':'v'}]", "1 < 2 < 3", "1 == 1.0", "'1' == 1")
probe("{{ u }}|{{ u is none }}|{{ u is defined }}")
probe("{{ d.items() | list }}", d={"a": 1})
probe("{{ 1.0 }} {{ 1e20 }} {{ 3/2 }} {{ 7//2 }} {{ 2**10 }} {{ -7//2 }}")
probe("{{ v|tojson(sort_keys=true) }}", v={"b": "é<", "a": [1, 2.0, None, True]})
probe("{{ s.split('</t>',1) }}", s="a</t>b</t>\n\nc")
probe("{{ 'xxaxx'.strip('x') }}|{{ 'a b  c'.split() }}")
probe("{{ s[1:3] }}|{{ s[::-1] }}|{{ s[-2:] }}", s="abcdé")
probe("{% set x=1 %}{% for i in [1,2] %}{% set x=x+i %}{% endfor %}{{ x }}")
probe("{% set ns=namespace(a=1) %}{% for i in [1,2] %}{% set ns.a=ns.a+i %}{% endfor %}{{ ns.a }}")
probe("  {% if true %}\n  x\n  {% endif %}\ny\n")
probe("a  {%- if true -%}  b  {%- endif -%}  c")
probe("{{ x|default('d') }}|{{ ''|default('d',true) }}|{{ none|default('d') }}")
probe("{% for k,v in d.items() if v %}{{k}}={{v}};{% endfor %}", d={"a": 0, "b": 1})
probe("{% if e %}T{% else %}F{% endif %}", e={})
probe("{{ m.a.b.c }}", m={})
probe("{{ u|tojson }}")

# Literals.
expressions(
    "1", "1_000", "0x1F", "0o17", "0b101", "0", "00", "1.5", "1_0.5", "1e3", "1E-7", "1.5e+10",
    "'a\\nb'", "'\\t\\\\'", "'\\x41\\u00e9\\U0001F600'", "'\\q'", "'\\101'", "'a' 'b' \"c\"",
    "\"it's\"", "'say \"x\"'", "[]", "()", "(1,)", "(1, 2)", "{}", "{'a': 1, 2: 'b', none: 3}",
    "[1, 2,]", "{'a': 1,}", "true", "True", "false", "False", "none", "None", "[none, true, 1.0]",
    "1, 2", "1.", ".5", "012", "'open", "'\\x4'", "0b", "1__0", "123456789012345678901234567890",
    "'\\\n'", "1.0e400 > 1", "1 if", "{'a'}", "{1: 2: 3}", "[1, 2", "(1", "1)", "é", "'\\é'", "'\\N{DASH}'")

# Numbers as text.
expressions(
    "0.1", "1/3", "2/3", "1e16", "1e15", "123456789.123456789", "1e-5", "0.0001", "0.00001",
    "-0.0", "1e22", "1e23", "5e-324", "1.7976931348623157e308", "100.0", "1e2", "12345678901234567.0",
    "9007199254740993", "9223372036854775807 + 1", "18446744073709551615", "2**64", "2**100", "-2**63",
    "3 * 1.0", "True + True", "1 + True", "7 % 3", "-7 % 3", "7 % -3", "7.5 % 2", "-7.5 % 2", "7.5 // 2",
    "-7.5 // 2", "6 / 3", "2 ** -1", "2 ** 0.5", "0 ** 0", "4 ** 2 ** 1", "2 ** 3 ** 2", "-2 ** 2",
    "1 / 0", "1 // 0", "1 % 0", "1.0 / 0", "0 ** -1", "'a' * 3", "3 * 'ab'", "[1] * 2", "(1,) * 2",
    "'a' * -1", "'a' + 'b'", "[1] + [2]", "(1,) + (2,)", "'a' + 1", "1 + 'a'", "[1] + (2,)", "'a' - 'b'",
    "-'a'", "+'a'", "-true", "+true", "- 5", "--5", "-(-5)", "1 - -1", "10 - 4 - 3", "2 * 3 + 4", "2 + 3 * 4",
    "(2 + 3) * 4", "100 // 7 % 4", "1 ~ 2 + 3", "'a' ~ 'b' * 2", "1.5 ~ none ~ [1]", "u + 1", "1 + u", "u * 2",
    "none + 1", "{} + {}", "1e308 * 10", "1e308 ** 2", "5 // 2.0", "2 ** 3.0", "1e300 // 1e-10",
    "0.1 + 0.2", "1.1 * 3", "3.0 // 1", "-0.0 + 0", "1e16 + 1", "4.35 * 100", "10 % 3.5", "-3 // 2 * 2 + -3 % 2",
    d={})

# Comparison and logic.
expressions(
    "1 < 2", "2 <= 2", "3 > 4", "3 >= 3", "1 != 1.0", "'a' < 'b'", "'a' < 'B'", "[1, 2] < [1, 3]", "[1] < [1, 0]",
    "(1, 2) == (1, 2)", "[1] == (1,)", "{'a': 1} == {'a': 1.0}", "1 < 'a'", "none < 1", "none == none", "u == none",
    "u == v", "u != 1", "u < 1", "true == 1", "true < 2", "'1' != 1", "1 < 2 > 1", "1 == 1 == 1", "3 > 2 > 3",
    "1 in [1, 2]", "3 not in [1, 2]", "'b' in 'abc'", "'' in 'abc'", "'a' in {'a': 1}", "1 in {'a': 1}", "1 in 'abc'",
    "'x' in u", "u in [1]", "1 in 5", "1.0 in [1]", "true in [1]", "not true", "not not 1", "not []", "not u",
    "1 and 2", "0 and 2", "1 or 2", "0 or 'x'", "'' or [] or 'z'", "u or 'd'", "not 1 == 2", "1 in [1] and 2 in [2]",
    "1 if true else 2", "1 if false else 2", "1 if false", "'x' if u else 'y'", "1 if 0 else 2 if 0 else 3",
    "(1 if true else 2) + 1", "'é' < 'z'", "'z' < 'é'", "'\U0001F600' > '\uffff'", "[] == []", "{} == []",
    "1 is divisibleby 1 and true", "2 in range(3)", "5 in range(0, 10, 5)", "[1, [2, [3]]] == [1, [2, [3.0]]]",
    "(1,2) < (1,2,3)", "'a' in ['a', u]", "1 < 2 < u")

# Strings: subscripts, slices and methods.
S = {"s": "Hällo Wörld", "e": "", "m": "a\nb\r\nc\u2028d", "x": "  pad\t\n", "j": "😀ab\u0301c"}
each(S, *("{{ " + t + " }}" for t in (
    "s[0]", "s[1]", "s[-1]", "s[99]", "s[-99]", "s[1:4]", "s[:3]", "s[3:]", "s[:-3]", "s[::2]", "s[::-1]", "s[10:2:-2]",
    "s[5:1]", "s[-100:100]", "s[none:2]", "s[::0]", "s['a':]", "s[1.0]", "s[true]", "s['upper']()", "s.0", "s|length",
    "j|length", "j[0]", "j[1:3]", "j[::-1]", "j|list", "s.upper()", "s.lower()", "s.title()", "s.capitalize()",
    "s.swapcase()", "s.split()", "s.split(' ')", "s.split('l')", "s.split('l', 1)", "s.split(maxsplit=1)",
    "s.split(sep='l', maxsplit=2)", "s.split('')", "s.split(none)", "s.rsplit('l', 1)", "s.rsplit()", "s.rsplit(none, 1)",
    "'a,b,,c'.split(',')", "' a  b '.split()", "' a  b '.split(' ')", "e.split()", "e.split(',')", "m.splitlines()",
    "m.splitlines(true)", "'a\\n'.splitlines()", "'\\n\\n'.splitlines()", "x.strip()", "x.lstrip()", "x.rstrip()",
    "s.strip('Hd')", "'xyxaxy'.strip('xy')", "'xyxaxy'.lstrip('xy')", "'xyxaxy'.rstrip('xy')", "'\u00a0a\u3000'.strip()",
    "s.strip(none)", "s.strip('')", "s.strip(1)", "s.startswith('Hä')", "s.startswith(('x', 'H'))", "s.endswith('ld')",
    "s.endswith(('x',))", "s.startswith('l', 2)", "s.endswith('l', 0, 3)", "s.startswith('')", "s.startswith(1)",
    "s.startswith(['H'])", "s.find('l')", "s.find('z')", "s.rfind('l')", "s.find('ö')", "s.find('l', 4)", "s.find('', 99)",
    "s.index('l')", "s.index('z')", "s.rindex('l')", "s.count('l')", "s.count('')", "'aaaa'.count('aa')", "s.count('l', 4)",
    "s.replace('l', 'L')", "s.replace('l', 'L', 1)", "s.replace('', '-')", "'ab'.replace('', '-', 2)", "s.replace('l', '')",
    "s.replace('zz', 'y')", "s.replace('a')", "'-'.join(['a', 'b'])", "'-'.join('abc')", "''.join([])", "'-'.join([1])",
    "', '.join({'a': 1, 'b': 2})", "s.partition(' ')", "s.partition('zz')", "s.rpartition('l')", "s.rpartition('zz')",
    "s.removeprefix('Hä')", "s.removesuffix('ld')", "s.removeprefix('x')", "'7'.zfill(3)", "'-7'.zfill(4)", "'+'.zfill(3)",
    "'a'.center(5)", "'a'.center(4, '*')", "'ab'.center(5, '*')", "'a'.ljust(3) ~ '|'", "'a'.rjust(3, '.')", "'a'.center(3, 'xx')",
    "'a\\tb'.expandtabs(4)", "'abc'.isalpha()", "'ab1'.isalnum()", "'12'.isdigit()", "'²'.isdigit()", "'²'.isdecimal()",
    "'½'.isnumeric()", "''.isalpha()", "' \\t'.isspace()", "'Ab'.islower()", "'ab1'.islower()", "'AB1'.isupper()", "'1'.isupper()",
    "'Ab Cd'.istitle()", "'AB'.istitle()", "'a_1'.isidentifier()", "'1a'.isidentifier()", "'a\\n'.isprintable()", "'é'.isascii()",
    "'ß'.upper()", "'ǆ'.title()", "'ΑΣ'.lower()", "'ΑΣΑ'.lower()", "'İ'.lower()", "'ﬁ'.upper()", "\"they're bill's\".title()",
    "s.nope", "s.nope()", "s.nope is defined", "s.upper is defined", "s.upper is callable", "s.__class__", "s.__class__()",
    "s._x is defined", "'{} {}'.format(1, 'a')", "'{0}{1}{0}'.format('a', 'b')", "'{a}'.format(a=1)", "'{a.b}'.format(a={'b': 2})",
    "'{a[b]}'.format(a={'b': 2})", "'{0[1]}'.format([1, 2])", "'{:>5}|{:<5}|{:^5}'.format('a', 'b', 'c')", "'{:05d}'.format(42)",
    "'{:+d} {: d}'.format(5, 5)", "'{:x} {:X} {:o} {:b}'.format(255, 255, 8, 5)", "'{:#x} {:#b}'.format(255, 5)", "'{:,}'.format(1234567)",
    "'{:_}'.format(1234567)", "'{:.2f}'.format(3.14159)", "'{:e}'.format(12345.678)", "'{:g}'.format(1e10)", "'{:.3}'.format(3.14159)",
    "'{:.2%}'.format(0.256)", "'{:10.3f}|'.format(2.5)", "'{:*^9}'.format('mid')", "'{:.2}'.format('abcdef')", "'{!r} {!s}'.format('a', 'b')",
    "'{{}}'.format()", "'{'.format()", "'}'.format()", "'{} {0}'.format(1)", "'{2}'.format(1)", "'{x}'.format(1)", "'{:{w}}|'.format('a', w=4)",
    "'{:d}'.format('a')", "'{:d}'.format(1.5)", "'{}'.format(none)", "'{:5}'.format(none)", "'{:5}|'.format(true)", "'{}'.format([1, 'a'])",
    "'{:08.2f}'.format(-3.14159)", "'{:<08}'.format(5)", "'{:c}'.format(65)", "'{:n}'.format(5)", "'{:,.2f}'.format(1234567.891)", "'{:012,}'.format(1234)",
    "'{:z}'.format(1)", "'{:.0f}'.format(2.5)", "'{:g}'.format(0.00001)", "'{}'.format(1.0)", "'{:}'.format(1e20)", "'{:.3}'.format(100.0)", "'{:.1}'.format(5.0)",
    "'%s' % 'a'", "'%s %s' % ('a', 1)", "'%d' % 5", "'%5d|%-5d|' % (5, 5)", "'%05.1f' % 3.14159", "'%x %X %o' % (255, 255, 8)", "'%#x' % 255",
    "'%e' % 12345.678", "'%g' % 1e10", "'%r' % 'a'", "'%%' % ()", "'%(a)s' % {'a': 1}", "'%(a)s-%(b)03d' % {'a': 1, 'b': 2}", "'%s' % [1]", "'%s' % {'a': 1}",
    "'%d' % 'a'", "'%s'  % ()", "'%s' % (1, 2)", "'a' % 1", "'a' % {}", "'%d' % 3.99", "'%i' % -3", "'%+d' % 3", "'% d' % 3", "'%c' % 65", "'%c' % 'x'", "'%.2s' % 'abc'",
    "'%*d' % (5, 3)", "'%y' % 1", "'%' % 1", "'%s' % u", "'%.3d' % 5", "'%5s|' % 'é'", "'%a' % 'é'", "'%(a)s' % 1", "'%s' % none", "'%x' % 1.5", "'%f' % 1", "'%5%|' % ()",
    "s.format_map({'a': 1})", "'{a}'.format_map({'a': 1})")))
expressions("'a' 'b'.upper()", "'\\'q\\''", "['\\'', '\"', '\\'\"']", "['a\\nb\\t\\\\', '\\x00\\x7f\\xa0é\\u200b😀']", "'tab\\there'", "['\\ud7ff', '\ue000', '\U000e0001']")

probe("{% set ns = namespace(a=1) %}{% set ns.a = [ns] %}{{ ns }}{{ ns.a }}")
for t in ("{% for x in [1,2,3,4] %}{{ x }}{{ 9 in loop }}{% endfor %}", "{% for a, b in [[1, 2], [3, 4]] if a %}{{ loop.nextitem }}{{ loop.previtem }}{% endfor %}",
          "{% for a, b in [[1, 2], [3, 4]] %}{{ loop.nextitem }}{% endfor %}", "{% for x in [1,2,3] %}{{ loop|list|length }}{% endfor %}", "{% for x in [1] %}{{ loop is iterable }}{{ loop is sequence }}{% endfor %}",
          "{{ range(5).count(2) }}{{ range(1, 9, 2).index(5) }}{{ range(3).start }}{{ range(3).stop }}{{ range(3).step }}", "{{ range(3).index(7) }}", "{{ range(3).count('a') }}{{ range(3).index(2.0) }}", "{% for (a, b), c in [[(1, 2), 3]] if c %}{{ a }}{{ b }}{{ c }}{% endfor %}"):
    probe(t)
expressions("'ab'|safe|list", "'Straße ΑΣς İŉ'.casefold()", "('x ' * 50)|safe|pprint", "[('x ' * 50)|safe]|pprint")

# Lists, tuples, dicts, ranges.
C = {"l": [3, 1, 2], "d": {"b": 1, "a": [1, {"x": None}]}, "n": [[1, 2], [3, 4]], "o": {"items": 5, "keys": "k", "1": "one"}}
each(C, *("{{ " + t + " }}" for t in (
    "l[0]", "l[-1]", "l[5]", "l[5] is defined", "l[1:]", "l[::-1]", "l[:-1]", "l['a']", "l['0']", "l.0", "l.1", "l[true]", "l[0.0]", "l[none]", "n[1][0]", "n.1.0",
    "d.b", "d['b']", "d.zz", "d['zz'] is defined", "d.a[1].x", "d.a.1.x is none", "d.zz.y", "d[none]", "d[[1]]", "o['items']", "o.items()|list", "o.keys()|list",
    "o['keys']", "o.1", "o['1']", "o[1]", "d.get('b')", "d.get('q')", "d.get('q', 7)", "d.get()", "d.keys()", "d.values()", "d.items()", "d.keys()|list", "d|list", "d|length",
    "d.items()|length", "d.keys()[0]", "'b' in d.keys()", "('b', 1) in d.items()", "d.copy()", "l.copy()", "l.count(1)", "l.index(2)", "l.index(9)", "(1, 2, 1).count(1)", "(1, 2).index(2)",
    "l", "d", "n", "o", "(l, d)", "range(3)", "range(1, 4)", "range(0, 10, 3)", "range(5, 0, -2)", "range(3)|list", "range(5, 0, -2)|list", "range(10)[2]", "range(10)[-1]", "range(10)[2:5]",
    "range(10)[::-3]|list", "range(3)|length", "range(0)", "range()", "range('a')", "range(1.5)", "range(200000)", "range(1, 2, 0)", "range(3) == range(0, 3)", "range(3) is sequence", "[1, 2, 3][1:2]",
    "(1, 2, 3)[::2]", "[1, 2][5:]", "d[1:2]", "5[0]", "none[0]", "none.a", "none['a'] is defined", "(5).a is defined", "true.x", "u[0]", "u.a", "u['a']", "dict(a=1, b=2)", "dict([('a', 1)])", "dict({'a': 1}, b=2)",
    "dict([1])", "dict(d)", "dict()", "l is sequence", "d is mapping", "[l, l] == [l, l]", "{1: 'a', 1.0: 'b', true: 'c'}", "{(1, 2): 3}[(1, 2)]", "{(1, 2): 3}[1, 2]", "{[1]: 2}", "{'a': 1, 'a': 2}", "{none: 1}[none]", "d()", "l()", "1()", "'a'()",
    "none()", "u()", "d.b()", "[1, 2, 3, 4][-3:-1]", "[[], {}, (), '']", "[u]", "[1.0, 1e100, -0.0]", "{'é': 'ü'}", "[true and 1]", "l[0:2:1]", "l[u]", "l[0:u]", "(1.5).is_integer()", "d.items()|first", "d.values()|list|last", "l[l[1]]")))
probe("{% set l = [1] %}{{ l[99]|default('none there') }}")
probe("{% for x in 'héy' %}{{ loop.index }}{{ x }}{% endfor %}")
probe("{% for k in {'a': 1, 'b': 2} %}{{ k }}{% endfor %}")
probe("{% for x in 5 %}{% endfor %}")
probe("{% for x in none %}{% endfor %}")
probe("{% for x in u %}x{% else %}empty{% endfor %}")

# Undefined.
expressions("u", "u|upper", "u|length", "u|list", "u ~ 'x'", "u|string", "[u]|join", "u is undefined", "u.x is defined", "(u|default({})).a", "u|first", "u is iterable", "u is sequence", "u is mapping",
            "u is string", "u is number", "u is callable", "u|int", "u|float", "u|abs", "u|e", "u|trim", "u|replace('a', 'b')", "u|tojson", "[u]|tojson", "u|items|list", "u|sort", "u|sum", "u|map('upper')|list",
            "u|dictsort", "u|round", "u|join(',')", "u|reverse|list", "u|unique|list", "u|last", "u|min", "u|wordcount", "u|title", "u|indent", "u|pprint", "u|format", "-u", "not u", "u()", "u|attr('x')", "u|batch(2)|list", "u|default", "u|d(1)")

# Filters.
F = {"l": [3, 1, 2], "w": ["b", "A", "a", "B"], "us": [{"n": "Bob", "a": 3, "x": {"y": 1}}, {"n": "al", "a": 1, "x": {"y": 2}}, {"n": "Cy", "a": 3, "x": {}}],
     "s": "the quick brown fox", "d": {"b": 2, "A": 1, "c": 0}, "h": "<a href=\"x\">'&'</a>", "t": "  x y  ", "ml": "a\nb\n\nc"}
each(F, *("{{ " + t + " }}" for t in (
    "-5|abs", "(-5)|abs", "(-2.5)|abs", "true|abs", "'a'|abs", "us[0]|attr('n')", "us|first|attr('n') is defined", "[1,2,3,4,5]|batch(2)|list", "[1,2,3]|batch(2, 'x')|list", "[]|batch(2)|list",
    "'abC DEF'|capitalize", "''|capitalize", "5|capitalize", "'ab'|center(6) ~ '|'", "l|count", "l|length", "5|length", "d|length", "x|default(1)", "none|default(1)", "none|default(1, true)", "0|d(9, boolean=true)",
    "d|dictsort", "d|dictsort(true)", "d|dictsort(by='value')", "d|dictsort(reverse=true)", "d|dictsort(by='x')", "l|dictsort", "h|e", "h|escape", "h|escape|escape", "h|forceescape", "5|e", "1024|filesizeformat", "1|filesizeformat", "123456789|filesizeformat",
    "1234567|filesizeformat(true)", "'500'|filesizeformat", "l|first", "[]|first", "''|first", "s|first", "d|first", "5|first", "'1.5'|float", "'x'|float", "'x'|float(2)", "5|float", "none|float", "'1e3'|float", "' 2.5 '|float", "'inf'|float", "'1_000.5'|float", "l|float", "true|float",
    "'%s-%s'|format(1, 2)", "'%(a)s'|format(a=1)", "'x'|format", "'%s'|format(1, a=2)", "us|groupby('a')", "us|groupby('a')|map(attribute='grouper')|list", "us|groupby('a')|map('last')|map('length')|list", "us|groupby('n')|map('first')|list",
    "us|groupby('x.y', default=0)|map(attribute=0)|list", "us|groupby('z')", "w|groupby(0)", "(us|groupby('a'))[0].list|length", "ml|indent", "ml|indent(2, true)", "ml|indent(2, blank=true)", "ml|indent('> ')", "ml|indent(width=1, first=true, blank=true)", "''|indent", "5|indent", "'a\\n'|indent",
    "'42'|int", "'42.9'|int", "'x'|int", "'x'|int(7)", "'0x1f'|int(base=16)", "'ff'|int(0, 16)", "'0b11'|int(base=2)", "'1_0'|int", "' 5 '|int", "4.9|int", "-4.9|int", "none|int", "true|int", "'1e3'|int", "'-0'|int", "l|int", "'z'|int(base=36)", "'9'|int(base=8)", "1e20|int", "'inf'|int", "'nan'|int",
    "d|items|list", "l|items|list", "d|items|first", "l|join", "l|join(', ')", "us|join(', ', attribute='n')", "[1, none, 'a', 2.5]|join('-')", "s|join('.')", "d|join(',')", "5|join", "l|join(1)", "l|last", "[]|last", "s|last", "d|last", "5|last", "'abc'|list", "d|list", "5|list", "s|upper|lower", "'ÄÖ'|lower", "5|upper",
    "us|map(attribute='n')|list", "us|map(attribute='q')|list", "us|map(attribute='q', default='-')|list", "us|map(attribute='x.y')|list", "w|map('upper')|list", "w|map('replace', 'a', 'z')|list", "us|map('first')|list", "[[1,2],[3]]|map('length')|list", "w|map('nope')|list", "w|map|list", "us|map(attribute='n', x=1)|list", "[[1,2],[3,4]]|map(attribute=1)|list",
    "w|map('upper')|map('lower')|join", "l|max", "l|min", "w|max", "w|min", "w|max(case_sensitive=true)", "us|max(attribute='a')", "us|min(attribute='n')", "[]|max", "[1,'a']|max", "[]|max is defined", "[1]|pprint", "d|pprint", "s|pprint", "{'long key number %d' % 1: [1,2,3] * 12, 'b': 'text ' * 30}|pprint", "[('a' * 30, 'b' * 30, 'c' * 30), {'k': ['v' * 50, 'w' * 40]}]|pprint", "'word ' * 40|string", "('word ' * 40)|pprint", "[1.5, none, true]|pprint",
    "w|reject('equalto', 'a')|list", "[0,1,'',none,2]|reject|list", "[0,1,'',none,2]|select|list", "l|select('odd')|list", "l|reject('odd')|list", "l|select('gt', 1)|list", "l|select('in', [1, 2])|list", "us|selectattr('a', 'eq', 3)|map(attribute='n')|list", "us|selectattr('a', '==', 1)|list|length", "us|rejectattr('a', 'equalto', 3)|list|length", "us|selectattr('x.y')|list|length", "us|selectattr('q', 'defined')|list", "us|rejectattr('q')|list|length", "us|selectattr('q', 'undefined')|list|length", "l|select('nope')|list", "l|selectattr|list", "us|selectattr('a', 'in', [1])|first|attr('n') is defined",
    "s|replace('o', '0')", "s|replace('o', '0', 1)", "s|replace('', '.')", "5|replace(5, 6)", "s|replace('o')", "l|reverse|list", "s|reverse", "d|reverse|list", "(l|map('string'))|reverse", "5|reverse", "l|reverse is sequence", "(l|map('string')|reverse)[0]", "2.5|round", "3.5|round", "42.55|round(1)", "42.55|round(1, 'floor')", "42.55|round(1, 'ceil')", "2.675|round(2)", "5|round", "1234|round(-2)", "1250|round(-2)", "1350|round(-2)", "-2.5|round", "(-2.5)|round", "1.5|round(method='x')", "42|round(1, 'floor')", "'a'|round", "1e300|round(2)", "0.5|round|int", "12345.678|round(-2)", "true|round",
    "h|safe", "5|safe", "h|safe|e", "('<' | safe) + '<'", "'<' + ('<'|safe)", "('<'|e) ~ '<'", "('<b>'|safe).upper()", "('a'|safe) * 2", "('%s'|safe) % '<'", "('<{}>'|safe).format('<')", "(','|safe).join(['<', '>'|safe])", "('a<b'|safe).split('<')", "('x'|safe).replace('x', '<')", "['<'|safe]", "'<'|safe is string", "'<'|safe is escaped", "'<' is escaped", "'<'|safe|tojson", "('<a>'|safe)[0] + '<'", "'a'|safe == 'a'", "{'k': '<'|safe}", "('<'|safe)|string + '<'", "('<'|safe)|replace('<', '>') + '<'", "('<x'|safe)|upper + '<'", "('<x'|safe)|trim + '<'", "'<'|safe ~ '<'",
    "range(10)|slice(3)|list", "[1,2,3,4,5]|slice(2, 'x')|list", "[]|slice(2)|list", "l|slice(0)|list", "l|sort", "w|sort", "w|sort(case_sensitive=true)", "w|sort(reverse=true)", "us|sort(attribute='n')|map(attribute='n')|list", "us|sort(attribute='a,n')|map(attribute='n')|list", "us|sort(attribute='a', reverse=true)|map(attribute='n')|list", "[1,'a']|sort", "s|sort", "d|sort", "[[2,1],[1,2]]|sort", "[none,none]|sort", "[none]|sort", "l|sort(true)", "[true, false, 2]|sort", "us|sort", "5|sort", "l|string", "1.0|string", "'a'|string", "none|string", "l|sum", "us|sum(attribute='a')", "[]|sum", "[1.5,2]|sum", "['a']|sum", "['a','b']|sum(start='')", "[[1],[2]]|sum(start=[])", "l|sum(start=10)", "us|sum('a', 5)",
    "s|title", "\"it's a-b (c) [d] {e} <f>\"|title", "'ABC dEF'|title", "'1st 2ND'|title", "v|tojson", "t|trim", "'xxaxx'|trim('x')", "5|trim", "s|truncate(10)", "s|truncate(10, true)", "s|truncate(10, false, '..', 0)", "s|truncate(15)", "s|truncate(2)", "s|truncate(3, leeway=0)", "s|truncate(9, end='')", "s|truncate(5, true, leeway=-1)", "w|unique|list", "w|unique(true)|list", "us|unique(attribute='a')|map(attribute='n')|list", "[1, 1.0, true, '1']|unique|list", "[[1],[1]]|unique|list", "[1, 2, 1]|unique|join", "s|upper", "'ß'|upper", "'a b&c/d?é'|urlencode", "{'a b': 'c&d', 'x': 1}|urlencode", "[('a', 'b c')]|urlencode", "5|urlencode", "none|urlencode", "s|wordcount", "'a-b c_d é1'|wordcount", "''|wordcount",
    "{'class': 'x', 'n': none, 'i': '<'}|xmlattr", "{'a b': 1}|xmlattr", "{'a': 1}|xmlattr(false)", "l|nope", "l is nope", "'nope' if false else l|length", "(l|nope) if false else 1", "(1 is nope) if false else 2", "s|upper|nope", "l|length|string|length", "l|first|string ~ 'x'", "s|length > 5", "-1|abs", "2 + 3|string|length", "l|map('string') is iterable", "l|map('string') is sequence", "(l|map('string'))[0]", "(l|map('string'))|length", "l|map('string')|tojson", "l|select|list is sequence", "[l|map('string')|list, 1]", "l|list == l", "(l|map('string')) and 1", "1 in l|map('int')")))
probe("{% set g = l|map('string') %}{{ g|list }}{{ g|list }}", l=[1, 2])
probe("{% set g = l|map('string') %}{% for x in g %}{{ x }}{{ loop.length }}{{ loop.last }}{% endfor %}", l=[1, 2, 3])
probe("{% for x in l|select('odd') %}{{ x }}{{ ',' if not loop.last }}{% endfor %}", l=[1, 2, 3, 5])
probe("{% for b in [1,2,3]|batch(2) %}{{ b }}{{ loop.revindex }}{% endfor %}")
probe("{% for g in us|groupby('a') %}{{ g.grouper }}:{{ g.list|map(attribute='n')|join('+') }};{% endfor %}", us=F["us"])
probe("{% for k, v in us|groupby('a') %}{{ k }}{{ v|length }}{% endfor %}", us=F["us"])
probe("{% set x = [1]|map('nope') %}ok")
probe("{% if false %}{{ 1|nope }}{% endif %}ok")
probe("{% if true %}{{ 1|nope }}{% endif %}ok")
probe("{% for i in [] %}{{ 1|nope }}{% endfor %}ok")
probe("{% if false %}{% for i in [] %}{{ 1|nope }}{% endfor %}{% endif %}ok")

# tojson.
J = {"v": {"b": "é<>&'\"\\/\n\t\b\f\r\x00\x1f\x7f\u2028😀", "a": [1, 2.0, None, True, False, 1e20, 1e-7, -0.0, 123456789012345678, 1e16],
           "e": [[], {}, ""], "n": {"x": {"y": [1, [2, {"z": 3}]]}}}}
each(J, *("{{ v|tojson" + t + " }}" for t in (
    "", "(ensure_ascii=true)", "(ensure_ascii=False)", "(indent=2)", "(indent=0)", "(indent='\t')", "(indent=none)", "(sort_keys=true)", "(separators=(',', ':'))", "(separators=(',', ':'), indent=1)", "(indent=4, sort_keys=true, ensure_ascii=true)", "(false, 2)", "(true, none, (';', '='), true)", "(indent=true)", "(indent=-1)", "(indent=1.5)", "(separators=',')", "(x=1)", "(separators=['a', 'b'])")))
expressions("(1, 2)|tojson", "{1: 2, none: 3, true: 4, 1.5: 5}|tojson", "{(1, 2): 3}|tojson", "{'a': 1, 2: 3}|tojson(sort_keys=true)", "range(3)|tojson", "{}.items()|tojson", "namespace()|tojson", "'a'|tojson|tojson", "[1, u]|tojson", "[[[1]]]|tojson(indent=1)", "{'b': 1, 'a': {'d': 1, 'c': 2}}|tojson(sort_keys=true)", "'\\x7f'|tojson(ensure_ascii=true)", "('<'|e)|tojson", "18446744073709551615|tojson", "none|tojson", "1.0|tojson", "''|tojson", "(1.0e308*10)|tojson", "[]|tojson(indent=2)", "[[], {}]|tojson(indent=2)", "dict(a=1)|tojson", "{'a': (1,)}|tojson")

# Tests.
expressions(*(f"{value} is {test}" for value in ("1", "0", "1.5", "true", "none", "'Ab'", "'ab'", "[1]", "{}", "(1,)", "u", "range(2)", "'a'.upper")
              for test in ("defined", "none", "boolean", "true", "false", "integer", "float", "number", "string", "mapping", "iterable", "sequence", "callable")))
expressions("1 is odd", "2 is even", "1.0 is odd", "'a' is odd", "9 is divisibleby 3", "9 is divisibleby(2)", "'a' is lower", "'A' is upper", "'1' is lower", "5 is upper", "1 is eq 1", "1 is ne 2", "1 is lt 2", "1 is gt 2", "1 is le 1", "1 is ge 2", "1 is equalto 1.0", "1 is lessthan 2", "3 is greaterthan 2", "1 is in [1]", "1 is not in [1]", "'a' is in 'abc'", "none is sameas none", "true is sameas true", "1 is sameas true", "[] is sameas []", "'upper' is filter", "'nope' is filter", "'odd' is test", "'nope' is test", "1 is not odd", "1 is odd and 2 is even", "not 1 is odd", "1 is odd is true", "1 is eq(1, 2)", "1 is eq", "u is not defined", "1 is defined(2)", "5 is divisibleby 0", "1 is number and 1.5 is float", "1 is string or 'a' is string", "'a' is string == true", "(1 is odd) == true", "1 is == 1", "[1] is in [[1]]", "x.y is defined", "1 is not string is string", "loop is defined", "range is callable", "dict is callable", "namespace() is mapping", "namespace() is iterable", "1 is filter", "'safe'|safe is escaped", "1 is undefined", "2 is not even")

# Statements: if, for, set, with.
each({"l": [1, 2, 3], "d": {"a": 1}}, *(
    "{% if 0 %}a{% elif 1 %}b{% else %}c{% endif %}", "{% if 0 %}a{% elif 0 %}b{% elif u %}x{% else %}c{% endif %}", "{% if l %}{% if d.a %}in{% endif %}{% endif %}",
    "{% for x in l %}{{ x }}{% if not loop.last %},{% endif %}{% endfor %}", "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }};{% endfor %}",
    "{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfor %}", "{% for x in l %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{% endfor %}", "{% for x in l %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for x in [1,1,2,2,1] %}{{ loop.changed(x) }}{% endfor %}", "{% for x in l %}{{ loop.cycle() }}{% endfor %}", "{% for x in l %}{{ loop }}{% endfor %}", "{% for x in l %}{{ loop.nope }}{% endfor %}", "{% for x in l %}{{ loop.nope.x }}{% endfor %}",
    "{% for x in l if x > 1 %}{{ x }}{{ loop.index }}{{ loop.length }}{% endfor %}", "{% for x in l if x > 5 %}{{ x }}{% else %}none{% endfor %}", "{% for x in l if loop.index > 1 %}{{ x }}{% endfor %}", "{% for x in [] %}{{ x }}{% else %}empty{% endfor %}", "{% for x in l %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}", "{% for x in l %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "{% for x in l %}{% break %}{% else %}E{% endfor %}", "{% for x in l %}{% continue %}{% else %}E{% endfor %}", "{% for x in l %}{% if x == 2 %}{% break %}{% endif %}{% else %}E{% endfor %}", "{% break %}", "{% for x in l %}{% else %}{% break %}{% endfor %}", "{% for y in l %}{% for x in [] %}{% else %}{% break %}{% endfor %}{{ y }}{% endfor %}", "{% for x in l %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}",
    "{% for a, b in [(1, 2), [3, 4]] %}{{ a }}{{ b }};{% endfor %}", "{% for a, b in [(1, 2, 3)] %}{% endfor %}", "{% for a, b in ['xy'] %}{{ a }}-{{ b }}{% endfor %}", "{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for a, in [(1,)] %}{{ a }}{% endfor %}", "{% for a, b in [1] %}{% endfor %}", "{% for k, v in d.items() %}{{ k }}={{ v }}{% endfor %}", "{% for k, v in d|dictsort %}{{ k }}={{ v }}{% endfor %}", "{% for i in range(3) %}{{ i }}{% endfor %}", "{% for x in l %}{% for y in l %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}", "{% for x in l %}{% set o = loop %}{% for y in l %}{{ o.index }}{{ loop.index }} {% endfor %}{% endfor %}",
    "{% for x in [[1, [2]], [3]] recursive %}{{ loop.depth }}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}{% endif %}{% endfor %}", "{% for x in [1] recursive %}{{ loop([]) }}{% else %}none{% endfor %}", "{% for n in t recursive %}{{ n.v }}{% if n.c %}<{{ loop(n.c) }}>{% endif %}{% endfor %}", "{% for x in l %}{{ loop(l) }}{% endfor %}", "{% for x in l %}{{ x }}{% endfor %}{{ x }}", "{% set x = 9 %}{% for x in l %}{{ x }}{% endfor %}{{ x }}", "{% for loop in l %}{{ loop }}{% endfor %}", "{% for x in l %}{% set loop = 1 %}{% endfor %}", "{% for x in l %}{{ x }}{% set y = x %}{% endfor %}{{ y is defined }}",
    "{% for x in l %}{% if loop.first %}{% set y = x %}{% endif %}{{ y }}{% endfor %}", "{% set y = 0 %}{% for x in l %}{{ y }}{% set y = x %}{{ y }};{% endfor %}{{ y }}", "{% set y = 0 %}{% if true %}{% set y = 1 %}{% endif %}{{ y }}", "{% if false %}{% set y = 1 %}{% endif %}{{ y is defined }}", "{% if true %}{% set y = 1 %}{% endif %}{{ y }}", "{% for x in l %}{% if x == 2 %}{% set z = x %}{% else %}{% set z = 0 %}{% endif %}{{ z }}{% endfor %}{{ z is defined }}", "{% set a = 1 %}{% set a = a + 1 %}{{ a }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a, b = l %}", "{% set (a, b) = (1, 2) %}{{ b }}", "{% set a = b = 1 %}", "{% set a = 1, 2 %}{{ a }}", "{% set [a] = 1 %}", "{% set 1 = 2 %}", "{% set none = 2 %}", "{% set a.b = 2 %}", "{% set d.b = 2 %}", "{% set d['b'] = 2 %}",
    "{% set a %}x{{ l }}y{% endset %}{{ a }}|{{ a|length }}", "{% set a | upper %}x{{ 'y' }}{% endset %}{{ a }}", "{% set a | replace('x', 'z') | upper %}x{% endset %}{{ a }}", "{% set a %}{% set b = 1 %}{{ b }}{% endset %}{{ a }}{{ b is defined }}", "{% set a %}{% endset %}[{{ a }}]{{ a is string }}", "{% for x in l %}{% set a %}{{ x }}{% endset %}{{ a }}{% endfor %}", "{% set q = 'k' %}{% set a | default(q) %}{% endset %}{{ a }}", "{% set a | default(zz) %}{% endset %}{{ a }}",
    "{% set ns = namespace() %}{% set ns.x = 1 %}{{ ns.x }}{{ ns.y is defined }}{{ ns }}", "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns['b'] }}{{ ns.c }}", "{% set ns = namespace(n=0) %}{% for x in l %}{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n }}", "{% set ns = namespace(a=1) %}{% set ns.a, b = 5, 6 %}{{ ns.a }}{{ b }}", "{% set ns.x = 1 %}", "{% set ns = namespace() %}{% set ns.l = [] %}{{ ns.l }}{% set ns.s %}block{% endset %}{{ ns.s }}", "{% set ns = namespace(f=false) %}{% for x in l if not ns.f %}{{ x }}{% set ns.f = true %}{% endfor %}", "{% set ns = namespace(a=1) %}{{ ns.nope }}|{{ ns['a'] }}", "{% set ns = namespace(items=1) %}{{ ns.items }}", "{{ namespace(1) }}", "{{ namespace([('a', 1)]).a }}",
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}", "{% set a = 5 %}{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with %}{% set z = 1 %}{{ z }}{% endwith %}{{ z is defined }}", "{% with a, b = (1, 2) %}{% endwith %}", "{% with (a, b) = (1, 2) %}{{ a }}{{ b }}{% endwith %}", "{% filter upper %}a{{ 'b' }}{% endfilter %}", "{% filter replace('a', 'x')|upper %}abc{% endfilter %}", "{% filter nope %}{% endfilter %}", "{% for x in l %}{% filter trim %}{% if x == 2 %}{% break %}{% endif %} {{ x }} {% endfilter %}{% endfor %}", "{% set v = 1 %}{% filter upper %}{% set v = 2 %}{{ v }}{% endfilter %}{{ v }}", "{% print 1, 'a' %}", "{% print %}", "{% autoescape false %}{{ '<' }}{% set q = 1 %}{% endautoescape %}{{ q is defined }}", "{% raw %}{{ x }} {% y %}{# z #}{% endraw %}", "{% raw -%}  a  {%- endraw %}", "  {% raw %}  a\n  {% endraw %}\nb", "a {%- raw %} b {% endraw -%} c", "{% raw %}", "{% do l.append(1) %}", "{% include 'x' %}", "{% import 'x' as y %}", "{% from 'x' import y %}", "{% extends 'x' %}", "{% unknown %}", "{% endif %}", "{% if 1 %}", "{% for x in l %}", "{% if %}{% endif %}", "{% for in l %}{% endfor %}", "{% for x l %}{% endfor %}", "{% set %}", "{{ }}", "{%  %}", "{{ 1 2 }}", "{{ 'a' if }}", "{{ a. }}", "{{ a[ }}", "{{ a[] }}", "{{ f(1, }}", "{{ f(a=1, 2) }}", "{{ f(a=1, a=2) }}", "{{ f(**d, *l) }}", "{{ | upper }}", "{{ 1 | }}", "{{ 1 is }}", "{{ 1 in }}", "{{ not }}", "{{ 1 + }}", "{{ ( }}", "{{ ) }}", "{{ ] }}", "{{ {1} }}", "{{ a b }}", "{{ $ }}", "{{ a ? b }}", "{{ a && b }}", "{{ !a }}", "{{ a; b }}", "{# open", "{#", "{{ open", "{% open", "{{ '{{' }}", "{{ '}}' }}", "{{ \"%}\" }}", "{{ {'a': {'b': 1}}['a']['b'] }}", "{{ {'a':1}}}", "}} %} #}", "{ { } }", "{{'a'}}{{'b'}}",
    "{% if 1 %}a{% endif %}\n\nb", "{% block a %}x{{ l }}{% endblock %}y", "{% set z = 1 %}{% block a %}{{ z }}{% endblock %}", "{% for x in l %}{% block a %}{{ x }}{% endblock %}{% endfor %}", "{% for x in l %}{% block a scoped %}{{ x }}{{ loop.index }}{% endblock a %}{% endfor %}", "{% block a %}{% endblock %}{% block a %}{% endblock %}", "{% block a required %}{% endblock %}", "{% block a %}{% block b %}in{% endblock %}{% endblock %}", "{% block a %}{% set q = 1 %}{{ q }}{% endblock %}{{ q is defined }}", "{% macro m() %}M{% endmacro %}{% block a %}{{ m() }}{% endblock %}", "{% generation %}g{{ l }}{% endgeneration %}h", "{% for x in l %}{% generation %}{{ x }}{% set y = x %}{% endgeneration %}{{ y is defined }}{% endfor %}", "{% for x in l %}{% generation %}{% break %}{% endgeneration %}{% endfor %}", "{% generation -%} a {%- endgeneration %}"))
probe("{% for n in t recursive %}{{ n.v }}{{ loop.depth }}{% if n.c %}<{{ loop(n.c) }}>{% endif %}{% endfor %}", t=[{"v": 1, "c": [{"v": 2, "c": [{"v": 3}]}, {"v": 4}]}, {"v": 5}])
probe("{%- for n in t recursive -%}\n  {{ n.v }}{{ ',' if not loop.last }}\n  {%- if n.c %}[{{ loop(n.c) -}} ]{% endif -%}\n{%- endfor -%}", t=[{"v": 1, "c": [{"v": 2}]}, {"v": 5}])

# Macros and calls.
for t in (
    "{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=4, a=5) }}", "{% macro m(a) %}[{{ a }}]{% endmacro %}{{ m() }}", "{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}{{ m(none) }}", "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{% endmacro %}{{ m(b=1) }}", "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}", "{% macro m(a) %}{{ a }}{{ varargs }}{% endmacro %}{{ m(1, 2, 3) }}", "{% macro m(**k) %}{% endmacro %}", "{% macro m(a, a) %}{% endmacro %}", "{% macro m(a=1, b) %}{% endmacro %}", "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(7) }}", "{% macro m(a=b, b=1) %}{{ a }}{% endmacro %}{{ m() }}", "{% macro m(a=[]) %}{{ a }}{% endmacro %}{{ m() }}", "{% macro m() %}{{ x }}{% endmacro %}{% set x = 1 %}{{ m() }}{% set x = 2 %}{{ m() }}", "{% set x = 1 %}{% macro m() %}{{ x }}{% set x = 5 %}{{ x }}{% endmacro %}{{ m() }}{{ x }}{{ m() }}", "{% for x in [1,2] %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}", "{% macro m() %}{{ x is defined }}{% endmacro %}{% for x in [1] %}{{ m() }}{% endfor %}", "{% macro m() %}{{ loop is defined }}{% endmacro %}{% for x in [1] %}{{ m() }}{{ loop.index }}{% endfor %}", "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "{% macro a() %}A{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}", "{{ m() }}{% macro m() %}x{% endmacro %}", "{% macro m() %}x{% endmacro %}{{ m }}{{ m.name }}{{ m.arguments }}{{ m.catch_kwargs }}{{ m.caller }}", "{% macro m(x) %}{{ caller(x) }}{% endmacro %}{% call(y) m(5) %}<{{ y }}>{% endcall %}", "{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}in{% endcall %}", "{% macro m() %}x{% endmacro %}{% call m() %}in{% endcall %}", "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}", "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}", "{% macro m(caller) %}{{ caller() }}{% endmacro %}", "{% macro m(caller=none) %}{% if caller %}{{ caller() }}{% else %}no{% endif %}{% endmacro %}{{ m() }}{% call m() %}yes{% endcall %}", "{% macro m() %}{% for i in [1,2] %}{{ caller(i) }}{% endfor %}{% endmacro %}{% call(i, j=9) m() %}{{ i }}{{ j }};{% endcall %}", "{% call 5 %}{% endcall %}", "{% set q = 1 %}{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{% set q = 2 %}{{ q }}{% endcall %}{{ q }}", "{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(*[1, 2]) }}{{ m(**{'a': 3, 'b': 4}) }}{{ m(1, *[2]) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, **{'a': 2}) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(a=1, **{'a': 2}) }}", "{% macro m() %}{{ kwargs }}{% endmacro %}{{ m(**{1: 2}) }}", "{% macro m() %}\n  x\n{% endmacro %}[{{ m() }}]", "{% macro m() -%}\n  x\n{%- endmacro %}[{{ m() }}]", "{% macro m(a) %}{{ a }}{% endmacro %}{{ [1,2]|map('string')|map('upper')|join }}{{ m('x')|upper }}", "{% macro m() %}{% set x = 1 %}{% endmacro %}{{ m() }}{{ x is defined }}", "{% if true %}{% macro m() %}M{% endmacro %}{% endif %}{{ m() }}", "{% if false %}{% macro m() %}M{% endmacro %}{% endif %}{{ m is defined }}", "{% macro m(kwargs) %}{{ kwargs }}{% endmacro %}{{ m(1) }}", "{% macro m(x) %}{% macro n(y) %}{{ x }}{{ y }}{% endmacro %}{{ n(2) }}{% endmacro %}{{ m(1) }}", "{% macro m(u) %}{{ u }}{% endmacro %}{{ m(1) }}{{ u is defined }}", "{% macro m() %}a{% endmacro %}{{ m() + 'b' }}{{ m()|length }}{{ m() == 'a' }}", "{% macro none() %}{% endmacro %}", "{% macro m(true) %}{% endmacro %}", "{% macro m %}{% endmacro %}", "{% macro %}{% endmacro %}", "{% macro m(1) %}{% endmacro %}", "{% macro m() %}{{ m }}{% endmacro %}{{ m() }}", "{% macro m(x) %}{% if x %}{% set x = x - 1 %}{{ x }}{{ m(x) }}{% endif %}{% endmacro %}{{ m(2) }}", "{% set f = range %}{{ f(2)|list }}", "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.next() }}{{ c.reset() }}{{ c.current }}{{ c.pos }}", "{{ cycler() }}", "{% set j = joiner('|') %}{% for i in [1,2,3] %}{{ j() }}{{ i }}{% endfor %}", "{% set j = joiner() %}{{ j() }}{{ j() }}{{ j.sep }}{{ j.used }}", "{{ raise_exception('boom: ' ~ 5) }}", "{% if u %}{{ raise_exception('x') }}{% endif %}fine", "{{ raise_exception() }}", "{{ strftime_now('%Y-%m-%d') }}", "{{ strftime_now('%d %b %Y, %H:%M:%S %A %B %j %p %I %y %%') }}", "{{ strftime_now('') }}", "{{ strftime_now() }}", "{{ strftime_now(5) }}", "{{ strftime_now('é %Y') }}", "{% set date = strftime_now('%d %b %Y') if strftime_now is defined else '26 Jul 2024' %}{{ date }}", "{{ dict is defined }}{{ range is defined }}{{ lipsum is defined }}"):
    probe(t)

# Filter and call blocks are not converted to text.
for t in ("{% filter length %}ab{% endfilter %}", "{% filter default(1) %}{% endfilter %}", "{% call range(2) %}{% endcall %}", "{% call none.x() %}{% endcall %}",
          "{% set x | length %}ab{% endset %}{{ x + 1 }}", "{% filter string %}{{ 5 }}{% endfilter %}", "{% call 'a'.join(['b', 'c']) %}{% endcall %}",
          "{{ [1, 2]|truncate(5) }}", "{{ [1] * 300|length }}", "{% filter first %}ab{% endfilter %}", "{% filter list %}ab{% endfilter %}"):
    probe(t)

# White space control.
for t in (
    "a\n{% if 1 %}\nb\n{% endif %}\nc", "a\n  {% if 1 %}  \nb\n  {% endif %}  \nc", "a\n  {%+ if 1 %}\nb\n  {%+ endif %}\nc", "a\n{% if 1 +%}\nb\n{% endif +%}\nc", "a \n {%- if 1 -%} \n b \n {%- endif -%} \n c", "a\n  {{ 1 }}\n  b", "a\n  {{- 1 -}}\n  b", "  {# c #}\nb", "a  {# c #}  b", "a  {#- c -#}  b", "a\n  {#+ c +#}\n b", "  {# c #}  {# d #}\nb", "x  {% if 1 %}y{% endif %}", "{% if 1 %}\n\n\nb{% endif %}", "\n\n{% if 1 %}x{% endif %}\n\n", "a\n", "a\n\n", "\n", "", " ", "\t{% if 1 %}\tx\t{% endif %}\t", "a\r\nb\rc\n", "{% if 1 %}\r\nx{% endif %}", "{{ 'a\nb' }}", "{{ 'a\r\nb' }}", "{% if 1 -%}\n\n  x\n\n{%- endif %}", "{%- if 1 %}x{% endif -%}", "  {%- if 1 %} x{% endif %}", "{{ 1 -}}\n\n{{- 2 }}", "{{+ 1 }}", "{{ 1 +}}", "{%+ if 1 %}x{%+ endif %}", "  {%+ if 1 +%}\nx\n  {%+ endif +%}\n", "<div>\n    {% for i in [1,2] %}\n    <p>{{ i }}</p>\n    {% endfor %}\n</div>\n", "<div>\n    {%- for i in [1,2] %}\n    <p>{{ i }}</p>\n    {%- endfor %}\n</div>\n", "a{# multi\nline #}b\nc", "a{# x -#}\n\n b", "{# a #}{# b #}\n{% if 1 %}\n{# c #}\nx\n{% endif %}", "{%- set x = 1 -%}\n{{ x }}", "{% set x = 1 %}\n{% set y = 2 %}\n{{ x }}{{ y }}\n", "a \u00a0{%- if 1 %}x{% endif %}", "\u00a0{% if 1 %}x{% endif %}", "a\x0b{% if 1 %}x{% endif %}", "{{ '-' }}{{ -1 }}{{- -1 }}", "{{-1}}", "{%-if 1-%}x{%-endif-%}", "{%if 1%}x{%endif%}", "{{'a'}}", "{{ 'a'-}} b", "  {% if 1 %}{{ 'x' }}  {% endif %}  {% if 1 %}y{% endif %}", "{% for i in [1,2] -%}\n  {{ i }}\n{% endfor %}", "line1\n{# c1 #}\n{# c2 #}\nline2", "{% raw %}\n{{ x }}\n{% endraw %}\nz", "  {%- raw -%}  x  {%- endraw -%}  y", "{{ \n 1 \n + \n 2 \n }}", "{% if\n1\n%}x{% endif %}", "{{ [1,\n2] }}", "{{ 1 }}\n{{ 2 }}\n", "a {{- ' b ' -}} c", "{%- macro m() -%}\n  z  \n{%- endmacro -%}\n\n[{{ m() }}]", "a\n   \n  {% if 1 %}\n   \n  b{% endif %}", "{% if 1 %}a{% endif %}   \n{% if 1 %}b{% endif %}"):
    probe(t)

# Conversions of input that only JSON can bring.
probe("{{ v }}|{{ v|tojson }}|{{ v.f }}|{{ v.i + 1 }}", v={"f": 1.0, "i": 9223372036854775807, "u": 18446744073709551615, "s": "a\u0000b", "n": None, "t": True, "e": {}, "l": [[[]]]})
probe("{{ messages[0].content[0].text }}{{ messages|length }}", messages=[{"role": "user", "content": [{"type": "text", "text": "hé"}]}])
probe("{% for m in messages %}{{ m['role'] }}: {{ m.content|trim }}\n{% endfor %}", messages=[{"role": "user", "content": " a "}, {"role": "assistant", "content": "b\n"}])
probe("{{ range }}", range=5)
probe("{{ dict }}{{ loop }}", dict=1, loop=2)
probe("{{ caller is defined }}{{ varargs is defined }}", caller=1)

# Whole templates in the style of popular model families: tests/golden/jinja/templates.
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Wetter für <eine> Stadt & 'Land'", "parameters": {"type": "object", "properties": {
    "city": {"type": "string", "description": "The city", "enum": ["Zürich", "Paris"]}, "days": {"type": "integer", "default": 3}, "opts": {"type": ["object", "null"], "properties": {"a": {"type": "array", "items": {"type": "number"}}}}}, "required": ["city"]}}},
    {"type": "function", "function": {"name": "noop", "description": "nothing", "parameters": {"type": "object", "properties": {}}}}]
CALL = {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Zürich", "days": 2, "opts": {"a": [1, 2.5]}}}}]}
CONTEXTS = [
    {"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": True},
    {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " Hi\n"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHello!"}, {"role": "user", "content": "Bye"}], "add_generation_prompt": True},
    {"messages": [{"role": "user", "content": "Weather?"}, CALL, {"role": "tool", "name": "get_weather", "tool_call_id": "c1", "content": "{\"t\": 20}"}, {"role": "assistant", "content": "20 °C", "reasoning_content": "easy"}], "tools": TOOLS, "add_generation_prompt": False},
    {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]}, CALL, {"role": "tool", "content": "r1"}, {"role": "tool", "content": "r2"}], "tools": TOOLS, "add_generation_prompt": True, "enable_thinking": False},
    {"messages": [{"role": "user", "content": "x"}], "tools": TOOLS[1:], "add_generation_prompt": True, "enable_thinking": True, "bos_token": "<s>", "eos_token": "</s>", "documents": [{"title": "T", "text": "D"}]},
    {"messages": [{"role": "assistant", "content": "first"}], "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>"},
    {"messages": [], "add_generation_prompt": False, "bos_token": "<s>", "eos_token": "</s>"},
]
TEMPLATE_CONTEXTS = {name: CONTEXTS for name in ("style_chatml.jinja", "style_header.jinja", "style_bars.jinja", "style_observation.jinja", "style_channels.jinja", "style_typescript.jinja")}
