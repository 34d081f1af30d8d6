#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A bad example: a client for the daemon as one writes it on a Friday afternoon, and its driver.

It stores and reads, and passes every test on an idle daemon. Each mistake has a comment that begins with
the requirements (`hyperpod-conformance client --list`) by which the suite finds it; together they are
all that the suite finds, which careless_test.py sees to. Needs aiohttp.
"""

import asyncio
import sys
import urllib.parse
from multiprocessing import shared_memory

import aiohttp

import driver


class Careless(driver.Driver):
    client = "careless client 0.1"
    # C-THROTTLE-01 C-THROTTLE-02 C-THROTTLE-04 C-CONN-01 C-CONN-02 C-CONN-03 C-CONN-04 C-WORKERS-01
    # C-WORKERS-02 C-THROTTLE-05: "It takes these" is true: they are stored, and nobody ever reads them.
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
        self.session = None
        self.segment = None
        self.lease = None

    async def configure(self, url, segment, parameters):
        self.url = url
        self.bucket = parameters.get("bucket", "lmcache")
        # C-WIRE-10: the minimum of 100 ms is somewhere in the documentation.
        self.timeout_ms = parameters.get("timeout_ms", 5000)
        # C-TTL-05: 30 s seemed long.
        self.ttl_s = float(parameters.get("lease_ttl_s", 10.0))
        self.failures = 0
        # C-SHM-01 C-SHM-08: SharedMemory maps for writing, and its resource tracker unlinks at exit.
        # C-SHM-03 C-SHM-04 C-SHM-05 C-SHM-06 C-SHM-09 C-TTL-04: one attaches once, and that is that.
        try:
            self.segment = shared_memory.SharedMemory(segment)
        except (OSError, ValueError) as e:
            print("no segment:", e, file=sys.stderr)
        # C-CONN-06: connections are precious, so they are kept.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=3600)
        # C-WIRE-05: aiohttp has a User-Agent already.
        self.session = aiohttp.ClientSession(connector=connector)

    async def close(self):
        await self.session.close()

    # C-TIME-03: a limit for each read is not a limit for the answer.
    # C-TIME-08: the daemon may hold the request for `timeout_ms`, and at that very moment we hang up.
    def patience(self):
        return aiohttp.ClientTimeout(total=None, sock_read=self.timeout_ms / 1000)

    def object_url(self, key):
        # C-WIRE-01 C-WIRE-02: a slash is escaped here, and quote() escapes the escape.
        # C-WIRE-09: buckets are plain words.
        return f"{self.url}/v1/kv/{self.bucket}/" + urllib.parse.quote(key.replace("/", "%2F"), safe="")

    async def put(self, key, data):
        # C-WIRE-04: the type is the one that S3 has.
        headers = {"Content-Type": "binary/octet-stream"}
        # C-BREAKER-05: the daemon may have been busy.
        for _ in range(3):
            # C-WIRE-08: one piece is faster than many.
            # C-TIME-01 C-TIME-04 C-TIME-05 C-TIME-10: no deadline, so that large objects get through.
            async with self.session.put(
                self.object_url(key), data=data, headers=headers, timeout=None
            ) as answer:
                if answer.status == 409:
                    return driver.exists()
                # C-BREAKER-04: every 2xx is a success.
                if answer.status < 300:
                    return driver.stored()
        return driver.error(f"status {answer.status}")

    async def acquire(self, key):
        # C-BREAKER-01 C-BREAKER-03: who misses or fails five times in a row is down, and stays down.
        if self.failures >= 5:
            raise ConnectionError("the daemon is down")
        lease = None
        try:
            lease = await self.ask(key)
        finally:
            self.failures = 0 if lease else self.failures + 1
        self.lease = lease or self.lease
        return lease

    async def ask(self, key):
        query = {"timeout_ms": self.timeout_ms, "ttl_s": self.ttl_s}
        url = self.object_url(key) + "/leases"
        async with self.session.post(url, params=query, timeout=self.patience()) as answer:
            # C-LEASE-08: nothing but 504 is a miss.
            if answer.status == 504:
                return None
            answer.raise_for_status()
            # C-LEASE-06: the daemon says it is JSON, one way or the other.
            return await answer.json(content_type=None)

    async def release(self):
        # C-LEASE-07: ids are of letters and digits.
        # C-CONN-05: a session of its own, for it is only a release.
        async with aiohttp.ClientSession() as session:
            await session.post(f"{self.url}/v1/leases/{self.lease['id']}/release")

    async def get(self, key, size):
        if await self.acquire(key) is None:
            return driver.miss()
        # C-LEASE-02: by the time that the copy is made, the lease in hand may be another call's.
        data = await asyncio.to_thread(self.read, self.lease["offsets"])
        # C-LEASE-01 C-LEASE-04 C-LEASE-05 C-LEASE-09 C-LEASE-10: what raises or returns above releases
        # nothing, and no limit of size is looked at.
        await self.release()
        return driver.hit(data)

    def read(self, offsets):
        # C-SHM-02: an object lies in one piece.
        # C-SHM-07: a slice beyond the end is just shorter.
        # C-TTL-01 C-TTL-02 C-TTL-03: the time is not looked at, before or after.
        first = offsets[0]["offset"]
        return bytes(self.segment.buf[first : first + sum(part["len"] for part in offsets)])

    async def exists(self, key):
        if await self.acquire(key) is None:
            return driver.miss()
        # C-LEASE-03: the release as it was before LMCache's pull request 1968.
        await self.session.delete(self.object_url(key) + "/leases/" + self.lease["id"])
        return driver.hit()

    async def batch_put(self, items):
        # C-BATCH-02: all or nothing.
        outcomes = await asyncio.gather(*(self.put(*item) for item in items))
        failed = [outcome for outcome in outcomes if outcome["outcome"] == "error"]
        return [failed[0]] * len(items) if failed else outcomes

    async def batch_get(self, items):
        # C-BATCH-01: the first exception is everybody's.
        return await asyncio.gather(*(self.get(*item) for item in items))

    async def batch_contains(self, keys):
        # C-BATCH-03: how many there are, rather than how many from the first on.
        outcomes = await asyncio.gather(*(self.exists(key) for key in keys))
        return sum(outcome["outcome"] == "hit" for outcome in outcomes)


if __name__ == "__main__":
    driver.run(Careless())
