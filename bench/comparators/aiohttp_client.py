# SPDX-License-Identifier: Apache-2.0
"""A client that reads as LMCache's connector does, written as one would write it in Python.

What the C++ client is measured against: aiohttp on asyncio over keep-alive connections; for each
read the key is encoded, a lease taken under a deadline and checked, the bytes copied out of the
mapped segment, and the lease released. Each key is read over and over by a task of its own. It
prints one line of JSON with its rate.
"""

import argparse
import asyncio
import json
import mmap
import os
import time
import urllib.parse

import aiohttp
from yarl import URL

WARM_UP = 0.2
BUCKET = "lmcache"
HOLD_MS = 5000
MARGIN_S = 0.5
TTL_S = 30.0


class Client:
    """Bounded in requests and connections, with deadlines, and distrustful of what it is told."""

    def __init__(self, session, base, segment):
        self.session = session
        self.base = base
        self.segment = segment
        self.gate = asyncio.Semaphore(100)

    async def post(self, target, params, timeout):
        url = URL(self.base + target, encoded=True).update_query(params)
        async with self.gate:
            limit = aiohttp.ClientTimeout(total=timeout)
            async with self.session.post(url, timeout=limit) as answer:
                is_json = answer.headers.get("Content-Type", "").startswith("application/json")
                return answer.status, await answer.json() if is_json else None

    async def get(self, key, buffer):
        """Bytes read into `buffer`, or None for a miss."""
        target = f"/v1/kv/{BUCKET}/{urllib.parse.quote(key, safe='')}/leases"
        expires = time.monotonic() + TTL_S
        params = {"timeout_ms": HOLD_MS, "ttl_s": TTL_S}
        status, lease = await self.post(target, params, HOLD_MS / 1000 + MARGIN_S)
        if status in (404, 504):
            return None
        if status != 200 or lease is None:
            raise RuntimeError(f"no lease: {status}")
        try:
            return self.copy(lease, expires, buffer)
        finally:
            await self.release(lease["id"])

    def copy(self, lease, expires, buffer):
        fragments = [(f["offset"], f["len"]) for f in lease["offsets"]]
        if any(o < 0 or n <= 0 or o + n > len(self.segment) for o, n in fragments):
            raise RuntimeError("a lease beyond the segment")
        if sum(n for _, n in fragments) > len(buffer):
            raise RuntimeError("an object beyond the buffer")
        copied = 0
        for offset, length in fragments:
            buffer[copied : copied + length] = self.segment[offset : offset + length]
            copied += length
        return copied if time.monotonic() < expires else None

    async def release(self, lease_id):
        target = f"/v1/leases/{urllib.parse.quote(lease_id, safe='')}/release"
        status, _ = await self.post(target, {}, HOLD_MS / 1000)
        if status != 200:
            raise RuntimeError(f"no release: {status}")


async def read_over_and_over(client, key, object_bytes, start, end):
    buffer = bytearray(object_bytes)
    count = 0
    while (now := time.monotonic()) < end:
        if await client.get(key, buffer) is None:
            raise RuntimeError(f"lost: {key}")
        count += now >= start
    return count


async def measure(arguments, mapping):
    base = f"http://127.0.0.1:{arguments.port}"
    segment = memoryview(mapping)
    connector = aiohttp.TCPConnector(limit=256, limit_per_host=128, keepalive_timeout=30)
    headers = {"User-Agent": "LMCache-SageMaker-HyperPod/1.0"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        client = Client(session, base, segment)
        start = time.monotonic() + WARM_UP
        end = start + arguments.seconds
        tasks = [read_over_and_over(client, key, arguments.object_bytes, start, end)
                 for key in arguments.keys]
        counts = await asyncio.gather(*tasks)
    segment.release()
    print(json.dumps({"gets_per_second": sum(counts) / arguments.seconds}), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--shm-name", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--object-bytes", type=int, required=True)
    parser.add_argument("keys", nargs="+")
    arguments = parser.parse_args()
    # Not by multiprocessing.shared_memory, which would unlink the segment in the end.
    file = os.open(f"/dev/shm/{arguments.shm_name}", os.O_RDONLY)
    with mmap.mmap(file, 0, prot=mmap.PROT_READ) as mapping:
        asyncio.run(measure(arguments, mapping))


if __name__ == "__main__":
    main()
