"""Model names to local directories."""

from __future__ import annotations

import os
from typing import Any

_HUB_OPTIONS = ("revision", "subfolder", "cache_dir", "token", "force_download", "local_files_only")
#: Arguments of the reference that change nothing here.
_IGNORED_OPTIONS = ("trust_remote_code", "proxies", "_from_auto", "_commit_hash", "user_agent")


def split_hub_options(kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(options of the hub that are given, the rest)."""
    hub = {key: kwargs[key] for key in _HUB_OPTIONS if kwargs.get(key) is not None}
    rest = {key: value for key, value in kwargs.items()
            if key not in _HUB_OPTIONS + _IGNORED_OPTIONS}
    return hub, rest


def local_directory(name: str, files: list[str], *, subfolder: str = "", **options: Any) -> str:
    """The directory that holds `files` of a model. A directory's own name wins over a hub id."""
    if not os.path.isdir(name):
        raise FileNotFoundError(f"{name}: no such directory")
    return os.path.join(name, subfolder) if subfolder else name
