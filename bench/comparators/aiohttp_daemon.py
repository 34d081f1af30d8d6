# SPDX-License-Identifier: Apache-2.0
"""A daemon with the emulator's lease and release, written as one would write it in Python.

What the emulator is measured against: aiohttp on asyncio, state in dicts, a real shared-memory
segment, leases that pin and expire, lease requests that are held until their key is stored.
It prints one line of JSON with its url when it serves.
"""

import argparse
import asyncio
import json
import secrets
import socket
from collections import defaultdict
from multiprocessing import shared_memory

from aiohttp import web


class Daemon:
    def __init__(self, segment):
        self.segment = segment
        self.used = 0
        self.objects = {}  # (bucket, key) -> (offset, length)
        self.leases = {}  # id -> ((bucket, key), timer of its expiry)
        self.pins = defaultdict(int)  # (bucket, key) -> live leases
        self.waiters = defaultdict(list)  # (bucket, key) -> futures

    async def put(self, request):
        name = (request.match_info["bucket"], request.match_info["key"])
        body = await request.read()
        if name in self.objects:
            return web.json_response({"error": "exists"}, status=409)
        if not body:
            return web.json_response({"error": "empty"}, status=400)
        if self.used + len(body) > self.segment.size:
            return web.json_response({"error": "no_room"}, status=507)
        self.segment.buf[self.used : self.used + len(body)] = body
        self.objects[name] = (self.used, len(body))
        self.used += len(body)
        for waiter in self.waiters.pop(name, ()):
            if not waiter.done():
                waiter.set_result(None)
        return web.Response()

    async def lease(self, request):
        name = (request.match_info["bucket"], request.match_info["key"])
        timeout = int(request.query.get("timeout_ms", "0")) / 1000
        ttl = float(request.query.get("ttl_s", "30"))
        if name not in self.objects and not await self.stored_within(name, timeout):
            return web.json_response({"error": "not_found"}, status=504)
        offset, length = self.objects[name]
        lease_id = secrets.token_urlsafe(16)
        timer = asyncio.get_running_loop().call_later(ttl, self.end, lease_id)
        self.leases[lease_id] = (name, timer)
        self.pins[name] += 1
        return web.json_response({"id": lease_id, "offsets": [{"offset": offset, "len": length}]})

    async def stored_within(self, name, timeout):
        waiter = asyncio.get_running_loop().create_future()
        self.waiters[name].append(waiter)
        try:
            await asyncio.wait_for(waiter, timeout)
            return True
        except asyncio.TimeoutError:
            self.waiters[name].remove(waiter)
            return False

    async def release(self, request):
        if not self.end(request.match_info["id"]):
            return web.json_response({"error": "unknown_lease"}, status=404)
        return web.Response()

    def end(self, lease_id):
        name, timer = self.leases.pop(lease_id, (None, None))
        if name is None:
            return False
        timer.cancel()
        self.pins[name] -= 1
        if self.pins[name] == 0:
            del self.pins[name]
        return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shm-name", required=True)
    parser.add_argument("--capacity", type=int, required=True)
    arguments = parser.parse_args()
    segment = shared_memory.SharedMemory(arguments.shm_name, create=True, size=arguments.capacity)
    try:
        serve(Daemon(segment))
    finally:
        segment.close()
        segment.unlink()


def serve(daemon):
    app = web.Application(client_max_size=daemon.segment.size)
    app.router.add_put("/v1/kv/{bucket}/{key}", daemon.put)
    app.router.add_post("/v1/kv/{bucket}/{key}/leases", daemon.lease)
    app.router.add_post("/v1/leases/{id}/release", daemon.release)
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    print(json.dumps({"event": "ready", "url": url}), flush=True)
    web.run_app(app, sock=listener, backlog=4096, access_log=None, print=None)


if __name__ == "__main__":
    main()
