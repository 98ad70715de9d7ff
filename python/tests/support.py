"""What the tests share."""

import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
TINY_AGENT = str(ROOT / "models" / "tiny-agent")
