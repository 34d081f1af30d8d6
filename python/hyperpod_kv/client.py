# SPDX-License-Identifier: Apache-2.0
"""The client: stores objects in HyperPod's KV daemons and reads them out of shared memory.

    with Client("http://127.0.0.1:9200", shared_memory_name="ai_toolkit_cache") as client:
        client.put("key", b"bytes")
        assert client.get("key") == b"bytes"

Every call has a coroutine beside it (``aget``, ``aput``, …) that uses no thread of its own. The GIL
is released while anything waits or is copied.
"""

from __future__ import annotations

import asyncio
import atexit
import datetime
import logging
import os
import weakref
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Optional, Union

from . import _native
from .errors import Error, Forked, ViewsHeld

if not _native.in_main_interpreter():
    raise ImportError("hyperpod_kv cannot be used in a subinterpreter")

Key = Union[str, bytes]
Lease = _native.Lease

_log = logging.getLogger("hyperpod_kv")


class _Channel:
    """What one event loop and the clients' I/O threads share: calls under way, by their token."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._completions = _native.Completions()
        self._futures: dict[int, asyncio.Future[Any]] = {}
        self._calls: dict[int, _native.Call] = {}
        self._next = 0
        self._forked = False
        loop.add_reader(self._completions.fileno(), self._drain)

    def _drain(self) -> None:
        self._completions.drain(self._done)

    def _done(self, token: int, error: Optional[BaseException], value: Any) -> None:
        # Called again where it was left by an exception, so it forgets the call at its end.
        future = self._futures.get(token)
        if future is not None and not future.done():
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(value)
        self._calls.pop(token, None)
        self._futures.pop(token, None)

    async def run(self, loop: asyncio.AbstractEventLoop, start: Callable[..., _native.Call],
                  *arguments: Any) -> Any:
        self._next += 1
        token = self._next
        future = self._futures[token] = loop.create_future()
        try:
            call = start(self._completions, token, *arguments)
        except BaseException:
            del self._futures[token]
            raise
        self._calls[token] = call
        try:
            return await future
        except asyncio.CancelledError:
            # The caller's buffer is in use until the call has ended; in a child, nobody uses it.
            if self._forked:
                raise
            call.cancel()
            if token in self._futures:
                ended = self._futures[token] = loop.create_future()
                while not ended.done():
                    try:
                        await asyncio.wait([ended])
                    except asyncio.CancelledError:
                        continue
                ended.exception()  # so that asyncio knows it to be seen
            raise

    def forked(self) -> None:
        """In a child, where the calls never end, they are given up. Nothing else is touched: the
        loop watches the same descriptors as the parent's."""
        self._forked = True
        for future in self._futures.values():
            try:
                if not future.done():
                    future.set_exception(Forked("the process was forked while the call waited; "
                                                "make a client in the child"))
            except RuntimeError:
                pass  # the loop is closed, or was run by a thread that is not here
        self._futures.clear()
        self._calls.clear()

    def abandon(self) -> None:
        """Gives up calls that nobody waits for any more: their loop has been closed."""
        for call in self._calls.values():
            call.cancel()
        self._completions.close()


_channels: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Channel] = (
    weakref.WeakKeyDictionary())


def _abandon(loops: Iterable[asyncio.AbstractEventLoop]) -> None:
    for loop in list(loops):
        _channels.pop(loop).abandon()


# So that the interpreter's end does not wait for requests whose outcome nobody will see.
atexit.register(lambda: _abandon(_channels))


def _forked() -> None:
    for channel in list(_channels.values()):
        channel.forked()
    _channels.clear()


os.register_at_fork(after_in_child=_forked)


async def _run(start: Callable[..., _native.Call], *arguments: Any) -> Any:
    loop = asyncio.get_running_loop()
    channel = _channels.get(loop)
    if channel is None:
        _abandon(loop for loop in _channels if loop.is_closed())
        channel = _channels[loop] = _Channel(loop)
    return await channel.run(loop, start, *arguments)


async def _enter(self: Lease) -> Lease:
    return self


async def _exit(self: Lease, kind: Optional[type[BaseException]], error: Optional[BaseException],
                trace: Optional[TracebackType]) -> None:
    if error is not None:
        self.__exit__(kind, error, trace)
        return
    try:
        await _run(self.start_release)
    except ViewsHeld:
        raise
    except Error:
        pass  # it is repeated in the background


# A lease is a context manager of both kinds.
setattr(Lease, "__aenter__", _enter)
setattr(Lease, "__aexit__", _exit)


def _raise_first(results: list[Any], return_errors: bool) -> list[Any]:
    if not return_errors:
        for result in results:
            if isinstance(result, Error):
                raise result
    return results


class Client:
    """A client of one or several daemons. May be used from any thread and any event loop.

    ``url`` is ``http://HOST:PORT``, ``https://…``, ``sagemaker-hyperpod://…`` or ``HOST:PORT``;
    several, with a segment each, are separated by commas (``10.0.0.1:9200#cache_a,…``). ``options``
    are those of docs/client.md by their C++ names, times in seconds or as ``datetime.timedelta``: ``max_concurrent_requests``,
    ``max_connections``, ``max_connections_per_host``, ``timeout``, ``lease_wait_timeout``,
    ``lease_ttl``, ``put_stream_chunk_bytes``, ``max_lease_bytes``, ``use_https``,
    ``save_chunk_meta``, ``ca_file``, ``verify_server``, ``copy_threads``.

    A miss is an outcome, not an error. Everything raised is below :class:`hyperpod_kv.Error`, but
    for the TypeError of a ``wait``, an offset, a size or a path of the wrong type. In a child made by
    ``fork()`` every call raises :class:`hyperpod_kv.Forked`, one that waits as well; make a client
    there. Blocking calls in the main thread end early by what a signal's handler raises, such as
    KeyboardInterrupt. A coroutine that is cancelled ends once its request has been given up, so
    that its buffer is free then.

    ``wait`` is how many seconds the daemon may hold a request while the key is absent; 0 asks what
    is there now. Buffers are anything that speaks the buffer protocol and lies in one piece; what
    is not raises :class:`hyperpod_kv.UnusableBuffer`.
    """

    def __init__(self, url: str, bucket: str = "lmcache",
                 shared_memory_name: Optional[str] = "shared_memory", **options: Any) -> None:
        self._native = _native.Client({
            "url": url, "bucket": bucket, "shared_memory_name": shared_memory_name,
            **{name: value.total_seconds() if isinstance(value, datetime.timedelta) else value
               for name, value in options.items()}})

    @classmethod
    def from_config(cls, path: str | bytes | os.PathLike[str] | os.PathLike[bytes] | None = None,
                    ) -> "Client":
        """A client with the settings that LMCache would read: from its YAML file (``path``, or the
        one that LMCACHE_CONFIG_FILE names) and its environment variables. What was probably not
        meant, such as an unknown key, is logged as a warning of the logger ``hyperpod_kv``."""
        return cls._made(*_native.Client.from_config(path, os.environ.get))

    @classmethod
    def _made(cls, native: _native.Client, warnings: list[str]) -> "Client":
        for warning in warnings:
            _log.warning("%s", warning)
        client = cls.__new__(cls)
        client._native = native
        return client

    # --- Objects --------------------------------------------------------------------------------

    def put(self, key: Key, buffer: Any) -> bool:
        """Stores an object. False: the key had one before, which stays as it was."""
        return self._native.put(key, buffer)

    async def aput(self, key: Key, buffer: Any) -> bool:
        """As :meth:`put`. ``buffer`` must stay as it is until the call has ended."""
        return await _run(self._native.start_put, key, buffer)

    def get(self, key: Key, wait: Optional[float] = None) -> Optional[bytes]:
        """The object's bytes; None is a miss."""
        return self._native.get(key, wait)

    async def aget(self, key: Key, wait: Optional[float] = None) -> Optional[bytes]:
        """As :meth:`get`."""
        return await _run(self._native.start_get, key, wait)

    def get_into(self, key: Key, buffer: Any, wait: Optional[float] = None) -> Optional[int]:
        """Reads the object into ``buffer``, which may be longer; how many bytes it has, None for a
        miss. After a miss or an error what stands in the buffer is worthless."""
        return self._native.get_into(key, buffer, wait)

    async def aget_into(self, key: Key, buffer: Any,
                        wait: Optional[float] = None) -> Optional[int]:
        """As :meth:`get_into`."""
        return await _run(self._native.start_get_into, key, buffer, wait)

    def acquire(self, key: Key, wait: Optional[float] = None) -> Optional[Lease]:
        """Leases the object for reading in place; None is a miss. Use the lease in a ``with``
        block, or with :meth:`aacquire` in an ``async with`` block, which releases it: its
        ``fragments`` are read-only memoryviews, ``valid`` is to be asked after reading them, and
        it can be released only when none of them is held any more."""
        return self._native.acquire(key, wait)

    async def aacquire(self, key: Key, wait: Optional[float] = None) -> Optional[Lease]:
        """As :meth:`acquire`."""
        return await _run(self._native.start_acquire, key, wait)

    def exists(self, key: Key, wait: Optional[float] = None) -> bool:
        """Whether the daemon has the object. Needs no segment."""
        return self._native.exists(key, wait)

    async def aexists(self, key: Key, wait: Optional[float] = None) -> bool:
        """As :meth:`exists`."""
        return await _run(self._native.start_exists, key, wait)

    # --- Batches --------------------------------------------------------------------------------
    # One result for each key, in order. The first error is raised once all have ended, or with
    # return_errors stands in the list.

    def batched_get(self, keys: Iterable[Key], wait: Optional[float] = None,
                    return_errors: bool = False) -> list[Any]:
        """Many :meth:`get` at once."""
        return _raise_first(self._native.batched_get(keys, wait), return_errors)

    async def abatched_get(self, keys: Iterable[Key], wait: Optional[float] = None,
                           return_errors: bool = False) -> list[Any]:
        """As :meth:`batched_get`."""
        results = await asyncio.gather(*(self.aget(key, wait) for key in keys),
                                       return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, Error):
                raise result
        return _raise_first(list(results), return_errors)

    def batched_get_into(self, items: Iterable[tuple[Key, Any]], wait: Optional[float] = None,
                         return_errors: bool = False) -> list[Any]:
        """Many :meth:`get_into` at once; ``items`` are pairs of key and buffer."""
        return _raise_first(self._native.batched_get_into(items, wait), return_errors)

    async def abatched_get_into(self, items: Iterable[tuple[Key, Any]],
                                wait: Optional[float] = None,
                                return_errors: bool = False) -> list[Any]:
        """As :meth:`batched_get_into`."""
        return _raise_first(await _run(self._native.start_batched_get_into, items, wait),
                            return_errors)

    def batched_put(self, items: Iterable[tuple[Key, Any]],
                    return_errors: bool = False) -> list[Any]:
        """Many :meth:`put` at once; ``items`` are pairs of key and buffer."""
        return _raise_first(self._native.batched_put(items), return_errors)

    async def abatched_put(self, items: Iterable[tuple[Key, Any]],
                           return_errors: bool = False) -> list[Any]:
        """As :meth:`batched_put`."""
        return _raise_first(await _run(self._native.start_batched_put, items), return_errors)

    def batched_contains(self, keys: Iterable[Key], wait: Optional[float] = None) -> int:
        """How many keys, from the first on, are there. Nothing is asked for behind the first that
        is not, once it is known."""
        return self._native.batched_contains(keys, wait)

    async def abatched_contains(self, keys: Iterable[Key], wait: Optional[float] = None) -> int:
        """As :meth:`batched_contains`."""
        return await _run(self._native.start_batched_contains, keys, wait)

    # --- Life -----------------------------------------------------------------------------------

    @property
    def statistics(self) -> dict[str, int]:
        """Counters since the client was made; docs/client.md explains them."""
        return self._native.statistics()

    def close(self) -> None:
        """Ends the client: later calls raise :class:`hyperpod_kv.Closed`, releases under way are
        waited for. Leases that are held stay readable. Idempotent."""
        self._native.close()

    async def aclose(self) -> None:
        """As :meth:`close`, which waits in the loop's default executor meanwhile."""
        await asyncio.get_running_loop().run_in_executor(None, self._native.close)

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.close()
