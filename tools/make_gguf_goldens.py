#!/usr/bin/env python3
"""Writes tests/golden/gguf: containers and quantised blocks made by the gguf package.

Usage: build/peers/bin/python tools/make_gguf_goldens.py [output directory]

  container.gguf          every type of metadata, tensors in several types
  split-0000N-of-00002.gguf   the same tensors in two parts
  TYPE.blocks, TYPE.floats    random blocks of a quantised type, and what they decode to
  TYPE.source, TYPE.encoded   numbers and the blocks that they become (types that gguf can make)
"""

import pathlib
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

DEFAULT = pathlib.Path(__file__).parent.parent / "tests/golden/gguf"
SEED = 20261126
DECODED = (Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q2_K, Type.Q3_K, Type.Q4_K,
           Type.Q5_K, Type.Q6_K, Type.IQ4_NL, Type.IQ4_XS)
ENCODED = (Type.Q8_0, Type.Q4_0)
# Byte positions of the float16 numbers of a block; random bytes there could be infinite.
HALVES = {Type.Q8_0: (0,), Type.Q4_0: (0,), Type.Q4_1: (0, 2), Type.Q5_0: (0,), Type.Q5_1: (0, 2),
          Type.Q2_K: (80, 82), Type.Q3_K: (108,), Type.Q4_K: (0, 2), Type.Q5_K: (0, 2),
          Type.Q6_K: (208,), Type.IQ4_NL: (0,), Type.IQ4_XS: (0,)}


def random_blocks(kind: Type, count: int, random: np.random.Generator) -> np.ndarray:
    size = gguf.GGML_QUANT_SIZES[kind][1]
    blocks = random.integers(0, 256, (count, size), dtype=np.uint8)
    for position in HALVES[kind]:
        halves = (random.standard_normal(count) * 0.05).astype(np.float16)
        halves[-1] = np.float16(3e-7)  # subnormal
        blocks[:, position:position + 2] = halves.view(np.uint8).reshape(count, 2)
    return blocks


def write_blocks(output: pathlib.Path, random: np.random.Generator) -> None:
    for kind in DECODED:
        elements = gguf.GGML_QUANT_SIZES[kind][0]
        blocks = random_blocks(kind, max(3, 128 // elements), random)
        floats = gguf.quants.dequantize(blocks.reshape(1, -1), kind)
        (output / f"{kind.name}.blocks").write_bytes(blocks.tobytes())
        (output / f"{kind.name}.floats").write_bytes(floats.astype("<f4").tobytes())
    for kind in ENCODED:
        source = (random.standard_normal((8, 32)) * 0.02).astype(np.float32)
        source[1] = 0
        source[2, 5] = 7.5
        (output / f"{kind.name}.source").write_bytes(source.tobytes())
        (output / f"{kind.name}.encoded").write_bytes(gguf.quants.quantize(source, kind).tobytes())


def add_tensors(writer: gguf.GGUFWriter) -> None:
    writer.add_tensor("token_embd.weight", np.arange(12, dtype=np.float32).reshape(3, 4))
    writer.add_tensor("blk.0.attn_norm.weight", np.arange(5, dtype=np.float16))
    quantised = gguf.quants.quantize(np.linspace(-1, 1, 2 * 3 * 64, dtype=np.float32)
                                     .reshape(2, 3, 64), Type.Q8_0)
    writer.add_tensor("blk.0.ffn_gate_exps.weight", quantised, raw_dtype=Type.Q8_0)
    writer.add_tensor("output_norm.weight", np.array([1.5], dtype=np.float32))


def add_metadata(writer: gguf.GGUFWriter) -> None:
    writer.add_uint8("test.uint8", 200)
    writer.add_int8("test.int8", -100)
    writer.add_uint16("test.uint16", 60000)
    writer.add_int16("test.int16", -30000)
    writer.add_uint32("test.uint32", 4000000000)
    writer.add_int32("test.int32", -2000000000)
    writer.add_uint64("test.uint64", 1 << 63)
    writer.add_int64("test.int64", -(1 << 62))
    writer.add_float32("test.float32", 0.5)
    writer.add_float64("test.float64", 1e-300)
    writer.add_bool("test.bool", True)
    writer.add_string("test.string", "Zeichen: \u00e4\u6f22")
    writer.add_array("test.strings", ["", "a", "b c"])
    writer.add_array("test.int32s", [1, -2, 3])
    writer.add_array("test.same", [7, 7, 7])


def write_containers(output: pathlib.Path) -> None:
    writer = gguf.GGUFWriter(output / "container.gguf", "minimax-m2")
    split = gguf.GGUFWriter(output / "split.gguf", "minimax-m2", split_max_tensors=3)
    for each in (writer, split):
        add_metadata(each)
        add_tensors(each)
        each.write_header_to_file()
        each.write_kv_data_to_file()
        each.write_tensors_to_file()
        each.close()


def main() -> None:
    output = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    output.mkdir(parents=True, exist_ok=True)
    write_blocks(output, np.random.default_rng(SEED))
    write_containers(output)


if __name__ == "__main__":
    main()
