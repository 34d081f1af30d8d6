#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A second daemon, to try the conformance suite on: plain, slow, and written from docs/protocol.md
alone. It shares nothing with the emulator, so that a mistake of the emulator's authors about the
protocol is not in both. It serves objects, leases and releases; not checkpoints, and not TLS.

    daemon.py --listen localhost:0 --shm-name NAME --capacity 128MiB [--vary NAME]... [--break NAME]...

When it can serve it prints one line of JSON, and writes it to --ready-file. SIGHUP restarts it: a
new segment, nothing stored. SIGTERM and SIGINT end it and remove its segment. --list tells the
variations and defects; switches.py says what they mean.
"""

import argparse
import asyncio
import gzip
import json
import math
import os
import random
import re
import signal
import socket
import sys
import urllib.parse
import zlib

import store as kept
import switches

LONGEST_HEAD = 64 << 10
LONGEST_TARGET = 16 << 10
MOST_HEADERS = 200
HEAD_SECONDS = 10
LONGEST_DISCARDED = 1 << 20  # Of a body that nobody asked for.
BUFFERED = 1 << 20

REASONS = {
    100: "Continue", 102: "Processing", 103: "Early Hints", 200: "OK", 201: "Created", 202: "Accepted",
    204: "No Content", 301: "Moved Permanently", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed",
    406: "Not Acceptable", 408: "Request Timeout", 409: "Conflict", 411: "Length Required",
    413: "Content Too Large", 414: "URI Too Long", 417: "Expectation Failed", 421: "Misdirected Request", 422: "Unprocessable Content",
    431: "Request Header Fields Too Large", 500: "Internal Server Error", 501: "Not Implemented",
    503: "Service Unavailable", 504: "Gateway Timeout", 505: "HTTP Version Not Supported",
    507: "Insufficient Storage",
}  # fmt: skip

# Switches by which a client's request stays held when the client has gone.
LINGERING = {"abandoned-hold-leaves-a-lease", "abandoned-leases-stay", "abandoned-hold-takes-the-grant"}

CHUNKED = {"chunked-responses", "chunked-with-extensions", "chunked-in-other-forms"}
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"

# Characters that defects refuse in a decoded key.
REFUSED_IN_KEYS = {
    "key-with-plus-refused": rb"[+]",
    "key-with-punctuation-refused": rb"[!$&'()*,;=]",
    "key-not-ascii-refused": rb"[\x80-\xff]",
}

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
DECIMAL = re.compile(r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?|\.[0-9]+([eE][+-]?[0-9]+)?")


class Refusal(Exception):
    """A request that gets an error."""

    def __init__(self, status, why, close=False):
        super().__init__(why)
        self.status = status
        self.close = close  # The rest of the connection cannot be understood.


class Gone(Exception):
    """The client has closed the connection, or sends no more."""


class Request:
    def __init__(self, method, target, version, headers):
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers  # Lists of values, by name in lower case.
        self.length = 0
        self.chunked = False
        self.with_head = 0  # Bytes of the body that arrived with the head.
        self.head_size = 0  # Bytes of the head, its empty line included.

    def header(self, name):
        return b", ".join(self.headers.get(name, [])).lower()

    @property
    def has_body(self):
        return self.chunked or self.length > 0


class Response:
    def __init__(self, status, body=b"", type="application/json", close=False):
        self.status = status
        self.body = body
        self.type = type
        self.close = close


def parse_head(head):
    """A Request of the bytes before the empty line; raises Refusal."""
    lines = head.split(b"\r\n")
    if b"\0" in head or b"\n" in head.replace(b"\r\n", b"") or b"\r" in head.replace(b"\r\n", b""):
        raise Refusal(400, "the head holds a NUL, a bare CR or a bare LF", close=True)
    if len(lines[0]) > LONGEST_TARGET:
        raise Refusal(414, "the target is longer than %d bytes" % LONGEST_TARGET, close=True)
    first = lines[0].split(b" ")
    if len(first) != 3 or not TOKEN.fullmatch(first[0]) or not re.fullmatch(rb"HTTP/\d\.\d", first[2]):
        raise Refusal(400, "the first line is not METHOD TARGET HTTP/1.1", close=True)
    if len(lines) > MOST_HEADERS:
        raise Refusal(431, "there are more than %d headers" % MOST_HEADERS, close=True)
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.fullmatch(name):
            raise Refusal(400, "a header has no proper name", close=True)
        headers.setdefault(name.lower(), []).append(value.strip(b" \t"))
    method, target, version = first
    if version not in (b"HTTP/1.0", b"HTTP/1.1"):
        raise Refusal(505, "only HTTP/1.0 and HTTP/1.1 are spoken", close=True)
    if version == b"HTTP/1.1" and len(headers.get(b"host", [])) != 1:
        raise Refusal(400, "there is not one Host", close=True)
    request = Request(method, target, version, headers)
    lengths = {value for values in headers.get(b"content-length", []) for value in values.split(b",")}
    lengths = {value.strip(b" \t") for value in lengths}
    if b"transfer-encoding" in headers:
        if lengths:
            raise Refusal(400, "there are Content-Length and Transfer-Encoding", close=True)
        if request.header(b"transfer-encoding") != b"chunked" or version == b"HTTP/1.0":
            raise Refusal(501, "the one transfer coding known is chunked", close=True)
        request.chunked = True
    elif lengths:
        value = lengths.pop()
        if lengths or not re.fullmatch(rb"[0-9]{1,18}", value):
            raise Refusal(400, "Content-Length is not one number", close=True)
        request.length = int(value)
    return request


def decoded(segment, lower_case_hex=True):
    """A path segment percent-decoded once; raises Refusal."""
    if re.search(rb"%(?![0-9A-Fa-f]{2})", segment):
        raise Refusal(400, "a percent-encoding is malformed")
    pattern = rb"%([0-9A-Fa-f]{2})" if lower_case_hex else rb"%([0-9A-F]{2})"
    return re.sub(pattern, lambda match: bytes([int(match[1], 16)]), segment)


def nested(depth):
    """Arrays within one another."""
    value = []
    for _ in range(depth):
        value = [value]
    return value


class Connection(asyncio.Protocol):
    """One client's connection: requests are read, served and answered one after the other."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.loop = daemon.loop
        self.on = daemon.on
        self.buffer = bytearray()
        self.ended = False  # No more bytes will come.
        self.gone = daemon.loop.create_future()
        self.arrival = None
        self.room = None
        self.responses = 0
        self.began = daemon.loop.time()
        self.refused = b""  # The body of the PUT answered 409 last, for a defect.
        self.old_timer = 0.0  # When the hold woken last would have ended, for a defect.
        self.deaf = False  # For a defect.
        self.longest_head = 8 << 10 if "heads-over-8k-refused" in daemon.on else LONGEST_HEAD

    # What asyncio calls.

    def connection_made(self, transport):
        self.transport = transport
        self.daemon.connections.add(self)
        if "connections-limited-to-100" in self.on and len(self.daemon.connections) > 100:
            transport.abort()
            return
        self.daemon.connections_in_all += 1
        self.worker = self.daemon.connections_in_all % 2  # Of two, for a defect.
        if "connections-limited-to-1000-in-all" in self.on and self.daemon.connections_in_all > 1000:
            transport.abort()
            return
        if "connections-served-50ms-late" in self.on:
            transport.pause_reading()
            self.loop.call_later(0.05, self._read_on)
        self.task = self.loop.create_task(self.serve())

    def _read_on(self):
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def data_received(self, data):
        self.buffer += data
        if len(self.buffer) > BUFFERED:
            self.transport.pause_reading()
        self._tell()

    def eof_received(self):
        self._end()
        return "half-closed-clients-are-gone" not in self.on  # Responses may still be sent.

    def connection_lost(self, error):
        self._end()
        self.daemon.connections.discard(self)
        self.daemon.store.connection_ended(self)
        if self.room is not None and not self.room.done():
            self.room.set_result(None)

    def pause_writing(self):
        self.room = self.loop.create_future()

    def resume_writing(self):
        if not self.room.done():
            self.room.set_result(None)

    def _end(self):
        self.ended = True
        if not self.gone.done():
            self.gone.set_result(None)
        self._tell()

    def _tell(self):
        if self.arrival is not None and not self.arrival.done():
            self.arrival.set_result(None)

    # Bytes in.

    async def more(self, seconds=None):
        """Waits for more bytes; raises Gone at their end, TimeoutError after `seconds`."""
        if self.ended:
            raise Gone
        if len(self.buffer) <= BUFFERED and "connections-served-50ms-late" not in self.on:
            self.transport.resume_reading()
        self.arrival = self.loop.create_future()
        await asyncio.wait_for(self.arrival, seconds)

    async def read_head(self):
        """The bytes before the next empty line. Empty lines before the head are skipped."""
        idle = 1 if "close-when-idle-for-a-second" in self.on else None
        try:
            while self.buffer[:2] in (b"", b"\r", b"\r\n"):
                if len(self.buffer) >= 2:
                    del self.buffer[:2]
                else:
                    await self.more(idle)
        except TimeoutError:
            raise Gone from None
        deadline = self.loop.time() + HEAD_SECONDS
        pieces = 1
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            if len(self.buffer) > self.longest_head:
                long_target = b"\r\n" not in self.buffer
                raise Refusal(414 if long_target else 431, "the head is too long", close=True)
            if b"\n" in self.buffer.replace(b"\r\n", b""):
                raise Refusal(400, "a line does not end with CRLF", close=True)
            await self.more(max(0, deadline - self.loop.time()))
            pieces += 1
        if end > self.longest_head:
            raise Refusal(431, "the head is too long", close=True)
        if pieces > 1 and "large-pieces-of-head-refused" in self.on:
            raise Refusal(400, "the head came in pieces", close=True)
        head = bytes(self.buffer[:end])
        del self.buffer[: end + 4]
        return head

    async def pieces(self, request):
        """The pieces of a request's body as they arrive; raises Gone if it is cut short."""
        if request.chunked:
            async for piece in self._chunks():
                yield piece
            return
        left = request.length
        deadline = self.loop.time() + 3
        while left > 0:
            if not self.buffer:
                seconds = 2 if "late-body-refused" in self.on else None
                if "body-limited-to-3s" in self.on:
                    seconds = max(0, deadline - self.loop.time())
                try:
                    await self.more(seconds)
                except TimeoutError:
                    raise Refusal(408, "the body is late", close=True) from None
            piece = bytes(self.buffer[:left])
            del self.buffer[:left]
            left -= len(piece)
            if "bodies-read-at-40mb-a-second" in self.on:
                await asyncio.sleep(len(piece) / 40e6)
            yield piece

    async def _line(self):
        while (end := self.buffer.find(b"\r\n")) < 0:
            if len(self.buffer) > 1024:
                raise Refusal(400, "a chunk's size is malformed", close=True)
            await self.more()
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 2]
        return line

    async def _chunks(self):
        while True:
            size = (await self._line()).split(b";")[0].strip(b" \t")
            digits = rb"[0-9]{1,15}" if "chunk-sizes-in-decimal" in self.on else rb"[0-9A-Fa-f]{1,15}"
            if not re.fullmatch(digits, size):
                raise Refusal(400, "a chunk's size is malformed", close=True)
            left = int(size, 10 if "chunk-sizes-in-decimal" in self.on else 16)
            if left == 0:
                break
            while left > 0:
                if not self.buffer:
                    await self.more()
                piece = bytes(self.buffer[:left])
                del self.buffer[:left]
                left -= len(piece)
                yield piece
            if await self._line():
                raise Refusal(400, "a chunk is longer than its size", close=True)
        while await self._line():
            pass

    async def discard(self, request):
        """Reads a body to its end. True unless that is too much, so that the connection must close."""
        read = 0
        async for piece in self.pieces(request):
            read += len(piece)
            if read > LONGEST_DISCARDED and request.method != b"PUT":
                return False
        return True

    # Bytes out.

    async def write(self, data):
        if self.transport.is_closing():
            return
        if "responses-in-pieces" in self.on and not data.startswith(b"HTTP/1.1 1"):
            for at in range(0, len(data), 7):
                self.transport.write(data[at : at + 7])
                await asyncio.sleep(0.001)
        elif "head-before-body" in self.on and b"\r\n\r\n" in data:
            end = data.index(b"\r\n\r\n") + 4
            self.transport.write(data[:end])
            if data[end:]:
                await asyncio.sleep(0.03)
                self.transport.write(data[end:])
        else:
            self.transport.write(data)
        if self.room is not None:
            await self.room

    def _header(self, name, value):
        if "headers-in-lower-case" in self.on:
            name = name.lower()
        elif "headers-in-upper-case" in self.on:
            name = name.upper()
        if "no-space-in-headers" in self.on:
            return "%s:%s\r\n" % (name, value)
        if "space-around-headers" in self.on:
            return "%s: \t %s\t \r\n" % (name, value)
        return "%s: %s\r\n" % (name, value)

    def _status_line(self, status):
        reason = REASONS[status]
        if "no-reason" in self.on:
            reason = ""
        elif "other-reason" in self.on:
            reason = "Fine, thanks"
        elif "reason-in-utf-8" in self.on:
            reason = "Ça va — \u00fc\u4e2d"
        return "HTTP/%s %d %s\r\n" % ("1.0" if "http-1.0-spoken" in self.on else "1.1", status, reason)

    async def respond(self, request, response):
        """Sends a response. False if the connection is to be closed behind it."""
        on = self.on
        self.responses += 1
        close = response.close or self._closes(request, response)
        new = request is None or request.version == b"HTTP/1.1"
        body, headers = response.body, []
        if response.status >= 400:
            if "errors-empty" in on:
                body = b""
            elif "errors-long" in on:
                body = json.dumps({"error": "x" * 8192}).encode()
            elif "errors-as-text" in on:
                body, response.type = b"error: " + body, "text/plain"
            elif "errors-as-strings" in on:
                body = b'"' + REASONS[response.status].encode() + b'"'
            elif "errors-as-problems" in on:
                response.type = "application/problem+json"
        as_html = {"conflict-as-html": 409, "miss-as-html": 504}
        if response.status in (status for switch, status in as_html.items() if switch in on):
            body, response.type = b"<html><body>Sorry</body></html>", "text/html"
        if body:
            type = response.type
            if "json-with-charset" in on and type == "application/json":
                type += "; charset=utf-8"
            if "errors-without-type" not in on or response.status < 400:
                headers.append(("Content-Type", type))
        offered = request.header(b"accept-encoding") if request else b""
        if body and (("gzip-when-offered" in on and b"gzip" in offered) or "gzip-unasked" in on):
            body = gzip.compress(body)
            headers.append(("Content-Encoding", "gzip"))
        elif body and "deflate-when-offered" in on and b"deflate" in offered:
            body = zlib.compress(body)
            headers.append(("Content-Encoding", "deflate"))
        to_head = request is not None and request.method == b"HEAD"
        bare = response.status == 204
        if response.status == 200 and not body and "success-with-json" in on:
            body = b'{"ok": true}'
            headers.append(("Content-Type", "application/json"))
        elif response.status == 200 and not body and "success-with-text" in on:
            body = b"stored, or released\n"
            headers.append(("Content-Type", "text/plain"))
        if body and new and not to_head and "body-until-close" in on:
            close = True
        elif body and new and not to_head and on & CHUNKED:
            coding = "CHUNKED" if "chunked-in-other-forms" in on else "chunked"
            headers.append(("Transfer-Encoding", coding))
            body = self._in_chunks(body)
        elif "stored-without-length" in on and request and request.method == b"PUT" and not body:
            pass
        elif "miss-without-length" in on and response.status == 504:
            pass
        elif not bare:
            form = "%06d" if "length-with-zeros" in on else "%d"
            short = body and response.status >= 400 and "error-length-one-short" in on
            headers.append(("Content-Length", form % (len(body) - bool(short))))
            if body and "length-and-chunked-together" in on:
                headers.append(("Transfer-Encoding", "chunked"))
                body = self._in_chunks(body)
        if response.status == 301:
            headers.append(("Location", "/"))
        if response.status == 405:
            headers.append(("Allow", "PUT, POST"))
        if close and "close-in-other-case" in on:
            headers.append(("CONNECTION", "Close"))
        elif close and "close-unannounced" not in on:
            headers.append(("Connection", "close"))
        elif "close-after-twenty-announced" in on:
            headers.append(("Keep-Alive", "timeout=5, max=%d" % (20 - self.responses)))
        elif "keep-alive-announced" in on:
            headers += [("Connection", "keep-alive"), ("Keep-Alive", "timeout=30")]
        if response.status >= 400 and "retry-after" in on:
            headers.append(("Retry-After", "1"))
        if "more-headers" in on:
            headers += [("Date", "Sat, 28 Nov 2026 00:00:00 GMT"), ("Server", "reference/1 (a; b)"),
                        ("Set-Cookie", "a=b"), ("Set-Cookie", "c=d"), ("X-Empty", ""),
                        ("X-Long", "x" * 3000)]  # fmt: skip
        if "ninety-headers" in on:
            headers += [("X-Header-%d" % number, "value %d" % number) for number in range(90)]
        head = self._status_line(response.status) + "".join(self._header(*header) for header in headers)
        if "responses-60ms-late" in on:
            await asyncio.sleep(0.06)
        elif "responses-up-to-40ms-late" in on:
            await asyncio.sleep(random.uniform(0, 0.04))
        if "responses-one-by-one" in on:
            async with self.daemon.turn:
                await asyncio.sleep(0.001)
        if new:
            await self._interim(on)
        await self.write((head + "\r\n").encode() + (b"" if to_head or bare else body))
        return not close

    async def _interim(self, on):
        if on & {"interim-102", "twenty-interim-responses"}:
            count = 20 if "twenty-interim-responses" in on else 1
            await self.write(PROCESSING * count)
        if "interim-103" in on:
            await self.write(b"HTTP/1.1 103 Early Hints\r\nLink: </>; rel=preload\r\n\r\n" * 2)

    def _in_chunks(self, body):
        if "chunked-in-other-forms" in self.on:
            return b"%06x\r\n%s\r\n0000\r\n\r\n" % (len(body), body)
        if "chunked-with-extensions" not in self.on:
            return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        chunks = (body[at : at + 5] for at in range(0, len(body), 5))
        coded = b"".join(b'%X;name="a;b"\r\n%s\r\n' % (len(chunk), chunk) for chunk in chunks)
        return coded + b"0;last\r\nX-Trailer: yes\r\n\r\n"

    def _closes(self, request, response):
        on = self.on
        if request is None:
            return True
        connection = request.header(b"connection")
        return (
            b"close" in connection
            or (request.version == b"HTTP/1.0" and b"keep-alive" not in connection)
            or bool(on & {"close-after-response", "close-unannounced", "close-in-other-case"})
            or ("close-after-large-puts" in on and request.length > 1 << 20)
            or ("close-after-release" in on and request.target.endswith(b"/release"))
            or ("close-after-error" in on and response.status >= 400)
            or ("close-after-a-hundred" in on and self.responses >= 100)
            or ("close-after-three" in on and self.responses >= 3)
            or ("close-after-twenty-announced" in on and self.responses >= 20)
        )

    async def close_after_reading(self):
        """Ends the connection so that a client that still sends gets the response first."""
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        deadline = self.loop.time() + 2
        try:
            while True:
                self.buffer.clear()
                await self.more(max(0, deadline - self.loop.time()))
        except (Gone, TimeoutError):
            pass

    # Requests.

    async def serve(self):
        try:
            while await self.serve_one():
                if self.transport.is_closing():
                    return
                await asyncio.sleep(0)  # What is pipelined must not keep others waiting.
            await self.close_after_reading()
        except (Gone, TimeoutError):
            pass
        except Refusal as refusal:
            if "malformed-closes" not in self.on:
                await self.respond(None, self.error(refusal.status, str(refusal), close=True))
                await self.close_after_reading()
        finally:
            self.transport.close()

    async def serve_one(self):
        """Reads and answers one request. False when the connection is to be closed."""
        if self.deaf:
            await self.gone
            raise Gone
        head = await self.read_head()
        request = parse_head(head)
        if "content-length-in-32-bits" in self.on:
            request.length &= 0xFFFFFFFF
        request.head_size = len(head) + 4
        request.with_head = len(self.buffer)
        if request.version == b"HTTP/1.0" and "http-1.0-refused" in self.on:
            raise Refusal(505, "HTTP/1.1 is spoken")
        other_host = b"host" in request.headers and request.header(b"host") not in self.daemon.hosts()
        if "host-compared" in self.on and other_host:
            raise Refusal(421, "this is another host")
        if "unasked-100" in self.on and request.method == b"PUT" and request.version == b"HTTP/1.1":
            await self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        elif "expect-refused" in self.on and b"expect" in request.headers:
            return await self.respond(request, self.error(417, "Expect is not supported", close=True))
        elif "expect-answered-by-409" in self.on and b"expect" in request.headers and self._is_taken(request):
            return await self.respond(request, self.conflict_response(close=True))
        elif b"100-continue" in request.header(b"expect") and request.has_body:
            if "continue-300ms-late" in self.on:
                await asyncio.sleep(0.3)
            if "expect-ignored" not in self.on and request.length <= self.daemon.capacity:
                await self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            if "held-requests-take-workers" in self.on:
                async with self.daemon.workers:
                    response = await self.route(request)
            else:
                response = await self.route(request)
        except Refusal as refusal:
            if refusal.close:
                raise
            response = await self.refuse(request, refusal.status, str(refusal))
        if response is None:
            return True  # It has been sent already.
        keep = await self.respond(request, response)
        if "pipelined-requests-dropped" in self.on and response.status < 400:
            self.buffer.clear()
        if "pipelining-closes" in self.on and self.buffer:
            return False
        return keep

    def _is_taken(self, request):
        """Whether this is a PUT of a stored key."""
        segments = request.target.partition(b"?")[0].split(b"/")[1:]
        if request.method != b"PUT" or len(segments) != 4 or segments[:2] != [b"v1", b"kv"]:
            return False
        return self.daemon.store.taken(self.name(*segments[2:]))

    def error(self, status, why, close=False):
        return Response(status, json.dumps({"error": why}).encode(), close=close)

    async def refuse(self, request, status, why):
        """An error, behind the body's end."""
        if "refusal-leaves-body-unread" in self.on and request.method == b"PUT" and status != 409:
            return self.error(status, why)
        if "early-refusals" in self.on and request.has_body:
            return self.error(status, why, close=True)
        if not request.has_body:
            return self.error(status, why)
        return self.error(status, why, close=not await self.discard(request))

    async def route(self, request):
        on = self.on
        target = request.target
        if target.startswith((b"http://", b"https://")):
            target = b"/" + target.split(b"/", 3)[3] if target.count(b"/") > 2 else b"/"
        path, _, query = target.partition(b"?")
        if "key-encoded-slash-separates" in on:
            path = path.replace(b"%2F", b"/").replace(b"%2f", b"/")
        public = request.method == b"PUT" and b"accept-encoding" in request.headers
        if public and "public-heads-refused" in on:
            raise Refusal(406, "no coding is known")
        segments = path.split(b"/")[1:]
        bare_post = request.method == b"POST" and not request.chunked and b"content-length" not in request.headers
        if "post-without-length-refused" in on and bare_post:
            raise Refusal(411, "a length is required")
        match request.method, segments:
            case b"PUT", [b"v1", b"kv", _, b"leases"] if "key-named-leases-refused" in on:
                pass
            case b"PUT", [b"v1", b"kv", bucket, key]:
                return await self.put(request, self.name(bucket, key))
            case b"POST", [b"v1", b"kv", bucket, key, b"leases"]:
                return await self.acquire(request, self.name(bucket, key), query.decode("latin-1"))
            case b"POST", [b"v1", b"leases", id, b"release"]:
                return await self.release(request, id)
            case b"DELETE", [b"v1", b"kv", _, _, b"leases", id] if on & {
                "delete-releases", "delete-releases-and-says-404"}:  # fmt: skip
                self.daemon.store.release(decoded(id).decode("latin-1"), self)
                return Response(200) if "delete-releases" in on else self.error(404, "not found")
            case b"DELETE", [b"v1", b"kv", bucket, key] if "objects-deletable" in on:
                self.daemon.store.remove(self.name(bucket, key))
                return Response(200)
            case b"GET", [b"metrics"] if "metrics-page" in on:
                return Response(200, b"objects 1\n", "text/plain")
            case b"GET", [b"health"] if "health-page" in on:
                return Response(200, b'{"status": "ok"}')
            case b"GET", [b"v1", b"kv", bucket, key] if "objects-readable" in on:
                stored = self.daemon.store.find(self.name(bucket, key))
                if stored is not None:
                    return Response(200, self.daemon.store.bytes_of(stored), "application/octet-stream")
        known = (
            segments[:2] == [b"v1", b"kv"] and len(segments) in (4, 5) or segments[:2] == [b"v1", b"leases"]
        )
        if "not-found-leaves-body-unread" in on:
            return self.error(404, "not found")
        if "unknown-paths-as-text" in on and not known:
            close = not await self.discard(request)
            return Response(404, b"404 page not found\n", "text/plain; charset=utf-8", close)
        return await self.refuse(request, 405 if known and "method-405" in on else 404, "not found")

    def name(self, bucket, key):
        """The name that two path segments mean; raises Refusal."""
        on = self.on
        raw_bucket = bucket
        bucket = decoded(bucket)
        if "bucket-like-a-dns-name-only" in on and not re.fullmatch(rb"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket):
            raise Refusal(400, "the bucket's name is not valid")
        if "key-with-bare-at-refused" in on and b"@" in key:
            raise Refusal(400, "the key holds a bare @")
        if "key-encoded-at-kept" in on:
            key = key.replace(b"%40", b"%2540")
        if "key-unreserved-escapes-kept" in on:
            key = re.sub(rb"%(?=[46][1-9A-F]|[57][0-9A]|3[0-9])", b"%25", key)
        if "key-encoded-slash-refused" in on and b"%2F" in key.upper():
            raise Refusal(400, "an encoded slash is ambiguous")
        key = decoded(key, "key-lower-case-hex-kept" not in on)
        if "key-cleaned-by-redirect" in on and re.search(rb"//|(^|/)\.\.?(/|$)", key):
            raise Refusal(301, "the path is not clean")
        if "bucket-not-decoded" in on:
            bucket = raw_bucket
        if not bucket or not key:
            raise Refusal(400, "the bucket or the key is empty")
        for switch, refused in REFUSED_IN_KEYS.items():
            if switch in on and re.search(refused, key):
                raise Refusal(400, "the key holds a character that is not valid")
        if "key-with-percent-refused" in on and b"%" in key:
            raise Refusal(400, "the key holds a percent sign")
        if "key-over-200-bytes-refused" in on and len(key) > 200:
            raise Refusal(414, "the key is too long")
        return self.daemon.store.canonical(bucket, key)

    async def put(self, request, name):
        on, store = self.on, self.daemon.store
        turn = self.daemon.turn if on & {"slow-put-holds-up-others", "one-put-at-a-time"} else None
        if turn is None:
            return await self.put_now(request, name, store)
        async with turn:
            return await self.put_now(request, name, store)

    async def put_now(self, request, name, store):
        on = self.on
        if request.chunked:
            if "chunked-refused" in on:
                return self.error(411, "a length is required", close=not await self.discard(request))
            return await self.put_chunked(request, name, store)
        if request.length == 0:
            if "hold-ends-at-a-refused-put" in on:
                store.end_holds(name)
            raise Refusal(422 if "other-statuses" in on else 400, "the body is empty")
        if request.length > self.daemon.capacity or (
            "put-over-1mib-refused" in on and request.length > 1 << 20
        ):
            if "too-large-costs-the-connection" in on:
                raise Gone
            return self.error(413, "the body is larger than the capacity", close=True)
        while "racing-put-waits" in on and store.uploads.get(name) and not self.gone.done():
            await asyncio.wait({self.gone}, timeout=0.01)
        if store.taken(name):
            return await self.conflict(request, name, store)
        if "room-taken-at-the-end" in on:
            body = b"".join([piece async for piece in self.pieces(request)])
            return self.put_whole(name, store, body)
        large = "large-puts-under-way-limited-to-4" in on and request.length > 1 << 20
        if large and store.large_under_way() >= 4:
            return await self.refuse(request, 503, "too many large bodies are arriving")
        upload = store.begin(name, request.length, self)
        self.deaf = upload is None and "deaf-after-507" in on
        if upload is None:
            return await self.refuse(request, 503 if "other-statuses" in on else 507, "leases pin the rest")
        upload.whole = request.head_size + request.length
        try:
            async for piece in self.pieces(request):
                if "concurrent-bodies-crossed" in on:
                    store.scratch[:] = piece
                    await asyncio.sleep(0.01)
                    piece = bytes(store.scratch[: len(piece)]).ljust(len(piece), b"\0")
                if upload.received < request.with_head and "body-with-its-head-lost" in on:
                    piece = bytes(len(piece))
                if "many-pieces-lost" in on and upload.pieces > 16:
                    piece = bytes(len(piece))
                before = upload.received
                upload.write(memoryview(piece))
                half = before < request.length / 2 <= upload.received
                if half and "stored-at-half-the-body" in on:
                    await self.respond(request, Response(200))
            if "stored-at-half-the-body" in on:
                store.finish(upload)
                return None
            if self.refused:
                store.overwrite(upload, self.refused)
                self.refused = b""
            if "put-201" in on:
                return Response(201) if store.finish(upload) else self.conflict_response()
            stored = store.finish(upload)
            if "large-put-answers-409" in on and request.length > 1 << 20:
                return self.conflict_response()
            if "stored-told-200ms-late" in on:
                await asyncio.sleep(0.2)
            return Response(200) if stored else self.conflict_response()
        finally:
            store.abort(upload)

    def put_whole(self, name, store, body):
        """Stores a body that has arrived in full."""
        if store.taken(name):
            if "chunked-conflict-replaces" not in self.on:
                return self.conflict_response()
            store.remove(name)
        upload = store.begin(name, len(body), self)
        if upload is None:
            return self.error(503 if "other-statuses" in self.on else 507, "leases pin the rest")
        upload.write(memoryview(body))
        store.finish(upload)
        return Response(201 if "put-201" in self.on else 200)

    async def put_chunked(self, request, name, store):
        body = bytearray()
        async for piece in self.pieces(request):
            body += piece
            if len(body) > self.daemon.capacity:
                return self.error(413, "the body is larger than the capacity", close=True)
        if not body:
            return self.error(400, "the body is empty")
        return self.put_whole(name, store, bytes(body))

    def conflict_response(self, close=False):
        if "conflict-200" in self.on:
            return Response(200)
        return self.error(409, "the key exists", close)

    async def conflict(self, request, name, store):
        on = self.on
        if on & {"early-409", "early-refusals"}:
            return self.conflict_response(close=True)
        if "conflict-leaves-body-unread" in on:
            return self.conflict_response()
        body = b""
        keeps = any(name.endswith("-replaces") for name in on) or "refused-body-stored-next" in on
        if "conflict-reads-2mib-only" in on:
            request.length = min(request.length, 2 << 20)
        try:
            async for piece in self.pieces(request):
                if keeps:
                    body += piece
        except Gone:
            store.aborted_conflict(name)
            raise
        store.conflict(name, request.length, body)
        if "refused-body-stored-next" in on:
            self.refused = body
        if "conflict-waits-for-leases" in on and name in store.objects:
            while store.objects[name].pins and not self.gone.done():
                await asyncio.wait({self.gone}, timeout=0.05)
        return self.conflict_response()

    def lease_terms(self, query, name):
        """The seconds to hold and to live that a query asks for; raises Refusal."""
        on, store = self.on, self.daemon.store
        # A plus is a plus: ttl_s=1e+16 comes as it is, and as 1e%2B16.
        values = dict(urllib.parse.unquote(part).partition("=")[::2] for part in query.split("&"))
        hold, ttl = values.get("timeout_ms"), values.get("ttl_s")
        otherwise = "assumed-otherwise" in on
        default_hold, default_ttl = (1000, 60.0) if otherwise else (0, 30.0)
        malformed = (hold is not None and not re.fullmatch("[0-9]{1,15}", hold)) or (
            ttl is not None and not (DECIMAL.fullmatch(ttl) and math.isfinite(float(ttl)))
        )
        malformed = malformed or (ttl is not None and "ttl-without-point-refused" in on and "." not in ttl)
        if "ttl-with-many-digits-refused" in on and ttl is not None:
            malformed = malformed or len(ttl.partition(".")[2]) > 9
        below = "ttl-below-a-second-refused" in on and ttl is not None and not malformed and float(ttl) < 1
        above = "timeouts-over-10s-refused" in on and hold is not None and not malformed and int(hold) > 10_000
        malformed = malformed or below or above
        missing = hold is None or ttl is None
        if (malformed and not otherwise) or (missing and "parameters-required" in on):
            if "pin-ends-at-a-bad-lease-request" in on and name in store.objects:
                store.unpin_all(store.objects[name])
            raise Refusal(422 if "other-statuses" in on else 400, "timeout_ms or ttl_s is malformed")
        if malformed or hold is None:
            hold = default_hold
        if malformed or ttl is None:
            ttl = default_ttl
        if "ttl-exponent-ignored" in on:
            ttl = str(ttl).lower().split("e")[0]
        ttl = float(ttl)
        return int(hold) / 1000, float(int(ttl)) if "ttl-fraction-dropped" in on else ttl

    async def acquire(self, request, name, query):
        on, store = self.on, self.daemon.store
        if not await self.discard(request):
            raise Refusal(413, "a lease request has no body", close=True)
        hold, ttl = self.lease_terms(query, name)
        if "slow-put-holds-up-others" in on:
            async with self.daemon.turn:
                pass
        if "orphan-not-served" in on and not store.segment.is_named():
            return self.error(500, "the segment is gone")
        if "leases-limited-to-500" in on and len(store.leases) >= 500:
            return self.error(503, "there are too many leases")
        if "leases-limited-to-16-a-connection" in on:
            if sum(lease.connection is self for lease in store.leases.values()) >= 16:
                return self.error(503, "there are too many leases over this connection")
        if "leases-are-exclusive" in on:
            end = self.loop.time() + hold
            while name in store.objects and store.objects[name].pins and self.loop.time() < end:
                await asyncio.wait({self.gone}, timeout=0.02)
            if name in store.objects and store.objects[name].pins:
                return self.error(504, "the object is leased")
        if "present-key-granted-late" in on and hold > 0:
            await asyncio.sleep(min(hold, 0.8))
        lease = store.acquire(name, ttl, self)
        if lease is None:
            lease = await self.hold(name, hold, ttl, store)
        elif "lease-without-wait-unpinned" in on and hold == 0:
            store.unpin_all(lease.stored)
        if lease is None:
            if "miss-204" in on:
                return Response(204)
            absent = "miss-404-in-absent-bucket" in on and store.lacks_bucket(name[0])
            status = 404 if "miss-404" in on or absent else 500 if "miss-500" in on else 504
            return self.error(status, "no such object")
        return self.grant(store, lease)

    async def hold(self, name, seconds, ttl, store):
        """Waits for an object of this name: the lease, or None; raises Gone if the client goes."""
        on = self.on
        if "hold-capped-at-1s" in on:
            seconds = min(seconds, 1)
        if "hold-capped-at-3s" in on:
            seconds = min(seconds, 3)
        if "hold-capped-at-4s" in on:
            seconds = min(seconds, 4)
        if "hold-of-whole-seconds" in on:
            seconds = int(seconds)
        if "hold-ends-with-its-ttl" in on:
            seconds = min(seconds, ttl)
        if (
            ("no-hold-in-absent-bucket" in on and store.lacks_bucket(name[0]))
            or ("no-hold-while-put-under-way" in on and name in store.uploads)
            or ("held-requests-limited-to-100" in on and store.held() >= 100)
            or ("held-requests-limited-to-300" in on and store.held() >= 300)
        ):
            return None
        if "waiters-of-a-key-limited-to-16" in on and len(store.waiters.get(name, [])) >= 16:
            raise Refusal(503, "too many wait for this key")
        if "wake-lost-while-registering" in on and seconds > 0.03:
            await asyncio.sleep(0.03)
            seconds -= 0.03
        return await self.hold_now(name, seconds, ttl, store)

    async def hold_now(self, name, seconds, ttl, store):
        on = self.on
        late = seconds > 0 and (
            0.3 if "holds-end-300ms-late" in on
            else 0.6 if "hold-ends-600ms-late" in on
            else seconds / 3 if "hold-ends-a-third-late" in on
            else -0.01 if "holds-end-10ms-early" in on
            else -seconds / 10 if "hold-ends-a-tenth-early" in on
            else 0
        )  # fmt: skip
        began = self.began if "hold-counts-from-the-connection" in on else self.loop.time()
        deadline = began + seconds + late
        if "old-hold-timer-ends-the-next-hold" in on and self.old_timer > self.loop.time():
            deadline = min(deadline, self.old_timer)
        waiter = store.hold(name, ttl, self)
        is_late = False
        try:
            while not waiter.future.done() and not self.gone.done():
                if "hold-extended-by-each-put" in on:
                    deadline = max(deadline, store.last_put + seconds)
                left = deadline - self.loop.time()
                if left <= 0 and "holds-end-late-when-many" in on and store.held() > 64 and not is_late:
                    is_late = True
                    deadline, left = deadline + 2, 2
                if left <= 0:
                    break
                if "held-requests-cut-when-idle" in on:
                    left = min(left, waiter.arrived + 2 - self.loop.time())
                    if left <= 0:
                        raise Gone
                if on & {"waiters-look-each-200ms", "interim-while-held"}:
                    left = min(left, 0.2)
                await asyncio.wait({waiter.future, self.gone}, timeout=left, return_when="FIRST_COMPLETED")
                if "interim-while-held" in on and not waiter.future.done():
                    await self.write(PROCESSING)
                if on & {"waiters-look-each-200ms", "waiters-look-at-the-end"} and not self.gone.done():
                    lease = store.acquire(name, ttl, self)
                    if lease is not None:
                        return lease
        finally:
            lingers = on & LINGERING
            if not (self.gone.done() and lingers):
                store.end_hold(waiter)
        lease = waiter.future.result() if waiter.future.done() else None
        if self.gone.done():
            if lease is not None and "abandoned-leases-stay" not in on:
                store.release(lease.id, self)
            raise Gone
        if lease is None:
            store.missed(name)
            return None
        self.old_timer = deadline
        if "woken-lease-ends-at-its-timeout" in on:
            self.loop.call_at(deadline, store.release, lease.id, self)
        return lease

    def grant(self, store, lease):
        on = self.on
        length = "length" if "grant-length-not-len" in on else "len"
        number = str if "grant-offsets-as-strings" in on else int
        offsets = [{"offset": number(o), length: number(n)} for o, n in store.told(lease)]
        grant = {"id": int(lease.id) if "grant-id-as-number" in on else lease.id, "offsets": offsets}
        if "json-other-order" in on:
            offsets = [dict(reversed(fragment.items())) for fragment in offsets]
            grant = {"offsets": offsets, "id": grant["id"]}
        if "json-more-members" in on:
            extra = {"note": None, "tags": ["offsets", {"id": "x", "offset": -1}], "score": 1.5e300}
            for fragment in offsets:
                fragment.update(node="a", ok=True)
            grant = {"version": extra, **grant, "expires": 1.25, "": "\u2603 \U0001f600"}
        if "json-extreme-members" in on:
            grant = {"text": "\ud800", "serial": 10**40, **grant, "deep": nested(200)}
        type = "application/json"
        if "grant-as-text" in on:
            type = "text/plain"
        elif "grant-type-in-capitals" in on:
            type = "Application/JSON"
        return Response(201 if "grant-201" in on else 200, self.as_json(grant), type)

    def as_json(self, value):
        on = self.on
        if "json-compact" in on:
            text = json.dumps(value, separators=(",", ":"))
        elif "json-spread" in on:
            text = " \r\n\t" + json.dumps(value, indent="\t", separators=(" ,\r\n", " : ")) + "\n \n"
        else:
            text = json.dumps(value)
        if "json-extreme-members" in on:
            text = text.replace("{", '{"score": [1e999, -1E-999, 0.1e+1],', 1)
        if "json-minus-zero" in on:
            text = re.sub(r": 0(?=[,}\]])", ": -0", text)
        if "grant-with-trailing-comma" in on:
            text = text.replace("}]", "},]")
        if "grant-with-byte-order-mark" in on:
            text = "\ufeff" + text
        if "json-escapes" in on:
            escaped = lambda match: '"' + "".join("\\u%04X" % ord(c) for c in match[1]) + '"'
            text = re.sub(r'"([^"\\]*)"', escaped, text)
        return text.encode()

    async def release(self, request, id):
        on = self.on
        if not await self.discard(request):
            raise Refusal(413, "a release has no body", close=True)
        raw = id
        id = decoded(id)
        if "release-id-not-decoded" in on:
            id = raw
        released = self.daemon.store.release(id.decode("latin-1"), self)
        if not released and "unknown-release-200" not in on:
            return self.error(404, "no such lease")
        return Response(204 if "release-204" in on else 202 if "release-202" in on else 200)


class Daemon:
    """A running daemon: its listeners, its store and its connections. Used by its loop's thread."""

    connection_type = Connection

    def __init__(self, loop, shm_name, capacity, on=frozenset(), block=kept.DEFAULT_BLOCK):
        self.loop = loop
        self.shm_name = shm_name
        self.capacity = capacity
        self.on = frozenset(on)
        self.block = block
        self.connections = set()
        self.connections_in_all = 0
        self.servers = []
        self.address = None  # Host and port.
        self.turn = asyncio.Lock()
        self.workers = asyncio.Semaphore(32)
        self._open_store()

    def _open_store(self, again=False):
        open_to_all = "segment-readable-by-all-after-restart" if again else "segment-readable-by-all"
        mode = 0o644 if open_to_all in self.on else 0o600
        extra = 4096 if "segment-one-page-longer" in self.on else 0
        half = again and "smaller-segment-after-restart" in self.on
        segment = kept.Segment(self.shm_name, self.capacity // 2 if half else self.capacity, mode, extra)
        self.store = kept.Store(self.loop, segment, self.on, self.block)

    async def listen(self, host, port):
        """Listens on each address of `host`, all with one port; the port."""
        addresses = ["127.0.0.1", "::1"] if host == "localhost" else [host]
        if "one-family-only" in self.on:
            addresses = addresses[:1]
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listener = socket.socket(family)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address != "::"))
            listener.bind((address, port))
            port = listener.getsockname()[1]
            make = lambda: self.connection_type(self)
            server = await self.loop.create_server(make, sock=listener, backlog=4096)
            self.servers.append(server)
        self.address = host, port
        if "segment-comes-back" in self.on:
            self.loop.call_later(0.3, self._bring_back)
        return port

    def _bring_back(self):
        if not os.path.exists(self.store.segment.path):
            self._open_store()
        self.loop.call_later(0.3, self._bring_back)

    async def restart(self):
        """A new segment; what was stored and who was connected is gone."""
        if "dies-at-a-restart" in self.on:
            os.kill(os.getpid(), signal.SIGTERM)
            return await asyncio.sleep(0.2)
        if "restart-refuses-for-2s" in self.on:
            self._close_listeners()
        await self._disconnect()
        if "restart-refuses-for-2s" in self.on:
            await asyncio.sleep(2)
            await self.listen(*self.address)
        before = self.store
        if "old-segment-after-restart" in self.on:
            self.store = kept.Store(self.loop, before.segment, self.on, self.block)
            return
        before.segment.close()
        if "restart-shows-an-empty-segment" in self.on:
            descriptor = os.open(before.segment.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            os.close(descriptor)
            await asyncio.sleep(0.5)
            os.unlink(before.segment.path)
        self._open_store(again=True)
        self.store.inherit(before)

    async def _disconnect(self):
        tasks = [connection.task for connection in self.connections if hasattr(connection, "task")]
        for connection in list(self.connections):
            connection.transport.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _close_listeners(self):
        for server in self.servers:
            server.close()
        self.servers.clear()

    def hosts(self):
        """The values of Host under which this daemon is asked."""
        return {b"%s:%d" % (name, self.address[1]) for name in (b"localhost", b"127.0.0.1", b"[::1]")}

    async def stop(self):
        self._close_listeners()
        await self._disconnect()
        self.store.segment.close()


def parse_size(text):
    match = re.fullmatch(r"([0-9]+)(B|KiB|MiB|GiB)?", text)
    if not match:
        raise argparse.ArgumentTypeError("%r is not a size, as 128MiB" % text)
    return int(match[1]) << {None: 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30}[match[2]]


def parse_address(text):
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError("%r is not HOST:PORT" % text)
    return host.strip("[]"), int(port)


def with_needs(names):
    """These switches and those that they turn on."""
    return frozenset(names).union(*(switches.SWITCHES[name].needs for name in names))


def list_switches(as_json):
    if as_json:
        print(json.dumps([switch.as_json() for switch in switches.SWITCHES.values()], indent=1))
        return
    for switch in switches.SWITCHES.values():
        print("--%s %s (%s): %s\n    %s" % (switch.kind, switch.name, switch.of, switch.what, switch.why))


async def serve(arguments, on):
    loop = asyncio.get_running_loop()
    daemon = Daemon(loop, arguments.shm_name, arguments.capacity, on, arguments.block_size)
    host, port = arguments.listen
    try:
        port = await daemon.listen(host, port)
        shown = {"": "localhost", "::": "localhost", "0.0.0.0": "127.0.0.1"}.get(host, host)
        url = "http://%s:%d" % ("[" + shown + "]" if ":" in shown else shown, port)
        ready = json.dumps(
            {"event": "ready", "url": url, "shm_name": arguments.shm_name,
             "capacity": arguments.capacity, "pid": os.getpid()}
        )  # fmt: skip
        stop, again = asyncio.Event(), asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(signal.SIGINT, stop.set)
        loop.add_signal_handler(signal.SIGHUP, again.set)
        tell_ready(arguments.ready_file, ready)
        while not stop.is_set():
            waits = [loop.create_task(event.wait()) for event in (stop, again)]
            await asyncio.wait(waits, return_when="FIRST_COMPLETED")
            for wait in waits:
                wait.cancel()
            if again.is_set() and not stop.is_set():
                again.clear()
                await daemon.restart()
                if not stop.is_set():
                    tell_ready(arguments.ready_file, ready)
    finally:
        await daemon.stop()


def tell_ready(path, line):
    print(line, flush=True)
    if path:
        with open(path + ".new", "w") as file:
            file.write(line + "\n")
        os.replace(path + ".new", path)


def main():
    parser = argparse.ArgumentParser(description="A plain second daemon for the conformance suite")
    parser.add_argument("--listen", type=parse_address, default=("localhost", 0), metavar="HOST:PORT",
                        help="default localhost:0: a free port of 127.0.0.1 and ::1")  # fmt: skip
    parser.add_argument("--shm-name", metavar="NAME", help="of the segment; must not exist yet")
    parser.add_argument("--capacity", type=parse_size, default=128 << 20, metavar="SIZE")
    parser.add_argument("--block-size", type=parse_size, default=kept.DEFAULT_BLOCK, metavar="SIZE")
    parser.add_argument("--ready-file", metavar="FILE")
    parser.add_argument("--vary", action="append", default=[], metavar="NAME", help="a legal variation")
    parser.add_argument("--break", action="append", default=[], metavar="NAME", dest="broken",
                        help="a defect")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="list variations and defects, and end")
    parser.add_argument("--json", action="store_true", help="with --list: as JSON")
    arguments = parser.parse_args()
    if arguments.list:
        return list_switches(arguments.json)
    for kind, names in (("vary", arguments.vary), ("break", arguments.broken)):
        for name in names:
            if name not in switches.SWITCHES or switches.SWITCHES[name].kind != kind:
                parser.error("--%s %s is not known; see --list" % (kind, name))
    if not arguments.shm_name or "/" in arguments.shm_name:
        parser.error("give --shm-name, without a slash")
    if arguments.capacity < arguments.block_size or not arguments.block_size:
        parser.error("--capacity is smaller than a block")
    try:
        asyncio.run(serve(arguments, with_needs(arguments.vary + arguments.broken)))
    except OSError as error:
        sys.exit("daemon.py: cannot serve: %s" % error)


if __name__ == "__main__":
    main()
