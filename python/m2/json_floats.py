"""Numbers that JSON lacks, as the reference writes them into its files."""

from __future__ import annotations

from typing import Any

_NON_FINITE = {"Infinity": float("inf"), "-Infinity": float("-inf"), "NaN": float("nan")}


def read_floats(value: Any) -> Any:
    """{"__float__": "Infinity"} and siblings, as configuration files write them, become floats."""
    if isinstance(value, dict):
        if set(value) == {"__float__"}:
            return _NON_FINITE.get(value["__float__"], value)
        return {key: read_floats(item) for key, item in value.items()}
    return [read_floats(item) for item in value] if isinstance(value, list) else value


def write_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: write_floats(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [write_floats(item) for item in value]
    if isinstance(value, float) and (value != value or value in _NON_FINITE.values()):
        return {"__float__": "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"}
    return value
