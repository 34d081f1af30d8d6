# SPDX-License-Identifier: Apache-2.0
"""Stand-in of LMCache's memory objects."""

import ctypes
import enum
import math
import types


class MemoryFormat(enum.Enum):
    UNDEFINED = 0
    KV_2LTD = 1
    KV_T2D = 2
    KV_2TD = 3
    BINARY = 4
    BINARY_BUFFER = 5
    KV_MLA_FMT = 6
    EC_TD = 7
    HS_TD = 8


class MemoryObj:
    """Bytes with a layout, and a count of references."""

    def __init__(self, shape, dtype, fmt, shapes=None, dtypes=None):
        self.meta = types.SimpleNamespace(shape=shape, dtype=dtype, fmt=fmt, shapes=shapes,
                                          dtypes=dtypes)
        self.references = 1
        size = sum(math.prod(each) * (type_.itemsize if type_ else 1)
                   for each, type_ in zip(shapes or [shape], dtypes or [dtype]))
        self._memory = (ctypes.c_ubyte * size)()

    @property
    def byte_array(self):
        return memoryview(self._memory)  # of the format "<B", as LMCache's

    def get_size(self):
        return len(self._memory)

    def ref_count_down(self):
        self.references -= 1

    def shorten(self, size, shape):
        self._memory = (ctypes.c_ubyte * size).from_buffer(self._memory)
        self.meta.shape = shape


class LocalCpuBackend:
    """Allocates until its room is used up."""

    def __init__(self, config, metadata, room=1 << 30):
        self.config = config
        self.metadata = metadata
        self.room = room
        self.allocated = []

    def allocate(self, shapes, dtypes, fmt):
        several = isinstance(shapes, list)
        memory = MemoryObj(shapes[0] if several else shapes, dtypes[0] if several else dtypes, fmt,
                           shapes if several else None, dtypes if several else None)
        if memory.get_size() > self.room:
            return None
        self.room -= memory.get_size()
        self.allocated.append(memory)
        return memory


class SchedulersBackend:
    """What stands for the backend in the scheduler's process."""

    def allocate(self, *arguments, **named):
        raise RuntimeError("the scheduler allocates nothing")
