#!/usr/bin/env python3
"""Makes the goldens of the template engine with Jinja2 in the environment of transformers.

    python tools/make_jinja_goldens.py [--template FILE ...]

writes tests/golden/jinja/probes.json (small templates from tests/golden/jinja/probe_sources.py and
the templates under tests/golden/jinja/templates) and, for each MiniMax-M2 template file given,
tests/golden/jinja/conversations_<name>.json, which holds the conversations and what they render to,
but not the template. Needs the reference environment (transformers, jinja2 3.1).
"""

import argparse
import copy
import datetime
import json
import pathlib
import sys

from transformers.utils import chat_template_utils

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "jinja"

# The clock of tests/jinja: a Friday.
NOW = datetime.datetime(2024, 7, 26, 13, 5, 9)


class FixedDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


chat_template_utils.datetime = FixedDatetime


def render(template, context):
    """{"ok": text} or {"error": type of the exception}."""
    try:
        compiled = chat_template_utils._compile_jinja_template(template)
        return {"ok": compiled.render(**copy.deepcopy(context))}
    except Exception as error:  # whatever Python raises is an error of the template
        return {"error": type(error).__name__, "message": str(error)[:200]}


def make_probes():
    sys.path.insert(0, str(GOLDEN))
    import probe_sources

    probes = [{"template": t, "context": c} for t, c in probe_sources.PROBES]
    for name, contexts in probe_sources.TEMPLATE_CONTEXTS.items():
        template = (GOLDEN / "templates" / name).read_text()
        probes += [{"template_file": name, "template": template, "context": c} for c in contexts]
    for probe in probes:
        result = render(probe["template"], probe["context"])
        if " at 0x" in result.get("ok", ""):
            sys.exit(f"shows an address: {probe['template']}")
        if "ok" in result:
            probe["expected"] = result["ok"]
        else:
            probe["error"] = result["error"]
            if probe["error"] == "TemplateError":
                probe["raised"] = result["message"]
        if "template_file" in probe:
            del probe["template"]
    return probes


def make_conversations(template_path):
    sys.path.insert(0, str(GOLDEN))
    import conversation_sources

    template = template_path.read_text()
    cases = []
    for context in conversation_sources.conversations():
        result = render(template, context)
        case = {"context": context}
        if "ok" in result:
            case["expected"] = result["ok"]
        else:
            case["error"] = result["error"]
        cases.append(case)
    return cases


def write(name, cases):
    path = GOLDEN / name
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    path.write_text("[\n" + lines + "\n]\n")
    errors = sum("error" in case for case in cases)
    print(f"{path.name}: {len(cases)} cases, {errors} of them errors")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--template", type=pathlib.Path, action="append", default=[])
    arguments = parser.parse_args()
    write("probes.json", make_probes())
    for path in arguments.template:
        write(f"conversations_{path.stem}.json", make_conversations(path))


if __name__ == "__main__":
    main()
