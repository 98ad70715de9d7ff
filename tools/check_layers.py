#!/usr/bin/env python3
"""Checks that every include in src/, include/, apps/ and python/ follows the layer table.

Usage: check_layers.py [repository root]. Exits 1 and lists the offending lines if one does not.
"""

import pathlib
import re
import sys

# folder -> folders that it may include (itself and include/m2 always).
ALLOWED = {
    "base": "",
    "tensor": "base",
    "quant": "base tensor",
    "gguf": "base tensor",
    "text": "base gguf",
    "jinja": "base",
    "hub": "base",
    "checkpoint": "base tensor quant gguf",
    "ops": "base tensor quant",
    "cpu": "base tensor quant ops",
    "cuda": "base tensor quant ops",
    "backends": "base ops cpu cuda",
    "kv": "base tensor",
    "model": "base tensor quant gguf checkpoint ops kv",
    "generation": "base tensor gguf ops kv model",
    "engine": "base tensor ops kv model generation",
    "chat": "base gguf text jinja",
    "api": "base tensor quant gguf text jinja checkpoint ops backends kv model generation hub chat",
    "service": "base tensor quant gguf text jinja checkpoint ops backends kv model generation engine chat hub api",
    "bench": "base tensor quant ops backends kv model service",
    "quantizer": "base tensor quant gguf checkpoint model",
}
APPS = "service bench quantizer"

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def sources(folder: pathlib.Path):
    for suffix in ("*.h", "*.cc", "*.cu", "*.cuh"):
        yield from folder.rglob(suffix)


def check(path: pathlib.Path, own: str, allowed: set[str]) -> list[str]:
    errors = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        target = match.group(1).split("/")[0]
        if target not in allowed | {own, "m2"}:
            errors.append(f"{path}:{number}: {own} may not include {match.group(1)}")
    return errors


def main() -> int:
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    errors = []
    for folder in sorted(p for p in (root / "src").iterdir() if p.is_dir()):
        if folder.name not in ALLOWED:
            errors.append(f"src/{folder.name}: not in the layer table")
            continue
        for path in sources(folder):
            errors += check(path, folder.name, set(ALLOWED[folder.name].split()))
    for path in sources(root / "include"):
        errors += check(path, "m2", set())
    for path in sources(root / "apps"):
        errors += check(path, "apps", {*APPS.split(), *(p.name for p in (root / "apps").rglob("*.h"))})
    for path in sources(root / "python"):
        errors += check(path, "python", {p.name for p in (root / "python" / "src").glob("*.h")})
    print("\n".join(errors) if errors else "layers: every include follows the table")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
