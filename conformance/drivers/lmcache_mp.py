#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Driver of LMCache's multi-process client for HyperPod, out of an installed `lmcache`.

It calls SageMakerHyperPodClient as LMCache's L2 adapter does: put; acquire, copy, release. That the adapter
repeats failed releases is not a part of the client, and so not judged here. The client cannot do without a segment,
and tells of a put or a read that failed no more than that it failed.

Written against LMCache as of 2026-07 (pull request 4138 and what followed). Tried against the emulator with the
client's published code alone: in no installed LMCache.
"""

import asyncio
import importlib.metadata

import driver

try:
    from lmcache.v1.distributed.l2_adapters.sagemaker_hyperpod_client import SageMakerHyperPodClient
except ImportError as e:
    driver.skip_without("LMCache with its multi-process HyperPod client", e)


class Mp(driver.Driver):
    client = "LMCache MP"
    parameters = (
        "max_concurrent_requests",
        "max_connections",
        "max_connections_per_host",
        "timeout_ms",
        "lease_ttl_s",
        "put_stream_chunk_bytes",
        "lease_wait_timeout_ms",
        "max_lease_size_mb",
    )

    def __init__(self):
        self.kv = None

    async def configure(self, url, segment, parameters):
        if segment is None:
            raise ValueError("this client cannot do without a segment")
        if "lease_ttl_s" in parameters:
            parameters["lease_ttl_ms"] = round(parameters.pop("lease_ttl_s") * 1000)
        scheme, _, address = url.partition("://")
        self.kv = SageMakerHyperPodClient(
            url="sagemaker-hyperpod://" + address,
            shared_memory_name=segment,
            use_https=scheme == "https",
            **parameters,
        )

    async def close(self):
        await self.kv.close()

    async def put(self, key, data):
        return driver.stored() if await self.kv.put(key, memoryview(data)) else driver.error("not stored")

    async def get(self, key, size):
        return (await self.batch_get([(key, size)]))[0]

    async def exists(self, key):
        return driver.hit() if await self.batch_contains([key]) else driver.miss()

    async def batch_put(self, items):
        return await asyncio.gather(*(self.put(*item) for item in items))

    async def batch_get(self, items):
        leases = await self.acquire([key for key, _ in items])
        try:
            return [self.copy(lease, size) for lease, (_, size) in zip(leases, items)]
        finally:
            await self.release(leases)

    async def batch_contains(self, keys):
        leases = await self.acquire(keys)
        await self.release(leases)
        return leases.index(None) if None in leases else len(leases)

    def stats(self):
        return {"circuit_open": self.kv.report_status()["circuit_open"]}

    async def acquire(self, keys):
        return await asyncio.gather(*(self.kv.acquire_lease(key) for key in keys))

    async def release(self, leases):
        await asyncio.gather(*(self.kv.release_lease(lease) for lease in leases if lease is not None))

    def copy(self, lease, size):
        if lease is None:
            return driver.miss()
        data = bytearray(size)
        if not self.kv.copy_from_lease(lease, memoryview(data)):
            return driver.miss("the leased bytes were not copied")
        return driver.hit(data)


if __name__ == "__main__":
    Mp.client = f"LMCache MP {importlib.metadata.version('lmcache')}"
    driver.run(Mp())
