"""The exceptions of the library: each is an Error and what Python code expects in its place."""

from __future__ import annotations

from . import _m2


class Error(Exception):
    """Base of the exceptions that the library raises."""


class InvalidArgumentError(Error, ValueError):
    """The caller passed something that cannot be done."""


class NotFoundError(Error, FileNotFoundError):
    """A file, model or name does not exist."""


class CorruptFileError(Error, OSError):
    """A file is damaged or not of the format that it claims."""


class UnsupportedError(Error, NotImplementedError):
    """Valid, but not done by this library."""


class ResourceExhaustedError(Error, MemoryError):
    """Memory, disk space, cache blocks or a limit ran out."""


class CancelledError(Error, RuntimeError):
    """The caller asked to stop."""


class DeviceError(Error, RuntimeError):
    """An accelerator failed."""


class InternalError(Error, RuntimeError):
    """A contract of the library itself was broken: a bug."""


_m2.register_errors({
    "invalid_argument": InvalidArgumentError,
    "not_found": NotFoundError,
    "corrupt_file": CorruptFileError,
    "unsupported": UnsupportedError,
    "resource_exhausted": ResourceExhaustedError,
    "cancelled": CancelledError,
    "device_failure": DeviceError,
    "internal": InternalError,
})
