"""Goldens: for each group one safetensors file and one JSON file, as compare.reduce_record makes
them."""

import json
import pathlib

import arrays
import compare

DIRECTORY = pathlib.Path(__file__).resolve().parent / "goldens"


def write(group, records):
    """records: case name -> record of the reference."""
    tensors, plain = {}, {}
    for case, record in records.items():
        kept, plain[case] = compare.reduce_record(record)
        tensors |= {f"{case}/{key}": value for key, value in kept.items()}
    DIRECTORY.mkdir(exist_ok=True)
    arrays.write_safetensors(DIRECTORY / f"{group}.safetensors", tensors)
    lines = [f"{json.dumps(case)}: {json.dumps(plain[case], sort_keys=True, ensure_ascii=False)}"
             for case in sorted(plain)]  # fmt: skip
    (DIRECTORY / f"{group}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


class Goldens:
    def __init__(self, group):
        path = DIRECTORY / f"{group}.json"
        self.plain = json.loads(path.read_text()) if path.exists() else {}
        path = path.with_suffix(".safetensors")
        self.tensors = arrays.read_safetensors(path) if path.exists() else {}

    def of(self, case):
        """(arrays, JSON values) of a case, or None."""
        if case not in self.plain:
            return None
        start = f"{case}/"
        kept = {key[len(start):]: value for key, value in self.tensors.items()
                if key.startswith(start)}  # fmt: skip
        return kept, self.plain[case]
