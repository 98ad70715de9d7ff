"""GenerationConfig: the options of generate() with the names of transformers 5.1."""

from __future__ import annotations

import copy
import json
import os
from typing import Any

from . import _m2
from .arrays import to_lists
from .hub import local_directory, split_hub_options
from .json_floats import read_floats, write_floats

#: The reference's fields in its order, then those of this library.
FIELDS = (
    "max_length", "max_new_tokens", "min_length", "min_new_tokens", "early_stopping", "max_time",
    "stop_strings", "do_sample", "num_beams", "use_cache", "cache_implementation", "cache_config",
    "temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff",
    "repetition_penalty", "encoder_repetition_penalty", "length_penalty", "no_repeat_ngram_size",
    "bad_words_ids", "renormalize_logits", "forced_bos_token_id", "forced_eos_token_id",
    "remove_invalid_values", "exponential_decay_length_penalty", "suppress_tokens",
    "begin_suppress_tokens", "sequence_bias", "token_healing", "guidance_scale",
    "watermarking_config", "num_return_sequences", "output_attentions", "output_hidden_states",
    "output_scores", "output_logits", "return_dict_in_generate", "pad_token_id", "bos_token_id",
    "eos_token_id", "encoder_no_repeat_ngram_size", "decoder_start_token_id", "is_assistant",
    "num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold",
    "prompt_lookup_num_tokens", "max_matching_ngram_size", "assistant_early_exit",
    "assistant_lookbehind", "target_lookbehind", "compile_config", "disable_compile", "low_memory",
    "penalty_alpha", "dola_layers", "diversity_penalty", "num_beam_groups", "constraints",
    "force_words_ids", "prefill_chunk_size",
    "seed", "frequency_penalty", "presence_penalty",
)
#: Written to files, without an effect.
_METADATA = {"_from_model_config": None, "transformers_version": "5.1.0"}


def _json_value(name: str, value: Any) -> Any:
    """What JSON can carry: arrays as lists, objects with to_dict() as dictionaries."""
    if name == "sequence_bias" and isinstance(value, dict):
        value = [[list(ids), bias] for ids, bias in value.items()]
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return [_json_value("", item) for item in value]
    return to_lists(value)


def to_json(values: dict[str, Any]) -> str:
    """The text that the library reads. Raises TypeError that names a value of a strange type."""
    converted = {}
    for name, value in values.items():
        converted[name] = write_floats(_json_value(name, value))
        try:
            json.dumps(converted[name])
        except TypeError as error:
            raise TypeError(f"{name}: {type(value).__name__} cannot be an option") from error
    return json.dumps(converted)


class GenerationConfig:
    """Options of generate(). Keyword arguments are the fields; None means "not set".

    Raises ValueError for unknown names and values that contradict each other,
    NotImplementedError for modes that are not done.
    """

    def __init__(self, **kwargs: Any) -> None:
        state = self.__dict__
        state.update(dict.fromkeys(FIELDS), **_METADATA)
        state.update(kwargs)
        self.validate()

    def to_native(self) -> _m2.GenerationConfig:
        """For the library itself; checks everything."""
        given = {key: value for key, value in self.__dict__.items() if value is not None}
        return _m2.GenerationConfig.from_json(to_json(given))

    def validate(self, strict: bool = False) -> None:
        """Raises ValueError for contradictions; with strict for doubtful settings, too."""
        native = self.to_native()
        doubts = native.warnings() if strict else []
        if doubts:
            raise ValueError("GenerationConfig is invalid: " + " ".join(doubts))

    def update(self, **kwargs: Any) -> dict[str, Any]:
        """Sets the fields that are named and returns the keywords that are no fields."""
        changed = copy.copy(self)
        unused = {}
        for key, value in kwargs.items():
            if hasattr(self, key):
                setattr(changed, key, value)
            else:
                unused[key] = value
        changed.validate()
        self.__dict__.update(changed.__dict__)
        return unused

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GenerationConfig) and self._options() == other._options()

    __hash__ = None  # type: ignore[assignment]  # it can be changed

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string(ignore_metadata=True)}"

    def _options(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in _METADATA}

    def to_dict(self) -> dict[str, Any]:
        return copy.deepcopy(self.__dict__)

    def to_diff_dict(self) -> dict[str, Any]:
        """The fields that are set."""
        return {key: value for key, value in self.to_dict().items() if value is not None}

    def to_json_string(self, use_diff: bool = True, ignore_metadata: bool = False) -> str:
        values = self.to_diff_dict() if use_diff else self.to_dict()
        if ignore_metadata:
            values = {key: value for key, value in values.items() if key not in _METADATA}
        converted = {key: write_floats(_json_value(key, value)) for key, value in values.items()}
        return json.dumps(converted, indent=2, sort_keys=True) + "\n"

    def save_pretrained(self, directory: str | os.PathLike) -> None:
        """Writes generation_config.json. Raises ValueError for doubtful settings."""
        os.makedirs(directory, exist_ok=True)
        self.to_native().save_pretrained(os.fspath(directory))

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, return_unused_kwargs: bool = False,
                  **kwargs: Any) -> Any:
        """Keyword arguments that are fields win over `values`."""
        config = cls(**values)
        unused = config.update(**kwargs)
        return (config, unused) if return_unused_kwargs else config

    @classmethod
    def from_native(cls, native: _m2.GenerationConfig) -> GenerationConfig:
        return cls(**read_floats(json.loads(native.to_json())))

    @classmethod
    def from_model_config(cls, config: Any) -> GenerationConfig:
        """What a model configuration says about generation."""
        values = config.to_dict()
        chosen = {key: values[key] for key in FIELDS if values.get(key) is not None}
        return cls(**chosen, _from_model_config=True)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike, *,
        return_unused_kwargs: bool = False, **kwargs: Any,
    ) -> Any:
        """generation_config.json of a directory or hub id; else what its config.json says."""
        hub_options, kwargs = split_hub_options(kwargs)
        directory = local_directory(
            os.fspath(pretrained_model_name_or_path),
            ["generation_config.json", "config.json"], **hub_options)
        config = cls.from_native(_m2.GenerationConfig.from_pretrained(directory))
        unused = config.update(**kwargs)
        return (config, unused) if return_unused_kwargs else config
