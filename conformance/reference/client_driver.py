#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A second client behind a driver (docs/drivers.md), to try the client suite on: plain, and written
from docs/protocol.md and docs/drivers.md alone. It shares nothing with the project's client.

    hyperpod-conformance client --driver 'client_driver.py [--vary NAME]... [--break NAME]...'

--list tells the variations and defects; client_switches.py says what they mean.
"""

import argparse
import asyncio
import contextlib
import fcntl
import gzip
import hashlib
import heapq
import itertools
import json
import mmap
import os
import struct
import sys
import threading
import urllib.parse
import zlib

import client_switches as switches

USER_AGENT = "LMCache-SageMaker-HyperPod/1.0"
MARGIN_S = 0.5  # The lease response is waited for so much longer than it may be held.
IDLE_S = 30
FAILURES = 3  # In a row, before the daemon is left alone for a while.
PROBE_S = 2
COPIED_AT_ONCE = 1 << 20

LEASE, PUT = 0, 2  # Priorities in the gate.

PARAMETERS = (
    "max_concurrent_requests", "max_connections", "max_connections_per_host", "timeout_ms", "lease_ttl_s",
    "put_stream_chunk_bytes", "save_chunk_meta", "lease_wait_timeout_ms", "max_lease_size_mb",
)  # fmt: skip


def now():
    """The loop's clock, which goes on while the process is stopped."""
    return asyncio.get_running_loop().time()


COUNTED = (
    "get_success", "get_failure", "put_success", "put_failure", "leases_acquired", "leases_released",
)  # fmt: skip


class Trouble(Exception):
    """The daemon could not be asked, or its response is unusable."""


class TooLate(Trouble):
    """The deadline has passed."""


class NotAsked(Trouble):
    """The daemon has failed so often that it is left alone for a while."""


class Gate:
    """Places for requests in flight; who waits is let in by priority, then in order."""

    def __init__(self, places, in_order=False):
        self.places = places
        self.taken = 0
        self.in_order = in_order
        self.waiting = []
        self.serial = itertools.count()

    async def enter(self, priority, deadline):
        if self.taken < self.places:
            self.taken += 1
            return
        turn = asyncio.get_running_loop().create_future()
        entry = (0 if self.in_order else priority, next(self.serial), turn)
        heapq.heappush(self.waiting, entry)
        try:
            async with asyncio.timeout_at(deadline):
                await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            if turn.done() and not turn.cancelled():
                self.leave()  # It was let in at that very moment.
            if isinstance(error, asyncio.CancelledError):
                raise
            raise TooLate("the deadline passed while it waited for its turn") from None

    def leave(self):
        self.taken -= 1
        while self.waiting and self.taken < self.places:
            _, _, turn = heapq.heappop(self.waiting)
            if not turn.done():
                self.taken += 1
                turn.set_result(None)

    @property
    def queued(self):
        return sum(not turn.done() for _, _, turn in self.waiting)


class Connection:
    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer
        self.idle_since = 0.0

    def close(self):
        self.writer.transport.abort()


class Response:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body


class Pool:
    """Kept-alive connections to one daemon."""

    def __init__(self, host, port, limit, on):
        self.host = host
        self.port = port
        self.limit = limit
        self.on = on
        self.idle = []
        self.places = Gate(limit)
        self.open = 0
        self.sweeper = None
        self.leaked = []

    async def take(self, deadline, fresh=False):
        await self.places.enter(0, deadline)
        try:
            if fresh and self.idle:
                self._drop(self.idle.pop(0))  # Its place is for the new one.
            while self.idle and not fresh:
                connection = self.idle.pop()
                closed = connection.reader.at_eof() or connection.writer.is_closing()
                if not closed or "closed-connections-cost-requests" in self.on:
                    return connection
                self._drop(connection)
            async with asyncio.timeout_at(deadline):
                reader, writer = await asyncio.open_connection(self.host, self.port)
            writer.transport.set_write_buffer_limits(0)  # So that each piece goes out alone.
            self.open += 1
            return Connection(reader, writer)
        except TimeoutError:
            self.places.leave()
            raise TooLate("no connection before the deadline") from None
        except BaseException:
            self.places.leave()
            raise

    def _drop(self, connection):
        self.open -= 1
        connection.close()

    def give_back(self, connection, usable):
        if usable:
            connection.idle_since = now()
            self.idle.append(connection)
            if self.sweeper is None:
                self.sweeper = asyncio.ensure_future(self._sweep())
        elif "broken-connections-not-counted" in self.on:
            self.leaked.append(connection)
        else:
            self._drop(connection)
        self.places.leave()

    async def _sweep(self):
        """Closes connections that nobody has used for a while."""
        lives = 5 if "idle-connections-closed-early" in self.on else IDLE_S
        while "idle-connections-stay" not in self.on:
            await asyncio.sleep(0.5)
            limit = now() - lives
            for connection in [connection for connection in self.idle if connection.idle_since <= limit]:
                self.idle.remove(connection)
                self._drop(connection)

    async def open_all(self):
        deadline = now() + 1
        taken = []
        try:
            for _ in range(self.limit):
                taken.append(await self.take(deadline))
        except (OSError, Trouble):
            pass
        for connection in taken:
            self.give_back(connection, True)

    def close(self):
        if self.sweeper is not None:
            self.sweeper.cancel()
        while self.idle:
            self._drop(self.idle.pop())


async def read_response(reader):
    """A Response, interim ones being skipped, and whether the connection may be used again."""
    while True:
        line = await reader.readuntil(b"\r\n")
        parts = line.split(None, 2)
        if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():
            raise Trouble("the response is not HTTP: %r" % line[:60])
        status = int(parts[1])
        headers = {}
        while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
            name, colon, value = line.partition(b":")
            if not colon:
                raise Trouble("a header has no colon")
            headers[name.lower().decode("latin-1")] = value.strip().decode("latin-1")
        if status >= 200:
            break
    until_close = False
    if status in (204, 304):
        body = b""
    elif "chunked" in headers.get("transfer-encoding", "").lower():
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass
    elif "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    else:
        body, until_close = await reader.read(), True
    coding = headers.get("content-encoding", "").lower()
    if coding:
        body = {"gzip": gzip.decompress, "deflate": zlib.decompress}[coding](body)
    keep = not until_close and "close" not in headers.get("connection", "").lower()
    return Response(status, headers, body), keep


class Segment:
    """The daemon's memory: mapped for reading, and anew when another has its name."""

    def __init__(self, name, on):
        self.path = name and "/dev/shm/" + name
        self.on = on
        self.map = None
        self.identity = None
        self.given_up = False

    def named(self):
        """What the name leads to now, or None."""
        try:
            stat = os.stat(self.path)
        except OSError:
            return None
        return stat.st_dev, stat.st_ino, stat.st_size

    def attach(self):
        """Whether there is a mapping of what the name leads to."""
        if self.path is None or self.given_up:
            return False
        if self.map is not None and "mapped-once" in self.on:
            return True
        named = self.named()
        if self.map is not None and named == self.identity:
            return True
        self.detach()
        try:
            writable = "mapped-for-writing" in self.on
            descriptor = os.open(self.path, os.O_RDWR if writable else os.O_RDONLY)
            try:
                stat = os.fstat(descriptor)
                protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
                self.map = mmap.mmap(descriptor, stat.st_size, mmap.MAP_SHARED, protection)
                self.identity = stat.st_dev, stat.st_ino, stat.st_size
            finally:
                os.close(descriptor)
        except (OSError, ValueError):  # Not there, not ours, or still empty.
            self.given_up = "missing-segment-given-up" in self.on
            return False
        return True

    def detach(self):
        if self.map is not None:
            self.map.close()
            self.map = None

    def copy(self, fragments):
        """The bytes of these fragments; Trouble if the segment has been cut off."""
        if "read-without-a-mapping" in self.on:
            return self._read(fragments)
        named = self.named()
        if named is not None and named[:2] == self.identity[:2] and named[2] < self.identity[2]:
            raise Trouble("the segment has become smaller")
        pieces = []
        for offset, length in fragments:
            for at in range(offset, offset + length, COPIED_AT_ONCE):
                pieces.append(self.map[at : min(at + COPIED_AT_ONCE, offset + length)])
        return b"".join(pieces)

    def _read(self, fragments):
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            pieces = [os.pread(descriptor, length, offset) for offset, length in fragments]
        finally:
            os.close(descriptor)
        data = b"".join(pieces)
        if len(data) != sum(length for _, length in fragments):
            raise Trouble("the segment is smaller than the lease says")
        return data


def header_of(size, big_endian=False, extra=0):
    """LMCache's header of a chunk as docs/drivers.md has it."""
    return struct.pack((">" if big_endian else "<") + "7i", size + extra, 1, 6, 2, 1, size // 2, 1)


class Lease:
    def __init__(self, id, fragments, expires):
        self.id = id
        self.fragments = fragments
        self.expires = expires

    @property
    def size(self):
        return sum(length for _, length in self.fragments)


class Client:
    """A client of one daemon. All of it runs in one event loop."""

    def __init__(self, url, segment, parameters, on):
        self.on = on
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError("url is not http://HOST:PORT")
        self.authority = parts.netloc
        given = {} if "no-parameters" in on else parameters
        self.bucket = "lmcache" if "bucket-ignored" in on else parameters.get("bucket", "lmcache")
        default_limit = 200 if "default-limit-of-200" in on else 100
        limit = max(1, int(given.get("max_concurrent_requests", default_limit)))
        timeout_ms = int(given.get("timeout_ms", 5000))
        if "timeout-below-100-taken" not in on:
            timeout_ms = max(100, timeout_ms)
        self.timeout_s = timeout_ms / 1000
        self.wait_ms = int(given.get("lease_wait_timeout_ms", timeout_ms))
        default_ttl = 10.0 if "ttl-of-10s" in on else 30.0
        self.ttl_s = float(given.get("lease_ttl_s", default_ttl))
        self.piece = max(1024, int(given.get("put_stream_chunk_bytes", 65536)))
        if "small-pieces" in on:
            self.piece = 1024
        megabytes = given.get("max_lease_size_mb")
        self.most_bytes = None if megabytes is None else int(megabytes * (1 << 20))
        self.with_header = bool(given.get("save_chunk_meta", True))
        if "header-always" in on or "a-header-whatever-is-said" in on:
            self.with_header = True
        elif "never-a-header" in on or "no-parameters" in on:
            self.with_header = False

        connections = max(1, int(given.get("max_connections", 256)))
        per_host = max(1, int(given.get("max_connections_per_host", 128)))
        if "limit-per-host-ignored" in on:
            per_host = connections
        if "limit-of-connections-ignored" in on:
            connections = per_host
        connections = min(connections, per_host) + ("one-connection-too-many" in on)
        if "one-connection" in on:
            connections = 1
        if "one-request-at-a-time" in on:
            limit = 1
        limit += "one-request-too-many" in on
        in_order = "first-come-first-served" in on
        self.gate = Gate(limit, in_order)
        self.gate_of_puts = Gate(limit) if on & {"gate-for-puts", "limit-of-each-operation"} else self.gate
        self.gate_of_releases = Gate(limit) if "limit-of-each-operation" in on else self.gate
        self.pool = Pool(parts.hostname, parts.port or 80, connections, on)
        self.segment = Segment(segment, on)
        if "refuses-without-a-segment" in on and segment and not self.segment.attach():
            raise ValueError("there is no segment " + segment)
        self.segment.attach()
        self.failures = 0  # In a row.
        self.unwelcome = 0  # Responses that a defect counts as failures.
        self.asked_again = 0.0
        self.counts = dict.fromkeys(COUNTED, 0)
        self.in_flight = 0
        self.last_id = None
        self.in_batch = []  # Keys, for a defect.
        self.late = set()  # Releases under way in the background.

    async def start(self):
        if "connections-opened-at-once" in self.on:
            await self.pool.open_all()

    async def close(self):
        if self.late:
            await asyncio.wait(self.late, timeout=self.timeout_s)
        self.pool.close()
        self.segment.detach()
        if "unlinked-at-the-end" in self.on and self.segment.path and os.path.exists(self.segment.path):
            os.unlink(self.segment.path)

    # Requests.

    @staticmethod
    def _deadline(seconds):
        return now() + seconds

    async def _request(self, method, target, headers, body, seconds, priority):
        """A Response; raises Trouble. Waiting for the turn counts."""
        on = self.on
        gate = self.gate_of_puts if method == "PUT" else self.gate
        if target.endswith("/release"):
            gate = self.gate_of_releases
        if "backlog-limited" in on and gate.queued >= 50:
            raise Trouble("too many requests wait")
        deadline = self._deadline(1e6 if "queueing-not-counted" in on else seconds)
        counted = not ("releases-not-counted" in on and target.endswith("/release"))
        if counted:
            await gate.enter(priority, deadline)
        failed = True
        self.in_flight += 1
        try:
            if "queueing-not-counted" in on:
                deadline = self._deadline(seconds)
            self._ask_breaker()
            response = await self._exchange(method, target, headers, body, deadline, seconds)
            failed = False
            self.failures = 0
            self._count_against_breaker(response)
            return response
        except NotAsked:
            failed = False
            raise
        except (OSError, EOFError, asyncio.LimitOverrunError, KeyError, ValueError, zlib.error) as error:
            raise Trouble("%s: %s" % (type(error).__name__, error)) from None
        finally:
            self.in_flight -= 1
            if failed:
                self.failures += 1
                if self.failures >= FAILURES:
                    self.asked_again = self._deadline(self._pause())
            if counted:
                self._leave(gate, failed)

    def _leave(self, gate, failed):
        if failed and "place-lost-with-a-failure" in self.on:
            return
        if failed and "limit-grows-with-failures" in self.on:
            gate.places += 1
            self.pool.places.places += 1
        gate.leave()

    def _pause(self):
        if "breaker-never-closes" in self.on:
            return 1e6
        if "breaker-closes-after-a-minute" in self.on:
            return 60
        return 5 if "breaker-of-5s" in self.on else PROBE_S

    def _ask_breaker(self):
        if "no-breaker" in self.on:
            return
        if self.failures >= FAILURES:
            if now() < self.asked_again:
                raise NotAsked("the daemon failed %d times in a row; it is asked again later" % self.failures)
            self.asked_again = self._deadline(self._pause())

    def _count_against_breaker(self, response):
        bad = ("misses-open-the-breaker" in self.on and response.status in (404, 504)) or (
            "conflicts-open-the-breaker" in self.on and response.status == 409
        )
        if bad:
            self.unwelcome += 1
            if self.unwelcome >= FAILURES:
                self.failures, self.unwelcome = FAILURES, 0
                self.asked_again = self._deadline(5)

    async def _exchange(self, method, target, headers, body, deadline, seconds):
        for fresh in (False, True):
            connection = await self.pool.take(deadline, fresh)
            kept = connection.idle_since > 0 and "closed-connections-cost-requests" not in self.on
            try:
                return await self._exchange_over(connection, method, target, headers, body, deadline, seconds)
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                # Closed by the daemon when it was idle: no byte of a response has come.
                if fresh or not kept or getattr(error, "partial", b""):
                    raise

    async def _exchange_over(self, connection, method, target, headers, body, deadline, seconds):
        on = self.on
        usable = False
        try:
            async with asyncio.timeout_at(deadline) as limit:
                if "deadline-anew-with-each-byte" in on:
                    connection.reader = Renewing(connection.reader, limit, seconds)
                try:
                    await self._send(connection, method, target, headers, body)
                except (ConnectionError, OSError):
                    if body is None:
                        raise
                    # The daemon may have refused the body and closed; its response tells.
                response, usable = await read_response(connection.reader)
                return response
        except TimeoutError:
            usable = "late-response-taken-for-the-next" in on
            raise TooLate("no response before the deadline") from None
        finally:
            if isinstance(connection.reader, Renewing):
                connection.reader = connection.reader.reader
            if "connection-for-each-request" in on or (method == "PUT" and "connection-for-each-put" in on):
                usable = False
            self.pool.give_back(connection, usable)

    async def _send(self, connection, method, target, headers, body):
        on = self.on
        user_agent = "python/3" if "other-user-agent" in on else USER_AGENT
        lines = [("Host", self.authority), ("User-Agent", user_agent)]
        if "few-headers" not in on:
            lines += [("Accept", "*/*"), ("Accept-Encoding", "gzip, deflate")]
        lines += headers
        if "headers-in-lower-case" in on:
            lines = [(name.lower(), value) for name, value in reversed(lines)]
        head = "%s %s HTTP/1.1\r\n" % (method, target)
        head += "".join("%s: %s\r\n" % line for line in lines) + "\r\n"
        writer = connection.writer
        data = head.encode("latin-1")
        if "body-with-its-head" in on and body:
            data, body = data + body[: self.piece], body[self.piece :]
        writer.write(data)
        await writer.drain()
        if not body:
            return
        if "body-chunked" in on:
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        step = len(body) if "body-in-one-piece" in on else self.piece
        view = memoryview(body)
        for at in range(0, len(body), step):
            writer.write(view[at : at + step])
            await writer.drain()

    def _encoded(self, text):
        on = self.on
        safe = "" if "everything-encoded" in on else "@:~!$&'()*,;="
        if "slashes-bare" in on:
            safe += "/"
        if "plus-bare" in on:
            safe += "+"
        if "percent-bare" in on:
            safe += "%"
        raw = text.encode()
        if "key-as-latin-1" in on and all(ord(character) < 256 for character in text):
            raw = text.encode("latin-1")
        encoded = urllib.parse.quote(raw, safe=safe)
        if "key-encoded-twice" in on:
            encoded = urllib.parse.quote(encoded, safe=safe)
        if "space-as-plus" in on:
            encoded = encoded.replace("%20", "+")
        if "hex-in-lower-case" in on:
            parts = encoded.split("%")
            encoded = "%".join(parts[:1] + [part[:2].lower() + part[2:] for part in parts[1:]])
        return encoded

    def _target(self, key):
        return "/v1/kv/%s/%s" % (self._encoded(self.bucket), self._encoded(key))

    # Leases.

    async def _acquire(self, key):
        """A Lease that can be read, or None for a miss; raises Trouble."""
        on = self.on
        began = now()
        ttl = self.ttl_s * 1000 if "ttl-in-milliseconds" in on else self.ttl_s
        ttl = "%d" % ttl if "ttl-without-a-point" in on and ttl == int(ttl) else repr(float(ttl))
        hold = "%.1f" % self.wait_ms if "timeout-with-a-point" in on else "%d" % self.wait_ms
        query = "timeout_ms=%s&ttl_s=%s" % (hold, ttl)
        if "query-in-other-order" in on:
            query = "ttl_s=%s&timeout_ms=%s" % (ttl, hold)
        seconds = self.wait_ms / 1000 + (0 if "no-margin" in on else MARGIN_S)
        if "no-deadline-for-leases" in on:
            seconds = 1e6
        headers = [] if "lease-without-length" in on else [("Content-Length", "0")]
        target = "%s/leases?%s" % (self._target(key), query)
        response = await self._request("POST", target, headers, None, seconds, LEASE)
        if response.status != 200:
            if (response.status, True) in ((404, "404-is-an-error" in on), (504, "504-is-an-error" in on)):
                raise Trouble("the daemon answered %d" % response.status)
            if response.status in (404, 504):
                return None
            raise Trouble("a lease request was answered %d" % response.status)
        json_like = response.headers.get("content-type", "").startswith("application/json")
        if not json_like and "text-taken-for-a-lease" not in on:
            raise Trouble("a lease came as " + response.headers.get("content-type", "no type"))
        try:
            grant = json.loads(response.body)
        except ValueError:
            raise Trouble("a lease is not JSON") from None
        if not isinstance(grant, dict) or not isinstance(grant.get("id"), (str, int)):
            raise Trouble("a lease has no id")
        id = str(grant["id"])
        self.counts["leases_acquired"] += 1
        fragments = self._fragments(grant.get("offsets"))
        if fragments is None:
            if "lease-kept-without-offsets" not in on:
                await self._release(id, key)
            raise Trouble("a lease has no usable offsets")
        return Lease(id, fragments, began + self.ttl_s)

    def _fragments(self, offsets):
        """Those of a grant, or None where they are unusable."""
        if "offsets-missing-taken-for-a-hit" in self.on and not offsets:
            return []
        if not isinstance(offsets, list) or not offsets:
            return None
        fragments = []
        for one in offsets:
            if not isinstance(one, dict):
                return None
            offset, length = one.get("offset"), one.get("len")
            whole = all(isinstance(n, int) and not isinstance(n, bool) for n in (offset, length))
            if not whole or offset < 0 or length <= 0:
                return None
            fragments.append((offset, length))
        ordered = sorted(fragments)
        overlap = any(a + n > b for (a, n), (b, _) in zip(ordered, ordered[1:]))
        if overlap and "overlaps-taken-for-a-hit" not in self.on:
            return None
        return fragments

    async def _release(self, id, key):
        on = self.on
        if "last-lease-released-again" in on and self.last_id is not None:
            id, self.last_id = self.last_id, id
        else:
            self.last_id = id
        path = id if "ids-not-encoded" in on else urllib.parse.quote(id, safe="")
        method, target = "POST", "/v1/leases/%s/release" % path
        if "released-by-delete" in on:
            method, target = "DELETE", "%s/leases/%s" % (self._target(key), path)
        seconds = 1e6 if "no-deadline-for-releases" in on else self.timeout_s
        try:
            for _ in range(2 if "released-twice" in on else 1):
                headers = [("Content-Length", "0")]
                response = await self._request(method, target, headers, None, seconds, LEASE)
                self.counts["leases_released"] += response.status in (200, 404)
        except Trouble:
            pass  # It expires.

    async def _done_with(self, lease, key):
        """Releases a lease, now or behind the caller's back."""
        if self.on & {"released-in-the-background", "released-a-little-later"}:
            task = asyncio.ensure_future(self._release_later(lease.id, key))
            self.late.add(task)
            task.add_done_callback(self.late.discard)
        else:
            await self._release(lease.id, key)

    async def _release_later(self, id, key):
        if "released-a-little-later" in self.on:
            await asyncio.sleep(0.2)
        await self._release(id, key)

    # Operations: what they return is an outcome of docs/drivers.md.

    async def put(self, key, data):
        on = self.on
        if self.with_header:
            extra = 28 if "header-length-of-the-object" in on else 0
            data = header_of(len(data), "header-big-endian" in on, extra) + data
        headers = [("Content-Length", str(len(data)))]
        if "body-chunked" in on:
            headers = [("Transfer-Encoding", "chunked")]
        if "no-content-type" not in on:
            headers.append(("Content-Type", "application/octet-stream"))
        if "expect-sent" in on:
            headers.append(("Expect", "100-continue"))
        seconds = 1e6 if "no-deadline-for-puts" in on else self.timeout_s
        stored = {200} | ({201, 202, 204} if "201-is-stored" in on else set())
        try:
            response = await self._request("PUT", self._target(key), headers, data, seconds, PUT)
            if response.status >= 500 and "failed-put-sent-again" in on:
                response = await self._request("PUT", self._target(key), headers, data, seconds, PUT)
        except Trouble as trouble:
            if "lost-put-is-stored" in on and isinstance(trouble, TooLate):
                return {"outcome": "stored"}
            self.counts["put_failure"] += 1
            return {"outcome": "error", "detail": str(trouble)}
        if response.status in stored or "503-is-stored" in on:
            self.counts["put_success"] += 1
            return {"outcome": "stored"}
        if response.status == 409:
            self.counts["put_success"] += 1
            return {"outcome": "stored" if "conflicts-told-as-stored" in on else "exists"}
        self.counts["put_failure"] += 1
        return {"outcome": "error", "detail": "a put was answered %d" % response.status}

    async def get(self, key, size):
        try:
            data = await self._read(key, size + (28 if self.with_header else 0))
        except Trouble as trouble:
            self.counts["get_failure"] += 1
            hidden = "errors-told-as-misses" in self.on
            return {"outcome": "miss" if hidden else "error", "detail": str(trouble)}
        if data is not None and self.with_header:
            if len(data) < 28 or data[:28] != header_of(size, "header-big-endian" in self.on, self._extra()):
                data = None
            else:
                data = data[28:]
        if data is None:
            self.counts["get_failure"] += 1
            return {"outcome": "miss"}
        self.counts["get_success"] += 1
        return {"outcome": "hit", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    def _extra(self):
        return 28 if "header-length-of-the-object" in self.on else 0

    async def _read(self, key, size):
        """An object's bytes, or None for a miss; raises Trouble."""
        on, segment = self.on, self.segment
        # Before the lease: what is mapped later might belong to another daemon's life.
        if not segment.attach():
            return None
        identity = segment.identity
        lease = await self._acquire(key)
        if lease is None:
            return None
        keep = False
        try:
            if "released-before-the-copy" in on:
                await self._release(lease.id, key)
                keep = True
            too_large = self.most_bytes is not None and lease.size > self.most_bytes
            if too_large and "size-limit-ignored" not in on:
                keep = keep or "lease-kept-when-too-large" in on
                return None
            fragments = lease.fragments
            beyond = any(offset + length > identity[2] for offset, length in fragments)
            if beyond and "out-of-bounds-cut" not in on:
                keep = keep or "lease-kept-when-out-of-bounds" in on
                raise Trouble("a lease reaches beyond the segment")
            if "overlaps-taken-for-a-hit" in on and lease.size > size:
                fragments = fragments[:1]
            elif lease.size != size and "offsets-missing-taken-for-a-hit" not in on:
                return None
            data = self._copy(lease, fragments, identity, size)
            keep = keep or ("lease-kept-after-a-hit" in on and data is not None)
            keep = keep or ("lease-kept-after-a-failed-copy" in on and data is None)
            return data
        finally:
            if "second-of-a-batch-kept" in on and [key] == self.in_batch[1:2]:
                keep = True
            if not keep:
                await self._done_with(lease, key)

    def _copy(self, lease, fragments, identity, size):
        """The bytes, or None where they cannot be trusted."""
        on, segment = self.on, self.segment
        watched = "expiry-ignored" not in on
        expires = lease.expires
        if "expiry-counted-from-the-copy" in on:
            expires = now() + self.ttl_s
        if watched and now() >= expires:
            return self._expired()
        if "first-fragment-read-on" in on:
            fragments = [(fragments[0][0], size)]
        if "fragments-sorted" in on:
            fragments = sorted(fragments)
        if "mapped-for-each-read" in on:
            segment.detach()
            if not segment.attach() or segment.identity != identity:
                return None
        if segment.map is None and not segment.attach():
            return None
        data = segment.copy(fragments)
        if "out-of-bounds-cut" in on:
            data = data.ljust(size, b"\0")
        if watched and "expiry-looked-at-before-the-copy" not in on and now() >= expires:
            return self._expired()
        named = segment.named()
        again = "restart-not-noticed-after-the-copy" in on or "mapped-once" in on
        if not again and named is not None and named[:2] != identity[:2]:
            return None
        if not again and segment.identity != identity:
            return None
        return data

    def _expired(self):
        if "late-copies-told-as-errors" in self.on:
            raise Trouble("the lease expired before the copy ended")
        return None

    async def exists(self, key):
        try:
            lease = await self._acquire(key)
        except Trouble as trouble:
            hidden = "errors-told-as-misses" in self.on
            return {"outcome": "miss" if hidden else "error", "detail": str(trouble)}
        if lease is None:
            return {"outcome": "miss"}
        if "lease-kept-by-exists" not in self.on:
            await self._done_with(lease, key)
        return {"outcome": "hit"}

    # Batches.

    async def _all(self, calls):
        if "lookups-one-by-one" in self.on:
            return [await call for call in calls]
        return list(await asyncio.gather(*calls))

    async def batch_put(self, items):
        results = await self._all([self.put(key, data) for key, data in items])
        if "batch-spoiled-by-one" in self.on and any(result["outcome"] == "error" for result in results):
            return [{"outcome": "error", "detail": "one failed"} for _ in items]
        return results

    async def batch_get(self, items):
        on = self.on
        if "second-of-a-batch-kept" in on:
            self.in_batch = [key for key, _ in items]
        results = await self._all([self.get(key, size) for key, size in items])
        self.in_batch = []
        missed = [result["outcome"] != "hit" for result in results]
        if "batch-spoiled-by-one" in on and any(missed):
            return [{"outcome": "error", "detail": "one failed"} for _ in items]
        if "batch-shifted-by-a-miss" in on:
            hits = [result for result in results if result["outcome"] == "hit"]
            return hits + [{"outcome": "miss"}] * (len(items) - len(hits))
        if "batch-ends-at-a-miss" in on and any(missed):
            first = missed.index(True)
            return results[:first] + [{"outcome": "miss"}] * (len(items) - first)
        return results

    async def batch_contains(self, keys):
        """How many keys are there, from the first on; and what went wrong, or None."""
        on = self.on
        if "lookups-lock-each-other-out" in on:
            return await self._contains_with_places(keys)
        if "all-keys-looked-up" in on or "prefix-counted-beyond-a-miss" in on:
            found = await self._all([self.exists(key) for key in keys])
        else:
            found = []
            for key in keys:
                found.append(await self.exists(key))
                if found[-1]["outcome"] != "hit":
                    break
        hits = [result["outcome"] == "hit" for result in found]
        if "prefix-counted-beyond-a-miss" in on:
            return sum(hits), None
        count = len(list(itertools.takewhile(bool, hits)))
        if "prefix-without-its-last" in on and keys and count == len(keys):
            return count - 1, None
        broken = next((result for result in found if result["outcome"] == "error"), None)
        return count, broken and broken["detail"]

    async def _contains_with_places(self, keys):
        """Takes a place for each key before the first request, and gives all back at the end."""
        deadline = self._deadline(self.timeout_s)
        taken = 0
        try:
            for _ in keys:
                await self.gate.enter(LEASE, deadline)
                taken += 1
                await asyncio.sleep(0.01)
            count = 0
            for key in keys:
                self.gate.leave()
                taken -= 1
                if (await self.exists(key))["outcome"] != "hit":
                    break
                count += 1
            return count, None
        except Trouble as trouble:
            return 0, str(trouble)
        finally:
            for _ in range(taken):
                self.gate.leave()

    async def take_the_machine(self):
        """Waits until no other worker on this daemon has it, looking each 4 s; kept until the end."""
        self.machine = os.open(self.segment.path, os.O_RDONLY)
        while True:
            with contextlib.suppress(BlockingIOError):
                return fcntl.flock(self.machine, fcntl.LOCK_EX | fcntl.LOCK_NB)
            await asyncio.sleep(4)

    def leave_the_machine(self):
        os.close(self.machine)

    def stats(self):
        return {
            **self.counts,
            "connections": self.pool.open,
            "in_flight": self.in_flight,
            "queued": self.gate.queued,
            "circuit_open": self.failures >= FAILURES,
        }


class Renewing:
    """A reader of a defect: whenever bytes come, the deadline is put off."""

    def __init__(self, reader, limit, seconds):
        self.reader = reader
        self.limit = limit
        self.seconds = seconds
        self.held = b""

    async def _more(self):
        data = await self.reader.read(4096)
        self.limit.reschedule(now() + self.seconds)
        if not data:
            raise EOFError("the daemon closed the connection")
        self.held += data

    async def readuntil(self, end):
        while end not in self.held:
            await self._more()
        at = self.held.index(end) + len(end)
        line, self.held = self.held[:at], self.held[at:]
        return line

    async def readexactly(self, size):
        while len(self.held) < size:
            await self._more()
        data, self.held = self.held[:size], self.held[size:]
        return data

    async def read(self):
        return self.held + await self.reader.read()


# The exchange of docs/drivers.md.


def payload(seed, size):
    blocks = (hashlib.sha256(b"%d:%d" % (seed, i)).digest() for i in range((size + 31) // 32))
    return b"".join(blocks)[:size]


class Malformed(Exception):
    """A command is not as docs/drivers.md says."""


def member(command, name, *kinds):
    value = command.get(name) if isinstance(command, dict) else None
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise Malformed('"%s" is missing or of a wrong kind' % name)
    if isinstance(value, int) and value < 0:
        raise Malformed('"%s" is negative' % name)
    return value


class Driver:
    def __init__(self, on):
        self.on = on
        self.client = None
        self.is_open = False
        self.operations = {"put", "get", "exists"}
        if "batches-not-offered" not in on:
            self.operations |= {"batch_put", "batch_get", "batch_contains"}
        if "stats-not-offered" not in on:
            self.operations.add("stats")

    async def answer(self, line):
        answer = {"id": None, "ok": True}
        try:
            command = json.loads(line)
            answer["id"] = member(command, "id", int, float)
            op = member(command, "op", str)
            if op in ("hello", "configure", "close", "concurrent") or op in self.operations:
                answer.update(await getattr(self, op)(command))
            else:
                answer.update(ok=False, unsupported=True)
        except (Malformed, ValueError) as error:
            answer.update(ok=False, error=str(error) or "the line is not a command")
        return answer

    async def hello(self, _):
        header = "configurable"
        if self.on & {"never-a-header", "no-parameters"}:
            header = "never"
        elif "a-header-whatever-is-said" in self.on:
            header = "always"
        parameters = [] if "no-parameters" in self.on else list(PARAMETERS)
        return {
            "client": "reference client 1",
            "operations": ["hello", "configure", "concurrent", "close", "raise", *sorted(self.operations)],
            "parameters": parameters,
            "header": header,
        }

    async def configure(self, command):
        url = member(command, "url", str)
        if "segment" not in command:
            raise Malformed('"segment" is missing')
        segment = command["segment"]
        if segment is not None:
            segment = member(command, "segment", str)
        for name in PARAMETERS:
            kinds = (bool,) if name == "save_chunk_meta" else (int, float)
            if name in command and not isinstance(command[name], kinds):
                raise Malformed('"%s" is of a wrong kind' % name)
        await self.close(None)
        self.client = None
        self.client = Client(url, segment, command, self.on)
        await self.client.start()
        self.is_open = True
        return {}

    async def close(self, _):
        if self.is_open:
            self.is_open = False
            await self.client.close()
        return {}

    def _made(self):
        if self.client is None:
            raise Malformed('there is no client yet; send "configure" first')
        return self.client

    def _call(self, op, command):
        client, key = self._made(), member(command, "key", str)
        if op == "exists":
            return client.exists, (key,)
        size = member(command, "size", int)
        if op == "get":
            return client.get, (key, size)
        return client.put, (key, payload(member(command, "seed", int), size))

    async def put(self, command):
        call, arguments = self._call("put", command)
        return await call(*arguments)

    async def get(self, command):
        call, arguments = self._call("get", command)
        return await call(*arguments)

    async def exists(self, command):
        call, arguments = self._call("exists", command)
        return await call(*arguments)

    async def batch_put(self, command):
        items = [self._call("put", item)[1] for item in member(command, "items", list)]
        return {"results": await self._made().batch_put(items)}

    async def batch_get(self, command):
        items = [self._call("get", item)[1] for item in member(command, "items", list)]
        return {"results": await self._made().batch_get(items)}

    async def batch_contains(self, command):
        keys = member(command, "keys", list)
        if not all(isinstance(key, str) for key in keys):
            raise Malformed('"keys" are not all strings')
        hits, detail = await self._made().batch_contains(keys)
        return {"hits": hits} if detail is None else {"hits": hits, "detail": detail}

    async def concurrent(self, command):
        calls = []
        for one in member(command, "operations", list):
            op = member(one, "op", str)
            if op not in ("put", "get", "exists"):
                raise Malformed('"%s" cannot be concurrent' % op)
            calls.append(self._call(op, one))
        if "one-worker-at-a-time" in self.on:
            await self._made().take_the_machine()
        tasks = []
        for call, arguments in calls:
            tasks.append(asyncio.ensure_future(call(*arguments)))
            await asyncio.sleep(0)  # It runs until it first waits: it has entered the client.
        results = list(await asyncio.gather(*tasks))
        if "one-worker-at-a-time" in self.on:
            self._made().leave_the_machine()
        return {"results": results}

    async def stats(self, _):
        return self._made().stats()


def asks_to_raise(line):
    try:
        return json.loads(line)["op"] == "raise"
    except (ValueError, KeyError, TypeError):
        return False


def serve(on):
    """Answers the commands on standard input until it ends."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    driver = Driver(on)
    try:
        for line in sys.stdin.buffer:
            if asks_to_raise(line):
                raise RuntimeError("raised, as the command says")
            answer = asyncio.run_coroutine_threadsafe(driver.answer(line), loop).result()
            print(json.dumps(answer), flush=True)
        asyncio.run_coroutine_threadsafe(driver.close(None), loop).result(10)
    finally:
        if "unlinked-at-exit" in on and driver.client is not None and driver.client.segment.path:
            if os.path.exists(driver.client.segment.path):
                os.unlink(driver.client.segment.path)


def main():
    parser = argparse.ArgumentParser(description="A plain second client behind a driver")
    parser.add_argument("--vary", action="append", default=[], metavar="NAME", help="a legal variation")
    parser.add_argument("--break", action="append", default=[], metavar="NAME", dest="broken",
                        help="a defect")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="list variations and defects, and end")
    parser.add_argument("--json", action="store_true", help="with --list: as JSON")
    arguments = parser.parse_args()
    if arguments.list:
        for switch in () if arguments.json else switches.SWITCHES.values():
            print("--%s %s (%s): %s\n    %s" % (switch.kind, switch.name, switch.of, switch.what, switch.why))
        if arguments.json:
            print(json.dumps([switch.as_json() for switch in switches.SWITCHES.values()], indent=1))
        return
    for kind, names in (("vary", arguments.vary), ("break", arguments.broken)):
        for name in names:
            if name not in switches.SWITCHES or switches.SWITCHES[name].kind != kind:
                parser.error("--%s %s is not known; see --list" % (kind, name))
    serve(frozenset(arguments.vary + arguments.broken))


if __name__ == "__main__":
    main()
