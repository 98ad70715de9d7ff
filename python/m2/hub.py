"""Model ids and revisions to local files, in the cache that huggingface_hub uses too."""

from __future__ import annotations

import os
from typing import Any, Callable, Sequence

from . import _m2
from .errors import Error, NotFoundError

_HUB_OPTIONS = ("revision", "subfolder", "cache_dir", "token", "force_download", "local_files_only")
#: Arguments of the reference that change nothing here.
_IGNORED_OPTIONS = ("trust_remote_code", "proxies", "_from_auto", "_commit_hash", "user_agent")


def split_hub_options(kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(options of the hub that are given, the rest)."""
    hub = {key: kwargs[key] for key in _HUB_OPTIONS if kwargs.get(key) is not None}
    rest = {key: value for key, value in kwargs.items()
            if key not in _HUB_OPTIONS + _IGNORED_OPTIONS}
    return hub, rest


def native_token(token: bool | str | None) -> str | None:
    """True and None mean the stored token, False none at all."""
    if token is False:
        return ""
    return token if isinstance(token, str) else None


def _patterns(patterns: str | Sequence[str] | None) -> list[str] | None:
    if patterns is None:
        return None
    return [patterns] if isinstance(patterns, str) else list(patterns)


def snapshot_download(
    repo_id: str, *, revision: str | None = None, cache_dir: str | os.PathLike | None = None,
    endpoint: str | None = None, token: bool | str | None = None, local_files_only: bool = False,
    force_download: bool = False, allow_patterns: str | Sequence[str] | None = None,
    ignore_patterns: str | Sequence[str] | None = None, max_workers: int = 8,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> str:
    """Downloads what is missing of a repository and returns the directory of the snapshot.

    Interrupted files are resumed; sizes and hashes are checked. `progress` gets a dictionary with
    file, files_done, files_total, bytes_done and bytes_total. Ctrl-C keeps what was fetched.

    Raises FileNotFoundError (no such repository, revision or file), ValueError (id or token
    refused), OSError (damaged) and MemoryError (no space, or the hub stays unavailable).
    """
    return _m2.snapshot_download(
        repo_id, revision=revision, cache_dir=cache_dir and os.fspath(cache_dir), endpoint=endpoint,
        token=native_token(token), local_files_only=local_files_only,
        force_download=force_download, allow_patterns=_patterns(allow_patterns),
        ignore_patterns=_patterns(ignore_patterns), max_workers=max_workers, progress=progress)


def hub_download(repo_id: str, filename: str, *, subfolder: str | None = None,
                 revision: str | None = None, cache_dir: str | os.PathLike | None = None,
                 token: bool | str | None = None, local_files_only: bool = False,
                 force_download: bool = False) -> str:
    """The same for one file; returns its path."""
    return _m2.hub_download(
        repo_id, f"{subfolder}/{filename}" if subfolder else filename, revision=revision,
        cache_dir=cache_dir and os.fspath(cache_dir), token=native_token(token),
        local_files_only=local_files_only, force_download=force_download)


def is_gguf_file(name: str) -> bool:
    """Whether a model is meant by one file, which holds its configuration and tokenizer, too."""
    return name.endswith(".gguf") and os.path.isfile(name)


def local_directory(name: str, files: list[str], *, subfolder: str = "", **options: Any) -> str:
    """The directory that holds `files` of a model, or its GGUF file.

    A directory or file of that name wins over a hub id.
    """
    if not os.path.isdir(name) and not is_gguf_file(name):
        if not _m2.is_hub_id(name):
            raise NotFoundError(f"{name}: neither a directory nor a hub id")
        wanted = [f"{subfolder}/{file}" if subfolder else file for file in files]
        try:
            name = snapshot_download(name, allow_patterns=wanted, **options)
        except Error as error:
            raise type(error)(f"{error}; there is no directory {name!r} either") from None
    return os.path.join(name, subfolder) if subfolder else name
