# SPDX-License-Identifier: Apache-2.0
"""Stand-in of LMCache's base of remote connectors."""

import abc
import math

import torch


class RemoteConnector(abc.ABC):
    def __init__(self, config, metadata):
        extra = config.extra_config or {}
        self.save_chunk_meta = bool(extra.get("save_chunk_meta", True)) or config.use_layerwise
        groups = metadata.groups if metadata else []
        self.meta_shapes = [shape for shape, _ in groups]
        self.meta_dtypes = [type_ for _, type_ in groups]
        self.meta_fmt = metadata.fmt if metadata else None
        self.full_chunk_size_bytes = sum(math.prod(shape) * type_.itemsize
                                         for shape, type_ in groups)
        self.single_token_size = (self.full_chunk_size_bytes // metadata.tokens if metadata else 0)
        self.remote_metadata_bytes = 8 + 20 * max(1, len(groups))

    def reshape_partial_chunk(self, memory_obj, bytes_read):
        if bytes_read % self.single_token_size or bytes_read > self.full_chunk_size_bytes:
            raise ValueError(f"{bytes_read} bytes are not a number of tokens")
        shape = list(memory_obj.meta.shape)
        shape[2] = bytes_read // self.single_token_size
        memory_obj.shorten(bytes_read, torch.Size(shape))
        return memory_obj

    @abc.abstractmethod
    async def exists(self, key): ...

    @abc.abstractmethod
    def exists_sync(self, key): ...

    @abc.abstractmethod
    async def get(self, key): ...

    @abc.abstractmethod
    async def put(self, key, memory_obj): ...

    @abc.abstractmethod
    async def list(self): ...

    @abc.abstractmethod
    async def close(self): ...

    def support_ping(self):
        return False

    def support_batched_get(self):
        return False

    def support_batched_put(self):
        return False

    def support_batched_contains(self):
        return False

    def support_batched_async_contains(self):
        return False

    def support_batched_get_non_blocking(self):
        return False
