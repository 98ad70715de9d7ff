"""The Auto classes. This library knows one kind of model."""

from __future__ import annotations

from typing import Any

from .configuration import MiniMaxM2Config
from .modeling import MiniMaxM2ForCausalLM, MiniMaxM2Model
from .tokenization import PreTrainedTokenizer


class _Auto:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        name = type(self).__name__
        raise EnvironmentError(
            f"{name} is designed to be instantiated using the "
            f"`{name}.from_pretrained(pretrained_model_name_or_path)` method.")


class AutoConfig(_Auto):
    """AutoConfig.from_pretrained() gives a MiniMaxM2Config."""

    from_pretrained = MiniMaxM2Config.from_pretrained


class AutoTokenizer(_Auto):
    """AutoTokenizer.from_pretrained() gives a PreTrainedTokenizer."""

    from_pretrained = PreTrainedTokenizer.from_pretrained


class AutoModel(_Auto):
    """AutoModel.from_pretrained() gives a MiniMaxM2Model."""

    from_pretrained = MiniMaxM2Model.from_pretrained
    from_config = MiniMaxM2Model.from_config


class AutoModelForCausalLM(_Auto):
    """AutoModelForCausalLM.from_pretrained() gives a MiniMaxM2ForCausalLM."""

    from_pretrained = MiniMaxM2ForCausalLM.from_pretrained
    from_config = MiniMaxM2ForCausalLM.from_config
