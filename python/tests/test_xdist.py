# SPDX-License-Identifier: Apache-2.0
"""The fixture in many processes at once, and what is left when they are killed."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from hyperpod_kv import Daemon

pytest.importorskip("xdist")

WORKERS = 8


def lives(pid):
    """Whether a thread of the process runs that may still hold its files open."""
    process = pathlib.Path(f"/proc/{pid}")
    try:
        return (len(list((process / "task").iterdir())) > 1
                or "State:\tZ" not in (process / "status").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition):
    deadline = time.monotonic() + 100
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def test_every_worker_has_daemons_of_its_own(pytester):
    pytester.makepyfile("""
        import pytest
        import urllib.request

        @pytest.mark.parametrize("number", range(32))
        def test_it(hyperpod_daemon, number):
            urllib.request.urlopen(urllib.request.Request(
                f"{hyperpod_daemon.url}/v1/kv/bucket/{number}", data=b"x", method="PUT"))
            assert [each["key"] for each in hyperpod_daemon.objects] == [str(number)]
    """)
    result = pytester.runpytest_subprocess("-p", "hyperpod_kv.pytest_plugin", "-n", str(WORKERS))
    result.assert_outcomes(passed=32)


@pytest.mark.parametrize("killed", ["pytest", "everything"])
def test_nothing_is_left_of_a_run_that_is_killed(pytester, killed):
    started = pytester.path / "started"
    pytester.makepyfile(f"""
        import os
        import pytest

        @pytest.mark.parametrize("number", range({4 * WORKERS}))
        def test_it(hyperpod_daemon, number):
            with open({str(started)!r}, "a") as file:
                file.write(f"{{os.getpid()}} {{hyperpod_daemon.pid}} {{hyperpod_daemon.shm_name}}\\n")
            hyperpod_daemon.wait_for("put", timeout=60)
    """)
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "hyperpod_kv.pytest_plugin", "-n", str(WORKERS)],
        cwd=pytester.path, start_new_session=True, stdout=subprocess.DEVNULL)
    wait_until(lambda: started.exists() and len(started.read_text().splitlines()) >= WORKERS)
    if killed == "everything":
        os.killpg(run.pid, signal.SIGKILL)
    rows = [line.split() for line in started.read_text().splitlines()]
    for worker, _, _ in rows:
        if lives(worker):
            os.kill(int(worker), signal.SIGKILL)
    run.kill()
    run.wait()
    wait_until(lambda: not any(lives(daemon) for _, daemon, _ in rows))

    if killed == "pytest":  # daemons that outlive pytest tidy up
        assert not [name for _, _, name in rows if os.path.exists(f"/dev/shm/{name}")]
    with Daemon():  # the next run
        pass
    assert not [name for name in os.listdir("/dev/shm") for _, _, ours in rows if ours in name]
