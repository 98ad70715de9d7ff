"""The Auto classes. This library knows one kind of model."""

from __future__ import annotations

from .configuration import MiniMaxM2Config
from .tokenization import PreTrainedTokenizer


class AutoConfig:
    """AutoConfig.from_pretrained() gives a MiniMaxM2Config."""

    def __init__(self) -> None:
        raise TypeError("AutoConfig is designed to be used through from_pretrained()")

    from_pretrained = MiniMaxM2Config.from_pretrained


class AutoTokenizer:
    """AutoTokenizer.from_pretrained() gives a PreTrainedTokenizer."""

    def __init__(self) -> None:
        raise TypeError("AutoTokenizer is designed to be used through from_pretrained()")

    from_pretrained = PreTrainedTokenizer.from_pretrained
