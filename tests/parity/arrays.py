"""safetensors files and the small number types, with NumPy alone."""

import json
import struct

import numpy as np

# Types that NumPy has; BF16 and F8_E4M3 travel as their bits.
NAMES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16,
    "F8_E4M3": np.uint8, "F8_E5M2": np.uint8, "I64": np.int64, "I32": np.int32, "U8": np.uint8,
    "BOOL": np.bool_,
}  # fmt: skip


def to_bf16(values):
    """The bits of the nearest bfloat16, ties to even. values: finite f32."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _e4m3_numbers():
    """What the 127 bit patterns without sign mean, ascending: [127] f64."""
    bits = np.arange(0x7F)
    exponent, mantissa = bits >> 3, bits & 7
    normal = (1 + mantissa / 8) * 2.0 ** (exponent - 7)
    return np.where(exponent == 0, mantissa / 8 * 2.0**-6, normal)


E4M3 = _e4m3_numbers()


def to_e4m3(values):
    """The bits of the nearest number of F8_E4M3, ties to even; |values| <= 448."""
    size = np.abs(values.astype(np.float64))
    above = np.searchsorted(E4M3, size).clip(1, len(E4M3) - 1)
    below = above - 1
    down, up = size - E4M3[below], E4M3[above] - size
    best = np.where((down < up) | ((down == up) & (below % 2 == 0)), below, above)
    return (best | np.where(np.signbit(values), 0x80, 0)).astype(np.uint8)


def from_e4m3(bits):
    size = E4M3[bits & 0x7F]
    return np.where(bits & 0x80, -size, size).astype(np.float32)


def write_safetensors(path, tensors, metadata=None):
    """tensors: name -> array, or (type name, array of its bits)."""
    header, parts, offset = {}, [], 0
    if metadata is not None:
        header["__metadata__"] = metadata
    for name in sorted(tensors):
        value = tensors[name]
        kind, array = value if isinstance(value, tuple) else (None, value)
        if kind is None:
            kind = next(key for key, dtype in NAMES.items() if array.dtype == dtype)
        data = np.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": kind, "shape": list(array.shape),
                        "data_offsets": [offset, offset + len(data)]}  # fmt: skip
        parts.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))


def read_header(path):
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(size)), 8 + size


def read_safetensors(path, with_types=False):
    """name -> array; BF16 and F8_E4M3 as their bits. with_types: (type name, array)."""
    header, start = read_header(path)
    header.pop("__metadata__", None)
    data = np.fromfile(path, np.uint8)
    result = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        array = data[start + begin : start + end].view(NAMES[entry["dtype"]])
        array = array.reshape(entry["shape"])
        result[name] = (entry["dtype"], array) if with_types else array
    return result
