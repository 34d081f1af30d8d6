#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A soak of the emulator under chaos: ./dev soak [MINUTES].

Workers store and read objects whose bytes follow from their keys, and check every byte of every
hit. Meanwhile the daemon is killed, stopped and restarted, workers are killed, the segment is
emptied, unlinked and truncated, and eviction never rests. The run is a row of lives of the daemon:
quiet ones, at whose end leases, descriptors, threads and memory must be back where they began, and
rough ones, in which it is killed and started again under load. Ends with 0 if all held.
"""

import argparse
import ctypes
import http.client
import json
import mmap
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time

CAPACITY = 32 << 20
BLOCK = 64 << 10
KEYS = 300  # of half a MiB on average: several times what the segment holds
MOST_BYTES = 1 << 20
TTL_S = 3.0
WORKERS = 4
WARM_UP_S = 4.0
PR_SET_PDEATHSIG = 1
COUNTED = ("descriptors", "threads")  # of which there must be as many as before
MEMORY_SLACK = 16 << 20  # journal and allocator may grow by this much

COUNTS = ("puts", "existing", "no_room", "hits", "bytes", "misses", "unusable", "late", "errors", "wrong",
          "kv_puts", "kv_hits", "kv_misses", "kv_errors")


def content_of(key):
    """The bytes of a key, which follow from its name alone."""
    source = random.Random(key)
    return source.randbytes(source.randint(1, MOST_BYTES))


class Counters:
    """One row of numbers for each worker, in memory that they share with this process."""

    def __init__(self, rows):
        self.memory = mmap.mmap(-1, rows * len(COUNTS) * 8)
        self.cells = (ctypes.c_uint64 * (rows * len(COUNTS))).from_buffer(self.memory)
        self.rows = rows

    def add(self, row, name, amount=1):
        self.cells[row * len(COUNTS) + COUNTS.index(name)] += amount

    def totals(self):
        return {name: sum(self.cells[row * len(COUNTS) + at] for row in range(self.rows))
                for at, name in enumerate(COUNTS)}


# --- Workers -------------------------------------------------------------------------------------


class Reader:
    """The segment as a client sees it. Reads instead of mapping, so that a truncation is a short
    read and not the end of the worker."""

    def __init__(self, path):
        self.path = path
        self.descriptor = -1
        self.identity = None

    def refresh(self):
        """The identity of the segment under the name, opened; None if there is none."""
        try:
            status = os.stat(self.path)
            identity = (status.st_dev, status.st_ino)
            if identity != self.identity:
                if self.descriptor >= 0:
                    os.close(self.descriptor)
                self.identity = None
                self.descriptor = os.open(self.path, os.O_RDONLY)
                opened = os.fstat(self.descriptor)
                self.identity = (opened.st_dev, opened.st_ino)
            return self.identity if os.fstat(self.descriptor).st_size == CAPACITY else None
        except OSError:
            self.identity, self.descriptor = None, -1
            return None

    def read(self, fragments):
        return b"".join(os.pread(self.descriptor, part["len"], part["offset"]) for part in fragments)


class Worker:
    """Stores and reads over HTTP and the segment, as a production client does."""

    def __init__(self, number, counters, port, path):
        self.number, self.counters, self.port = number, counters, port
        self.reader = Reader(path)
        self.connection = None
        self.random = random.Random(secrets.randbits(64))

    def count(self, name, amount=1):
        self.counters.add(self.number, name, amount)

    def ask(self, method, target, body=None):
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            self.connection.request(method, target, body)
            response = self.connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            self.connection = None
            raise

    def put(self, key):
        status, _ = self.ask("PUT", f"/v1/kv/soak/{key}", content_of(key))
        names = {200: "puts", 409: "existing", 507: "no_room"}
        self.count(names.get(status, "errors"))

    def get(self, key):
        # Before the request: the lease is at least as old as this.
        began = time.monotonic()
        hold = self.random.choice((0, 0, 50))
        status, body = self.ask("POST", f"/v1/kv/soak/{key}/leases?timeout_ms={hold}&ttl_s={TTL_S}")
        if status != 200:
            self.count("misses" if status in (404, 504) else "errors")
            return
        lease = json.loads(body)
        identity = self.reader.refresh()
        read = self.reader.read(lease["offsets"]) if identity else b""
        # A daemon that was restarted meanwhile has another segment. Where the name leads to the one
        # that was read, and the connection on which the lease was granted is the daemon's still,
        # its release says so.
        released = self.ask("POST", f"/v1/leases/{lease['id']}/release")[0]
        if not identity or self.reader.refresh() != identity or released != 200:
            self.count("unusable")
        elif time.monotonic() - began >= TTL_S:
            self.count("late")
        elif read != content_of(key):
            self.count("wrong")
            print(f"soak: WRONG BYTES for {key}, lease {lease}", file=sys.stderr, flush=True)
        else:
            self.count("hits")
            self.count("bytes", len(read))

    def run(self):
        while True:
            # Half of the requests for the few keys that everybody wants.
            key = f"key-{self.random.randrange(self.random.choice((KEYS // 15, KEYS)))}"
            try:
                if self.random.random() < 0.4:
                    self.put(key)
                else:
                    self.get(key)
            except (OSError, http.client.HTTPException):
                self.count("errors")
                time.sleep(0.01)  # the daemon is being restarted


class CommandWorker:
    """The same through hyperpod-kv, and so through the client library."""

    def __init__(self, number, counters, port, path, program):
        self.number, self.counters = number, counters
        self.command = [program, "--url", f"http://127.0.0.1:{port}", "--bucket", "soak",
                        "--shm-name", os.path.basename(path)]
        self.random = random.Random(secrets.randbits(64))

    def run(self):
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "object")
            while True:
                key = f"key-{self.random.randrange(KEYS // 15)}"
                expected = content_of(key)
                putting = self.random.random() < 0.4
                if putting:
                    with open(file, "wb") as out:
                        out.write(expected)
                elif os.path.exists(file):
                    os.unlink(file)
                status = subprocess.run([*self.command, "put" if putting else "get", key, file],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        check=False).returncode
                name = {0: "kv_puts" if putting else "kv_hits", 1: "kv_misses"}.get(status, "kv_errors")
                if name == "kv_hits":
                    with open(file, "rb") as read:
                        if read.read() != expected:
                            name = "wrong"
                            print(f"soak: WRONG BYTES for {key} from hyperpod-kv", file=sys.stderr, flush=True)
                self.counters.add(self.number, name)
                if name == "kv_errors":
                    time.sleep(0.1)  # the daemon is being restarted


# --- The daemon ----------------------------------------------------------------------------------


class Daemon:
    def __init__(self, program, port, name):
        self.program, self.port, self.name = program, port, name
        self.path = f"/dev/shm/{name}"
        self.process = None
        self.admin = None
        self.starts = 0

    def start(self):
        command = [self.program, "--listen", f"127.0.0.1:{self.port}", "--admin", "127.0.0.1:0",
                   "--shm-name", self.name, "--capacity", f"{CAPACITY >> 20}MiB",
                   "--block-size", f"{BLOCK >> 10}KiB", "--journal-entries", "1000",
                   "--log-level", "error", "--exit-with-parent"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"soak: the emulator does not start: {self.process.stderr.read().decode()}")
        self.admin = int(json.loads(line)["admin"].rsplit(":", 1)[1])
        self.starts += 1

    def ask(self, method, target, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=10)
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, target, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null")
        finally:
            connection.close()

    def statistics(self):
        return self.ask("GET", "/v1/statistics")[1]

    def cause(self, incident, **fields):
        return self.ask("POST", "/v1/segment", {"incident": incident, **fields})

    def footprint(self):
        """The least of what it holds within a second: what the last question took may still be there."""
        samples = []
        for _ in range(10):
            time.sleep(0.1)
            samples.append(self.footprint_now())
        return {what: min(sample[what] for sample in samples) for what in samples[0]}

    def footprint_now(self):
        folder = f"/proc/{self.process.pid}"
        with open(f"{folder}/status", encoding="ascii") as status:
            fields = dict(line.rstrip("\n").split(":", 1) for line in status)
        return {"descriptors": len(os.listdir(f"{folder}/fd")), "threads": int(fields["Threads"]),
                "memory": int(fields["RssAnon"].split()[0]) * 1024}

    def descriptors(self):
        folder = f"/proc/{self.process.pid}/fd"
        return " ".join(f"{number}={os.readlink(f'{folder}/{number}')}" for number in os.listdir(folder))

    def send(self, number):
        self.process.send_signal(number)

    def end(self, number):
        """Ends it by a signal; its exit code and what it said."""
        self.send(number)
        said = self.process.communicate(timeout=30)[1].decode(errors="replace")
        return self.process.returncode, said


# --- The run -------------------------------------------------------------------------------------


class Soak:
    def __init__(self, arguments):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        # The prefix of names that any later start clears away, should this run be killed.
        self.daemon = Daemon(os.path.join(arguments.bin, "hyperpod-emulator"), port,
                             "hyperpod_test_" + secrets.token_hex(8))
        self.kv = os.path.join(arguments.bin, "hyperpod-kv")
        self.counters = Counters(WORKERS + 1)
        self.workers = {}
        self.random = random.Random(arguments.seed)
        self.events = {}
        self.failures = []

    def note(self, event):
        self.events[event] = self.events.get(event, 0) + 1

    def fail(self, problem):
        self.failures.append(problem)
        print(f"soak: FAILED: {problem}", flush=True)

    def start_worker(self, number):
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            try:
                if number < WORKERS:
                    Worker(number, self.counters, self.daemon.port, self.daemon.path).run()
                else:
                    CommandWorker(number, self.counters, self.daemon.port, self.daemon.path, self.kv).run()
            finally:
                os._exit(1)
        self.workers[number] = child

    def start_workers(self):
        for number in range(WORKERS + 1):
            self.start_worker(number)

    def end_worker(self, number):
        child = self.workers.pop(number)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    def end_workers(self):
        for number in list(self.workers):
            self.end_worker(number)

    def kill_a_worker(self):
        number = self.random.choice(list(self.workers))
        self.end_worker(number)
        self.start_worker(number)

    def stop_for_a_while(self):
        self.daemon.send(signal.SIGSTOP)
        time.sleep(self.random.uniform(0.1, 1.0))
        self.daemon.send(signal.SIGCONT)

    def unlink(self):
        try:
            os.unlink(self.daemon.path)
        except FileNotFoundError:
            return
        time.sleep(0.3)
        self.daemon.cause("restart")

    def quiet_events(self):
        return {"worker killed": self.kill_a_worker, "daemon stopped": self.stop_for_a_while,
                "segment unlinked": self.unlink, "restart": lambda: self.daemon.cause("restart"),
                "segment emptied": lambda: self.daemon.cause("empty_segment", lasting="200ms")}

    def until(self, condition, patience):
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if condition():
                return True
            time.sleep(0.05)
        return False

    def settled_footprint(self, before=None):
        """What the daemon holds without load, once the last lease has gone, and descriptors and threads are as
        before. If they never are, what it holds then: on a busy machine a connection takes a while to go."""
        self.end_workers()
        now = {}

        def settled():
            now.update(self.daemon.statistics())
            return now["live_leases"] == 0 and now["open_connections"] == 0 and now["waiters"] == 0

        if not self.until(settled, TTL_S + 15):
            self.fail(f"leases or connections remain without anybody: {now}")
        ended = now["leases_released"] + now["leases_expired"] + now["leases_dropped"]
        if now["leases_granted"] != ended + now["live_leases"]:
            self.fail(f"{now['leases_granted']} leases were granted, and {ended} ended")
        found = self.daemon.footprint()

        def back():
            found.update(self.daemon.footprint())
            return all(found[what] == before[what] for what in COUNTED)

        if before is not None:
            self.until(back, TTL_S + 15)
        return now, found

    def quiet_life(self, seconds):
        self.daemon.start()
        self.start_workers()
        time.sleep(WARM_UP_S)
        before = self.settled_footprint()[1]
        self.start_workers()
        deadline = time.monotonic() + seconds
        events = self.quiet_events()
        while time.monotonic() < deadline:
            time.sleep(self.random.uniform(0.2, 1.0))
            event = self.random.choice(list(events))
            events[event]()
            self.note(event)
        statistics, after = self.settled_footprint(before)
        self.compare(before, after)
        code, said = self.daemon.end(signal.SIGTERM)
        self.note("ended by SIGTERM")
        if code != 0:
            self.fail(f"SIGTERM ended the emulator with {code}: {said[-500:]}")
        if os.path.exists(self.daemon.path):
            self.fail("SIGTERM left the segment")
        print(f"soak: life of {seconds:.0f} s: {statistics['leases_granted']} leases granted, "
              f"{statistics['leases_released']} released, {statistics['leases_expired']} expired, "
              f"{statistics['leases_dropped']} dropped; {statistics['evictions']} evictions; "
              f"descriptors {before['descriptors']} -> {after['descriptors']}, threads {before['threads']} -> "
              f"{after['threads']}, memory {before['memory'] >> 10} -> {after['memory'] >> 10} KiB", flush=True)

    def compare(self, before, after):
        for what in COUNTED:
            if after[what] != before[what]:
                self.fail(f"{before[what]} {what} became {after[what]}; open are {self.daemon.descriptors()}")
        if after["memory"] > before["memory"] + MEMORY_SLACK:
            self.fail(f"memory grew from {before['memory'] >> 10} to {after['memory'] >> 10} KiB")

    def rough_life(self, seconds):
        self.daemon.start()
        self.start_workers()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(self.random.uniform(1.0, 3.0))
            if self.random.random() < 0.3:
                with open(self.daemon.path, "r+b") as segment:
                    segment.truncate(0)
                time.sleep(0.5)
                self.note("segment truncated")
            if self.daemon.process.poll() == -signal.SIGBUS:
                said = self.daemon.process.communicate()[1].decode(errors="replace")
                if "truncated" not in said:
                    self.fail(f"a truncated segment ended the emulator without a word: {said[-500:]}")
                self.note("ended by SIGBUS")
            else:
                code, said = self.daemon.end(signal.SIGKILL)
                if code != -signal.SIGKILL:
                    self.fail(f"the emulator ended by itself with {code}: {said[-500:]}")
                self.note("daemon killed")
            self.daemon.start()
        self.end_workers()
        self.daemon.end(signal.SIGTERM)

    def run(self, minutes):
        end = time.monotonic() + minutes * 60
        life = min(60.0, minutes * 60 / 4)
        try:
            while time.monotonic() < end:
                self.quiet_life(life)
                self.rough_life(life / 2)
        finally:
            self.end_workers()
            if self.daemon.process and self.daemon.process.poll() is None:
                self.daemon.end(signal.SIGTERM)
        totals = self.counters.totals()
        if totals["wrong"]:
            self.fail(f"{totals['wrong']} objects had wrong bytes")
        if totals["hits"] == 0 or totals["kv_hits"] == 0:
            self.fail("nothing was read at all")
        left = [name for name in os.listdir("/dev/shm") if self.daemon.name in name]
        if left:
            self.fail(f"left in /dev/shm: {left}")
        print(f"soak: {totals['puts']} objects stored, {totals['hits']} read and checked "
              f"({totals['bytes'] >> 20} MiB), {totals['misses']} misses, {totals['unusable']} leases of a daemon or "
              f"segment that had gone, {totals['late']} read too late, {totals['errors']} requests failed; hyperpod-kv: "
              f"{totals['kv_puts']} stored, {totals['kv_hits']} read, {totals['kv_misses']} misses, "
              f"{totals['kv_errors']} failed", flush=True)
        print("soak: " + ", ".join(f"{event} {count}" for event, count in sorted(self.events.items())) +
              f"; {self.daemon.starts} starts", flush=True)
        print(f"soak: {'FAILED' if self.failures else 'no wrong byte, and nothing left over'}", flush=True)
        return 1 if self.failures else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("minutes", nargs="?", type=float, default=30.0, help="how long, about [30]")
    parser.add_argument("--bin", default="build/release/bin", help="where the programs are [build/release/bin]")
    parser.add_argument("--seed", type=int, default=None, help="of the chaos; printed, random unless given")
    arguments = parser.parse_args()
    if not 0 < arguments.minutes <= 24 * 60:
        parser.error("minutes must be above 0 and at most 1440")
    if arguments.seed is None:
        arguments.seed = secrets.randbits(32)
    print(f"soak: {arguments.minutes:g} minutes, seed {arguments.seed}", flush=True)

    def interrupt(number, frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        sys.exit(Soak(arguments).run(arguments.minutes))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
