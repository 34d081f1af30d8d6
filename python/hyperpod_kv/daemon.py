# SPDX-License-Identifier: Apache-2.0
"""The emulator as a context manager: a daemon of its own for a test or a script.

    with Daemon() as daemon:
        run_my_code(daemon.url, daemon.shm_name)
        daemon.advance(seconds=30)
        assert daemon.live_leases == 0

A daemon has a free port and a segment of its own. It ends, and its segment goes, when the block is
left, when this process ends, and when this process is killed.
"""

from __future__ import annotations

import dataclasses
import datetime
import http.client
import itertools
import json
import os
import secrets
import select
import subprocess
import sysconfig
import tempfile
import threading
import urllib.parse
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Optional, Union

from .errors import DaemonFailed, InvalidArgument, InvalidOption, TimedOut, from_code

Duration = Union[int, float, str, datetime.timedelta]

#: Fields of a fault that say which requests it meets. All others say what happens to them.
MATCH_FIELDS = ("operation", "bucket", "key", "connection", "nth", "every", "first", "probability",
                "seed")

_START_TIMEOUT = 30.0  # seconds; a start takes some ten milliseconds
_STOP_TIMEOUT = 10.0


def program(name: str) -> str:
    """Path of a program of this project, for example ``"hyperpod-kv"``.

    The one in the wheel; where there is none (a source tree), the one in the folder that the
    variable ``HYPERPOD_KV_BIN`` names, or in ``PATH``.
    """
    inside = Path(__file__).parent / "bin" / name
    folders = [os.environ.get("HYPERPOD_KV_BIN"), *os.environ.get("PATH", "").split(os.pathsep)]
    for candidate in (inside, *(Path(folder) / name for folder in folders if folder)):
        if os.access(candidate, os.X_OK) and candidate.is_file():
            return str(candidate)
    raise DaemonFailed(f"there is no program {name}: it is neither in this package, nor in the "
                       "folder that HYPERPOD_KV_BIN names, nor in PATH")


def scenarios() -> dict[str, Path]:
    """The scenarios that ship with the emulator, by file name: one for each known failure."""
    inside = Path(__file__).parent / "scenarios"
    folders = [inside, Path(__file__).resolve().parents[2] / "fixtures" / "scenarios",
               Path(sysconfig.get_path("data")) / "share/hyperpod-kv/scenarios",
               Path("/usr/share/hyperpod-kv/scenarios")]
    for folder in folders:
        found = {path.name: path for path in sorted(folder.glob("*.yaml"))}
        if found:
            return found
    return {}


def _scenario_path(name: str | os.PathLike[str]) -> str:
    if os.path.exists(name):
        return os.fspath(name)
    known = scenarios()
    text = os.fspath(name)
    for candidate in (text, text + ".yaml"):
        if candidate in known:
            return str(known[candidate])
    raise InvalidOption(f"there is no scenario {text!r}; shipped are {', '.join(known) or 'none'}")


def _milliseconds(value: Duration) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, datetime.timedelta):
        value = value.total_seconds()
    return f"{round(value * 1000)}ms"


def _plain(value: Any) -> Any:
    """As the daemon's JSON wants it: a timedelta becomes "250ms"."""
    if isinstance(value, datetime.timedelta):
        return _milliseconds(value)
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return value


@dataclasses.dataclass(frozen=True)
class Request:
    """A request as the daemon's journal has it. Times are seconds, sizes bytes."""

    sequence: int
    operation: str
    bucket: str
    key: str
    status: int  #: 0: no response was sent
    lease_id: str
    connection: int
    peer: str
    held: float  #: how long it waited for its key
    served: float  #: from its head to its response, the wait included
    at: float  #: by the daemon's clock
    bytes_in: int
    bytes_out: int
    in_flight: int
    fault: str  #: name of the fault that it met
    end: str  #: of its connection: "kept", "closed_by_us", …

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "Request":
        values = dict(entry)
        for name in ("held", "served", "at"):
            values[name] = values.pop(f"{name}_us") / 1e6
        return cls(**{field.name: values[field.name] for field in dataclasses.fields(cls)})

    def __str__(self) -> str:
        target = f"{self.bucket}/{self.key}" if self.bucket else self.lease_id
        parts = [f"#{self.sequence}", self.operation, target, str(self.status or "no response")]
        if self.held:
            parts.append(f"held {self.held * 1000:.1f} ms")
        if self.fault:
            parts.append(f"fault {self.fault}")
        if self.end != "kept":
            parts.append(self.end)
        return " ".join(part for part in parts if part)


class Fault:
    """A fault in force. As a context manager it is removed when the block is left; its counts
    stay."""

    def __init__(self, daemon: "Daemon", name: str) -> None:
        self._daemon = daemon
        self._counts: Optional[dict[str, int]] = None
        self.name = name

    def _now(self) -> dict[str, int]:
        if self._counts is not None:
            return self._counts
        path = "/v1/faults/" + urllib.parse.quote(self.name, safe="")
        return self._daemon.admin("GET", path)["counts"]

    @property
    def fired(self) -> int:
        """How many requests it has met."""
        return self._now()["fired"]

    @property
    def matched(self) -> int:
        """How many requests its match fits, met or not."""
        return self._now()["matched"]

    def remove(self) -> None:
        """Takes it out of force. Idempotent."""
        if self._counts is None:
            self._counts = self._now()
            path = "/v1/faults/" + urllib.parse.quote(self.name, safe="")
            self._daemon.admin("DELETE", path)

    def __enter__(self) -> "Fault":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._daemon.running:
            self.remove()

    def __repr__(self) -> str:
        return f"<Fault {self.name}>"


class Scenario:
    """A scenario in force. As a context manager its faults are removed when the block is left;
    their counts stay."""

    def __init__(self, name: str, description: str, faults: list[Fault]) -> None:
        self.name = name
        self.description = description  #: What the daemon does, in a sentence.
        self.faults = faults

    @property
    def fired(self) -> int:
        """How many requests its faults have met."""
        return sum(fault.fired for fault in self.faults)

    def remove(self) -> None:
        """Takes its faults out of force. Idempotent."""
        for fault in self.faults:
            fault.remove()

    def __enter__(self) -> "Scenario":
        return self

    def __exit__(self, *exception: object) -> None:
        for fault in self.faults:
            fault.__exit__(*exception)

    def __repr__(self) -> str:
        return f"<Scenario {self.name}>"


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()


class Daemon:
    """A running emulator. Every member may be used from any thread.

    ``options`` are those of the ``hyperpod-emulator`` program with underscores for dashes
    (``miss_status=404``, ``tls_self_signed="tls"``): docs/options.md lists them. Unless given, the
    ports are free ones, the segment has a name of its own, 64 MiB in blocks of 64 KiB, and the
    clock is ``adjustable``: time passes by itself, and :meth:`advance` moves it ahead.

    Raises :class:`InvalidOption` for options that the program refuses and :class:`DaemonFailed`
    where it cannot start.
    """

    def __init__(self, *, scenario: str | os.PathLike[str] | None = None, **options: Any) -> None:
        values: dict[str, Any] = {
            "listen": "127.0.0.1:0",
            "admin": "127.0.0.1:0",
            "shm_name": "hyperpod_test_" + secrets.token_hex(8),
            "capacity": "64MiB",
            "block_size": "64KiB",
            "reserve": "on_use",
            "clock": "adjustable",
            "threads": 1,
            "exit_with_parent": True,
        }
        values.update(options)
        if scenario is not None:
            values["scenario"] = _scenario_path(scenario)
        arguments = [program("hyperpod-emulator")]
        for name, value in values.items():
            if isinstance(value, bool):
                value = "true" if value else "false"
            elif isinstance(value, datetime.timedelta):
                value = _milliseconds(value)
            arguments.append(f"--{name.replace('_', '-')}={value}")
        self._log = tempfile.TemporaryFile()
        self._names = itertools.count(1)
        self._lock = threading.Lock()  # guards _connection
        self._connection: Optional[http.client.HTTPConnection] = None
        self._process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, stderr=self._log)
        self._end = weakref.finalize(self, _end, self._process)
        try:
            ready = json.loads(self._ready_line())
        except BaseException:
            self._end()
            raise
        self._ready = ready
        #: Where to send requests, for example ``"http://127.0.0.1:43210"``.
        self.url: str = ready["url"]
        #: The admin port; it shows and changes what the daemon does.
        self.admin_url: str = ready["admin"] or ""
        #: Name of the segment, ``/dev/shm/NAME``.
        self.shm_name: str = ready["shm_name"]
        #: Size of the segment in bytes.
        self.capacity: int = ready["capacity"]
        self.pid: int = ready["pid"]

    def _ready_line(self) -> bytes:
        assert self._process.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([self._process.stdout], [], [], _START_TIMEOUT)
            more = os.read(self._process.stdout.fileno(), 65536) if readable else b""
            if not more:
                break
            line += more
        if line.endswith(b"\n"):
            return line
        if line or not self._process.stdout:
            raise DaemonFailed(f"the emulator printed {line!r} in place of its ready line")
        try:
            status = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            raise DaemonFailed("the emulator did not serve in time") from None
        message = (self.log().strip().splitlines() or [f"it ended with status {status}"])[-1]
        message = message.removeprefix("hyperpod-emulator: ")
        raise InvalidOption(message) if status == 2 else DaemonFailed(message)

    # --- Life -----------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Ends it: what is in flight is responded to, the segment is removed. Idempotent."""
        self._end()

    def kill(self) -> None:
        """Ends it as ``kill -9`` does: no response is sent, the segment stays behind."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def log(self) -> str:
        """What it has logged so far."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode("utf-8", "replace")

    # --- Admin port -----------------------------------------------------------------------------

    def admin(self, method: str, path: str, body: Any = None, timeout: float = 70.0) -> Any:
        """One request to the admin port; its JSON, or None where the response has no body.

        Raises the error that fits what the daemon said.
        """
        if not self.admin_url:
            raise InvalidArgument("this daemon was started without an admin port")
        headers = {} if body is None else {"Content-Type": "application/json"}
        payload = None if body is None else json.dumps(body).encode()
        with self._lock:
            status, text = self._exchange(method, path, payload, headers, timeout)
        content = json.loads(text) if text else None
        if status >= 400:
            message = (content or {}).get("message", f"the admin port responded {status}")
            code = "invalid_argument" if status < 500 else "failed"
            raise from_code(code, message, status)
        return content

    def _exchange(self, method: str, path: str, payload: Optional[bytes],
                  headers: dict[str, str], timeout: float) -> tuple[int, bytes]:
        while True:
            reused = self._connection is not None
            if self._connection is None:
                address = urllib.parse.urlsplit(self.admin_url)
                self._connection = http.client.HTTPConnection(address.hostname or "", address.port)
            connection = self._connection
            connection.timeout = timeout
            if connection.sock is not None:
                connection.sock.settimeout(timeout)
            try:
                connection.request(method, path, payload, headers)
                response = connection.getresponse()
                return response.status, response.read()
            except BaseException as error:
                self._drop_connection()
                if isinstance(error, TimeoutError):
                    raise TimedOut(f"the emulator's admin port did not respond within {timeout} s")
                if not isinstance(error, (ConnectionError, http.client.HTTPException)):
                    raise
                if not reused:
                    raise self._gone() from None
                # A connection that was idle may have been closed: once more on a new one.

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _gone(self) -> DaemonFailed:
        last = (self.log().strip().splitlines() or ["it logged nothing"])[-1]
        return DaemonFailed(f"the emulator does not respond on its admin port; its last line: {last}")

    # --- Faults ---------------------------------------------------------------------------------

    def fault(self, operation: str = "any", *, name: str | None = None,
              script: Iterable[Mapping[str, Any]] | None = None, **fields: Any) -> Fault:
        """Puts a fault in force, and returns it; use it in a ``with`` block to have it removed.

        ``operation`` is ``put``, ``lease``, ``release``, ``any`` of these three, ``connect``,
        ``checkpoint_put``, ``checkpoint_get``, ``checkpoint_delete`` or ``namespace``. The other
        fields of a fault's match (:data:`MATCH_FIELDS`) and its effects stand side by side:
        ``fault("put", first=2, status=503)``. With ``script``, one set of effects for each request
        in turn. Durations are ``datetime.timedelta`` or text such as ``"250ms"``.
        """
        match = {field: fields.pop(field) for field in MATCH_FIELDS if field in fields}
        match["operation"] = operation
        body: dict[str, Any] = {"name": name or f"{operation}-{next(self._names)}", "match": match}
        if script is None:
            body["effects"] = _plain(fields)
        elif fields:
            raise InvalidArgument(f"with a script, {', '.join(fields)} belong into its steps")
        else:
            body["script"] = [_plain(step) for step in script]
        self.admin("POST", "/v1/faults", body)
        return Fault(self, body["name"])

    def scenario(self, name: str) -> "Scenario":
        """Puts the faults of a shipped scenario in force, for example ``"release_lost"``; use it in
        a ``with`` block to have them removed. :func:`scenarios` lists them."""
        shipped = {each["name"]: each for each in self.admin("GET", "/v1/scenarios")["scenarios"]}
        found = shipped.get(name.removesuffix(".yaml"))
        if found is None:
            raise InvalidArgument(f"there is no scenario {name!r}; shipped are "
                                  f"{', '.join(sorted(shipped))}")
        self.admin("POST", "/v1/faults", found["faults"])
        return Scenario(found["name"], found["description"],
                        [Fault(self, fault["name"]) for fault in found["faults"]])

    def clear_faults(self) -> None:
        """Removes every fault."""
        self.admin("DELETE", "/v1/faults")

    def cause(self, incident: str, **fields: Any) -> None:
        """Makes something happen at once: ``unlink_segment``, ``recreate_segment``,
        ``empty_segment`` (with ``lasting``), ``change_mode`` (with ``mode``), ``drop_objects`` or
        ``restart``."""
        self.admin("POST", "/v1/segment", {"incident": incident, **_plain(fields)})

    def restart(self) -> None:
        """As when the daemon's pod restarts: a new segment, everything forgotten, every connection
        cut. Faults and journal stay."""
        self.cause("restart")

    def reset(self, *only: str) -> None:
        """Back to empty: objects, leases, faults, journal and counters, or those named alone."""
        self.admin("POST", "/v1/reset", {"only": list(only)} if only else None)

    # --- Time -----------------------------------------------------------------------------------

    def advance(self, duration: Duration | None = None, *, seconds: float = 0,
                milliseconds: float = 0) -> None:
        """Moves the daemon's time ahead, and returns when all that fell due has happened.

        ``duration`` is seconds or a ``datetime.timedelta``. Raises :class:`InvalidArgument` for a
        daemon whose clock cannot be moved (``clock="real"``).
        """
        if isinstance(duration, datetime.timedelta):
            seconds += duration.total_seconds()
        elif duration is not None:
            seconds += float(duration)
        self.admin("POST", "/v1/clock", {"advance_ms": round(seconds * 1000 + milliseconds)})

    # --- What it holds --------------------------------------------------------------------------

    @property
    def statistics(self) -> dict[str, int]:
        """What there is and what has happened, in figures."""
        return self.admin("GET", "/v1/statistics")

    @property
    def live_leases(self) -> int:
        """Leases granted and not ended."""
        return self.statistics["live_leases"]

    @property
    def leases(self) -> list[dict[str, Any]]:
        """Live leases, the next to expire first."""
        return self.admin("GET", "/v1/leases")["leases"]

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Objects, the least recently used first."""
        return self.admin("GET", "/v1/objects")["objects"]

    @property
    def state(self) -> dict[str, Any]:
        """Objects, leases, waiters and the map of the segment at one moment."""
        return self.admin("GET", "/v1/state")

    @property
    def segment(self) -> dict[str, Any]:
        """The segment as it stands in /dev/shm."""
        return self.admin("GET", "/v1/segment")

    # --- Journal --------------------------------------------------------------------------------

    def _journal(self, **filters: Any) -> dict[str, Any]:
        given = {name: value for name, value in filters.items() if value is not None}
        wait = given.get("wait_ms", 0) / 1000
        return self.admin("GET", "/v1/journal?" + urllib.parse.urlencode(given),
                          timeout=wait + 10.0)

    def requests(self, operation: str | None = None, **filters: Any) -> list[Request]:
        """The requests so far, oldest first.

        ``operation`` is ``put``, ``lease``, ``release``, ``checkpoint_put``, ``checkpoint_get``,
        ``checkpoint_delete``, ``namespace``, ``other`` or ``unreadable``; ``filters`` are
        ``bucket``, ``key``, ``connection``, ``status``, ``fault`` and ``after`` (a sequence).
        """
        found: list[Request] = []
        after = filters.pop("after", 0)
        while True:
            page = self._journal(operation=operation, after=after, limit=1000, **filters)
            found += map(Request.from_json, page["entries"])
            if len(page["entries"]) < 1000:
                return found
            after = found[-1].sequence

    def wait_for(self, operation: str | None = None, *, count: int = 1, timeout: float = 10.0,
                 **filters: Any) -> list[Request]:
        """Waits until there are ``count`` such requests, and returns them; use it in place of
        sleeping. ``timeout`` is in seconds of real time, at most 60. Raises :class:`TimedOut`."""
        page = self._journal(operation=operation, count=count, limit=max(count, 1),
                             wait_ms=round(timeout * 1000), **filters)
        found = list(map(Request.from_json, page["entries"]))
        if page["met"]:
            return found
        wanted = ", ".join(f"{name}={value!r}" for name, value in
                           {"operation": operation, **filters}.items() if value is not None)
        raise TimedOut(f"{len(found)} of {count} requests with {wanted or 'any operation'} came "
                       f"within {timeout} s\n{self.report()}")

    def report(self, entries: int = 30) -> str:
        """The newest requests, the faults in force and the end of the log, to be read."""
        lines = [f"daemon {self.url}, segment {self.shm_name}"]
        if self.running and self.admin_url:
            last = self.admin("GET", "/v1/journal?limit=1")
            recent = self.requests(after=max(0, last["last_sequence"] - entries))
            lines.append(f"{last['recorded']} requests, the last {len(recent)}:")
            lines += [f"  {request}" for request in recent]
            faults = self.admin("GET", "/v1/faults")["faults"]
            lines += [f"  fault {fault['name']}: matched {fault['counts']['matched']}, "
                      f"fired {fault['counts']['fired']}" for fault in faults]
        elif not self.running:
            lines.append(f"it has ended with status {self._process.returncode}")
        log = self.log().splitlines()
        if log:
            lines += ["log:", *(f"  {line}" for line in log[-entries:])]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Daemon {self.url} {self.shm_name} pid {self.pid}>"

