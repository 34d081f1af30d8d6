# SPDX-License-Identifier: Apache-2.0
"""That the reference daemon keeps docs/protocol.md, and that none of its switches is dead.

Each defect has a probe, which finds the promise kept by the plain daemon and broken by the
defective one; each variation is put through a whole round of the protocol. The daemon runs in this
process, on a loop whose clock the tests move, so that no test waits for a TTL.
"""

import asyncio
import contextlib
import gzip
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import zlib

import daemon
import store
import switches

BLOCK = 4096
PATIENCE = 60  # Seconds within which anything that must happen happens.
serial = itertools.count()


class MovableLoop(asyncio.SelectorEventLoop):
    """A loop whose clock can be moved on."""

    skew = 0.0

    def time(self):
        return super().time() + self.skew


class Response:
    def __init__(self, status, headers, body, interim):
        self.status = status
        self.headers = headers  # Lists of values, by name in lower case.
        self.body = body
        self.interim = interim  # Statuses of the interim responses before it.

    def json(self):
        return json.loads(self.body)


class Client:
    """One connection, spoken to in raw HTTP."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.file = self.socket.makefile("rb")
        self.last_method = b""

    def send(self, data):
        self.last_method = data.split(b" ")[0]
        host = b"127.0.0.1:%d" % self.socket.getpeername()[1]
        self.socket.sendall(data.replace(b"\r\nHost: x\r\n", b"\r\nHost: %s\r\n" % host, 1))

    def response(self):
        """The next response; None if the connection ends before it."""
        interim = []
        while True:
            line = self.file.readline()
            if not line:
                return None
            status = int(line.split(b" ")[1])
            headers = {}
            while (line := self.file.readline()) not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                headers.setdefault(name.lower(), []).append(value.strip())
            if status >= 200:
                break
            interim.append(status)
        return Response(status, headers, self._body(status, headers), interim)

    def _body(self, status, headers):
        if status == 204 or self.last_method == b"HEAD":
            return b""
        if headers.get(b"transfer-encoding", [b""])[0].lower() == b"chunked":
            body = b""
            while size := int(self.file.readline().split(b";")[0], 16):
                body += self.file.read(size)
                self.file.readline()
            while self.file.readline() not in (b"\r\n", b""):
                pass
        elif b"content-length" in headers:
            body = self.file.read(int(headers[b"content-length"][0]))
        else:
            body = self.file.read()
        coding = headers.get(b"content-encoding", [b""])[0]
        return {b"gzip": gzip.decompress, b"deflate": zlib.decompress}.get(coding, bytes)(body)

    def is_quiet(self):
        return not select.select([self.socket], [], [], 0)[0]

    def close(self):
        self.file.close()
        self.socket.close()


class Bench:
    """A running daemon, and what tests do with it."""

    def __init__(self, *names, capacity=1 << 20, block=BLOCK):
        self.capacity = capacity
        self.loop = MovableLoop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.shm_name = "reference-test-%d-%d" % (os.getpid(), next(serial))
        on = daemon.with_needs(names)
        self.daemon = self.run(self._start(on, block))
        self.clients = []

    async def _start(self, on, block):
        made = daemon.Daemon(self.loop, self.shm_name, self.capacity, on, block)
        self.port = await made.listen("127.0.0.1", 0)
        return made

    def close(self):
        for client in self.clients:
            client.close()
        self.run(self.daemon.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)

    def call(self, function):
        async def call():
            return function()

        return self.run(call())

    @property
    def store(self):
        return self.daemon.store

    def wait(self, condition, seconds=PATIENCE):
        """Whether the condition holds on the daemon's loop within this time."""
        deadline = time.monotonic() + seconds
        while not self.call(condition):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.001)
        return True

    def advance(self, seconds):
        async def move():
            self.loop.skew += seconds
            for _ in range(5):
                await asyncio.sleep(0)

        self.run(move())

    def client(self):
        self.clients.append(Client(self.port))
        return self.clients[-1]

    def ask(self, data, client=None):
        client = client or self.client()
        client.send(data)
        return client.response()

    # The protocol's requests. Names are as they stand in the target.

    def put(self, key, body, client=None, bucket="b", headers=""):
        response = self.ask(put_head(key, len(body), bucket, headers) + body, client)
        return response and response.status

    def begin_put(self, key, body, sent, bucket="b"):
        """A PUT of which `sent` bytes of the body have arrived."""
        client = self.client()
        client.send(put_head(key, len(body), bucket) + body[:sent])
        self.wait(lambda: any(u.received >= sent for us in self.store.uploads.values() for u in us), 1)
        return client

    def cut_short(self, key, body, sent, bucket="b"):
        client = self.client()
        client.send(put_head(key, len(body), bucket) + body[:sent])
        self.gone(client)

    def gone(self, client):
        """Closes a connection, and waits until the daemon knows."""
        port = client.socket.getsockname()[1]
        client.close()
        ports = lambda: {c.transport.get_extra_info("peername")[1] for c in self.daemon.connections}
        self.wait(lambda: port not in ports())

    def acquire(self, key, hold=0, ttl=30.0, client=None, bucket="b", query=None):
        return self.ask(lease_head(key, hold, ttl, bucket, query), client)

    def grant(self, key, **terms):
        """A granted lease; None if it was refused."""
        response = self.acquire(key, **terms)
        return response.json() if response and response.status == 200 else None

    def hold(self, key, hold=10_000, ttl=30.0, bucket="b"):
        """A client whose request the daemon holds, or has answered."""
        client = self.client()
        before = self.call(lambda: self.store.held())
        client.send(lease_head(key, hold, ttl, bucket))
        self.wait(lambda: self.store.held() > before or not client.is_quiet())
        return client

    def held(self):
        return self.call(lambda: self.store.held())

    def release(self, id, client=None):
        head = "POST /v1/leases/%s/release HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" % id
        return self.ask(head.encode(), client).status

    def read(self, grant):
        with open("/dev/shm/" + self.shm_name, "rb") as file:
            return b"".join(os.pread(file.fileno(), f["len"], f["offset"]) for f in grant["offsets"])

    # What probes are built from.

    def leased(self, size=1000, ttl=30.0):
        """A stored object and a lease on it."""
        key = fresh()
        body = os.urandom(size)
        self.put(key, body)
        return key, body, self.grant(key, ttl=ttl)

    def fill(self):
        """Stores twice what the cache holds. True if every PUT was answered 200."""
        return all([self.put(fresh(), os.urandom(self.capacity // 8)) == 200 for _ in range(16)])

    def safe(self, body, grant):
        """Whether leased bytes outlive a full cache."""
        self.fill()
        return self.read(grant) == body

    def has_room(self):
        return self.put(fresh(), os.urandom(self.capacity * 3 // 4)) == 200

    def stores(self, size):
        key, body, grant = self.leased(size)
        return grant is not None and self.read(grant) == body

    def told_apart(self, one, two, bucket_one="b", bucket_two="b"):
        """Whether two names are two objects."""
        first = self.put(one, b"one", bucket=bucket_one)
        grant = self.grant(two, bucket=bucket_two)
        second = self.put(two, b"two", bucket=bucket_two)
        mine = self.grant(one, bucket=bucket_one)
        return first == second == 200 and grant is None and self.read(mine) == b"one"

    def restart(self):
        self.run(self.daemon.restart())


def fresh():
    return "key-%d" % next(serial)


def put_head(key, length, bucket="b", headers=""):
    head = "PUT /v1/kv/%s/%s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n"
    return (head % (bucket, key, headers, length)).encode()


def lease_head(key, hold=0, ttl=30.0, bucket="b", query=None):
    if query is None:
        query = "timeout_ms=%d&ttl_s=%s" % (hold, ttl)
    return (
        "POST /v1/kv/%s/%s/leases?%s HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip, deflate\r\n"
        "Content-Length: 0\r\n\r\n"
        % (bucket, key, query)
    ).encode()


# Probes: each tells whether the promise is kept that its defect breaks.

PROBES = {}


def probe(name, **settings):
    def register(function):
        PROBES[name] = (function, settings)
        return function

    return register


def probes(table, function, **settings):
    for name, arguments in table.items():
        PROBES[name] = (lambda b, a=arguments: function(b, *a), settings)


def pin_holds_for(b, seconds, ttl):
    _, body, grant = b.leased(ttl=ttl)
    b.advance(seconds)
    return b.safe(body, grant)


probes({
    "pin-ends-after-a-second": (1.5, 30.0),
    "pin-ends-at-half-the-ttl": (16, 30.0),
    "pin-ends-at-nine-tenths": (28, 30.0),
    "pin-capped-at-5s": (6, 30.0),
}, pin_holds_for)  # fmt: skip


def lives_for(b, seconds, ttl):
    grant = b.leased(ttl=ttl)[2]
    b.advance(seconds)
    return b.release(grant["id"]) == 200


probes({
    "ttl-capped-at-5s": (6, 30.0),
    "ttl-capped-at-10s": (11, 30.0),
    "leases-end-400ms-early": (29.8, 30.0),
    "ttl-fraction-dropped": (1.5, 1.9),
    "ttl-exponent-ignored": (5, 1e16),
    "ttl-wraps-after-an-hour": (60, 3605.0),
    "ttl-in-milliseconds": (1, 30.0),
}, lives_for)  # fmt: skip


@probe("small-objects-not-pinned")
def _(b):
    _, body, grant = b.leased(1000)
    return b.safe(body, grant)


@probe("victims-chosen-at-the-head", capacity=4 << 20)
def _(b):
    size = b.capacity // 8
    keys = [b.leased(size, ttl=0.001)[0] for _ in range(8)]
    b.advance(1)
    body = os.urandom(size)
    client = b.begin_put(fresh(), body, size // 2)
    grants = [(grant, b.read(grant)) for key in keys if (grant := b.grant(key)) is not None]
    client.send(body[size // 2 :])
    client.response()
    return all(b.read(grant) == before for grant, before in grants)


@probe("large-objects-return-damaged", capacity=8 << 20)
def _(b):
    key, body, grant = b.leased(2 << 20)
    b.release(grant["id"])
    b.fill()
    again = b.grant(key)
    return again is None or b.read(again) == body


@probe("conflict-evicts-itself", capacity=4 << 20)
def _(b):
    keys = []
    for _ in range(8):
        keys.append(fresh())
        b.put(keys[-1], os.urandom(b.capacity // 8))
    return b.put(keys[0], os.urandom(b.capacity // 8)) == 409 and b.grant(keys[0]) is not None


@probe("pins-saturate-at-255")
def _(b):
    key, _, grant = b.leased(b.capacity // 2)
    client = b.client()
    for other in [grant] + [b.grant(key, client=client) for _ in range(255)]:
        b.release(other["id"])
    return b.has_room()


@probe("ttl-with-many-digits-refused")
def _(b):
    return b.grant(b.leased()[0], query="timeout_ms=0&ttl_s=0.30000000000000004") is not None


@probe("pin-ends-with-first-release")
def _(b):
    key, body, grant = b.leased()
    b.release(b.grant(key)["id"])
    return b.safe(body, grant)


@probe("pin-ends-with-double-release")
def _(b):
    key, body, grant = b.leased()
    other = b.grant(key)["id"]
    return b.release(other) == 200 and b.release(other) == 404 and b.safe(body, grant)


@probe("pin-ends-with-connection")
def _(b):
    key, body = fresh(), os.urandom(1000)
    client = b.client()
    b.put(key, body, client)
    grant = b.grant(key, client=client)
    b.gone(client)
    return b.safe(body, grant)


@probe("pin-ends-at-409")
def _(b):
    key, body, grant = b.leased()
    return b.put(key, body) == 409 and b.safe(body, grant)


@probe("pin-ends-at-an-aborted-put")
def _(b):
    key, body, grant = b.leased()
    b.cut_short(key, body, 500)
    return b.safe(body, grant)


@probe("pin-ends-at-a-bad-lease-request")
def _(b):
    key, body, grant = b.leased()
    return b.acquire(key, query="timeout_ms=soon&ttl_s=1").status == 400 and b.safe(body, grant)


def woken(b, hold=10_000):
    key, body = fresh(), os.urandom(1000)
    client = b.hold(key, hold)
    b.put(key, body)
    return body, client.response().json()


@probe("pin-missing-when-woken")
def _(b):
    return b.safe(*woken(b))


@probe("woken-lease-ends-at-its-timeout")
def _(b):
    body, grant = woken(b, 1000)
    b.advance(2)
    return b.safe(body, grant)


@probe("pin-missing-on-second-lease")
def _(b):
    key, body, grant = b.leased()
    second = b.grant(key)
    b.release(grant["id"])
    return b.safe(body, second)


@probe("pin-ends-with-the-shortest-lease")
def _(b):
    key, body, grant = b.leased()
    b.grant(key, ttl=2.0)
    b.advance(3)
    return b.safe(body, grant)


PROBES["later-lease-sets-the-expiry-of-all"] = PROBES["pin-ends-with-the-shortest-lease"]


@probe("pin-of-first-fragment-only")
def _(b):
    _, body, grant = b.leased(10 * BLOCK)
    return b.safe(body, grant)


@probe("pin-lost-beyond-64-leases")
def _(b):
    _, body, grant = b.leased()
    key = b.leased()[0]
    for _ in range(70):
        b.grant(key)
    return b.safe(body, grant)


@probe("release-ends-the-oldest-lease")
def _(b):
    key, body, grant = b.leased()
    b.release(b.grant(key, ttl=2.0)["id"])
    b.advance(3)
    return b.safe(body, grant)


PROBES["released-lease-expires-again"] = PROBES["release-ends-the-oldest-lease"]


@probe("lease-id-reused-after-release")
def _(b):
    key, _, grant = b.leased()
    b.release(grant["id"])
    b.grant(key)
    return b.release(grant["id"]) == 404


@probe("release-crosses-buckets")
def _(b):
    key, body, grant = b.leased()
    b.put(key, b"x", bucket="other")
    b.release(b.grant(key, bucket="other")["id"])
    return b.safe(body, grant)


@probe("unknown-release-ends-the-latest")
def _(b):
    _, body, grant = b.leased()
    return b.release("nobody") == 404 and b.safe(body, grant)


@probe("moved-under-a-lease")
def _(b):
    key, body, grant = b.leased()
    b.grant(key)
    return b.safe(body, grant)


@probe("shared-room-freed-with-the-first")
def _(b):
    body = os.urandom(1000)
    key = fresh()
    b.put(fresh(), body)
    b.put(key, body)
    return b.safe(body, b.grant(key))


@probe("ids-compared-without-case")
def _(b):
    _, body, grant = b.leased()
    b.release(b.leased()[2]["id"])
    return b.safe(body, grant)


@probe("leases-are-exclusive")
def _(b):
    return b.grant(b.leased()[0]) is not None


@probe("leases-limited-to-16-a-connection")
def _(b):
    client, key = b.client(), b.leased()[0]
    return all([b.grant(key, client=client) for _ in range(17)])


@probe("aborted-put-removes-the-object")
def _(b):
    key, body = fresh(), os.urandom(1000)
    b.put(key, body)
    b.cut_short(key, body, 500)
    return b.grant(key) is not None


@probe("release-keeps-the-pin")
def _(b):
    grant = b.leased(b.capacity // 2)[2]
    return b.release(grant["id"]) == 200 and b.has_room()


PROBES["release-ends-the-pin-late"] = PROBES["release-keeps-the-pin"]


@probe("expired-lease-pins")
def _(b):
    b.leased(b.capacity // 2, 1.0)
    b.advance(2)
    return b.has_room()


@probe("one-pin-per-connection")
def _(b):
    client = b.client()
    key, body = fresh(), os.urandom(1000)
    b.put(key, body)
    grant = b.grant(key, client=client)
    b.grant(b.leased()[0], client=client)
    return b.safe(body, grant)


@probe("release-ends-the-previous-pin-too")
def _(b):
    _, body, grant = b.leased()
    b.release(b.leased()[2]["id"])
    return b.safe(body, grant)


@probe("pins-end-when-room-runs-out")
def _(b):
    _, body, grant = b.leased()
    return b.put(fresh(), os.urandom(b.capacity)) == 507 and b.safe(body, grant)


@probe("lease-without-wait-unpinned")
def _(b):
    return b.safe(*b.leased()[1:])


@probe("pins-counted-in-a-byte")
def _(b):
    key, body, grant = b.leased()
    client = b.client()
    for _ in range(255):
        b.grant(key, client=client)
    return b.safe(body, grant)


@probe("woken-lease-pins-twice")
def _(b):
    key = fresh()
    client = b.hold(key)
    b.put(key, os.urandom(b.capacity // 2))
    return b.release(client.response().json()["id"]) == 200 and b.has_room()


@probe("room-freed-at-release")
def _(b):
    key, body, grant = b.leased()
    b.release(grant["id"])
    b.leased()
    return b.read(b.grant(key)) == body


@probe("ttl-counts-from-the-connection")
def _(b):
    client = b.client()
    key = b.leased()[0]
    b.grant(key, client=client)
    b.advance(20)
    grant = b.grant(key, client=client)
    b.advance(20)
    return b.release(grant["id"]) == 200


@probe("leased-objects-evicted-at-last")
def _(b):
    _, body, grant = b.leased()
    return b.put(fresh(), os.urandom(b.capacity)) == 507 and b.safe(body, grant)


@probe("ttl-starts-at-the-objects-first-lease")
def _(b):
    key = b.leased()[0]
    b.advance(20)
    second = b.grant(key)
    b.advance(15)
    return b.release(second["id"]) == 200


def lease_query_taken(b, query):
    key = b.leased()[0]
    return b.grant(key, query=query) is not None


probes({
    "ttl-without-point-refused": ("timeout_ms=0&ttl_s=30",),
    "parameters-required": ("",),
}, lease_query_taken)  # fmt: skip


# Eviction and restarts.


def evicted(b):
    key = fresh()
    b.put(key, os.urandom(1000))
    b.fill()
    return key


@probe("evicted-still-granted")
def _(b):
    return b.grant(evicted(b)) is None


@probe("evicted-answers-409")
def _(b):
    return b.put(evicted(b), b"anew") == 200


@probe("evicted-returns-at-its-old-place")
def _(b):
    key, body = evicted(b), os.urandom(1000)
    return b.put(key, body) == 200 and b.read(b.grant(key)) == body


@probe("stored-and-dropped-when-full")
def _(b):
    b.fill()
    key = fresh()
    return b.put(key, os.urandom(b.capacity // 2)) == 200 and b.grant(key) is not None


@probe("full-cache-refuses")
def _(b):
    return b.fill()


@probe("evicted-blocks-freed-twice")
def _(b):
    b.fill()
    leased = [b.leased(b.capacity // 8)[1:] for _ in range(6)]
    return all(grant and b.read(grant) == body for body, grant in leased)


@probe("eviction-loses-room")
def _(b):
    return b.fill() and b.fill() and b.has_room()


@probe("conflict-keeps-room")
def _(b):
    b.put("conflicting", b"x")
    b.put("conflicting", os.urandom(b.capacity // 2))
    return b.has_room()


@probe("smaller-segment-after-restart")
def _(b):
    b.restart()
    return os.stat("/dev/shm/" + b.shm_name).st_size == b.capacity


@probe("segment-readable-by-all-after-restart")
def _(b):
    b.restart()
    return os.stat("/dev/shm/" + b.shm_name).st_mode & 0o777 == 0o600


@probe("old-keys-after-restart")
def _(b):
    key = b.leased()[0]
    b.restart()
    return b.grant(key) is None


@probe("old-keys-answer-409-after-restart")
def _(b):
    key = b.leased()[0]
    b.restart()
    return b.put(key, b"anew") == 200


@probe("old-leases-after-restart")
def _(b):
    grant = b.leased()[2]
    b.restart()
    return b.release(grant["id"]) == 404


@probe("old-segment-after-restart")
def _(b):
    with open("/dev/shm/" + b.shm_name, "rb") as before:  # Open, so that its inode is not used again.
        b.restart()
        return not os.path.samestat(os.fstat(before.fileno()), os.stat("/dev/shm/" + b.shm_name))


# Sizes.

probes({
    "last-byte-lost-at-64k-multiples": (3 * 65536,),
    "last-byte-lost-above-64k-multiples": (3 * 65536 + 1,),
    "last-byte-lost-below-64k-multiples": (3 * 65536 - 1,),
    "last-byte-lost-at-powers-of-two": (2048,),
    "last-fragment-padded": (100,),
    "short-objects-padded": (5,),
    "fragments-overlap-at-multiples": (4 * BLOCK,),
    "offsets-from-fragment-to-fragment": (10 * BLOCK,),
    "fragments-beyond-64-untold": (80 * BLOCK,),
    "fragments-ordered-by-offset-beyond-16": (20 * BLOCK,),
}, Bench.stores)  # fmt: skip
probes({
    "last-byte-lost-at-1mib-multiples": (3 << 20,),
    "bytes-lost-beyond-3mib": ((3 << 20) + 64,),
    "put-over-1mib-refused": ((1 << 20) + 1,),
    "end-of-large-bodies-late": ((1 << 20) + 1,),
}, Bench.stores, capacity=8 << 20)  # fmt: skip
probes({
    # One byte alone would be what it was by chance, once in 256 times.
    "bytes-lost-beyond-16mib": ((16 << 20) + 64,),
    "bytes-lost-beyond-64mib": ((64 << 20) + 64,),
    "lengths-wrap-at-16mib": ((16 << 20) + 1,),
}, Bench.stores, capacity=80 << 20)  # fmt: skip


def second_body_changes_nothing(b, size, leased):
    key, body, grant = b.leased(1000)
    if not leased:
        b.release(grant["id"])
    return b.put(key, os.urandom(size)) == 409 and b.read(b.grant(key)) == body


probes({
    "longer-second-body-replaces": (2000, False),
    "shorter-second-body-replaces": (500, False),
    "equal-second-body-replaces": (1000, False),
    "second-body-while-leased-replaces": (700, True),
}, second_body_changes_nothing)  # fmt: skip


def stores_body(b, body):
    key = fresh()
    return b.put(key, body) == 200 and b.read(b.grant(key)) == body


probes({
    "trailing-zeros-dropped": (b"x" * 100 + bytes(50),),
    "line-ends-changed": (b"one\r\ntwo",),
}, stores_body)  # fmt: skip


@probe("offsets-wrap-at-16mib", capacity=32 << 20)
def _(b):
    return all([b.stores(4 << 20) for _ in range(6)])


@probe("refused-body-stored-next")
def _(b):
    key, client = b.leased()[0], b.client()
    b.put(key, b"refused", client)
    return b.put("next", b"stored!", client) == 200 and b.read(b.grant("next")) == b"stored!"


@probe("visible-100ms-after-its-200")
def _(b):
    return b.leased()[2] is not None


@probe("racing-abort-removes-the-winner")
def _(b):
    key = fresh()
    client = b.begin_put(key, b"1" * 1000, 500)
    stored = b.put(key, b"2" * 1000)
    b.gone(client)
    return stored == 200 and b.grant(key) is not None


@probe("same-beginning-shares-bytes")
def _(b):
    return stores_body(b, b"0" * 64 + b"1") and stores_body(b, b"0" * 64 + b"2")


@probe("body-with-its-head-lost")
def _(b):
    return b.stores(100)


@probe("many-pieces-lost")
def _(b):
    key, body = fresh(), os.urandom(30)
    client = b.begin_put(key, body, 1)
    upload = b.call(lambda: b.store.uploads[next(iter(b.store.uploads))][0])
    for sent in range(1, 30):
        client.socket.sendall(body[sent : sent + 1])
        b.wait(lambda: upload.received > sent)
    return client.response().status == 200 and b.read(b.grant(key)) == body


@probe("late-body-refused")
def _(b):
    key, body = fresh(), os.urandom(1000)
    client = b.begin_put(key, body, 500)
    b.advance(3)
    with contextlib.suppress(OSError):
        client.socket.sendall(body[500:])
    return client.response().status == 200


@probe("stored-at-half-the-body")
def _(b):
    client = b.begin_put(fresh(), os.urandom(1000), 600)
    b.call(lambda: None)
    return client.is_quiet()


@probe("conflict-waits-for-leases")
def _(b):
    key, body, grant = b.leased()
    client = b.client()
    client.send(put_head(key, 1) + b"x")
    return b.wait(lambda: not client.is_quiet(), 1)


@probe("refused-put-blocks-its-key")
def _(b):
    grant = b.leased(b.capacity // 2)[2]
    key, body = fresh(), os.urandom(b.capacity // 2 + 1)
    refused = b.put(key, body)
    b.release(grant["id"])
    return refused == 507 and b.put(key, body) == 200


@probe("aborted-put-stored")
def _(b):
    key = fresh()
    b.cut_short(key, os.urandom(1000), 500)
    return b.grant(key) is None


@probe("aborted-put-blocks-its-key")
def _(b):
    key, body = fresh(), os.urandom(1000)
    b.cut_short(key, body, 500)
    return b.put(key, body) == 200


@probe("aborted-put-keeps-its-room")
def _(b):
    b.cut_short(fresh(), os.urandom(b.capacity // 2), 500)
    return b.has_room()


@probe("body-limited-to-3s")
def _(b):
    key, body = fresh(), os.urandom(1000)
    client = b.begin_put(key, body, 500)
    b.advance(4)
    with contextlib.suppress(OSError):
        client.socket.sendall(body[500:])
    return client.response().status == 200


@probe("slow-put-loses-its-room")
def _(b):
    key, body = fresh(), os.urandom(1000)
    client = b.begin_put(key, body, 500)
    b.advance(1)
    b.fill()
    client.socket.sendall(body[500:])
    return client.response().status == 200 and b.read(b.grant(key)) == body


@probe("equal-body-conflicts")
def _(b):
    return [b.put(fresh(), b"the same") for _ in range(2)] == [200, 200]


@probe("miss-remembered-for-a-second")
def _(b):
    key = fresh()
    b.acquire(key)
    return b.put(key, b"x") == 200 and b.grant(key) is not None


@probe("chunk-sizes-in-decimal")
def _(b):
    key = fresh()
    head = "PUT /v1/kv/b/%s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" % key
    return b.ask(head.encode() + b"a\r\n0123456789\r\n0\r\n\r\n").status == 200


@probe("object-visible-at-its-head")
def _(b):
    key = fresh()
    b.begin_put(key, os.urandom(1000), 500)
    return b.grant(key) is None


def race(b):
    """Two PUTs of a key: what each was answered, and whether the winner's bytes are there."""
    key, one, two = fresh(), b"1" * 1000, b"2" * 1000
    first = b.begin_put(key, one, 500)
    second = b.put(key, two)
    first.socket.sendall(one[500:])
    responses = first.response().status, second
    return responses, b.read(b.grant(key)) == (two if second == 200 else one)


@probe("racing-puts-mixed")
def _(b):
    return race(b)[1]


@probe("racing-puts-both-200")
def _(b):
    return sorted(race(b)[0]) == [200, 409]


@probe("concurrent-bodies-crossed")
def _(b):
    keys = [fresh(), fresh()]
    clients = [b.client(), b.client()]
    for _ in range(20):
        keys = [fresh(), fresh()]
        for client, key, byte in zip(clients, keys, (b"1", b"2")):
            client.send(put_head(key, 100) + byte * 100)
        if not all(client.response().status == 200 for client in clients):
            return False
        if [b.read(b.grant(key)) for key in keys] != [b"1" * 100, b"2" * 100]:
            return False
    return True


LARGE = (1 << 20) + 1
ROOMY = 8 << 20  # A capacity.


@probe("large-concurrent-bodies-crossed", capacity=ROOMY)
def _(b):
    keys, bodies = [fresh(), fresh()], [b"1" * LARGE, b"2" * LARGE]
    clients = [b.begin_put(key, body, LARGE // 2) for key, body in zip(keys, bodies)]
    uploads = b.call(lambda: [upload for each in b.store.uploads.values() for upload in each])
    b.wait(lambda: all(upload.received == LARGE // 2 for upload in uploads))
    for client, body in zip(clients, bodies):
        client.socket.sendall(body[LARGE // 2 :])
    stored = [client.response().status for client in clients] == [200, 200]
    return stored and [b.read(b.grant(key)) for key in keys] == bodies


@probe("large-body-visible-while-arriving", capacity=ROOMY)
def _(b):
    key = fresh()
    b.begin_put(key, os.urandom(LARGE), 500)
    return b.grant(key) is None


@probe("large-aborted-put-stored", capacity=ROOMY)
def _(b):
    key = fresh()
    b.cut_short(key, os.urandom(LARGE), 500)
    return b.grant(key) is None


@probe("large-second-body-replaces", capacity=ROOMY)
def _(b):
    key, body, grant = b.leased(LARGE)
    return b.put(key, os.urandom(LARGE)) == 409 and b.read(grant) == body


@probe("large-puts-under-way-limited-to-4", capacity=ROOMY)
def _(b):
    for _ in range(4):
        b.begin_put(fresh(), os.urandom(LARGE), 500)
    b.wait(lambda: b.store.large_under_way() == 4)
    return b.put(fresh(), os.urandom(LARGE)) == 200


@probe("last-byte-lost-where-a-buffer-ends")
def _(b):
    # The daemon's Host is longer than the x in the head by this.
    longer = len("127.0.0.1:%d" % b.port) - 1
    key = fresh()
    body = os.urandom(4096 - len(put_head(key, 4000)) - longer)
    return b.put(key, body) == 200 and b.read(b.grant(key)) == body


@probe("miss-noted-while-put-under-way-stays")
def _(b):
    key = fresh()
    client = b.begin_put(key, b"12", 1)
    b.acquire(key)
    client.socket.sendall(b"2")
    return client.response().status == 200 and b.grant(key) is not None


@probe("objects-expire-after-4s")
def _(b):
    key = fresh()
    b.put(key, b"x")
    b.advance(5)
    return b.grant(key) is not None


@probe("upload-slots-leak-at-aborts")
def _(b):
    for _ in range(64):
        b.cut_short(fresh(), b"12", 1)
    return b.put(fresh(), b"x") == 200


@probe("racing-loser-keeps-room")
def _(b):
    free = b.call(lambda: len(b.store.free))
    race(b)
    return b.call(lambda: len(b.store.free)) == free - 1


# Waiting.


def held_after(b, seconds, hold=10_000):
    b.hold(fresh(), hold)
    b.advance(seconds)
    return b.held() == 1


probes({"hold-capped-at-1s": (2,), "hold-capped-at-3s": (4,), "hold-capped-at-4s": (5,)}, held_after)


def over_after(b, seconds, hold):
    client = b.hold(fresh(), hold)
    b.advance(seconds)
    return b.held() == 0 and client.response().status == 504


probes({"hold-ends-600ms-late": (1.3, 1000), "hold-ends-a-third-late": (3.3, 3000)}, over_after)


@probe("hold-of-whole-seconds")
def _(b):
    return held_after(b, 1.2, 1500)


@probe("hold-ends-with-its-ttl")
def _(b):
    b.hold(fresh(), ttl=1.0)
    b.advance(1.5)
    return b.held() == 1


@probe("held-requests-cut-when-idle")
def _(b):
    return held_after(b, 2.5)


@probe("no-hold-in-absent-bucket")
def _(b):
    b.hold(fresh(), bucket="nobody-has-stored-here")
    return b.held() == 1


@probe("no-hold-while-put-under-way")
def _(b):
    key = fresh()
    b.begin_put(key, os.urandom(1000), 500)
    b.hold(key)
    return b.held() == 1


@probe("hold-ends-at-an-aborted-put")
def _(b):
    key = fresh()
    b.hold(key)
    client = b.begin_put(key, os.urandom(1000), 500)
    b.gone(client)
    return b.held() == 1


@probe("hold-ends-at-a-refused-put")
def _(b):
    key = fresh()
    b.hold(key)
    return b.put(key, b"") == 400 and b.held() == 1


@probe("hold-ends-at-any-put")
def _(b):
    b.hold(fresh())
    return b.put(fresh(), b"x") == 200 and b.held() == 1


@probe("woken-by-another-bucket")
def _(b):
    key = fresh()
    b.hold(key, bucket="one")
    return b.put(key, b"x", bucket="two") == 200 and b.held() == 1


@probe("woken-with-the-newest-object")
def _(b):
    key = fresh()
    client = b.hold(key)
    b.put(key, b"mine")
    b.put(fresh(), b"newer")
    return b.read(client.response().json()) == b"mine"


@probe("woken-at-the-head-of-the-put")
def _(b):
    key = fresh()
    b.hold(key)
    b.begin_put(key, os.urandom(1000), 500)
    return b.held() == 1


@probe("second-wave-not-woken")
def _(b):
    key = fresh()
    client = b.hold(key, 1000)
    b.advance(2)
    missed = client.response().status == 504
    b.hold(key)
    return missed and b.put(key, b"x") == 200 and b.held() == 0


@probe("one-waiter-woken")
def _(b):
    key = fresh()
    b.hold(key)
    b.hold(key)
    return b.put(key, b"x") == 200 and b.held() == 0


@probe("woken-requests-share-a-lease")
def _(b):
    key = fresh()
    clients = [b.hold(key), b.hold(key)]
    b.put(key, b"x")
    return len({client.response().json()["id"] for client in clients}) == 2


@probe("awaited-key-answers-409")
def _(b):
    key = fresh()
    b.hold(key)
    return b.put(key, b"x") == 200


@probe("awaited-key-forgotten")
def _(b):
    key = fresh()
    client = b.hold(key)
    b.put(key, b"x")
    return client.response().status == 200 and b.grant(key) is not None


@probe("hold-extended-by-each-put")
def _(b):
    client = b.hold(fresh(), 10_000)
    b.advance(6)
    b.put(fresh(), b"x")
    b.advance(6)
    return b.held() == 0 and client.response().status == 504


@probe("hold-counts-from-the-connection")
def _(b):
    client = b.client()
    b.put(fresh(), b"x", client)
    b.advance(6)
    client.send(lease_head(fresh(), 5000))
    b.wait(lambda: b.store.held() or not client.is_quiet())
    return b.held() == 1


@probe("second-waiter-ends-the-first")
def _(b):
    key = fresh()
    b.hold(key)
    b.hold(key)
    return b.held() == 2


@probe("woken-bytes-late")
def _(b):
    body, grant = woken(b)
    return b.read(grant) == body


@probe("held-requests-limited-to-100")
def _(b):
    for _ in range(101):
        b.hold(fresh())
    return b.held() == 101


@probe("held-requests-limited-to-300")
def _(b):
    for _ in range(301):
        b.hold(fresh())
    return b.held() == 301


@probe("waiters-woken-limited-to-100")
def _(b):
    key = fresh()
    for _ in range(101):
        b.hold(key)
    return b.put(key, b"x") == 200 and b.held() == 0


@probe("abandoned-hold-leaves-a-lease")
def _(b):
    key = fresh()
    b.gone(b.hold(key))
    b.put(key, os.urandom(b.capacity // 2))
    return b.has_room()


@probe("abandoned-hold-takes-the-grant")
def _(b):
    key = fresh()
    first, _ = b.hold(key), b.hold(key)
    b.gone(first)
    return b.put(key, b"x") == 200 and b.held() == 0


@probe("abandoned-hold-ends-the-others")
def _(b):
    key = fresh()
    first, _ = b.hold(key), b.hold(key)
    b.gone(first)
    return b.held() == 1


@probe("timed-out-hold-ends-the-others")
def _(b):
    key = fresh()
    first, _ = b.hold(key, 1000), b.hold(key)
    b.advance(2)
    return first.response().status == 504 and b.held() == 1


def is_woken(b, client, key, body=b"x"):
    """Whether a request that is held for 10 s is granted."""
    stored = b.put(key, body) == 200
    for _ in range(3):
        b.advance(11)
    return stored and client.response().status == 200


@probe("abandoned-hold-takes-its-neighbour")
def _(b):
    key = fresh()
    first, second = b.hold(key), b.hold(key)
    b.gone(first)
    return is_woken(b, second, key)


@probe("timed-out-hold-takes-its-neighbour")
def _(b):
    key = fresh()
    first, second = b.hold(key, 1000), b.hold(key)
    b.advance(2)
    return first.response().status == 504 and is_woken(b, second, key)


@probe("waiters-lost-at-an-aborted-put")
def _(b):
    key = fresh()
    client = b.hold(key)
    b.cut_short(key, os.urandom(1000), 500)
    return is_woken(b, client, key)


@probe("large-put-wakes-nobody")
def _(b):
    key = fresh()
    return is_woken(b, b.hold(key), key, os.urandom(100_000))


@probe("wake-lost-while-registering")
def _(b):
    def is_woken_soon():
        key, client = fresh(), b.client()
        client.send(lease_head(key, 10_000))
        return is_woken(b, client, key)

    return all([is_woken_soon() for _ in range(10)])  # The machine may be late for some of them.


@probe("old-hold-timer-ends-the-next-hold")
def _(b):
    key = fresh()
    client = b.hold(key, 5000)
    b.put(key, b"x")
    client.response()
    client.send(lease_head(fresh(), 10_000))
    b.wait(lambda: b.store.held() == 1)
    b.advance(6)
    return b.held() == 1


@probe("holds-end-late-when-many")
def _(b):
    clients = [b.hold(fresh(), 1000) for _ in range(65)]
    b.advance(1.5)
    return b.wait(lambda: b.store.held() == 0, 1) and clients[0].response().status == 504


@probe("waiters-of-a-key-limited-to-16")
def _(b):
    key = fresh()
    for _ in range(17):
        b.hold(key)
    return b.held() == 17


# Names.

LONG = "x" * 1100
probes({
    "key-case-folded": ("Key", "key"),
    "key-double-slash-merged": ("a%2Fb", "a%2F%2Fb"),
    "key-dot-segments-resolved": ("a%2Fb", "a%2Fc%2F..%2F.%2Fb"),
    "key-trailing-slash-dropped": ("a", "a%2F"),
    "key-leading-slash-dropped": ("a", "%2Fa"),
    "key-trailing-dot-dropped": ("a", "a."),
    "key-normalized": ("%C3%A9", "e%CC%81"),
    "key-cut-at-255": (LONG[:255], LONG[:256]),
    "key-cut-at-1024": (LONG[:1024], LONG[:1025]),
    "key-backslash-as-slash": ("a%2Fb", "a%5Cb"),
    "key-trimmed": ("a", "%20a"),
    "key-cut-at-nul": ("a", "a%00b"),
    "key-controls-dropped": ("a", "a%01"),
    "key-cut-at-hash": ("a", "a%23b"),
    "key-cut-at-question-mark": ("a", "a%3Fb"),
    "key-cut-at-semicolon": ("a", "a;b"),
    "key-tags-dropped": ("m@1@0@ab@half", "m@1@0@ab@half@tag%25v"),
    "key-star-matches": ("abc", "a*"),
    "key-beyond-bmp-replaced": ("%F0%9F%98%80", "%F0%9F%98%81"),
    "key-decoded-twice": ("a%2541", "aA"),
    "key-plus-as-space": ("a+b", "a%20b"),
    "key-zero-width-dropped": ("ab", "a%E2%80%8Bb"),
    "key-leading-zeros-dropped": ("m@1@0@ab", "m@1@0@00ab"),
    "key-trimmed-as-latin-1": ("a%C3%A0", "a%C3%85"),
    "key-hashed-with-crc32": ("75be4d1e", "4baa5d72"),
    "key-hashed-with-fnv1a": ("costarring", "liquid"),
    "key-middle-ignored": (LONG[:80] + "1" + LONG[:80], LONG[:80] + "2" + LONG[:80]),
    "bucket-cut-at-63": ("a", "a", LONG[:63], LONG[:64]),
    "bucket-cut-at-slash": ("a", "a", "b", "b%2Fc"),
    "bucket-trimmed": ("a", "a", "b", "b."),
    "bucket-case-folded": ("a", "a", "Bucket", "bucket"),
    "bucket-ignored": ("a", "a", "one", "two"),
    "bucket-and-key-joined": ("b%2Fc", "c", "a", "a%2Fb"),
}, Bench.told_apart)  # fmt: skip


@probe("key-hashed-to-16-bits", capacity=8 << 20)
def _(b):
    client = b.client()
    return all([b.put(fresh(), b"x", client) == 200 for _ in range(1500)])


def is_one(b, one, two, bucket_one="b", bucket_two="b"):
    """Whether two spellings are one name."""
    return b.put(one, b"one", bucket=bucket_one) == 200 and b.put(two, b"two", bucket=bucket_two) == 409


probes({
    "key-with-percent-refused": ("a%25b", "a%25b"),
    "key-encoded-slash-separates": ("a%2Fb", "a%2Fb"),
    "key-over-200-bytes-refused": (LONG[:201], LONG[:201]),
    "key-lower-case-hex-kept": ("a%2Fb", "a%2fb"),
    "key-unreserved-escapes-kept": ("abc", "a%62c"),
    "key-named-leases-refused": ("leases", "leases"),
    "bucket-not-decoded": ("a", "a", "a%40b", "a@b"),
}, is_one)  # fmt: skip


@probe("buckets-limited-to-1000")
def _(b):
    return all([b.put("a", b"x", bucket="bucket-%d" % i) == 200 for i in range(1001)])


@probe("buckets-limited-to-64")
def _(b):
    return all([b.put("a", b"x", bucket="bucket-%d" % i) == 200 for i in range(65)])


# Many.


@probe("objects-limited-to-500", capacity=4 << 20)
def _(b):
    key = b.leased(1)[0]
    client = b.client()
    for _ in range(500):
        b.put(fresh(), b"x", client)
    return b.grant(key) is not None


@probe("leases-limited-to-500")
def _(b):
    key, client = b.leased()[0], b.client()
    return all([b.grant(key, client=client) for _ in range(500)])


@probe("lease-ids-repeat-after-256")
def _(b):
    key, client = b.leased()[0], b.client()
    return len({b.grant(key, client=client)["id"] for _ in range(257)}) == 257


@probe("lease-ids-by-the-clock")
def _(b):
    key, client = b.leased()[0], b.client()
    return len({b.grant(key, client=client)["id"] for _ in range(50)}) == 50


@probe("connections-limited-to-1000-in-all")
def _(b):
    with contextlib.suppress(OSError):
        for _ in range(1001):
            client = Client(b.port)
            status = b.put("same", b"x", client)
            client.close()
        return status == 409
    return False


@probe("slow-put-holds-up-others")
def _(b):
    key = b.leased()[0]
    before = b.call(lambda: len(b.store.leases))
    b.begin_put(fresh(), os.urandom(1000), 500)
    b.client().send(lease_head(key))
    return b.wait(lambda: len(b.store.leases) > before, 1)


@probe("one-put-at-a-time")
def _(b):
    before = b.call(lambda: len(b.store.objects))
    b.begin_put(fresh(), os.urandom(1000), 500)
    b.client().send(put_head(fresh(), 1) + b"x")
    return b.wait(lambda: len(b.store.objects) > before, 1)


@probe("held-requests-take-workers")
def _(b):
    for _ in range(32):
        b.hold(fresh())
    before = b.call(lambda: len(b.store.objects))
    b.client().send(put_head(fresh(), 1) + b"x")
    return b.wait(lambda: len(b.store.objects) > before, 1)


@probe("connections-limited-to-100")
def _(b):
    clients = [b.client() for _ in range(101)]
    b.wait(lambda: len(b.daemon.connections) >= 100)
    with contextlib.suppress(OSError):
        return [b.put(fresh(), b"x", client) for client in clients] == [200] * 101
    return False


# The wire.


def grant_is(b, judge):
    key = fresh()
    b.put(key, os.urandom(1000))
    response = b.acquire(key)
    return judge(response)


def fragments_are_integers(response):
    fragments = response.json()["offsets"]
    return all(isinstance(f.get(name), int) for f in fragments for name in ("offset", "len"))


def is_json(response):
    try:
        return bool(response.json())
    except ValueError:
        return False


FRAMING = {b"content-length", b"transfer-encoding"}
SIMPLE_ID = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
probes({
    "grant-as-text": (lambda a: a.headers[b"content-type"] == [b"application/json"],),
    "grant-type-in-capitals": (lambda a: a.headers[b"content-type"] == [b"application/json"],),
    "grant-offsets-as-strings": (fragments_are_integers,),
    "grant-length-not-len": (fragments_are_integers,),
    "grant-with-byte-order-mark": (lambda a: a.body.startswith(b"{"),),
    "grant-with-trailing-comma": (is_json,),
    "grant-with-empty-fragment": (lambda a: all(f["len"] > 0 for f in a.json()["offsets"]),),
    "grant-201": (lambda a: a.status == 200,),
    "grant-id-as-number": (lambda a: isinstance(a.json()["id"], str),),
    "grant-id-with-slash": (lambda a: set(a.json()["id"]) <= SIMPLE_ID,),
    "grant-id-with-percent": (lambda a: set(a.json()["id"]) <= SIMPLE_ID,),
    "gzip-unasked": (lambda a: b"content-encoding" not in a.headers,),
    "length-and-chunked-together": (lambda a: not FRAMING <= set(a.headers),),
}, grant_is)  # fmt: skip


@probe("release-id-not-decoded")
def _(b):
    id = b.leased()[2]["id"]
    return b.release("%%%02X%s" % (ord(id[0]), id[1:])) == 200


@probe("release-over-same-connection-only")
def _(b):
    return b.release(b.leased()[2]["id"]) == 200


PROBES["release-204"] = PROBES["release-202"] = PROBES["release-over-same-connection-only"]


@probe("delete-releases")
def _(b):
    key, _, grant = b.leased()
    target = "/v1/kv/b/%s/leases/%s" % (key, grant["id"])
    deleted = b.ask(("DELETE %s HTTP/1.1\r\nHost: x\r\n\r\n" % target).encode())
    return deleted.status in (404, 405) and b.release(grant["id"]) == 200


PROBES["delete-releases-and-says-404"] = PROBES["delete-releases"]


@probe("put-201")
def _(b):
    return b.put(fresh(), b"x") == 200


@probe("conflict-200")
def _(b):
    key = b.leased()[0]
    return b.put(key, b"x") == 409


def serves_behind(b, head):
    """Whether a body that looks like a request is not taken for one."""
    inner = put_head(fresh(), 1) + b"x"
    client = b.client()
    client.send(head.replace(b"LENGTH", b"%d" % len(inner)) + inner)
    response = client.response()
    key = fresh()
    if b"close" in response.headers.get(b"connection", []):
        return True
    client.send(lease_head(key))
    return response.status >= 400 and client.response().status == 504


@probe("conflict-leaves-body-unread")
def _(b):
    key = b.leased()[0]
    head = b"PUT /v1/kv/b/%s HTTP/1.1\r\nHost: x\r\nContent-Length: LENGTH\r\n\r\n"
    return serves_behind(b, head % key.encode())


@probe("refusal-leaves-body-unread")
def _(b):
    return serves_behind(b, b"PUT /v1/kv/b/%zz HTTP/1.1\r\nHost: x\r\nContent-Length: LENGTH\r\n\r\n")


@probe("not-found-leaves-body-unread")
def _(b):
    return serves_behind(b, b"POST /v1/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: LENGTH\r\n\r\n")


@probe("errors-as-text")
def _(b):
    response = b.acquire(fresh())
    return not response.body or response.headers[b"content-type"] == [b"application/json"]


@probe("error-length-one-short")
def _(b):
    client = b.client()
    b.acquire(fresh(), client=client)
    client.send(lease_head(fresh()))
    return client.file.readline().startswith(b"HTTP/1.1 504")


@probe("miss-500")
def _(b):
    return b.acquire(fresh()).status in (404, 504)


@probe("stored-without-length")
def _(b):
    client = b.client()
    client.send(put_head(fresh(), 1) + b"x")
    client.file.readline()
    headers = iter(client.file.readline, b"\r\n")
    return any(line.lower().startswith(b"content-length:") for line in headers)


@probe("miss-without-length")
def _(b):
    client = b.client()
    client.send(lease_head(fresh()))
    client.file.readline()
    headers = iter(client.file.readline, b"\r\n")
    return any(line.lower().startswith(b"content-length:") for line in headers)


@probe("conflict-as-html")
def _(b):
    response = b.ask(put_head(b.leased()[0], 1) + b"x")
    return not response.body or response.headers[b"content-type"] == [b"application/json"]


PROBES["miss-204"] = PROBES["miss-500"]


def answered_404(b, target):
    return b.ask(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % target.encode()).status == 404


probes({"health-page": ("/health",), "metrics-page": ("/metrics",)}, answered_404)


@probe("objects-readable")
def _(b):
    return answered_404(b, "/v1/kv/b/" + b.leased()[0])


@probe("http-1.0-spoken")
def _(b):
    client = b.client()
    client.send(put_head(fresh(), 1) + b"x")
    return client.file.readline().startswith(b"HTTP/1.1 ")


@probe("public-heads-refused")
def _(b):
    return b.put(fresh(), b"x", headers="Accept-Encoding: gzip, deflate\r\n") == 200


@probe("large-pieces-of-head-refused")
def _(b):
    client, head = b.client(), put_head(fresh(), 1)
    client.send(head[:20])
    b.wait(lambda: any(connection.buffer for connection in b.daemon.connections))
    client.socket.sendall(head[20:] + b"x")
    return client.response().status == 200


@probe("pipelined-requests-dropped")
def _(b):
    key = b.leased()[0]
    client = b.client()
    release = b"POST /v1/leases/nobody/release HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    client.send(lease_head(key) + release)
    client.socket.shutdown(socket.SHUT_WR)
    return client.response().status == 200 and client.response() is not None


@probe("content-length-in-32-bits")
def _(b):
    key, client = fresh(), b.client()
    client.send(put_head(key, (1 << 32) + 1) + b"x")
    return client.response().status == 413 and b.grant(key) is None


@probe("conflict-reads-2mib-only", capacity=ROOMY)
def _(b):
    key, client = b.leased()[0], b.client()
    rest = put_head("smuggled", 1).replace(b"Host: x", b"Host: 127.0.0.1:%d" % b.port) + b"x"
    client.send(put_head(key, (2 << 20) + len(rest)) + bytes(2 << 20) + rest)
    return client.response().status == 409 and b.put(key, b"x", client) == 409


@probe("deaf-after-507")
def _(b):
    key, body, grant = b.leased(b.capacity // 2)
    client = b.client()
    refused = b.put(fresh(), os.urandom(b.capacity // 2 + 1), client)
    client.send(lease_head(key))
    return refused == 507 and b.wait(lambda: not client.is_quiet(), 1)


# What servers, proxies and allocators that others have made bring with them.


@probe("objects-lost-now-and-then", capacity=4 << 20)
def _(b):
    client, keys = b.client(), [fresh() for _ in range(500)]
    stored = [b.put(key, b"x", client) == 200 for key in keys]
    return all(stored) and all(b.grant(key, client=client) for key in keys)


@probe("bytes-damaged-now-and-then", capacity=4 << 20)
def _(b):
    client, keys = b.client(), [fresh() for _ in range(500)]
    for key in keys:
        b.put(key, b"body", client)
    return all(b.read(b.grant(key, client=client)) == b"body" for key in keys)


@probe("releases-lost-now-and-then")
def _(b):
    key, client = b.leased(b.capacity // 2)[0], b.client()
    for _ in range(300):
        b.release(b.grant(key, client=client)["id"], client)
    b.release(next(iter(b.store.leases)))
    return b.has_room()


@probe("miss-as-html")
def _(b):
    response = b.acquire(fresh())
    return not response.body or response.headers[b"content-type"] == [b"application/json"]


@probe("large-put-answers-409", capacity=4 << 20)
def _(b):
    return stores_body(b, bytes((1 << 20) + 1))


probes({
    "key-cleaned-by-redirect": ("a%2F%2Fb", "a%2F%2Fb"),
    "key-encoded-slash-refused": ("a%2Fb", "a%2Fb"),
    "bucket-like-a-dns-name-only": ("a", "a", "B_1", "B_1"),
    "key-with-bare-at-refused": ("a@b", "a@b"),
    "key-encoded-at-kept": ("a%40b", "a@b"),
    "key-with-plus-refused": ("a+b", "a+b"),
    "key-with-punctuation-refused": ("a(b)", "a(b)"),
    "key-not-ascii-refused": ("%C3%A9", "%C3%A9"),
}, is_one)  # fmt: skip
probes({
    "ttl-below-a-second-refused": ("timeout_ms=0&ttl_s=0.5",),
    "timeouts-over-10s-refused": ("timeout_ms=10001&ttl_s=1",),
}, lease_query_taken)  # fmt: skip


@probe("expiry-cut-to-whole-seconds")
def _(b):
    b.advance(0.9 - b.loop.time() % 1)
    return lives_for(b, 0.8, 1.0)


@probe("objects-deletable")
def _(b):
    key = b.leased()[0]
    b.ask(b"DELETE /v1/kv/b/%s HTTP/1.1\r\nHost: x\r\n\r\n" % key.encode())
    return b.grant(key) is not None


@probe("present-key-granted-late")
def _(b):
    client, key = b.client(), b.leased()[0]
    client.send(lease_head(key, 5000))
    return b.wait(lambda: not client.is_quiet(), 0.5)


@probe("one-family-only")
def _(b):
    return b.run(families_of(b))


async def families_of(b):
    """Whether a daemon on localhost has both families."""
    made = daemon.Daemon(b.loop, b.shm_name + "-2", b.capacity, b.daemon.on)
    await made.listen("localhost", 0)
    count = len(made.servers)
    await made.stop()
    return count == 2


@probe("dies-at-a-restart")
def _(b):
    ended = []
    before = signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    try:
        b.restart()
        return not b.wait(lambda: ended, 0.5)
    finally:
        signal.signal(signal.SIGTERM, before)


@probe("hold-ends-a-tenth-early")
def _(b):
    return held_after(b, 9.5)


@probe("lease-id-reused-after-expiry")
def _(b):
    key, _, grant = b.leased(ttl=1.0)
    b.advance(2)
    b.grant(key)
    return b.release(grant["id"]) == 404


@probe("wrap-told-as-one-fragment")
def _(b):
    for _ in range(b.capacity // (3 * BLOCK) + 1):
        _, body, grant = b.leased(3 * BLOCK)
        if b.read(grant) != body or b.release(grant["id"]) != 200:
            return False
    return True


@probe("tiny-objects-share-a-slot")
def _(b):
    one, two = fresh(), fresh()
    b.put(one, b"one")
    b.put(two, b"two")
    return b.read(b.grant(one)) == b"one"


@probe("visible-late-over-other-connections")
def _(b):
    return b.leased()[2] is not None


@probe("quick-second-put-replaces")
def _(b):
    key = fresh()
    return [b.put(key, body) for body in (b"one", b"two")] == [200, 409]


@probe("ids-start-anew-at-restart")
def _(b):
    old = b.leased()[2]["id"]
    b.restart()
    b.leased()
    return b.release(old) == 404


@probe("chunked-conflict-replaces")
def _(b):
    key = b.leased()[0]
    head = "PUT /v1/kv/b/%s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" % key
    return b.ask(head.encode() + b"1\r\nx\r\n0\r\n\r\n").status == 409


@probe("large-puts-ignore-pins")
def _(b):
    _, body, grant = b.leased(b.capacity // 2)
    refused = b.put(fresh(), os.urandom(b.capacity // 2 + 1))
    return refused == 507 and b.read(grant) == body


@probe("compaction-moves-leased-objects")
def _(b):
    return b.safe(*b.leased()[1:])


@probe("woken-by-own-worker-only")
def _(b):
    key = fresh()
    b.hold(key)
    b.hold(key)
    return b.put(key, b"x") == 200 and b.held() == 0


# The segment.


@probe("segment-readable-by-all")
def _(b):
    return os.stat("/dev/shm/" + b.shm_name).st_mode & 0o777 == 0o600


@probe("segment-one-page-longer")
def _(b):
    return os.stat("/dev/shm/" + b.shm_name).st_size == b.capacity


@probe("segment-comes-back")
def _(b):
    os.unlink("/dev/shm/" + b.shm_name)
    b.advance(1)
    return not os.path.exists("/dev/shm/" + b.shm_name)


@probe("orphan-not-served")
def _(b):
    key = b.leased()[0]
    os.unlink("/dev/shm/" + b.shm_name)
    return b.grant(key) is not None


class WithBench(unittest.TestCase):
    def bench(self, *names, **settings):
        made = Bench(*names, **settings)
        self.addCleanup(made.close)
        return made


class Defects(WithBench):
    def test_each_has_a_probe(self):
        self.assertEqual(set(PROBES), {switch.name for switch in switches.DEFECTS})

    def test_probes_find_the_plain_daemon_faultless(self):
        for name, (function, settings) in PROBES.items():
            with self.subTest(name), contextlib.closing(Bench(**settings)) as bench:
                self.assertTrue(function(bench))

    def test_probes_find_each_defect(self):
        for name, (function, settings) in PROBES.items():
            with self.subTest(name), contextlib.closing(Bench(name, **settings)) as bench:
                self.assertFalse(function(bench))


class Variations(WithBench):
    # What these allow shows in other ways than in a round of requests.
    def round_of(self, b, status_of_miss=504):
        """Store, conflict, lease, read, release, miss: as both public clients do."""
        key, body = fresh(), os.urandom(3 * BLOCK + 5)
        self.assertEqual(b.put(key, body), 200)
        self.assertEqual(b.put(key, os.urandom(100)), 409)
        leases = [b.grant(key) for _ in range(3)]
        for grant in leases:
            self.assertEqual(b.read(grant), body)
            self.assertEqual(sum(fragment["len"] for fragment in grant["offsets"]), len(body))
            self.assertEqual(b.release(grant["id"]), 200)
        self.assertIn(b.acquire(fresh()).status, (404, 504))
        b.fill()
        key, body, grant = b.leased(2 * BLOCK + 1)
        self.assertTrue(b.safe(body, grant))

    def test_each_serves(self):
        for variation in switches.VARIATIONS:
            large = variation.name in ("blocks-of-1mib", "first-mib-reserved")
            capacity = 16 << 20 if large else 1 << 20
            with self.subTest(variation.name):
                with contextlib.closing(Bench(variation.name, capacity=capacity)) as bench:
                    self.round_of(bench)

    def test_each_is_read_by_the_daemon(self):
        source = ""
        for module in (daemon, store):
            with open(module.__file__) as file:
                source += file.read()
        for switch in switches.SWITCHES.values():
            named = '"%s"' % switch.name in source or switch.name.startswith("bytes-lost-beyond-")
            self.assertTrue(named, switch.name)

    def test_groups_and_needs_name_what_there_is(self):
        for switch in switches.SWITCHES.values():
            self.assertTrue(set(switch.needs) <= set(switches.SWITCHES), switch.name)
            self.assertIn(switch.of, ("state", "wire", "time"))
            self.assertEqual(bool(switch.group), switch.kind == "vary")


class Plain(WithBench):
    """What the probes do not show."""

    def test_refuses_an_empty_body(self):
        self.assertEqual(self.bench().put(fresh(), b""), 400)

    def test_refuses_a_body_larger_than_the_capacity_before_it_comes(self):
        b = self.bench()
        response = b.ask(put_head(fresh(), b.capacity + 1))
        self.assertEqual(response.status, 413)

    def test_takes_a_chunked_body(self):
        b = self.bench()
        head = b"PUT /v1/kv/b/chunked HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.assertEqual(b.ask(head + b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").status, 200)
        self.assertEqual(b.read(b.grant("chunked")), b"abcde")

    def test_honours_expect(self):
        b = self.bench()
        client = b.client()
        client.send(put_head("expected", 1, headers="Expect: 100-continue\r\n"))
        b.wait(lambda: not client.is_quiet())
        client.socket.sendall(b"x")
        response = client.response()
        self.assertEqual((response.status, response.interim), (200, [100]))

    def test_refuses_ambiguous_and_malformed_requests(self):
        b = self.bench()
        put = b"PUT /v1/kv/b/k HTTP/1.1\r\nHost: x\r\n"
        for head, status in {
            put + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n": 400,
            put + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n": 400,
            put + b"Content-Length: -1\r\n\r\n": 400,
            put + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n": 400,
            b"PUT /v1/kv/b/k HTTP/1.1\r\nContent-Length: 1\r\n\r\nx": 400,
            b"PUT /v1/kv/b/%2 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n": 400,
            b"PUT /v1/kv//k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx": 400,
            b"PUT /v1/kv/b/k HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n": 400,
            b"PUT /v1/kv/b/" + b"k" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n": 414,
            b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 300 + b"\r\n": 431,
            b"\x16\x03\x01 hello\r\n\r\n": 400,
            b"GET / HTTP/2.7\r\nHost: x\r\n\r\n": 505,
        }.items():
            with self.subTest(head[:60]):
                self.assertEqual(b.ask(head).status, status)
        self.assertEqual(b.call(lambda: len(b.store.objects)), 0)

    def test_costs_a_slow_head_its_connection(self):
        b = self.bench()
        client = b.client()
        client.send(b"GET / HT")
        b.wait(lambda: any(connection.buffer for connection in b.daemon.connections))
        b.advance(11)
        self.assertIsNone(client.response())

    def test_refuses_malformed_lease_terms(self):
        b = self.bench()
        for query in ("timeout_ms=-1", "timeout_ms=1.5", "ttl_s=nan", "ttl_s=inf", "ttl_s=-1", "ttl_s=",
                      "ttl_s=1s"):  # fmt: skip
            with self.subTest(query):
                self.assertEqual(b.acquire(b.leased()[0], query=query).status, 400)

    def test_answers_http_1_0_and_closes(self):
        client = self.bench().client()
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        self.assertEqual(client.response().status, 404)
        self.assertIsNone(client.response())

    def test_understands_a_target_in_absolute_form(self):
        b = self.bench()
        response = b.ask(b"PUT http://x:1/v1/kv/b/absolute HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
        self.assertEqual(response.status, 200)
        self.assertIsNotNone(b.grant("absolute"))

    def test_a_client_that_goes_away_when_woken_leaves_no_lease(self):
        b = self.bench()
        client = b.hold("woken")
        b.gone(client)
        b.put("woken", b"x")
        self.assertEqual(b.call(lambda: len(b.store.leases)), 0)

    def test_leaves_all_room_free_when_all_is_over(self):
        b = self.bench("expiry-swept-each-second")
        free = b.call(lambda: len(b.store.free))
        key, _, grant = b.leased(9000, 1.0)
        b.cut_short(fresh(), os.urandom(9000), 500)
        b.advance(3)
        b.call(lambda: b.store._drop(b.store.objects["b".encode(), key.encode()]))
        self.assertEqual(b.call(lambda: len(b.store.free)), free)


class Program(unittest.TestCase):
    def start(self, *arguments):
        directory = tempfile.mkdtemp()
        name = "reference-test-%d-%d" % (os.getpid(), next(serial))
        ready = os.path.join(directory, "ready")
        process = subprocess.Popen(
            [sys.executable, "-B", daemon.__file__, "--shm-name", name, "--capacity", "1MiB",
             "--ready-file", ready, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
        self.addCleanup(process.communicate, timeout=PATIENCE)
        self.addCleanup(process.terminate)
        return process, name

    def test_tells_when_it_is_ready_and_leaves_nothing(self):
        process, name = self.start()
        told = json.loads(process.stdout.readline())
        self.assertEqual((told["event"], told["shm_name"], told["capacity"]), ("ready", name, 1 << 20))
        self.assertTrue(os.path.exists("/dev/shm/" + name))
        before = os.stat("/dev/shm/" + name)
        process.send_signal(1)
        self.assertEqual(json.loads(process.stdout.readline()), told)
        self.assertNotEqual(os.stat("/dev/shm/" + name).st_ctime_ns, before.st_ctime_ns)
        process.terminate()
        self.assertEqual(process.wait(PATIENCE), 0)
        self.assertFalse(os.path.exists("/dev/shm/" + name))

    def test_says_what_is_wrong_with_its_arguments(self):
        for option, word in {"--vary": "nothing", "--break": "scattered", "--capacity": "much",
                             "--listen": "here"}.items():  # fmt: skip
            process, _ = self.start(option, word)
            self.assertEqual(process.wait(PATIENCE), 2)
            self.assertIn(word, process.stderr.read())

    def test_keeps_away_from_a_segment_that_is_there(self):
        process, name = self.start()
        process.stdout.readline()
        command = [sys.executable, "-B", daemon.__file__, "--shm-name", name]
        second = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(second.returncode, 1)
        self.assertIn(name, second.stderr)
        self.assertTrue(os.path.exists("/dev/shm/" + name))


if __name__ == "__main__":
    unittest.main()
