# SPDX-License-Identifier: Apache-2.0
"""The emulator as a fixture."""

import datetime
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from hyperpod_kv import Daemon, DaemonFailed, InvalidArgument, InvalidOption, TimedOut, scenarios


def request(daemon, method, path, body=b""):
    asked = urllib.request.Request(daemon.url + path, data=body, method=method)
    try:
        with urllib.request.urlopen(asked) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def put(daemon, key="key"):
    return request(daemon, "PUT", f"/v1/kv/lmcache/{key}", b"bytes")


def lease(daemon, key="key", timeout_ms=0):
    return request(daemon, "POST",
                   f"/v1/kv/lmcache/{key}/leases?timeout_ms={timeout_ms}&ttl_s=30.0")


def test_a_fault_meets_what_it_names_and_keeps_its_counts(hyperpod_daemon):
    with hyperpod_daemon.fault("put", first=1, status=503) as fault:
        assert put(hyperpod_daemon) == 503
        assert put(hyperpod_daemon) == 200
        assert (fault.fired, fault.matched) == (1, 2)
    assert fault.fired == 1
    assert hyperpod_daemon.admin("GET", "/v1/faults") == {"faults": []}


def test_time_goes_on_and_jumps(hyperpod_daemon):
    put(hyperpod_daemon)
    assert lease(hyperpod_daemon) == 200
    assert hyperpod_daemon.live_leases == 1
    hyperpod_daemon.advance(seconds=29)
    assert hyperpod_daemon.live_leases == 1
    hyperpod_daemon.advance(datetime.timedelta(seconds=1.5))
    assert hyperpod_daemon.live_leases == 0
    assert hyperpod_daemon.statistics["leases_expired"] == 1


def test_a_jump_ends_a_wait(hyperpod_daemon):
    answers = []
    waiter = threading.Thread(
        target=lambda: answers.append(lease(hyperpod_daemon, "absent", timeout_ms=60_000)))
    waiter.start()
    deadline = time.monotonic() + 20
    while hyperpod_daemon.statistics["waiters"] == 0 and time.monotonic() < deadline:
        pass
    hyperpod_daemon.advance(seconds=61)
    waiter.join(20)
    assert answers == [504]


@pytest.mark.hyperpod(clock="manual", capacity="1MiB", block_size="4KiB")
def test_the_marker_sets_options(hyperpod_daemon):
    assert hyperpod_daemon.capacity == 1 << 20
    assert hyperpod_daemon.admin("GET", "/v1/clock")["kind"] == "manual"


@pytest.mark.hyperpod(scenario="lookups_all_miss")
def test_a_shipped_scenario_is_known_by_name(hyperpod_daemon):
    put(hyperpod_daemon)
    assert lease(hyperpod_daemon) == 404
    assert "lookups_all_miss.yaml" in scenarios()


def test_a_script_has_one_step_for_each_request(hyperpod_daemon):
    with hyperpod_daemon.fault("put", script=[{"status": 500}, {"status": 507}]):
        assert [put(hyperpod_daemon) for _ in range(2)] == [500, 507]


def test_the_journal_is_read_as_objects(hyperpod_daemon):
    put(hyperpod_daemon, "a")
    lease(hyperpod_daemon, "a")
    first, second = hyperpod_daemon.requests()
    assert (first.operation, first.key, first.status, first.bytes_in) == ("put", "a", 200, 5)
    assert hyperpod_daemon.requests("lease") == [second]
    assert str(first).startswith("#1 put lmcache/a 200")


def test_waiting_for_requests_needs_no_sleep(hyperpod_daemon):
    thread = threading.Thread(target=put, args=(hyperpod_daemon, "late"))
    thread.start()
    (found,) = hyperpod_daemon.wait_for("put", key="late")
    assert found.status == 200
    thread.join()
    with pytest.raises(TimedOut, match="0 of 1 requests with operation='release'"):
        hyperpod_daemon.wait_for("release", timeout=0.01)


def test_restart_and_reset(hyperpod_daemon):
    put(hyperpod_daemon)
    before = hyperpod_daemon.segment["inode"]
    hyperpod_daemon.restart()
    assert hyperpod_daemon.objects == []
    assert hyperpod_daemon.segment["inode"] != before
    hyperpod_daemon.reset("journal")
    assert hyperpod_daemon.requests() == []


def test_errors_name_what_is_wrong(hyperpod_daemon, hyperpod_daemon_factory):
    with pytest.raises(InvalidArgument, match="statu"):
        hyperpod_daemon.fault("put", statu=500)
    with pytest.raises(InvalidOption, match="capacity"):
        hyperpod_daemon_factory(capacity="64")
    with pytest.raises(InvalidOption, match="no scenario 'nothing'"):
        hyperpod_daemon_factory(scenario="nothing")
    with pytest.raises(DaemonFailed):
        hyperpod_daemon_factory(listen=hyperpod_daemon.url.removeprefix("http://"))


def test_nothing_is_left_behind():
    with Daemon() as daemon:
        segment = f"/dev/shm/{daemon.shm_name}"
        assert os.path.exists(segment)
    assert not daemon.running
    assert not os.path.exists(segment)


def test_a_daemon_ends_with_the_process_that_started_it():
    script = "from hyperpod_kv import Daemon; d = Daemon(); print(d.pid, d.shm_name, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as parent:
        pid, name = parent.stdout.readline().split()
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while os.path.exists(f"/dev/shm/{name}") and time.monotonic() < deadline:
        pass
    assert not os.path.exists(f"/dev/shm/{name}")


def test_a_failing_test_shows_the_journal(pytester):
    pytester.makepyfile("""
        import urllib.request

        def test_fails(hyperpod_daemon):
            urllib.request.urlopen(urllib.request.Request(
                hyperpod_daemon.url + "/v1/kv/b/k", data=b"x", method="PUT"))
            assert False
    """)
    result = pytester.runpytest_subprocess("-p", "hyperpod_kv.pytest_plugin")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*HyperPod daemon hyperpod_test_*", "*#1 put b/k 200*"])


def test_settings_of_the_project_hold_for_every_daemon(pytester):
    pytester.makeini("[pytest]\nhyperpod_options =\n    capacity = 2MiB\n")
    pytester.makepyfile("def test_it(hyperpod_daemon): assert hyperpod_daemon.capacity == 2 << 20")
    pytester.runpytest_subprocess("-p", "hyperpod_kv.pytest_plugin").assert_outcomes(passed=1)
