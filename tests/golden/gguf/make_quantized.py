#!/usr/bin/env python3
"""Writes quantized.gguf: values, and the bytes that the PyPI package gguf quantizes them to.

    python make_quantized.py     # needs gguf and numpy; a development-time tool, neither build nor tests run it

"values" is float32, 6 rows of 256: normal values of three sizes, values of one sign, zeros with one value among them, and
rows whose extremes are equal in size (the clipped end of Q4_0 and Q5_0). For each type T that the package quantizes there
is the tensor "T" of the same shape.
"""
import os

import gguf
import numpy as np
from gguf import GGMLQuantizationType as QT
from gguf import quants

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    rng = np.random.default_rng(20261122)
    values = np.concatenate([rng.normal(0, s, (1, 256)) for s in (0.02, 1, 300)] +
                            [np.abs(rng.normal(0, 1, (1, 256))), np.zeros((1, 256)), rng.normal(0, 0.3, (1, 256))]).astype(np.float32)
    values[4, 40] = -0.75  # the other blocks of this row are all zero
    values[5, ::32] = 1.5
    values[5, 17::32] = -1.5
    writer = gguf.GGUFWriter(os.path.join(HERE, "quantized.gguf"), "llama")
    writer.add_tensor("values", values)
    for qtype in (QT.F16, QT.BF16, QT.Q8_0, QT.Q4_0, QT.Q4_1, QT.Q5_0):
        writer.add_tensor(qtype.name, quants.quantize(values, qtype), raw_dtype=qtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
