"""MiniMaxM2Config: the model configuration with the attributes of transformers 5.1."""

from __future__ import annotations

import copy
import json
import os
import warnings
from typing import Any

from . import _m2
from .generation_configuration import FIELDS
from .hub import is_gguf_file, local_directory, split_hub_options
from .json_floats import read_floats, write_floats

#: Attributes of every configuration and their defaults; written to files only when changed.
_GENERIC: dict[str, Any] = {
    "return_dict": True,
    "output_hidden_states": False,
    "output_attentions": False,
    "dtype": None,
    "chunk_size_feed_forward": 0,
    "is_encoder_decoder": False,
    "architectures": None,
    "id2label": {0: "LABEL_0", 1: "LABEL_1"},
    "label2id": {"LABEL_0": 0, "LABEL_1": 1},
    "problem_type": None,
    "_name_or_path": "",
}
_REFERENCE_VERSION = "5.1.0"


def dtype_name(dtype: Any) -> str | None:
    """"float32" for torch.float32, numpy.float32 and "float32"."""
    if dtype is None or isinstance(dtype, str):
        return dtype
    name = getattr(dtype, "__name__", None) or getattr(dtype, "name", None) or str(dtype)
    return name.removeprefix("torch.")


class MiniMaxM2Config:
    """Configuration of a MiniMax-M2 model.

    Keyword arguments are the keys of config.json; what is not given has the default of the
    reference. Keys that the model does not know become attributes as well. `strict=True` behaves
    exactly as transformers 5.1, which ignores `rotary_dim`.

    Raises ValueError or NotImplementedError, naming the key, for values that cannot be used.
    """

    model_type = "minimax_m2"
    attribute_map = {"num_experts": "num_local_experts"}
    _other_names = {**attribute_map, "rope_scaling": "rope_parameters"}
    keys_to_ignore_at_inference = ["past_key_values"]

    def __init__(self, *, strict: bool = False, **kwargs: Any) -> None:
        if "torch_dtype" in kwargs:
            kwargs.setdefault("dtype", kwargs.pop("torch_dtype"))
        kwargs["dtype"] = dtype_name(kwargs.get("dtype"))
        name = kwargs.pop("_name_or_path", "")
        text = json.dumps({**kwargs, "model_type": self.model_type})
        self._take(*_m2.config_from_json(text, strict), strict)
        self.__dict__["_name_or_path"] = name

    def _take(self, text: str, sentences: list[str], strict: bool) -> None:
        state = self.__dict__
        state["_strict"] = strict
        state.update(copy.deepcopy(_GENERIC))
        for key, value in json.loads(text).items():
            if key not in ("model_type", "transformers_version"):
                state[key] = read_floats(value)
        state["id2label"] = {int(key): name for key, name in state["id2label"].items()}
        for sentence in sentences:
            warnings.warn(sentence, stacklevel=4)

    # `num_experts` is another name of num_local_experts, `rope_scaling` of rope_parameters.
    def __setattr__(self, name: str, value: Any) -> None:
        name = self._other_names.get(name, name)
        self.__dict__[name] = dtype_name(value) if name == "dtype" else value

    def __getattr__(self, name: str) -> Any:  # only for what is not in __dict__
        target = type(self)._other_names.get(name)
        if target is None or target not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self.__dict__[target]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MiniMaxM2Config) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # it can be changed

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"

    @property
    def num_labels(self) -> int:
        return len(self.id2label)

    @property
    def name_or_path(self) -> str:
        return self._name_or_path

    @property
    def rotary_dim_in_use(self) -> int:
        """The leading dimensions of a head that rotate."""
        return _m2.rotary_dim(self.to_native_json(), self._strict)

    def to_dict(self) -> dict[str, Any]:
        """Every attribute, generic ones included."""
        state = {key: value for key, value in self.__dict__.items() if key != "_strict"}
        output = copy.deepcopy(state)
        output["transformers_version"] = _REFERENCE_VERSION
        output["model_type"] = self.model_type
        return output

    def to_diff_dict(self) -> dict[str, Any]:
        """What a file holds: without generic attributes that have their defaults."""
        return {key: value for key, value in self.to_dict().items()
                if key not in _GENERIC or value != _GENERIC[key]}

    def to_json_string(self, use_diff: bool = True) -> str:
        values = self.to_diff_dict() if use_diff else self.to_dict()
        values.pop("_name_or_path", None)
        return json.dumps(write_floats(values), indent=2, sort_keys=True) + "\n"

    def to_json_file(self, path: str | os.PathLike, use_diff: bool = True) -> None:
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.to_json_string(use_diff))

    def to_native_json(self) -> str:
        """For the library itself."""
        values = {key: value for key, value in self.__dict__.items()
                  if key != "_strict" and (key not in _GENERIC or value != _GENERIC[key])}
        return json.dumps(values)

    def validate(self) -> None:
        """Raises what the constructor raises, for attributes that were changed since."""
        _m2.config_from_json(self.to_native_json(), self._strict)

    def update(self, values: dict[str, Any]) -> None:
        for key, value in values.items():
            setattr(self, key, value)

    def _override(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Sets the keywords that are attributes; returns the others."""
        unused = {}
        for key, value in kwargs.items():
            if hasattr(self, key):
                setattr(self, key, value)
            else:
                unused[key] = value
        return unused

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, strict: bool = False,
                  return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """Keyword arguments that are attributes win over `values`; others are unused."""
        config = cls(strict=strict, **values)
        unused = config._override(kwargs)
        return (config, unused) if return_unused_kwargs else config

    @classmethod
    def from_json_file(cls, path: str | os.PathLike, *, strict: bool = False) -> MiniMaxM2Config:
        with open(path, encoding="utf-8") as file:
            return cls.from_dict(json.load(file), strict=strict)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike, *, strict: bool = False,
        return_unused_kwargs: bool = False, **kwargs: Any,
    ) -> Any:
        """The name is a directory, a config.json, a GGUF file or a hub id (with `revision` ...).

        Raises FileNotFoundError or another OSError when there is none or it is damaged.
        """
        hub_options, kwargs = split_hub_options(kwargs)
        name = path = os.fspath(pretrained_model_name_or_path)
        if os.path.isfile(path) and not is_gguf_file(path):
            path = os.path.dirname(path) or "."
        config = cls.__new__(cls)
        directory = local_directory(path, ["config.json"], **hub_options)
        config._take(*_m2.config_from_pretrained(directory, strict), strict)
        config.__dict__["_name_or_path"] = name
        unused = config._override(kwargs)
        return (config, unused) if return_unused_kwargs else config

    def refuse_generation_fields(self) -> None:
        """Raises ValueError for options of generate() that were set here, where they do nothing."""
        usual = MiniMaxM2Config().__dict__
        names = [name for name in FIELDS
                 if self.__dict__.get(name) is not None and name not in usual]
        if names:
            raise ValueError(f"config: {', '.join(names)}: options of generate() act in the model's "
                             "generation_config, not in its config")

    def save_pretrained(self, directory: str | os.PathLike) -> None:
        """Writes config.json into `directory`, which is made when it is not there."""
        self.refuse_generation_fields()
        os.makedirs(directory, exist_ok=True)
        self.to_json_file(os.path.join(directory, "config.json"))
