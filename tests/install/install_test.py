#!/usr/bin/env python3
"""Installs the library, builds examples/seed against it as a user would, and runs it.

Usage: install_test.py CMAKE BUILD_DIRECTORY SOURCE_DIRECTORY MODEL
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

CMAKE = sys.argv[1]
BUILD, SOURCE, MODEL = (pathlib.Path(argument).resolve() for argument in sys.argv[2:5])


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=600,
                          **options)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def main():
    with tempfile.TemporaryDirectory(dir=BUILD) as directory:
        root = pathlib.Path(directory)
        run(CMAKE, "--install", BUILD, "--prefix", root / "prefix", "--component", "library")
        # Moved: an installed library must not depend on where it was installed to.
        (root / "prefix").rename(root / "moved")
        shutil.copytree(SOURCE / "examples" / "seed", root / "seed")
        run(CMAKE, "-S", root / "seed", "-B", root / "build", "-G", "Ninja",
            f"-DCMAKE_PREFIX_PATH={root / 'moved'}", "-DCMAKE_BUILD_TYPE=Release")
        run(CMAKE, "--build", root / "build")
        text = run(root / "build" / "seed", MODEL)
        assert "Do you have mayonnaise recipes?" in text, text
        answer = text.split("Do you have mayonnaise recipes?")[1]
        assert len(answer) > 40, text
        missing = subprocess.run([root / "build" / "seed", "no/such/model"], capture_output=True,
                                 env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": directory})
        assert missing.returncode == 1 and b"no/such/model" in missing.stderr, missing
    print("ok")


if __name__ == "__main__":
    main()
