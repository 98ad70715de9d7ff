"""Sums with their working: the thinking goes digit by digit, the answer is short."""

import random

ADD = ["What is {a}+{b}?", "What is {a} + {b}?", "{a}+{b}", "{a} + {b}", "{a} + {b} =",
       "{a}+{b}=?", "Add {a} and {b}.", "What is {a} plus {b}?", "Calculate {a} + {b}.",
       "How much is {a} plus {b}?", "Compute {a}+{b}.", "{a} plus {b}?", "What's {a} + {b}?",
       "Please add {a} and {b}.", "What is the sum of {a} and {b}?", "Can you add {a} and {b}?",
       "How much is {a}+{b}?", "Tell me {a} + {b}.", "Sum {a} and {b}.", "what does {a}+{b} make?",
       "I have {a} apples and get {b} more. How many do I have?",
       "There are {a} red and {b} blue balls. How many balls are there?",
       "Mira sells {a} loaves today and {b} tomorrow. How many is that together?"]
SUB = ["What is {a}-{b}?", "What is {a} - {b}?", "{a}-{b}", "{a} - {b}", "{a} - {b} =",
       "{a}-{b}=?", "Subtract {b} from {a}.", "What is {a} minus {b}?", "Calculate {a} - {b}.",
       "How much is {a} minus {b}?", "Compute {a}-{b}.", "{a} minus {b}?", "What's {a} - {b}?",
       "Take {b} away from {a}.", "What is the difference between {a} and {b}?",
       "How much is {a}-{b}?", "Tell me {a} - {b}.",
       "I have {a} apples and give away {b}. How many are left?",
       "A shelf holds {a} books and {b} are taken. How many remain?"]
MUL = ["What is {a}*{b}?", "What is {a} * {b}?", "{a}*{b}", "{a} * {b}", "{a} x {b}", "{a}x{b}",
       "What is {a} x {b}?", "Multiply {a} by {b}.", "What is {a} times {b}?", "{a} times {b}",
       "Calculate {a} * {b}.", "How much is {a} times {b}?", "Compute {a}*{b}.",
       "What is the product of {a} and {b}?", "What's {a} times {b}?", "{a} * {b} =",
       "Multiply {a} and {b}.", "How much is {a} x {b}?",
       "One box holds {a} pens. How many pens are in {b} boxes?"]
DIV = ["What is {a}/{b}?", "What is {a} / {b}?", "{a}/{b}", "{a} / {b}", "Divide {a} by {b}.",
       "What is {a} divided by {b}?", "How much is {a} divided by {b}?", "Calculate {a} / {b}."]
_PLACES = ["ones", "tens", "hundreds", "thousands", "ten thousands"]


def _digits(n: int, width: int) -> list[int]:
    return [n // 10**i % 10 for i in range(width)]


def _place(i: int) -> str:
    return _PLACES[min(i, 4)]


def add_steps(x: int, y: int) -> list[str]:
    """The column addition, ones first."""
    width = max(len(str(x)), len(str(y)))
    steps, carry = [], 0
    for i, (p, q) in enumerate(zip(_digits(x, width), _digits(y, width), strict=True)):
        shown, total = f"{p} + {q} = {p + q}", p + q + carry
        if carry:
            shown += f", {p + q} + 1 = {total}"
        carry, digit = divmod(total, 10)
        steps.append(f"{_place(i)}: {shown}, write {digit}, carry {carry}")
    steps.append(f"{x} + {y} = {x + y}")
    return steps


def sub_steps(x: int, y: int) -> list[str]:
    """The column subtraction for x >= y, ones first; leading zeros are worked and dropped."""
    width = len(str(x))
    steps, borrowed = [], False
    for i, (p, q) in enumerate(zip(_digits(x, width), _digits(y, width), strict=True)):
        parts, borrows = [], False
        for amount in ([1] if borrowed else []) + [q]:
            if p < amount:
                parts.append(f"{p} - {amount} borrow")
                p, borrows = p + 10, True
            parts.append(f"{p} - {amount} = {p - amount}")
            p -= amount
        borrowed = borrows
        steps.append(f"{_place(i)}: {', '.join(parts)}, write {p}, borrow {int(borrows)}")
    steps.append(f"{x} - {y} = {x - y}")
    return steps


def mul_steps(x: int, y: int) -> list[str]:
    """The long multiplication of x by one digit y, ones first."""
    steps, carry = [], 0
    for i, p in enumerate(_digits(x, len(str(x)))):
        shown, total = f"{p} * {y} = {p * y}", p * y + carry
        if carry:
            shown += f", {p * y} + {carry} = {total}"
        carry, digit = divmod(total, 10)
        steps.append(f"{_place(i)}: {shown}, write {digit}, carry {carry}")
    steps.append(f"{x} * {y} = {x * y}")
    return steps


def div_steps(x: int, y: int) -> list[str]:
    """The long division of x by one digit y, highest place first."""
    steps, rest = [], 0
    for p in str(x):
        part = rest * 10 + int(p)
        quotient, rest = divmod(part, y)
        steps.append(f"{part} / {y}: write {quotient}, {quotient} * {y} = {quotient * y}, "
                     f"{part} - {quotient * y} = {rest}")
    steps.append(f"{x} / {y} = {x // y} rest {x % y}")
    return steps


def solve(a: int, op: str, b: int) -> tuple[str, str]:
    """The thinking and the bare result of `a op b`."""
    if op == "+":
        steps, result = add_steps(a, b), str(a + b)
    elif op == "-" and a < b:
        steps = [f"{a} is smaller than {b}, so the result is negative.", *sub_steps(b, a)]
        result = str(a - b)
    elif op == "-":
        steps, result = sub_steps(a, b), str(a - b)
    elif op == "*":
        if b > a:
            a, b = b, a
        if b < 10:
            steps = mul_steps(a, b)
        else:
            ones, tens = b % 10, b // 10
            steps = [f"{a} * {b} = {a} * {tens}0 + {a} * {ones}", *mul_steps(a, tens),
                     *mul_steps(a, ones), *add_steps(a * tens * 10, a * ones)]
        result = str(a * b)
    else:
        steps = div_steps(a, b)
        result = str(a // b) + (f" rest {a % b}" if a % b else "")
    return "\n".join(steps), result


def numbers(rng: random.Random, op: str) -> tuple[int, int]:
    """Operands with a fair share of short ones."""
    def upto(digits: int) -> int:
        return rng.randint(0, 10 ** rng.randint(1, digits) - 1)

    if op in "+-":
        a, b = upto(3), upto(3)
        return (b, a) if op == "-" and a < b and rng.random() < 0.8 else (a, b)
    if op == "*":
        if rng.random() < 0.4:
            return rng.randint(10, 99 if rng.random() < 0.7 else 999), rng.randint(10, 99)
        pair = [upto(3), rng.randint(0, 9)]
        rng.shuffle(pair)
        return pair[0], pair[1]
    return upto(3), rng.randint(1, 9)


def problem(rng: random.Random) -> tuple[str, str, str, str]:
    """A question with its thinking, its answer and the key `a op b` of the held-out split."""
    op = rng.choices("+-*/", [4, 4, 4, 1])[0]
    a, b = numbers(rng, op)
    question = rng.choice({"+": ADD, "-": SUB, "*": MUL, "/": DIV}[op]).format(a=a, b=b)
    steps, result = solve(a, op, b)
    thinking = f"The user wants {a} {op} {b}.\n{steps}"
    return question, thinking, f"{a} {op} {b} = {result}", f"{a} {op} {b}"


def _too_hard_pair(rng: random.Random) -> tuple[str, str, str]:
    kind = rng.random()
    if kind < 0.6:
        a, b = rng.randint(1000, 10 ** rng.randint(4, 7) - 1), rng.randint(1, 10**rng.randint(1, 7))
        a = 1000 if rng.random() < 0.05 else a
        if rng.random() < 0.5:
            a, b = b, a
        return str(a), rng.choice("+-*/"), str(b)
    if kind < 0.75:
        return f"{rng.randint(0, 99)}.{rng.randint(1, 99)}", rng.choice("+-*/"), str(
            rng.randint(1, 99))
    if kind < 0.9:
        return str(rng.randint(100, 999)), rng.choice("*/"), str(rng.randint(100, 999))
    return str(rng.randint(10, 999)), "/", str(rng.randint(10, 99))


def too_hard(rng: random.Random) -> tuple[str, str, str]:
    """A sum that the model did not learn, which it declines."""
    a, op, b = _too_hard_pair(rng)
    question = rng.choice({"+": ADD, "-": SUB, "*": MUL, "/": DIV}[op][:10]).format(a=a, b=b)
    if rng.random() < 0.3:
        gap = rng.choice(["", " "])
        sum_ = f"{rng.randint(1, 99)}" + "".join(
            f"{gap}{rng.choice('+-*')}{gap}{rng.randint(1, 99)}" for _ in range(rng.randint(2, 3)))
        question = rng.choice(["", "What is ", "Calculate "]) + sum_
    return (question, "The user wants a sum. That is too hard for me.",
            "I only learnt to calculate with two whole numbers of up to three digits.")
