"""Arguments of from_pretrained() in the forms that the extension takes."""

from __future__ import annotations

import os
import re
from typing import Any

from .configuration import MiniMaxM2Config, dtype_name
from .hub import local_directory, split_hub_options

#: Arguments of the reference that change nothing here.
_IGNORED = ("low_cpu_mem_usage", "trust_remote_code", "offload_folder", "offload_state_dict",
            "offload_buffers", "weights_only", "proxies", "use_kernels", "_fast_init")
_PASSED_ON = ("variant", "ignore_mismatched_sizes", "dequantize", "seed", "num_threads",
               "cpu_mask", "progress")
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def device_name(device: Any) -> str:
    """"cuda:1" for 1, torch.device("cuda", 1) and "cuda:1"."""
    if isinstance(device, int):
        if device < 0:
            raise ValueError(f"device_map: a device number cannot be negative, got {device}")
        return f"cuda:{device}"
    return str(device)


def bytes_of(name: str, size: int | str) -> int:
    """20_000_000_000 for "20GB"; units of 1000 (GB) and 1024 (GiB)."""
    if isinstance(size, int):
        return size
    match = re.fullmatch(r"\s*([0-9.]+)\s*([A-Za-z]*)\s*", size)
    if match is None or match[2].upper() not in _UNITS:
        raise ValueError(f"{name}: {size!r} is no size such as '20GB'")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def device_arguments(device_map: Any, max_memory: dict | None) -> dict[str, Any]:
    """device_map and max_memory as the extension takes them."""
    arguments: dict[str, Any] = {}
    if isinstance(device_map, dict):
        arguments["device_map_modules"] = {
            module: device_name(device) for module, device in device_map.items()}
    elif device_map is not None:
        arguments["device_map"] = device_name(device_map)
    if max_memory is not None:
        arguments["max_memory"] = {
            device_name(device): bytes_of("max_memory", size)
            for device, size in max_memory.items()}
    return arguments


def _wants_dequantized(quantization_config: Any) -> bool:
    if quantization_config is None:
        return False
    values = quantization_config
    if not isinstance(values, dict):
        values = quantization_config.to_dict()
    if values.get("quant_method", "fp8") != "fp8":
        raise NotImplementedError(
            f"quantization_config: only 'fp8' is done, got {values['quant_method']!r}")
    return bool(values.get("dequantize"))


def _changed_config(directory: str, config: Any, strict: bool,
                    kwargs: dict[str, Any]) -> MiniMaxM2Config | None:
    """The configuration to use instead of the directory's; takes its attributes from kwargs."""
    if isinstance(config, (str, os.PathLike)):
        config = MiniMaxM2Config.from_pretrained(config, strict=strict)
    names = {*vars(MiniMaxM2Config()), *MiniMaxM2Config.attribute_map}
    changes = {key: kwargs.pop(key) for key in list(kwargs) if key in names}
    if not changes:
        return config
    if config is None:
        config = MiniMaxM2Config.from_pretrained(directory, strict=strict)
    else:
        config = MiniMaxM2Config.from_dict(config.to_dict(), strict=strict)
    config.update(changes)
    return config


def loading_arguments(
    name: str, *, config: Any = None, dtype: Any = None, torch_dtype: Any = None,
    device_map: Any = None, max_memory: dict | None = None, attn_implementation: str | None = None,
    quantization_config: Any = None, strict: bool = False, use_safetensors: bool | None = None,
    missing_tensors: str = "error", **kwargs: Any,
) -> tuple[str, dict[str, Any]]:
    """(directory, all other arguments of the extension's from_pretrained()); downloads a hub id."""
    if use_safetensors is False:
        raise NotImplementedError("use_safetensors=False: only safetensors files are read")
    if missing_tensors not in ("error", "initialize"):
        raise ValueError(f"missing_tensors: 'error' or 'initialize', got {missing_tensors!r}")
    hub, rest = split_hub_options(kwargs)
    directory = local_directory(name, ["*.json", "*.safetensors"], **hub)
    rest = {key: value for key, value in rest.items() if key not in _IGNORED}
    arguments = {key: rest.pop(key) for key in _PASSED_ON if key in rest}
    chosen = _changed_config(directory, config, strict, rest)
    arguments.update(rest)  # what is left is refused by its name
    arguments.update(strict=strict, attn_implementation=attn_implementation,
                     dtype=dtype_name(dtype if dtype is not None else torch_dtype),
                     initialize_missing=missing_tensors == "initialize")
    arguments.update(device_arguments(device_map, max_memory))
    if chosen is not None:
        arguments["config"] = chosen.to_native_json()
    if _wants_dequantized(quantization_config):
        arguments["dequantize"] = True
    return directory, arguments
