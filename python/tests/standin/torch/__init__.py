# SPDX-License-Identifier: Apache-2.0
"""Stand-in of torch: types of elements and Size, without tensors."""


class dtype:
    def __init__(self, name, itemsize):
        self.name = name
        self.itemsize = itemsize

    def __repr__(self):
        return f"torch.{self.name}"


float16 = half = dtype("float16", 2)
bfloat16 = dtype("bfloat16", 2)
float32 = dtype("float32", 4)
float64 = dtype("float64", 8)
uint8 = dtype("uint8", 1)
float8_e4m3fn = dtype("float8_e4m3fn", 1)
float8_e5m2 = dtype("float8_e5m2", 1)


class Size(tuple):
    pass
