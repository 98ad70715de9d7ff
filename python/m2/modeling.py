"""MiniMaxM2Model and MiniMaxM2ForCausalLM."""

from __future__ import annotations

import json
import os
import warnings
from typing import Any

from . import _m2
from .arrays import (FLOATS, INTEGERS, MASK, POSITIONS, any_torch, as_array, scalar_to_kind,
                     to_kind, to_kinds)
from .configuration import MiniMaxM2Config, dtype_name
from .generation import GenerationMixin
from .generation_configuration import GenerationConfig
from .loading import device_arguments, device_name, loading_arguments
from .outputs import MoeCausalLMOutputWithPast, MoeModelOutputWithPast


class Device(str):
    """"cpu" or "cuda:0", with the attributes of torch.device."""

    @property
    def type(self) -> str:
        return self.partition(":")[0]

    @property
    def index(self) -> int | None:  # type: ignore[override]
        number = self.partition(":")[2]
        return int(number) if number else None


class PreTrainedModel:
    """What both models have in common. One thread at a time may use a model."""

    config_class = MiniMaxM2Config
    main_input_name = "input_ids"
    base_model_prefix = "model"
    _native_class: Any
    _output_class: Any
    forward: Any

    def __init__(self, config: MiniMaxM2Config, *, dtype: Any = None, device_map: Any = None,
                 attn_implementation: str | None = None, seed: int | None = None,
                 num_threads: int | None = None) -> None:
        """A model with random weights; the same seed gives the same weights."""
        native = self._native_class.from_config(
            config.to_native_json(), dtype=dtype_name(dtype),
            attn_implementation=attn_implementation, seed=seed, num_threads=num_threads,
            strict=config._strict, **device_arguments(device_map, None))
        self._take(native, config)
        self.train()  # as a fresh module of the reference; from_pretrained() gives one that is not

    def _take(self, native: Any, config: MiniMaxM2Config) -> None:
        self._native = native
        self.config = config

    @classmethod
    def _from_native(cls, native: Any, config: MiniMaxM2Config) -> Any:
        model = cls.__new__(cls)
        model._take(native, config)
        return model

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike, *,
        output_loading_info: bool = False, strict: bool = False, **kwargs: Any,
    ) -> Any:
        """Loads a directory or a hub id.

        Keywords: revision, subfolder, cache_dir, token, force_download, local_files_only; config;
        dtype ("auto", "float32", "bfloat16", "float16" or torch's); device_map (a device, "auto",
        "balanced", "balanced_low_0", "sequential" or a dictionary) with max_memory;
        attn_implementation ("sdpa", "eager"); quantization_config (dequantize); variant;
        ignore_mismatched_sizes; missing_tensors ("error" or "initialize"); progress(done, total);
        and attributes of the configuration. `strict=True`: quirks of transformers 5.1.

        With output_loading_info returns (model, info): missing_keys, unexpected_keys,
        mismatched_keys, error_msgs, device_map, device_report.
        """
        path = os.fspath(pretrained_model_name_or_path)
        directory, arguments = loading_arguments(path, strict=strict, **kwargs)
        native, info = cls._native_class.from_pretrained(directory, **arguments)
        for sentence in info.pop("warnings"):
            warnings.warn(sentence, stacklevel=2)
        config = MiniMaxM2Config(strict=strict, _name_or_path=path,
                                 **json.loads(native.config_json()))
        model = cls._from_native(native, config)
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            info[kind] = set(info[kind])
        return (model, info) if output_loading_info else model

    @classmethod
    def from_config(cls, config: MiniMaxM2Config, **kwargs: Any) -> Any:
        """A model with random weights, of the type that the config names."""
        if kwargs.get("dtype") is None:
            kwargs["dtype"] = config.dtype
        return cls(config, **kwargs)

    def save_pretrained(self, save_directory: str | os.PathLike, *,
                        max_shard_size: int | str = "50GB", variant: str | None = None,
                        save_original_format: bool = True) -> None:
        """Writes config and weights as transformers reads them; files are complete or absent."""
        self.config.refuse_generation_fields()
        self._prepared().save_pretrained(
            os.fspath(save_directory), max_shard_size=str(max_shard_size), variant=variant,
            save_original_format=save_original_format)

    def _prepared(self) -> Any:
        """The native model, told what was changed on `config` since the last call."""
        config = self.config
        self._native.set_config_flags(
            config.num_hidden_layers, config.use_cache, config.output_hidden_states,
            config.output_attentions, config.output_router_logits)
        return self._native

    @property
    def dtype(self) -> str:
        """The element type of the weights; activations are float32."""
        return self.config.dtype or "float32"

    def num_parameters(self) -> int:
        """Parameters that are not buffers; each shared tensor once."""
        return self._native.num_parameters()

    @property
    def hf_device_map(self) -> dict[str, str]:
        """Where every module is."""
        return self._native.device_map()

    @property
    def device(self) -> Device:
        """Where the model's first module is."""
        return Device(next(iter(self.hf_device_map.values()), "cpu"))

    def to(self, device: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Itself for the device that it is on. Weights are placed when a model is loaded.

        Raises NotImplementedError for anything else: load with device_map or dtype instead.
        """
        wanted = Device("" if device is None else device_name(device))
        same = wanted.type == self.device.type and wanted.index in (None, self.device.index)
        if args or kwargs or not same:
            raise NotImplementedError(
                f"a model does not move: it is on {self.device}; load it with "
                "from_pretrained(..., device_map=..., dtype=...) where you want it")
        return self

    @property
    def training(self) -> bool:
        return self._native.training

    def train(self, mode: bool = True) -> Any:
        """Dropout and router jitter act, drawn from the seed of manual_seed()."""
        self._native.train(mode)
        return self

    def eval(self) -> Any:
        return self.train(False)

    def manual_seed(self, seed: int) -> None:
        self._native.manual_seed(seed)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def _forward(self, return_dict: bool | None, arrays: dict[str, tuple[Any, str]],
                 others: dict[str, Any]) -> Any:
        as_torch = any_torch(*(value for value, _ in arrays.values()))
        arguments = {key: as_array(key, value, kind) for key, (value, kind) in arrays.items()}
        output = self._prepared().forward(**arguments, **others)
        for sentence in output.pop("warnings", ()):
            warnings.warn(sentence, stacklevel=4)
        for key, value in output.items():
            if key in ("loss", "aux_loss"):
                output[key] = scalar_to_kind(value, as_torch)
            elif key != "past_key_values":
                output[key] = (to_kinds if isinstance(value, list) else to_kind)(value, as_torch)
        record = self._output_class(**output)
        wanted = self.config.return_dict if return_dict is None else return_dict
        return record if wanted else record.to_tuple()


class MiniMaxM2Model(PreTrainedModel):
    """The bare decoder, made from a MiniMaxM2Config or by from_pretrained()."""

    _native_class = _m2.MiniMaxM2Model
    _output_class = MoeModelOutputWithPast

    def forward(
        self, input_ids: Any = None, attention_mask: Any = None, position_ids: Any = None,
        past_key_values: Any = None, inputs_embeds: Any = None, use_cache: bool | None = None,
        cache_position: Any = None, *, output_hidden_states: bool | None = None,
        output_attentions: bool | None = None, output_router_logits: bool | None = None,
        return_dict: bool | None = None,
    ) -> MoeModelOutputWithPast | tuple:
        """B rows, S tokens of this call, K keys (past and new), H hidden size.

        input_ids [B, S] or inputs_embeds [B, S, H]; attention_mask [B, K] (non-zero: a real token)
        or [B or 1, Nq or 1, S, K] (bool: attend; floats: added to the scores); position_ids
        [B or 1, S]; cache_position [S]. Arrays are NumPy, torch or lists; torch in, torch out.
        """
        return self._forward(return_dict, {
            "input_ids": (input_ids, INTEGERS), "attention_mask": (attention_mask, MASK),
            "position_ids": (position_ids, INTEGERS), "inputs_embeds": (inputs_embeds, FLOATS),
            "cache_position": (cache_position, INTEGERS),
        }, {"past_key_values": past_key_values, "use_cache": use_cache,
            "output_hidden_states": output_hidden_states, "output_attentions": output_attentions,
            "output_router_logits": output_router_logits})


class MiniMaxM2ForCausalLM(GenerationMixin, PreTrainedModel):
    """The decoder with its head, made from a MiniMaxM2Config or by from_pretrained()."""

    _native_class = _m2.MiniMaxM2ForCausalLM
    _output_class = MoeCausalLMOutputWithPast

    def _take(self, native: Any, config: MiniMaxM2Config) -> None:
        super()._take(native, config)
        self.generation_config = GenerationConfig.from_native(native.generation_config())

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Also writes generation_config.json."""
        self._generating()
        super().save_pretrained(save_directory, **kwargs)

    def forward(
        self, input_ids: Any = None, attention_mask: Any = None, position_ids: Any = None,
        past_key_values: Any = None, inputs_embeds: Any = None, labels: Any = None,
        use_cache: bool | None = None, output_router_logits: bool | None = None,
        cache_position: Any = None, logits_to_keep: Any = 0, *,
        output_hidden_states: bool | None = None, output_attentions: bool | None = None,
        shift_labels: Any = None, ignore_index: int = -100, num_items_in_batch: Any = None,
        return_dict: bool | None = None,
    ) -> MoeCausalLMOutputWithPast | tuple:
        """As MiniMaxM2Model.forward(), and:

        labels [B, S]: position s predicts labels[s + 1], ignore_index is left out of the loss;
        shift_labels [B, S_kept] takes their place without the shift; num_items_in_batch divides
        the sum of losses. logits_to_keep: n > 0 the last n positions, 0 all, an array these.
        """
        keep = isinstance(logits_to_keep, int)
        return self._forward(return_dict, {
            "input_ids": (input_ids, INTEGERS), "attention_mask": (attention_mask, MASK),
            "position_ids": (position_ids, INTEGERS), "inputs_embeds": (inputs_embeds, FLOATS),
            "cache_position": (cache_position, INTEGERS), "labels": (labels, INTEGERS),
            "shift_labels": (shift_labels, INTEGERS),
            "logits_to_keep_positions": (None if keep else logits_to_keep, POSITIONS),
        }, {"past_key_values": past_key_values, "use_cache": use_cache,
            "output_hidden_states": output_hidden_states, "output_attentions": output_attentions,
            "output_router_logits": output_router_logits, "ignore_index": ignore_index,
            "logits_to_keep": logits_to_keep if keep else None,
            "num_items_in_batch": None if num_items_in_batch is None
            else float(num_items_in_batch)})

    @property
    def model(self) -> MiniMaxM2Model:
        """The decoder of this model: the same weights and config."""
        return MiniMaxM2Model._from_native(self._native.model(), self.config)

    base_model = model

    def can_generate(self) -> bool:
        return True

    def resize_token_embeddings(self, new_num_tokens: int | None = None,
                                pad_to_multiple_of: int | None = None, mean_resizing: bool = True,
                                *, seed: int = 0) -> int:
        """Grows or shrinks embedding and head; returns the new vocabulary size."""
        size = self.config.vocab_size if new_num_tokens is None else new_num_tokens
        size = self._native.resize_token_embeddings(
            size, pad_to_multiple_of or 0, mean_resizing, seed)
        self.config.vocab_size = size
        return size
