#!/usr/bin/env python3
"""Writes types.gguf: blocks of every supported type beside their values as the PyPI package gguf dequantizes them.

    python make_gguf.py          # needs gguf and numpy; a development-time tool, neither build nor tests run it

For each type T there are the tensor "T" (2 rows of 512 values) and the float32 tensor "T.values". The first row is
quantized from normal values where the package has a quantizer for T and random bits else; the second row is random
bits with finite scales of both signs, so that every code, sign and packed 6-bit scale occurs.
"""
import os

import gguf
import numpy as np
from gguf import GGMLQuantizationType as QT
from gguf import quants

HERE = os.path.dirname(os.path.abspath(__file__))
COLUMNS = 512
# Byte offsets of the float16 scales in a block.
SCALES = {QT.Q8_0: [0], QT.Q4_0: [0], QT.Q4_1: [0, 2], QT.Q5_0: [0], QT.Q5_1: [0, 2], QT.Q4_K: [0, 2], QT.Q5_K: [0, 2], QT.Q6_K: [208]}


def random_blocks(rng, qtype):
    elements, size = gguf.GGML_QUANT_SIZES[qtype]
    blocks = rng.integers(0, 256, (COLUMNS // elements, size), dtype=np.uint8)
    for offset in SCALES[qtype]:
        scale = rng.normal(0, 0.05, len(blocks)).astype(np.float16)
        scale[0] = np.float16(6e-8)  # a subnormal one
        blocks[:, offset:offset + 2] = scale.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(1, -1)


def rows(rng, qtype):
    values = rng.normal(0, 1, (2, COLUMNS)).astype(np.float32)
    if qtype == QT.F32:
        return values
    if qtype == QT.F16:
        values[1, :4] = [6e-8, -65504, 0.0, 1e-5]
        return values.astype(np.float16)
    if qtype == QT.BF16:
        return quants.quantize(values, qtype)
    try:
        first = quants.quantize(values[:1], qtype)
    except NotImplementedError:
        first = random_blocks(rng, qtype)
    return np.concatenate([first, random_blocks(rng, qtype)])


def main():
    rng = np.random.default_rng(20260122)
    writer = gguf.GGUFWriter(os.path.join(HERE, "types.gguf"), "llama")
    for qtype in [QT.F32, QT.F16, QT.BF16, *SCALES]:
        data = rows(rng, qtype)
        values = quants.dequantize(data, qtype).astype(np.float32)
        assert np.isfinite(values).all() and values.shape == (2, COLUMNS), qtype
        writer.add_tensor(qtype.name, data, raw_dtype=qtype)
        writer.add_tensor(qtype.name + ".values", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
