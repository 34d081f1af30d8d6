# SPDX-License-Identifier: Apache-2.0
"""That the reference client keeps its half of docs/protocol.md and the driver docs/drivers.md, and
that none of its switches is dead.

Each defect has a probe, which finds the promise kept by the plain client and broken by the
defective one. Client and reference daemon run in one loop, whose clock the tests move.
"""

import asyncio
import fcntl
import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

import client_driver
import client_switches as switches
import daemon
from daemon_test import MovableLoop

BLOCK = 4096
CAPACITY = 1 << 20
PATIENCE = 60  # Seconds within which what must happen happens.
serial = itertools.count()


class WatchedConnection(daemon.Connection):
    """A connection whose requests a test sees, and may answer itself."""

    async def route(self, request):
        world = self.daemon.world
        kind = "put" if request.method == b"PUT" else "lease"
        if request.target.endswith(b"/release"):
            kind = "release"
        world.requests.append((kind, request, self))
        world.in_flight += 1
        world.peak = max(world.peak, world.in_flight)
        world.most_connections = max(world.most_connections, len(self.daemon.connections))
        try:
            if kind in world.blocked:
                await world.blocked[kind].wait()
            if kind in world.scripts:
                response = await world.scripts[kind](self, request)
                if response is not None:
                    return response
            return await super().route(request)
        finally:
            world.in_flight -= 1


class World:
    """A daemon, clients of it, and what went between them."""

    def __init__(self, loop, name=None, places=()):
        self.loop = loop
        self.on = frozenset([name] if name else [])
        self.places = frozenset(places)
        self.requests = []
        self.in_flight = self.peak = self.most_connections = 0
        self.blocked = {}  # Events, by kind of request.
        self.scripts = {}  # Coroutine functions, by kind of request.
        self.clients = []

    async def start(self):
        self.segment = "reference-client-test-%d-%d" % (os.getpid(), next(serial))
        self.path = "/dev/shm/" + self.segment
        self.daemon = daemon.Daemon(self.loop, self.segment, CAPACITY, self.places, BLOCK)
        self.daemon.connection_type = WatchedConnection
        self.daemon.world = self
        self.port = await self.daemon.listen("127.0.0.1", 0)

    async def stop(self):
        for event in self.blocked.values():
            event.set()
        for client in self.clients:
            client.pool.close()
            client.segment.detach()
            for connection in client.pool.leaked:
                connection.close()
        await self.daemon.stop()

    def client(self, **parameters):
        parameters.setdefault("save_chunk_meta", False)
        parameters.setdefault("bucket", "b")
        url = "http://127.0.0.1:%d" % self.port
        self.clients.append(client_driver.Client(url, self.segment, parameters, self.on))
        return self.clients[-1]

    def block(self, kind):
        self.blocked[kind] = asyncio.Event()

    def answer(self, kind, status, body=b"", type="application/json"):
        async def script(connection, request):
            await connection.discard(request)
            return daemon.Response(status, body, type)

        self.scripts[kind] = script

    def fail(self, kind):
        """Lets requests of a kind end with their connection."""

        async def script(connection, _):
            connection.transport.abort()
            raise daemon.Gone

        self.scripts[kind] = script

    async def settle(self):
        """Lets everything happen that needs no time to pass."""
        for _ in range(100):
            await asyncio.sleep(0)

    async def advance(self, seconds):
        self.loop.skew += seconds
        await self.settle()

    async def until(self, condition, seconds=PATIENCE):
        deadline = self.loop.time() + seconds
        while not condition() and self.loop.time() < deadline:
            await asyncio.sleep(0.001)
        return condition()

    async def ended(self, tasks):
        """Whether these have ended when all has settled."""
        await self.settle()
        done = all(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        return done

    def begin(self, *calls):
        return [self.loop.create_task(call) for call in calls]

    def store(self, key, data, bucket="b"):
        name = bucket.encode(), key.encode()
        upload = self.daemon.store.begin(name, len(data))
        upload.write(memoryview(data))
        self.daemon.store.finish(upload)

    def stored(self, key, bucket="b"):
        return self.daemon.store.bytes_of(self.daemon.store.objects[bucket.encode(), key.encode()])

    def seen(self, kind):
        return [request for one, request, _ in self.requests if one == kind]

    def granted_ids(self):
        return self.daemon.store.granted

    def releases(self):
        return [request.target.split(b"/")[3].decode() for request in self.seen("release")]


def data_of(size=1000):
    return os.urandom(size)


def is_hit(outcome, data):
    return outcome["outcome"] == "hit" and outcome["sha256"] == hashlib.sha256(data).hexdigest()


PROBES = {}


def probe(*names, places=()):
    def register(function):
        for name in names:
            PROBES[name] = (function, places)
        return function

    return register


# Throttling and connections.


async def peak_of(w, calls, most):
    tasks = w.begin(*calls)
    await w.until(lambda: w.in_flight >= most)
    await w.settle()
    for task in tasks:
        task.cancel()
    return w.peak <= most


@probe("one-request-too-many")
async def _(w):
    client = w.client(max_concurrent_requests=2)
    w.block("lease")
    return await peak_of(w, [client.exists("k") for _ in range(5)], 2)


@probe("releases-not-counted")
async def _(w):
    client = w.client(max_concurrent_requests=1)
    w.store("k", b"x")
    w.block("release")
    return await peak_of(w, [client.exists("k") for _ in range(2)], 1)


@probe("limit-of-each-operation")
async def _(w):
    client = w.client(max_concurrent_requests=1)
    w.block("lease")
    w.block("put")
    return await peak_of(w, [client.exists("k"), client.put("p", b"x")], 1)


@probe("limit-grows-with-failures")
async def _(w):
    client = w.client(max_concurrent_requests=1)
    w.fail("put")
    await client.put("p", b"x")
    w.block("lease")
    return await peak_of(w, [client.exists("k") for _ in range(3)], 1)


@probe("place-lost-with-a-failure")
async def _(w):
    client = w.client(max_concurrent_requests=1)
    w.store("k", b"x")
    w.fail("put")
    await client.put("p", b"x")
    return await w.ended(w.begin(client.exists("k")))


@probe("default-limit-of-200")
async def _(w):
    client = w.client(max_connections_per_host=256)
    w.block("lease")
    return await peak_of(w, [client.exists("k") for _ in range(150)], 100)


@probe("backlog-limited")
async def _(w):
    client = w.client(max_concurrent_requests=1)
    w.store("k", b"x")
    outcomes = await asyncio.gather(*(client.exists("k") for _ in range(60)))
    return all(outcome["outcome"] == "hit" for outcome in outcomes)


async def most_connections(w, **limits):
    client = w.client(max_concurrent_requests=5, **limits)
    w.block("lease")
    await peak_of(w, [client.exists("k") for _ in range(5)], 2)
    return w.most_connections


@probe("one-connection-too-many", "limit-per-host-ignored")
async def _(w):
    return await most_connections(w, max_connections=4, max_connections_per_host=2) == 2


@probe("limit-of-connections-ignored")
async def _(w):
    return await most_connections(w, max_connections=2, max_connections_per_host=4) == 2


@probe("broken-connections-not-counted")
async def _(w):
    client = w.client(max_connections=1)
    w.block("put")
    task = w.begin(client.put("p", b"x"))
    await w.until(lambda: w.in_flight == 1)
    await w.advance(10)
    await task[0]
    w.blocked["put"].set()
    w.store("k", b"x")
    await client.exists("k")
    await w.settle()
    return len(w.daemon.connections) == 1


async def one_connection(w, call):
    for i in range(3):
        await call(i)
    return len({id(connection) for _, _, connection in w.requests}) == 1


@probe("connection-for-each-request")
async def _(w):
    client = w.client()
    w.answer("lease", 404)
    return await one_connection(w, lambda i: client.exists("k"))


@probe("connection-for-each-put")
async def _(w):
    client = w.client()
    return await one_connection(w, lambda i: client.put("k%d" % i, b"x"))


@probe("idle-connections-stay")
async def _(w):
    client = w.client()
    await client.put("k", b"x")
    for _ in range(3):
        await w.advance(31)
    return not w.daemon.connections


# Deadlines.


async def ends_in_time(w, kind, call):
    w.block(kind)
    task = w.begin(call)
    await w.until(lambda: w.requests and w.requests[-1][0] == kind)
    await w.advance(11)
    return await w.ended(task)


@probe("no-deadline-for-leases")
async def _(w):
    return await ends_in_time(w, "lease", w.client().get("k", 1))


@probe("no-deadline-for-puts")
async def _(w):
    return await ends_in_time(w, "put", w.client().put("k", b"x"))


@probe("no-deadline-for-releases")
async def _(w):
    w.store("k", b"x")
    return await ends_in_time(w, "release", w.client().get("k", 1))


@probe("deadline-anew-with-each-byte")
async def _(w):
    async def dribble(connection, _):
        for byte in b"HTTP/1.1 200 " + b"k" * 200:
            connection.transport.write(bytes([byte]))
            await asyncio.sleep(0.3)

    w.scripts["lease"] = dribble
    task = w.begin(w.client(timeout_ms=500).exists("k"))
    await w.until(lambda: w.in_flight == 1)
    for _ in range(10):
        await w.advance(0.3)
    return await w.ended(task)


@probe("late-response-taken-for-the-next")
async def _(w):
    one, two = data_of(), data_of()
    w.store("one", one)
    w.store("two", two)
    client = w.client()
    w.block("lease")
    task = w.begin(client.get("one", 1000))
    await w.until(lambda: w.in_flight == 1)
    await w.advance(11)
    await task[0]
    w.blocked["lease"].set()
    await w.settle()
    return is_hit(await client.get("two", 1000), two)


@probe("queueing-not-counted")
async def _(w):
    client = w.client(max_concurrent_requests=1)
    w.block("lease")
    tasks = w.begin(client.exists("k"), client.exists("k"))
    await w.until(lambda: w.in_flight == 1)
    await w.advance(6)
    return await w.ended(tasks)


# Leases.


async def releases_all(w, call):
    await call
    return w.granted_ids() == len(w.releases()) == len(set(w.releases())) and not w.daemon.store.leases


@probe("lease-kept-after-a-hit", "released-twice", "released-by-delete")
async def _(w):
    w.store("k", data_of())
    return await releases_all(w, w.client().get("k", 1000))


@probe("lease-kept-by-exists")
async def _(w):
    w.store("k", data_of())
    return await releases_all(w, w.client().exists("k"))


@probe("second-of-a-batch-kept")
async def _(w):
    for key in ("a", "b", "c"):
        w.store(key, data_of())
    return await releases_all(w, w.client().batch_get([(key, 1000) for key in ("a", "b", "c")]))


@probe("last-lease-released-again")
async def _(w):
    w.store("k", data_of())
    client = w.client()
    await client.get("k", 1000)
    return await releases_all(w, client.get("k", 1000))


@probe("lease-kept-after-a-failed-copy")
async def _(w):
    w.store("k", data_of())
    outcome = await w.client(lease_ttl_s=1e-9).get("k", 1000)
    return outcome["outcome"] != "hit" and len(w.releases()) == 1


async def refused_and_released(w, grant, size=1000, **parameters):
    w.answer("lease", 200, json.dumps(grant).encode())
    outcome = await w.client(**parameters).get("k", size)
    return outcome["outcome"] != "hit" and w.releases() == [grant["id"]]


@probe("lease-kept-without-offsets", "offsets-missing-taken-for-a-hit")
async def _(w):
    return await refused_and_released(w, {"id": "x", "offsets": []})


@probe("lease-kept-when-too-large", "size-limit-ignored")
async def _(w):
    grant = {"id": "x", "offsets": [{"offset": 0, "len": 5000}]}
    return await refused_and_released(w, grant, 5000, max_lease_size_mb=0.001)


@probe("lease-kept-when-out-of-bounds", "out-of-bounds-cut")
async def _(w):
    return await refused_and_released(w, {"id": "x", "offsets": [{"offset": CAPACITY - 10, "len": 1000}]})


@probe("overlaps-taken-for-a-hit")
async def _(w):
    w.store("k", data_of())
    return await refused_and_released(w, {"id": "x", "offsets": [{"offset": 0, "len": 1000}] * 2})


@probe("one-worker-at-a-time")
async def _(w):
    w.store("k", data_of(100))
    other = os.open(w.path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    driver = client_driver.Driver(w.on)
    driver.client = w.client()
    get = {"op": "get", "key": "k", "size": 100}
    tasks = w.begin(driver.concurrent({"operations": [get]}))
    try:
        return await w.until(lambda: tasks[0].done(), 1)
    finally:
        tasks[0].cancel()
        os.close(other)


@probe("closed-connections-cost-requests")
async def _(w):
    client, data = w.client(), data_of()
    w.store("k", data)
    await client.get("k", 1000)
    for connection in w.daemon.connections:
        connection.transport.abort()
    return is_hit(await client.get("k", 1000), data)


@probe("released-before-the-copy")
async def _(w):
    data = data_of()
    w.store("k", data)

    async def overwrite(*_):
        w.daemon.store.segment.bytes[: 4 * BLOCK] = bytes(4 * BLOCK)

    w.scripts["release"] = overwrite
    return is_hit(await w.client().get("k", 1000), data)


@probe("text-taken-for-a-lease")
async def _(w):
    w.answer("lease", 200, b'{"id": "x", "offsets": [{"offset": 0, "len": 1000}]}', "text/plain")
    return (await w.client().get("k", 1000))["outcome"] != "hit"


@probe("404-is-an-error", "504-is-an-error")
async def _(w):
    client = w.client()
    outcomes = []
    for status in (404, 504):
        w.answer("lease", status)
        outcomes += [await client.get("k", 1), await client.exists("k")]
    return outcomes == [{"outcome": "miss"}] * 4


# TTL.


@probe("expiry-ignored", "expiry-counted-from-the-copy")
async def _(w):
    w.store("k", data_of())

    async def late(connection, request):
        response = await daemon.Connection.route(connection, request)
        w.loop.skew += 60
        return response

    w.scripts["lease"] = late
    return (await w.client(timeout_ms=120_000).get("k", 1000))["outcome"] != "hit"


async def get_while_copying(w, happens):
    """A get in whose copy something happens."""
    w.store("k", data_of())
    client = w.client()
    copy = client.segment.copy

    def disturbed(fragments):
        data = copy(fragments)
        happens()
        return data

    client.segment.copy = disturbed
    return (await client.get("k", 1000))["outcome"]


@probe("expiry-looked-at-before-the-copy")
async def _(w):
    def sleep_long():
        w.loop.skew += 60

    return await get_while_copying(w, sleep_long) != "hit"


@probe("restart-not-noticed-after-the-copy")
async def _(w):
    def replace():
        os.unlink(w.path)
        with open(w.path, "wb") as file:
            file.truncate(CAPACITY)

    try:
        return await get_while_copying(w, replace) != "hit"
    finally:
        os.unlink(w.path)


async def query_of(w, **parameters):
    w.answer("lease", 404)
    await w.client(**parameters).exists("k")
    return w.seen("lease")[0].target.split(b"?")[1].decode()


@probe("ttl-of-10s", "ttl-in-milliseconds", "timeout-with-a-point")
async def _(w):
    return await query_of(w) == "timeout_ms=5000&ttl_s=30.0"


@probe("timeout-below-100-taken")
async def _(w):
    return (await query_of(w, timeout_ms=10)).startswith("timeout_ms=100&")


# The segment.


@probe("mapped-for-writing")
async def _(w):
    client = w.client()
    try:
        client.segment.map[:1] = b"x"
    except TypeError:
        return True
    return False


@probe("first-fragment-read-on", "fragments-sorted", places=("backwards",))
async def _(w):
    data = data_of(3 * BLOCK)
    w.store("k", data)
    return is_hit(await w.client().get("k", 3 * BLOCK), data)


@probe("mapped-once")
async def _(w):
    client = w.client()
    w.store("k", data_of())
    await client.get("k", 1000)
    await w.daemon.restart()
    await w.settle()
    data = data_of()
    w.store("k", data)
    return is_hit(await client.get("k", 1000), data)


@probe("missing-segment-given-up")
async def _(w):
    os.rename(w.path, w.path + "-away")
    client = w.client()
    os.rename(w.path + "-away", w.path)
    data = data_of()
    w.store("k", data)
    return is_hit(await client.get("k", 1000), data)


@probe("unlinked-at-the-end")
async def _(w):
    await w.client().close()
    return os.path.exists(w.path)


@probe("unlinked-at-exit")
async def _(w):
    configure = {"id": 1, "op": "configure", "url": "http://127.0.0.1:%d" % w.port, "segment": w.segment}
    command = [sys.executable, "-B", client_driver.__file__]
    for name in w.on:
        command += ["--break", name]
    line = json.dumps(configure) + "\n"
    subprocess.run(command, input=line, text=True, capture_output=True, timeout=PATIENCE)
    return os.path.exists(w.path)


# Recovery.


@probe("misses-open-the-breaker")
async def _(w):
    client = w.client()
    w.answer("lease", 504)
    for _ in range(4):
        await client.exists("k")
    return (await client.put("p", b"x"))["outcome"] == "stored"


@probe("conflicts-open-the-breaker")
async def _(w):
    client = w.client()
    w.store("k", b"x")
    for _ in range(4):
        await client.put("k", b"x")
    return (await client.exists("k"))["outcome"] == "hit"


@probe("breaker-never-closes", "breaker-closes-after-a-minute")
async def _(w):
    client = w.client()
    w.fail("put")
    for _ in range(4):
        await client.put("p", b"x")
    w.scripts.clear()
    await w.advance(5)
    return (await client.put("p", b"x"))["outcome"] == "stored"


@probe("201-is-stored", "503-is-stored")
async def _(w):
    client = w.client()
    outcomes = []
    for status in (201, 204, 503, 400):
        w.answer("put", status)
        outcomes.append((await client.put("p", b"x"))["outcome"])
    return outcomes == ["error"] * 4


@probe("lost-put-is-stored")
async def _(w):
    w.block("put")
    task = w.begin(w.client().put("p", b"x"))
    await w.until(lambda: w.in_flight == 1)
    await w.advance(10)
    return (await task[0])["outcome"] == "error"


@probe("failed-put-sent-again")
async def _(w):
    w.answer("put", 500)
    await w.client().put("p", b"x")
    return len(w.seen("put")) == 1


# The wire.


@probe("key-encoded-twice", "slashes-bare", "plus-bare", "space-as-plus", "percent-bare", "hex-in-lower-case",
       "key-as-latin-1")  # fmt: skip
async def _(w):
    await w.client().put("m/n@1%2b c+d\u00e9~", b"x")
    return w.seen("put")[0].target == b"/v1/kv/b/m%2Fn@1%252b%20c%2Bd%C3%A9~"


@probe("body-chunked", "expect-sent", "no-content-type", "other-user-agent")
async def _(w):
    await w.client().put("k", b"xyz")
    headers = w.seen("put")[0].headers
    return (
        headers.get(b"content-length") == [b"3"]
        and headers.get(b"content-type") == [b"application/octet-stream"]
        and headers.get(b"user-agent") == [b"LMCache-SageMaker-HyperPod/1.0"]
        and not {b"transfer-encoding", b"expect"} & set(headers)
    )


@probe("lease-without-length")
async def _(w):
    await query_of(w)
    return w.seen("lease")[0].headers.get(b"content-length") == [b"0"]


@probe("header-big-endian", "header-length-of-the-object")
async def _(w):
    await w.client(save_chunk_meta=True).put("k", bytes(128))
    return w.stored("k").hex() == "80000000010000000600000002000000010000004000000001000000" + "00" * 128


@probe("header-always")
async def _(w):
    await w.client().put("k", b"x")
    return w.stored("k") == b"x"


class RecordingWriter:
    def __init__(self):
        self.writes = []

    def write(self, data):
        self.writes.append(bytes(data))

    async def drain(self):
        pass


@probe("body-in-one-piece")
async def _(w):
    connection = client_driver.Connection(None, RecordingWriter())
    await w.client(put_stream_chunk_bytes=2000)._send(connection, "PUT", "/", [], bytes(9000))
    return max(len(data) for data in connection.writer.writes[1:]) == 2000


@probe("bucket-ignored")
async def _(w):
    await w.client(bucket="mine").put("k", b"x")
    return w.seen("put")[0].target == b"/v1/kv/mine/k"


# Batches.


async def batch_around_a_miss(w):
    w.store("k", b"x")

    async def script(connection, request):
        if b"/absent/" in request.target:
            return connection.error(404, "absent")

    w.scripts["lease"] = script
    return w.client()


@probe("batch-spoiled-by-one", "batch-shifted-by-a-miss", "batch-ends-at-a-miss")
async def _(w):
    client = await batch_around_a_miss(w)
    results = await client.batch_get([("k", 1), ("absent", 1), ("k", 1)])
    gets = [result["outcome"] for result in results] == ["hit", "miss", "hit"]
    w.answer("put", 500)
    puts = await client.batch_put([("p", b"x"), ("q", b"x")])
    return gets and [result["outcome"] for result in puts] == ["error", "error"]


@probe("prefix-counted-beyond-a-miss")
async def _(w):
    client = await batch_around_a_miss(w)
    return await client.batch_contains(["k", "absent", "k"]) == (1, None)


@probe("prefix-without-its-last")
async def _(w):
    client = await batch_around_a_miss(w)
    return await client.batch_contains(["k", "k"]) == (2, None)


@probe("lookups-lock-each-other-out")
async def _(w):
    client = w.client(max_concurrent_requests=4)
    w.store("k", b"x")
    tasks = w.begin(*(client.batch_contains(["k"] * 4) for _ in range(4)))
    await w.until(lambda: client.gate.queued > 0 or all(task.done() for task in tasks))
    for _ in range(3):
        await w.advance(10)
    return all(task.done() and task.result() == (4, None) for task in tasks)


def run(function, *arguments, **settings):
    """What a coroutine function of a new world returns."""
    loop = MovableLoop()
    asyncio.set_event_loop(loop)

    async def whole():
        world = World(loop, *arguments, **settings)
        await world.start()
        try:
            return await function(world)
        finally:
            await world.stop()

    try:
        return loop.run_until_complete(whole())
    finally:
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        for _ in range(5):  # What was aborted is closed when the loop runs next.
            loop.run_until_complete(asyncio.sleep(0))
        asyncio.set_event_loop(None)
        loop.close()


class Defects(unittest.TestCase):
    def test_each_has_a_probe(self):
        self.assertEqual(set(PROBES), {switch.name for switch in switches.DEFECTS})

    def test_probes_find_the_plain_client_faultless(self):
        for function, places in set(PROBES.values()):
            with self.subTest([name for name, one in PROBES.items() if one[0] is function]):
                self.assertTrue(run(function, places=places))

    def test_probes_find_each_defect(self):
        for name, (function, places) in PROBES.items():
            with self.subTest(name):
                self.assertFalse(run(function, name, places))


async def a_round(w):
    """Everything a client offers, as it should be; what is not so, or ""."""
    client = w.client(timeout_ms=1000)
    await client.start()
    size = 3 * BLOCK + 4
    for key in ("a/b@c", "d e", "f+%"):
        stored = await client.put(key, client_driver.payload(1, size))
        if stored != {"outcome": "stored"}:
            return "put: %s" % stored
    again = await client.put("d e", b"xx")
    if again["outcome"] not in ("exists", "stored"):
        return "put again: %s" % again
    for key in ("a/b@c", "d e", "f+%"):
        outcome = await client.get(key, size)
        if not is_hit(outcome, client_driver.payload(1, size)):
            return "get: %s" % outcome
    task = w.begin(client.exists("absent"))
    await w.until(lambda: w.daemon.store.held() == 1)
    await w.advance(1.2)
    if (await task[0])["outcome"] not in ("miss", "error"):
        return "exists: %s" % task[0].result()
    if await client.batch_contains(["a/b@c", "d e"]) != (2, None):
        return "batch_contains"
    await w.advance(0.3)
    await client.close()
    return "" if not w.daemon.store.leases else "leases are left"


class Variations(unittest.TestCase):
    def test_each_serves(self):
        for name in [None] + [switch.name for switch in switches.VARIATIONS]:
            with self.subTest(name):
                self.assertEqual(run(a_round, name), "")

    def test_each_is_read_by_the_client(self):
        with open(client_driver.__file__) as file:
            source = file.read()
        for switch in switches.SWITCHES.values():
            self.assertIn('"%s"' % switch.name, source)


class Driver(unittest.TestCase):
    """docs/drivers.md."""

    def exchange(self, *lines, on=()):
        async def ask(world):
            driver = client_driver.Driver(frozenset(on))
            answers = []
            for line in lines:
                if isinstance(line, dict):
                    line = json.dumps(line)
                line = line.replace("PORT", str(world.port)).replace("SEGMENT", world.segment)
                answers.append(await driver.answer(line))
            await driver.close(None)
            return answers

        return run(ask)

    CONFIGURE = {"id": 1, "op": "configure", "url": "http://127.0.0.1:PORT", "segment": "SEGMENT",
                 "save_chunk_meta": False}  # fmt: skip

    def test_carries_out_operations(self):
        put = {"id": 2, "op": "put", "key": "k", "size": 100, "seed": 7}
        get = {"op": "get", "key": "k", "size": 100}
        digest = hashlib.sha256(client_driver.payload(7, 100)).hexdigest()
        concurrent = {"id": 4, "op": "concurrent", "operations": [get]}
        answers = self.exchange(self.CONFIGURE, put, {"id": 3, **get}, concurrent, {"id": 5, "op": "stats"},
                                {"id": 6, "op": "close"})  # fmt: skip
        hit = {"outcome": "hit", "size": 100, "sha256": digest}
        self.assertEqual(answers[1], {"id": 2, "ok": True, "outcome": "stored"})
        self.assertEqual(answers[2], {"id": 3, "ok": True, **hit})
        self.assertEqual(answers[3], {"id": 4, "ok": True, "results": [hit]})
        self.assertEqual(answers[4]["leases_released"], 2)
        self.assertEqual(answers[5], {"id": 6, "ok": True})

    def test_says_what_is_wrong_with_a_line(self):
        for line in ("{", "[]", "1", '{"op": "hello"}', '{"id": 1}',
                     {"id": 1, "op": "put", "key": "k", "size": 1, "seed": 1},
                     {"id": 1, "op": "configure", "url": "ftp://x", "segment": None},
                     {"id": 1, "op": "configure", "url": "http://x"}):  # fmt: skip
            with self.subTest(line):
                answer = self.exchange(line)[0]
                self.assertFalse(answer["ok"])
                self.assertTrue(re.search(r"\w", answer["error"]))

    def test_does_not_do_what_it_does_not_offer(self):
        answer = self.exchange({"id": 1, "op": "batch_get", "items": []}, on=["batches-not-offered"])[0]
        self.assertEqual(answer, {"id": 1, "ok": False, "unsupported": True})

    def test_ends_by_an_exception_when_it_is_told_to(self):
        command = [sys.executable, "-B", client_driver.__file__]
        line = '{"id": 1, "op": "raise"}\n'
        done = subprocess.run(command, input=line, text=True, capture_output=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 1)
        self.assertIn("RuntimeError", done.stderr)


if __name__ == "__main__":
    unittest.main()
