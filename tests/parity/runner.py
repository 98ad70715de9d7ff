#!/usr/bin/env python3
"""Runs every case through the package m2 and compares with transformers 5.1.0.

Usage: runner.py                 compares with the committed goldens; needs m2 and NumPy
       runner.py --live          compares with transformers itself; needs torch as well
       runner.py --make-goldens  writes the goldens; needs transformers, not m2
       runner.py --live --document  also writes the tables of docs/parity.md

--only TEXT takes the cases whose "group/name" contains TEXT. Prints for each group the number of
cases and the worst error with its case, last "N passed, N failed, N skipped". Exits 1 on failure.
"""

import argparse
import importlib
import pathlib
import sys
import tempfile
import time
import traceback
import warnings

import compare
import goldens
import report
import side as sides

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs/parity.md"
GROUPS = ("configurations", "activations", "rope", "masks", "positions", "caches", "cache_methods",
          "outputs", "losses", "logits_to_keep", "forward_errors", "training", "config",
          "loading", "saving", "damaged", "resize", "processors", "greedy", "beams", "assisted", "sampling",
          "generate_outputs", "generate_errors", "text")  # fmt: skip


def load_groups(only):
    for group in GROUPS:
        module = importlib.import_module(f"cases.{group}")
        cases = [case for case in module.CASES if only in f"{group}/{case.name}"]
        names = [case.name for case in module.CASES]
        assert len(set(names)) == len(names), f"{group}: a name occurs twice"
        if cases:
            yield group, module, cases


def run_case(case, side):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return case.run(side)


def judge(case, ours, reference, golden):
    """The comparison of one case. A deliberate difference must still be there."""
    if reference is not None:
        def compared(to):
            return compare.compare_records(ours, to(reference), case.bound)
    else:
        def compared(to):
            return compare.compare_with_golden(ours, golden[0], to(golden[1]), case.bound)

    result = compared(case.expected)
    if case.ours is not None and not compared(lambda record: record).problems:
        result.problems.append("the deliberate difference is gone: drop it from the case")
    return result


def make_goldens(reference, only):
    for group, module, _ in load_groups(only):  # whole groups: a group is one pair of files
        started = time.monotonic()
        records = {case.name: run_case(case, reference) for case in module.CASES
                   if not case.live_only}  # fmt: skip
        goldens.write(group, records)
        print(f"{group:18} {len(records):4} cases {time.monotonic() - started:6.1f} s", flush=True)
    return 0


def compare_case(case, ours, reference, golden):
    """(comparison, None), or (None, why it was skipped)."""
    if reference is None and case.live_only:
        return None, "needs transformers"
    if reference is None and golden is None:
        return None, "has no golden"
    theirs = None if reference is None else run_case(case, reference)
    return judge(case, run_case(case, ours), theirs, golden), None


def run_group(cases, group, ours, reference, tally):
    held = goldens.Goldens(group)
    row = report.GroupResult(group)
    for case in cases:
        try:
            comparison, skipped = compare_case(case, ours, reference, held.of(case.name))
        except Exception:  # noqa: BLE001 - a case that breaks is a case that fails
            row.fail(case, [traceback.format_exc(limit=-2).strip()])
            continue
        if skipped:
            row.skip(case, skipped)
        else:
            row.add(case, comparison)
    tally.append(row)
    row.show()


def document(options, tally):
    """Writes docs/parity.md, or says that it is not up to date."""
    groups = list(load_groups(""))
    if options.document:
        report.update_document(DOCUMENT, groups, tally)
    elif not options.only and not report.check_document(DOCUMENT, groups):
        return ["docs/parity.md does not list these cases: run with --live --document"]
    return []


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--live", action="store_true", help="compare with transformers itself")
    mode.add_argument("--make-goldens", action="store_true", help="write tests/parity/goldens")
    parser.add_argument("--only", default="", help="cases whose group/name contains this")
    parser.add_argument("--document", action="store_true", help="write docs/parity.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if options.make_goldens:
            return make_goldens(sides.ReferenceSide(scratch), options.only)
        ours = sides.OurSide(scratch)
        reference = None
        if options.live:
            reference = sides.ReferenceSide(scratch)
            ours.other, reference.other = reference, ours
        tally = []
        for group, _, cases in load_groups(options.only):
            run_group(cases, group, ours, reference, tally)
    return report.close(tally, document(options, tally))


if __name__ == "__main__":
    sys.exit(main())
