#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Driver of LMCache's in-process connector for HyperPod, out of an installed `lmcache`.

The connector is made by its own adapter, from the configuration that a user writes. Around it stands the
least that it needs of the engine: an object of configuration, metadata and `allocate` in place of the CPU
backend, whose pinned gigabytes play no part here, and keys that are nothing but their string, for it asks for
no more. The connector hides errors: put() returns the same whatever came of it, which is `not_told` here, and
get() has nothing but misses; its counts are in `stats`.

Written against LMCache as of 2026-07, whose connector dates from 2025-11. Tried against the emulator with the
connector's published code, but stand-ins for PyTorch and the engine: in no installed LMCache.
"""

import asyncio
import importlib.metadata

import driver

try:
    import torch
    from lmcache.v1.config import LMCacheEngineConfig
    from lmcache.v1.memory_management import MemoryFormat, MemoryObjMetadata, TensorMemoryObj
    from lmcache.v1.metadata import LMCacheMetadata
    from lmcache.v1.storage_backend.connector import ConnectorContext
    from lmcache.v1.storage_backend.connector.sagemaker_hyperpod_adapter import (
        SageMakerHyperPodConnectorAdapter,
    )
except ImportError as e:
    driver.skip_without("LMCache with its HyperPod connector", e)


def memory_object(tensor, shape, dtype, fmt):
    metadata = MemoryObjMetadata(
        shape=shape, dtype=dtype, address=0, phy_size=tensor.numel(), ref_count=1, fmt=fmt
    )
    return TensorMemoryObj(tensor, metadata, parent_allocator=None)


def chunk(data):
    """A chunk in the layout of docs/drivers.md, of which the size is even."""
    if len(data) % 2:
        raise ValueError(f"{len(data)} bytes are not a chunk")
    tensor = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    shape = torch.Size([2, 1, len(data) // 2, 1])
    return memory_object(tensor, shape, torch.uint8, MemoryFormat.KV_2LTD)


class CpuMemory:
    def __init__(self, config, metadata):
        self.config = config
        self.metadata = metadata

    def allocate(self, shape, dtype, fmt):
        tensor = torch.empty(shape.numel() * dtype.itemsize, dtype=torch.uint8)
        return memory_object(tensor, shape, dtype, fmt)


class Key:
    def __init__(self, text):
        self.text = text

    def to_string(self):
        return self.text


class Connector(driver.Driver):
    client = "LMCache connector"
    header = "always"
    parameters = (
        "max_concurrent_requests",
        "max_connections",
        "max_connections_per_host",
        "timeout_ms",
        "lease_ttl_s",
        "put_stream_chunk_bytes",
        "max_lease_size_mb",
    )

    def __init__(self):
        self.kv = None

    async def configure(self, url, segment, parameters):
        extra = {f"sagemaker_hyperpod_{name}": value for name, value in parameters.items()}
        extra["sagemaker_hyperpod_shared_memory_name"] = segment
        url = "sagemaker-hyperpod://" + url
        config = LMCacheEngineConfig.from_defaults(remote_url=url, extra_config=extra)
        metadata = LMCacheMetadata(
            model_name="driver",
            world_size=1,
            local_world_size=1,
            worker_id=0,
            local_worker_id=0,
            kv_dtype=torch.uint8,
            kv_shape=(1, 2, 256, 1, 1),
        )
        context = ConnectorContext(
            url=url,
            loop=asyncio.get_running_loop(),
            local_cpu_backend=CpuMemory(config, metadata),
            config=config,
            metadata=metadata,
        )
        self.kv = SageMakerHyperPodConnectorAdapter().create_connector(context)
        self.kv.post_init()
        # Its close() awaits shutdown(), which in some versions is not a coroutine and waits, in the loop's own
        # thread, for the loop: it would never return. This is what it means.
        executor = self.kv.pq_executor
        executor.shutdown = getattr(executor, "shutdown_async", executor.shutdown)

    async def close(self):
        await self.kv.close()

    async def put(self, key, data):
        await self.kv.put(Key(key), chunk(data))
        return driver.not_told()

    async def get(self, key, size):
        return self.outcome(await self.kv.get(Key(key)))

    async def exists(self, key):
        return driver.hit() if await self.kv.exists(Key(key)) else driver.miss()

    async def batch_put(self, items):
        await self.kv.batched_put([Key(key) for key, _ in items], [chunk(data) for _, data in items])
        return [driver.not_told() for _ in items]

    async def batch_get(self, items):
        return [self.outcome(found) for found in await self.kv.batched_get([Key(k) for k, _ in items])]

    async def batch_contains(self, keys):
        return await self.kv.batched_async_contains("driver", [Key(key) for key in keys])

    def stats(self):
        counted = self.kv.stats
        return {
            "get_success": counted["get_success"],
            "get_failure": counted["get_failure"],
            "put_success": counted["put_success"],
            "put_failure": counted["put_failure"],
            "leases_acquired": counted["lease_acquired"],
            "leases_released": counted["lease_released"],
        }

    @staticmethod
    def outcome(found):
        return driver.miss() if found is None else driver.hit(bytes(found.byte_array))


if __name__ == "__main__":
    Connector.client = f"LMCache connector {importlib.metadata.version('lmcache')}"
    driver.run(Connector())
