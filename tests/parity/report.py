"""What the suite prints."""

import math
import textwrap


class GroupResult:
    def __init__(self, name):
        self.name, self.passed, self.failed, self.skipped = name, 0, 0, 0
        self.worst, self.worst_case = 0.0, ""

    def add(self, case, comparison):
        if comparison.worst > self.worst:
            self.worst, self.worst_case = comparison.worst, case.name
        if comparison.problems:
            self.fail(case, comparison.problems)
        else:
            self.passed += 1

    def fail(self, case, problems):
        self.failed += 1
        print(f"FAILED {self.name}/{case.name}")
        for problem in problems[:6]:
            print("    " + problem.replace("\n", "\n    "))

    def skip(self, case, why):
        self.skipped += 1
        if why != "needs transformers":
            print(f"skipped {self.name}/{case.name}: {why}")

    def cases(self):
        return self.passed + self.failed + self.skipped

    def error(self):
        return "exact" if self.worst == 0 else f"{self.worst:.1e}"

    def show(self):
        state = "ok" if not self.failed else f"{self.failed} FAILED"
        where = f" in {self.worst_case}" if self.worst_case else ""
        print(f"{self.name:18} {self.cases():4} cases  worst error {self.error()}{where}: {state}",
              flush=True)  # fmt: skip


def _table(tally):
    lines = ["| group | cases | worst error | in |", "|---|---|---|---|"]
    lines += [f"| {row.name} | {row.cases()} | {row.error()} | {row.worst_case} |" for row in tally]
    return [*lines, f"| all | {sum(row.cases() for row in tally)} | | |"]


def _cases(groups):
    lines = []
    for group, module, cases in groups:
        about = module.__doc__.strip().splitlines()[0]
        names = f"**{group}** ({len(cases)}). {about} " + ", ".join(case.name for case in cases)
        lines += [*textwrap.wrap(names, 100, break_long_words=False, break_on_hyphens=False), ""]
    return lines[:-1]


def _differences(groups):
    lines = ["| case | difference |", "|---|---|"]
    return lines + [f"| {group}/{case.name} | {case.difference} |" for group, _, cases in groups
                    for case in cases if case.difference]  # fmt: skip


def _section(name, lines):
    return "\n".join([f"<!-- {name} -->", *lines, f"<!-- end of {name} -->"])


def _replaced(text, name, lines):
    start = text.index(f"<!-- {name} -->")
    end = text.index(f"<!-- end of {name} -->")
    rest = text[end:].split("\n", 1)[1]
    return text[:start] + _section(name, lines) + "\n" + rest


def update_document(path, groups, tally):
    """Writes the generated sections of docs/parity.md."""
    text = path.read_text()
    for name, lines in (("groups", _table(tally)), ("cases", _cases(groups)),
                        ("differences", _differences(groups))):  # fmt: skip
        text = _replaced(text, name, lines)
    path.write_text(text)


def check_document(path, groups):
    """True when the document lists these cases."""
    text = path.read_text()
    return all(_section(name, lines) in text for name, lines in
               (("cases", _cases(groups)), ("differences", _differences(groups))))  # fmt: skip


def close(tally, problems=()):
    for problem in problems:
        print(f"FAILED {problem}")
    passed, failed, skipped = (sum(getattr(row, key) for row in tally)
                               for key in ("passed", "failed", "skipped"))  # fmt: skip
    worst = max((row.worst for row in tally if math.isfinite(row.worst)), default=0.0)
    print(f"worst error of all: {worst:.1e}")
    failed += len(problems)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0
