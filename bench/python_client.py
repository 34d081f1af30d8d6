# SPDX-License-Identifier: Apache-2.0
"""What the rows of the Python package measure. Prints one line of JSON with a figure a second.

The package is the one of this build: hyperpod-bench sets PYTHONPATH and HYPERPOD_KV_BIN. LMCache's
connector runs in the stand-in of LMCache that the package's tests have, with memory that is
allocated once and used again, as LMCache's own is.
"""

import argparse
import asyncio
import json
import math
import pathlib
import statistics
import sys
import time
import types

WARM_UP = 0.2
STANDIN = pathlib.Path(__file__).resolve().parents[1] / "python" / "tests" / "standin"


class Rate:
    """Counts what falls between the end of the warm-up and the end."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.start = time.monotonic() + WARM_UP
        self.end = self.start + seconds
        self.count = 0

    def goes_on(self):
        return time.monotonic() < self.end

    def add(self):
        self.count += time.monotonic() >= self.start

    def a_second(self):
        return self.count / self.seconds


def get_into(client, arguments):
    rate = Rate(arguments.seconds)
    buffer = bytearray(arguments.object_bytes)
    while rate.goes_on():
        for key in arguments.keys:
            if client.get_into(key, buffer) != len(buffer):
                raise RuntimeError(f"lost: {key}")
            rate.add()
    return rate.a_second()


async def each_over_and_over(rate, keys, read):
    async def one(key):
        while rate.goes_on():
            if await read(key) is None:
                raise RuntimeError(f"lost: {key}")
            rate.add()

    await asyncio.gather(*map(one, keys))


def aget(client, arguments):
    rate = Rate(arguments.seconds)
    asyncio.run(each_over_and_over(rate, arguments.keys, client.aget))
    return rate.a_second()


def lmcache(client, arguments):
    """Chunks in place of the objects, of so many bytes with their header."""
    client.close()
    sys.path.insert(0, str(STANDIN))
    import torch
    from hyperpod_kv.lmcache import HyperPodKvConnector
    from lmcache.v1.memory_management import MemoryFormat, MemoryObj

    class Backend:
        metadata = None

        def __init__(self):
            self.free = []

        def allocate(self, shape, dtype, fmt):
            memory = self.free.pop() if self.free else MemoryObj(shape, dtype, fmt)
            memory.ref_count_down = lambda: self.free.append(memory)
            return memory

    backend = Backend()
    prefix = "remote_storage_plugin.hyperpodkv."
    config = types.SimpleNamespace(remote_url=None, use_layerwise=False, extra_config={
        prefix + "remote_url": arguments.url, prefix + "shared_memory_name": arguments.shm_name})
    shape = torch.Size([arguments.object_bytes])
    assert math.prod(shape) == arguments.object_bytes

    class Key(str):
        to_string = str.__str__

    async def run():
        connector = HyperPodKvConnector(asyncio.get_running_loop(), backend, config)

        async def read(key):
            memory = await connector.get(key)
            if memory is not None:
                memory.ref_count_down()
            return memory

        keys = [Key(f"chunk{number}") for number in range(len(arguments.keys))]
        chunk = MemoryObj(shape, torch.uint8, MemoryFormat.BINARY)
        for key in keys:
            await connector.put(key, chunk)
        rate = Rate(arguments.seconds)
        await each_over_and_over(rate, keys, read)
        await connector.close()
        return rate.a_second()

    return asyncio.run(run())


def start(client, arguments):
    """Milliseconds in which a daemon of the fixture starts, the median."""
    from hyperpod_kv import Daemon

    client.close()
    taken = []
    end = time.monotonic() + arguments.seconds
    while time.monotonic() < end or len(taken) < 5:
        begin = time.monotonic()
        daemon = Daemon()
        taken.append((time.monotonic() - begin) * 1000)
        daemon.stop()
    return statistics.median(taken)


def main():
    from hyperpod_kv import Client

    kinds = {kind.__name__: kind for kind in (get_into, aget, lmcache, start)}
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("--url", required=True)
    parser.add_argument("--shm-name", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--object-bytes", type=int, required=True)
    parser.add_argument("keys", nargs="+")
    arguments = parser.parse_args()
    client = Client(arguments.url, shared_memory_name=arguments.shm_name)
    print(json.dumps({"figure": kinds[arguments.kind](client, arguments)}), flush=True)


if __name__ == "__main__":
    main()
