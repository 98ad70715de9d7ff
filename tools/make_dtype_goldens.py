#!/usr/bin/env python3
"""Writes tests/golden/tensor/dtype_casts.json: casts of torch between float32 and small floats.

Usage: make_dtype_goldens.py [output file]. Needs torch. All numbers are bit patterns.
"""

import json
import pathlib
import sys

import torch

DEFAULT = pathlib.Path(__file__).parent.parent / "tests/golden/tensor/dtype_casts.json"


def float_bits(values: torch.Tensor) -> list[int]:
    return [bits & 0xFFFFFFFF for bits in values.view(torch.int32).tolist()]


def samples() -> torch.Tensor:
    """Every exponent with mantissas around the rounding points of all three formats."""
    generator = torch.Generator().manual_seed(20261122)
    points = []
    for exponent in range(0, 255, 3):
        for mantissa in (0, 1, 0x7FFFF, 0x80000, 0x80001, 0xFFF, 0x1000, 0x1001, 0x7FFF, 0x8000,
                         0x18000, 0x180000, 0x7FFFFF):
            points.append((exponent << 23) | mantissa)
    for exponent in range(100, 136):  # the range of e4m3 and of binary16, densely
        for _ in range(24):
            mantissa = int(torch.randint(0, 1 << 23, (1,), generator=generator))
            kept = int(torch.randint(0, 4, (1,), generator=generator))
            mask = (0x7FFFFF, 0x780000, 0x7FF000, 0x7F8000)[kept]
            points.append((exponent << 23) | (mantissa & mask))
    signs = torch.randint(0, 2, (len(points),), generator=generator).tolist()
    bits = [point | sign << 31 for point, sign in zip(points, signs)]
    signed = [value - (1 << 32) if value >= 1 << 31 else value for value in bits]
    return torch.tensor(signed, dtype=torch.int32).view(torch.float32)


def main() -> None:
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    codes = torch.arange(256, dtype=torch.int32).to(torch.uint8)
    values = samples()
    # The library saturates where torch gives NaN, hence the clamp.
    to_f8 = values.clamp(-448, 448).to(torch.float8_e4m3fn).view(torch.uint8)
    golden = {
        "torch": torch.__version__,
        "f8_e4m3_values": float_bits(codes.view(torch.float8_e4m3fn).to(torch.float32)),
        "f32": float_bits(values),
        "f8_e4m3": to_f8.tolist(),
        "f16": [bits & 0xFFFF for bits in values.to(torch.float16).view(torch.int16).tolist()],
        "bf16": [bits & 0xFFFF for bits in values.to(torch.bfloat16).view(torch.int16).tolist()],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
