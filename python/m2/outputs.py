"""Records that forward() and generate() return."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, fields
from typing import Any


@dataclass(eq=False)
class ModelOutput(OrderedDict):
    """An ordered record, used by attribute, key or position.

    Fields that are None are left out of iteration, of positions and of to_tuple(), so positions
    shift with what is present.
    """

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                super().__setitem__(field.name, value)

    def __getitem__(self, key: str | int | slice) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def __setattr__(self, name: str, value: Any) -> None:
        if value is not None and name in self:
            super().__setitem__(name, value)
        super().__setattr__(name, value)

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        super().__setattr__(key, value)

    def __delitem__(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError(f"a field of {type(self).__name__} cannot be deleted")

    def pop(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"a field of {type(self).__name__} cannot be removed")

    def setdefault(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{type(self).__name__} has a fixed set of fields")

    def update(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError(f"{type(self).__name__} has a fixed set of fields")

    def __reduce__(self) -> tuple:
        return _make, (type(self), {f.name: getattr(self, f.name) for f in fields(self)})

    def to_tuple(self) -> tuple:
        """The fields that are present, in order."""
        return tuple(super(ModelOutput, self).__getitem__(key) for key in self.keys())


def _make(kind: type, values: dict) -> ModelOutput:
    return kind(**values)


@dataclass(eq=False)
class MoeModelOutputWithPast(ModelOutput):
    """What MiniMaxM2Model returns. B rows, S tokens, K keys, H hidden size, L layers, E experts."""

    last_hidden_state: Any = None  #: [B, S, H], after the final norm
    past_key_values: Any = None  #: the cache that was passed in, or a new one
    hidden_states: tuple | None = None  #: L + 1 of [B, S, H], the last one after the final norm
    attentions: tuple | None = None  #: L of [B, Nq, S, K], after the softmax
    router_logits: tuple | None = None  #: L of [B * S, E], before sigmoid and bias


@dataclass(eq=False)
class MoeCausalLMOutputWithPast(ModelOutput):
    """What MiniMaxM2ForCausalLM returns."""

    loss: Any = None  #: scalar, with labels
    aux_loss: Any = None  #: scalar, with output_router_logits
    logits: Any = None  #: [B, S_kept, V]
    past_key_values: Any = None
    hidden_states: tuple | None = None
    attentions: tuple | None = None
    router_logits: tuple | None = None


@dataclass(eq=False)
class GenerateDecoderOnlyOutput(ModelOutput):
    """What generate() returns with return_dict_in_generate. R rows, P prompt, N new tokens."""

    sequences: Any = None  #: [R, P + N] int64
    scores: tuple | None = None  #: N of [R, V], after all processors
    logits: tuple | None = None  #: N of [R, V], raw
    attentions: tuple | None = None  #: N tuples of L
    hidden_states: tuple | None = None  #: N tuples of L + 1
    past_key_values: Any = None  #: holds P + N - 1 tokens


@dataclass(eq=False)
class GenerateBeamDecoderOnlyOutput(ModelOutput):
    """The same for beam search with n beams; scores and logits have B * n rows."""

    sequences: Any = None
    sequences_scores: Any = None  #: [R]
    scores: tuple | None = None
    logits: tuple | None = None
    beam_indices: Any = None  #: [R, longest] int32, -1 as filler
    attentions: tuple | None = None
    hidden_states: tuple | None = None
    past_key_values: Any = None
