# SPDX-License-Identifier: Apache-2.0
"""The client, against the emulator."""

import ast
import asyncio
import datetime
import gc
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

import hyperpod_kv
from hyperpod_kv import (Client, Closed, Error, Forked, InvalidArgument, InvalidOption, LeaseExpired,
                         UnusableBuffer, ViewsHeld)


def test_objects_are_stored_once_and_read_back(client):
    assert client.put("key", b"hello")
    assert not client.put("key", memoryview(b"other"))
    assert client.get("key") == b"hello"
    buffer = bytearray(8)
    assert client.get_into("key", buffer) == 5
    assert bytes(buffer[:5]) == b"hello"
    assert client.exists("key")


def test_a_miss_is_none(client):
    assert client.get("absent", wait=0) is None
    assert client.get_into("absent", bytearray(1), wait=0) is None
    assert client.acquire("absent", wait=0) is None
    assert not client.exists("absent", wait=0)


def test_buffers_of_any_kind(client):
    numpy = pytest.importorskip("numpy")
    sent = numpy.arange(10_000, dtype=numpy.float32)
    client.put("array", sent)
    got = numpy.zeros_like(sent)
    assert client.get_into("array", got) == sent.nbytes
    assert (got == sent).all()
    with pytest.raises(UnusableBuffer, match="one piece"):
        client.put("strided", sent[::2])


def test_a_lease_is_read_in_place(client, hyperpod_daemon):
    client.put("key", b"hello")
    with client.acquire("key") as lease:
        assert b"".join(lease.fragments) == b"hello"
        assert lease.valid
        assert lease.read(1, 3) == b"ell"
        assert hyperpod_daemon.live_leases == 1
    assert hyperpod_daemon.live_leases == 0
    with pytest.raises(LeaseExpired):
        lease.fragments


def test_a_lease_is_not_released_under_a_view(client):
    client.put("key", b"hello")
    lease = client.acquire("key")
    (view,) = lease.fragments
    assert view.readonly
    part = view[1:]
    del view
    with pytest.raises(ViewsHeld):
        lease.release()
    assert bytes(part) == b"ello"
    part.release()
    lease.release()


def test_a_released_lease_shows_nothing(client):
    client.put("key", b"hello")
    lease = client.acquire("key")
    (view,) = lease.fragments
    fragment = view.obj
    view.release()
    assert bytes(memoryview(fragment)) == b"hello"
    assert lease
    lease.release()
    assert lease  # is not None
    with pytest.raises(BufferError, match="released"):
        memoryview(fragment)


def test_an_expired_lease_shows_nothing(hyperpod_daemon):
    with Client(hyperpod_daemon.url, shared_memory_name=hyperpod_daemon.shm_name,
                lease_ttl=0.05) as short:
        short.put("key", b"hello")
        lease = short.acquire("key")
        while lease.time_left > 0:
            pass
        assert not lease.valid
        with pytest.raises(LeaseExpired):
            lease.fragments
        with pytest.raises(LeaseExpired):
            lease.read()


def test_batches_have_one_result_for_each_key(client):
    assert client.batched_put([("a", b"1"), (b"b", b"22"), ("a", b"3")]) == [True, True, False]
    assert client.batched_get(["a", "absent", "b"], wait=0) == [b"1", None, b"22"]
    buffers = [bytearray(4) for _ in range(2)]
    assert client.batched_get_into([("b", buffers[0]), ("absent", buffers[1])], wait=0) == [2, None]
    assert client.batched_contains(["a", "b", "absent", "a"], wait=0) == 2


def test_every_get_is_counted(client, hyperpod_daemon):
    client.put("key", b"hello")

    async def run():
        await client.aget("key")
        await client.aget("absent", wait=0)
        await client.abatched_get(["key", "absent"], wait=0)

    def counted():
        return [client.statistics[f"get_{name}"] for name in ("success", "failure", "miss")]

    client.get("key")
    client.acquire("key").release()  # is not a get
    client.get("absent", wait=0)
    client.batched_get(["key", "absent", "key"], wait=0)
    assert counted() == [3, 2, 2]
    asyncio.run(run())
    assert counted() == [5, 4, 4]
    client.get_into("key", bytearray(5))
    client.get_into("absent", bytearray(5), wait=0)
    assert counted() == [6, 5, 5]
    with hyperpod_daemon.fault("lease", status=500):
        for call in (lambda: client.get("key"), lambda: client.batched_get(["key"]),
                     lambda: asyncio.run(client.aget("key"))):
            with pytest.raises(hyperpod_kv.Refused):
                call()
    assert counted() == [6, 8, 5]
    with Client(hyperpod_daemon.url, shared_memory_name=hyperpod_daemon.shm_name,
                lease_ttl=1e-6) as client:  # which ends before the bytes are read
        assert client.get("key") is None
        assert counted() == [0, 1, 0]


def test_an_error_in_a_batch_is_raised_or_returned(client, hyperpod_daemon):
    with hyperpod_daemon.fault("put", key="bad", status=500):
        with pytest.raises(hyperpod_kv.Refused) as refused:
            client.batched_put([("good", b"1"), ("bad", b"2")])
        assert refused.value.status == 500
        results = client.batched_put([("good", b"1"), ("bad", b"2")], return_errors=True)
    assert results[0] is False
    assert isinstance(results[1], hyperpod_kv.Refused)


def test_every_call_has_a_coroutine(client):
    async def run():
        assert await client.aput("key", b"hello")
        assert await client.aget("key") == b"hello"
        buffer = bytearray(5)
        assert await client.aget_into("key", buffer) == 5
        assert await client.aexists("key")
        assert await client.aget("absent", wait=0) is None
        with await client.aacquire("key") as lease:
            assert lease.read() == b"hello"
        assert await client.abatched_put([("a", b"1"), ("b", b"2")]) == [True, True]
        assert await client.abatched_get(["a", "absent"], wait=0) == [b"1", None]
        assert await client.abatched_get_into([("a", bytearray(1))]) == [1]
        assert await client.abatched_contains(["a", "b", "absent"], wait=0) == 2

    before = threading.active_count()
    asyncio.run(run())
    asyncio.run(run_again(client))  # in another loop
    assert threading.active_count() == before


async def run_again(client):
    assert await client.aget("key") == b"hello"


def test_a_coroutine_that_is_cancelled_ends_its_call(client, hyperpod_daemon):
    async def run():
        waiting = asyncio.create_task(client.aget("never", wait=30))
        while (await asyncio.to_thread(lambda: hyperpod_daemon.statistics))["waiters"] == 0:
            pass
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        while (await asyncio.to_thread(lambda: hyperpod_daemon.statistics))["waiters"] > 0:
            pass

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_loop_that_ends_early_leaves_nothing_to_crash(hyperpod_daemon):
    client = Client(hyperpod_daemon.url, shared_memory_name=hyperpod_daemon.shm_name)

    async def abandon():
        asyncio.ensure_future(client.aget_into("never", bytearray(16), wait=30))
        await asyncio.sleep(0)

    asyncio.run(abandon())
    client.close()


def test_a_child_of_fork_is_told(client):
    client.put("key", b"hello")
    child = os.fork()
    if child == 0:
        try:
            client.get("key")
        except Forked:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.get("key") == b"hello"


def test_the_gil_is_released_while_a_call_waits(client):
    started = threading.Event()

    def wait():
        started.set()
        client.get("later", wait=30)

    thread = threading.Thread(target=wait)
    thread.start()
    assert started.wait(20)
    client.put("later", b"now")  # hangs if the waiting thread holds the GIL
    thread.join(20)
    assert not thread.is_alive()


def test_errors_are_typed_and_name_the_way_out(hyperpod_daemon):
    with pytest.raises(InvalidOption, match="nonsense"):
        Client(hyperpod_daemon.url, nonsense=1)
    with pytest.raises(InvalidOption):
        Client("")
    closed = Client(hyperpod_daemon.url, shared_memory_name=hyperpod_daemon.shm_name)
    closed.close()
    with pytest.raises(Closed) as error:
        closed.get("key")
    assert error.value.code == "closed"
    assert isinstance(error.value, Error)


def test_lmcaches_configuration_is_read(hyperpod_daemon, tmp_path):
    path = tmp_path / "lmcache.yaml"
    path.write_text(f"""
remote_url: "{hyperpod_daemon.url.replace('http://', 'sagemaker-hyperpod://')}"
extra_config:
  sagemaker_hyperpod_bucket: mine
  sagemaker_hyperpod_shared_memory_name: {hyperpod_daemon.shm_name}
""")
    with Client.from_config(path) as client:
        client.put("key", b"hello")
        assert client.get("key") == b"hello"
    assert hyperpod_daemon.objects[0]["bucket"] == "mine"


def test_what_is_not_utf8_is_no_matter_in_paths_and_variables(hyperpod_daemon, tmp_path,
                                                              monkeypatch):
    text = f"remote_url: {hyperpod_daemon.url.replace('http', 'sagemaker-hyperpod', 1)}"
    path = os.fsencode(tmp_path) + b"/\xff.yaml"
    pathlib.Path(os.fsdecode(path)).write_text(text)
    monkeypatch.setitem(os.environb, b"FOO", b"\xff")
    monkeypatch.setenv("SECRET", "s3cr3t")
    for given in (path, os.fsdecode(path), pathlib.Path(os.fsdecode(path))):
        with Client.from_config(given) as client:
            assert not client.exists("key", wait=0)
    monkeypatch.setitem(os.environb, b"LMCACHE_CONFIG_FILE", path)
    Client.from_config().close()
    with Client(hyperpod_daemon.url, ca_file=path):
        pass
    for wrong in (os.fsdecode(path) + ".absent", "/tmp/\ud800", "/tmp/\0"):
        with pytest.raises(InvalidOption, match=r"xff\.yaml\.absent|ud800|null") as error:
            Client.from_config(wrong)
        assert "s3cr3t" not in str(error.value)
    monkeypatch.setitem(os.environb, b"LMCACHE_REMOTE_URL", b"nowhere://\xff")
    with pytest.raises(InvalidOption):
        Client.from_config()
    with pytest.raises(TypeError) as error:
        Client.from_config(7)
    assert "s3cr3t" not in str(error.value)


def test_text_that_has_no_bytes_is_an_error_as_other_text_is(client, hyperpod_daemon):
    for bad in ("\ud800", "a\udcffb"):
        for call in (lambda: client.get(bad), lambda: client.put(bad, b"x"),
                     lambda: client.exists(bad), lambda: client.batched_get([bad]),
                     lambda: client.batched_put([(bad, b"x")]),
                     lambda: asyncio.run(client.aget(bad))):
            with pytest.raises(InvalidArgument, match="UTF-8"):
                call()
    with pytest.raises(hyperpod_kv.Refused, match=r"refused to lease '\\xff'"):
        client.get(b"\xff")  # bytes are the daemon's to judge
    for options in ({"\ud800": 1}, {"bucket": "\ud800"}, {"ca_file": "\ud800"}, {"ca_file": 7}):
        with pytest.raises(InvalidOption):
            Client(hyperpod_daemon.url, **options)
    from hyperpod_kv import _native

    with pytest.raises(InvalidOption):
        _native.Client.from_text("remote_url: '\ud800'", "LMCache's configuration", {})


def test_arguments_of_a_wrong_type_are_told_without_the_others(client):
    client.put("key", b"hello")
    big = bytearray(b"secret" * 1000)
    for call in (lambda: client.get("key", wait="1"), lambda: client.get_into("key", big, wait=b"1"),
                 lambda: client.batched_get_into([("key", big)], wait=[]),
                 lambda: asyncio.run(client.aget_into("key", big, wait="1"))):
        with pytest.raises(TypeError, match=r"^wait must be a number of seconds or None, not \w+$"):
            call()
    with client.acquire("key") as lease:
        for call in (lambda: lease.read("1"), lambda: lease.read_into(big, 1.0)):
            with pytest.raises(TypeError, match=r"^offset must be a whole number, not \w+$"):
                call()
        for call in (lambda: lease.read(-1), lambda: lease.read(0, -1), lambda: lease.read(1 << 64),
                     lambda: lease.read_into(big, -1), lambda: lease.read_into(big, size=-1)):
            with pytest.raises(InvalidArgument, match="must be from 0"):
                call()
        assert lease.read(True, size=None) == b"ello"
    with pytest.raises(InvalidArgument, match="wait"):
        client.get("key", wait=10**400)


def run_python(script, *arguments, timeout=60):
    return subprocess.run([sys.executable, "-c", script, *arguments], timeout=timeout,
                          capture_output=True, text=True)


def test_a_daemon_thread_that_waits_does_not_keep_the_interpreter_from_ending(hyperpod_daemon):
    script = """
import sys, threading
from hyperpod_kv import Client
client = Client(sys.argv[1], shared_memory_name=sys.argv[2])
for call in (lambda: client.get("never", wait=60), lambda: client.put("key", bytes(1 << 20))):
    threading.Thread(target=lambda: [call() for _ in range(1000)], daemon=True).start()
while client.statistics["requests_in_flight"] == 0:
    pass
"""
    for _ in range(5):
        ended = run_python(script, hyperpod_daemon.url, hyperpod_daemon.shm_name)
        assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("call", [
    "client.get('key')",
    "client.batched_get(['key'] * 50)",
    "client.batched_get((key for key in ['key', ''] * 20), return_errors=True)",
    "client.batched_put([(f'{number}', b'x') for number in range(20)])",
    "refused()",
    "asyncio.run(client.abatched_get(['key'] * 50))",
])
def test_daemon_threads_may_be_in_a_call_when_the_interpreter_ends(hyperpod_daemon, call):
    script = f"""
import asyncio, sys, threading
from hyperpod_kv import Client, Error
client = Client(sys.argv[1], shared_memory_name=sys.argv[2])
client.put("key", bytes(100_000))
turns = [0] * 4
def refused():
    try:
        client.put("key", b"")
    except Error:
        pass
def work(thread):
    while True:
        {call}
        turns[thread] += 1
for thread in range(len(turns)):
    threading.Thread(target=work, args=(thread,), daemon=True).start()
while min(turns) < 3:
    pass
"""
    for _ in range(2):
        ended = run_python(script, hyperpod_daemon.url, hyperpod_daemon.shm_name)
        assert (ended.returncode, ended.stderr) == (0, "")


def test_the_interpreter_may_end_with_calls_and_leases_alive(hyperpod_daemon):
    script = """
import asyncio, sys
from hyperpod_kv import Client
client = Client(sys.argv[1], shared_memory_name=sys.argv[2])
client.put("key", b"hello")
lease = client.acquire("key")
views = lease.fragments
loop = asyncio.new_event_loop()
task = loop.create_task(client.aget_into("never", bytearray(16), wait=60))
loop.run_until_complete(asyncio.sleep(0.01))
"""
    ended = run_python(script, hyperpod_daemon.url, hyperpod_daemon.shm_name)
    assert ended.returncode == 0, ended.stderr
    assert hyperpod_daemon.live_leases == 0
    assert hyperpod_daemon.statistics["waiters"] == 0


CHILD_OF_A_LOOP = """
import asyncio, os, signal, sys
from hyperpod_kv import Client, Forked
client = Client(sys.argv[1], shared_memory_name=sys.argv[2])

def child_ended(child):  # its status, or a signal's number where it had to be ended
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.alarm(20)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    signal.alarm(0)
    return status

async def fork_with_a_call_pending():
    global pending
    pending = asyncio.ensure_future(client.aget_into("later", bytearray(16), wait=60))
    while client.statistics["requests_in_flight"] == 0:
        await asyncio.sleep(0)
    return os.fork()
"""


def run_child_of_a_loop(daemon, script):
    ended = run_python(CHILD_OF_A_LOOP + script, daemon.url, daemon.shm_name)
    assert (ended.returncode, ended.stdout) == (0, "0\n"), (ended.stdout, ended.stderr)


def test_a_child_of_fork_may_leave_its_loop_with_calls_pending(hyperpod_daemon):
    run_child_of_a_loop(hyperpod_daemon, """
async def run():
    child = await fork_with_a_call_pending()
    if child == 0:
        sys.exit(0)
    status = child_ended(child)
    await client.aput("later", b"hello")
    assert await pending == 5
    print(status)
asyncio.run(run())
""")


def test_a_child_of_fork_is_told_of_calls_that_were_cancelled_before(hyperpod_daemon):
    run_child_of_a_loop(hyperpod_daemon, """
async def run():
    pending = asyncio.ensure_future(client.aget_into("later", bytearray(16), wait=60))
    while client.statistics["requests_in_flight"] == 0:
        await asyncio.sleep(0)
    pending.cancel()
    await asyncio.sleep(0)  # it waits for its request's end, which the loop has not been told of
    child = os.fork()
    if child == 0:
        sys.exit(0)
    print(child_ended(child))
    await asyncio.wait([pending])
    assert pending.cancelled()
asyncio.run(run())
""")


def test_in_a_child_of_fork_calls_of_the_parents_loop_are_forked(hyperpod_daemon):
    run_child_of_a_loop(hyperpod_daemon, """
loop = asyncio.new_event_loop()
child = loop.run_until_complete(fork_with_a_call_pending())
if child == 0:
    try:
        loop.run_until_complete(pending)
    except Forked:
        os._exit(0)
    os._exit(1)
status = child_ended(child)
client.put("later", b"hello")
assert loop.run_until_complete(pending) == 5
print(status)
""")


def test_a_signal_handler_may_fork_while_a_call_waits(hyperpod_daemon):
    for leave in ("sys.exit(0)", "pass"):
        run_child_of_a_loop(hyperpod_daemon, f"""
child = None
def fork(*_):
    global child
    child = os.fork()
    if child == 0:
        {leave}
signal.signal(signal.SIGUSR1, fork)
signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGUSR1))
signal.setitimer(signal.ITIMER_REAL, 0.1)
try:
    client.get_into("never", bytearray(16), wait=0.5)
except Forked:
    os._exit(0 if child == 0 else 1)
print(child_ended(child))
""")


def test_an_exception_while_a_loop_is_told_loses_no_completion(client):
    from hyperpod_kv.client import _channels

    class Alarm(Exception):
        pass

    def raise_alarm(*_):
        raise Alarm

    async def run():
        loop = asyncio.get_running_loop()
        arrived = []
        loop.set_exception_handler(lambda _, context: arrived.append(context.get("exception")))
        await client.aput("key", b"hello")
        channel = _channels[loop]
        done, told = channel._done, []

        def interrupted(*completion):
            told.append(completion)
            if len(told) in (1, 3):
                raise_alarm()
            done(*completion)

        channel._done = interrupted
        reads = [asyncio.ensure_future(client.aget("key")) for _ in range(10)]
        await asyncio.sleep(0)
        deadline = time.monotonic() + 20
        while client.statistics["lease_acquired"] < 10 and time.monotonic() < deadline:
            pass  # so that the loop is told of all at once
        ended, pending = await asyncio.wait(reads, timeout=20)
        assert not pending
        assert [read.result() for read in ended] == [b"hello"] * 10
        assert arrived and all(isinstance(each, Alarm) for each in arrived)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(run())  # asyncio.run() would wait for what is lost
    loop.close()


def test_a_signal_handler_that_raises_loses_no_completion(hyperpod_daemon):
    script = """
import asyncio, signal, sys
from hyperpod_kv import Client
import hyperpod_kv.client
client = Client(sys.argv[1], shared_memory_name=sys.argv[2])
class Alarm(Exception): pass
draining = False
raised = 0
def alarm(*_):
    global raised
    if draining:
        raised += 1
        raise Alarm
signal.signal(signal.SIGALRM, alarm)
drain = hyperpod_kv.client._Channel._drain
def observed(channel):
    global draining
    draining = True
    try:
        drain(channel)
    finally:
        draining = False
hyperpod_kv.client._Channel._drain = observed
async def run():
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    await client.aput("key", b"hello")
    signal.setitimer(signal.ITIMER_REAL, .001, .0007)
    for round in range(1000):
        reads = [asyncio.ensure_future(client.aget("key")) for _ in range(30)]
        ended, pending = await asyncio.wait(reads, timeout=10)
        if pending or raised > 20:
            break
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(len(pending), raised > 20)
    for read in pending:
        read.cancel()
    sys.stdout.flush()
    import os; os._exit(0)
asyncio.run(run())
"""
    ended = run_python(script, hyperpod_daemon.url, hyperpod_daemon.shm_name)
    assert ended.stdout == "0 True\n", ended.stderr


def test_ctrl_c_ends_a_call_that_waits(hyperpod_daemon):
    script = """
import sys
from hyperpod_kv import Client
client = Client(sys.argv[1], shared_memory_name=sys.argv[2])
try:
    client.get_into("never", bytearray(16), wait=3600)
except KeyboardInterrupt:
    print("interrupted")
assert client.put("key", b"1")
"""
    with subprocess.Popen([sys.executable, "-c", script, hyperpod_daemon.url,
                           hyperpod_daemon.shm_name], stdout=subprocess.PIPE, text=True) as child:
        deadline = time.monotonic() + 60
        while hyperpod_daemon.statistics["waiters"] == 0 and time.monotonic() < deadline:
            pass
        child.send_signal(signal.SIGINT)
        assert child.stdout.read() == "interrupted\n"
    assert child.returncode == 0
    assert hyperpod_daemon.statistics["waiters"] == 0


@pytest.mark.parametrize("first", ["import hyperpod_kv", ""])
def test_a_subinterpreter_is_refused(first):
    pytest.importorskip("_xxsubinterpreters")  # named otherwise from Python 3.13 on
    script = f"""
{first}
import _xxsubinterpreters, sys
_xxsubinterpreters.run_string(_xxsubinterpreters.create(), f'''
import sys
sys.path[:] = {{sys.path!r}}
try:
    import hyperpod_kv
except ImportError as error:
    print(error)
''')
"""
    ended = run_python(script)
    assert ended.stdout == "hyperpod_kv cannot be used in a subinterpreter\n", ended.stderr


def test_what_is_no_usable_buffer_is_told(client):
    client.put("key", b"hello")
    for buffer, reason in ((b"read only", "read-only"), ("text", "not str"), (None, "not NoneType"),
                           (memoryview(bytearray(20))[::2], "one piece")):
        with pytest.raises(UnusableBuffer, match=reason):
            client.get_into("key", buffer)
    assert issubclass(UnusableBuffer, BufferError) and issubclass(UnusableBuffer, InvalidArgument)
    with pytest.raises(UnusableBuffer, match="one piece"):
        client.put("strided", memoryview(bytes(20))[::2])
    with pytest.raises(UnusableBuffer, match="not int"):
        client.batched_put([("key", 7)])
    with pytest.raises(hyperpod_kv.InvalidArgument, match="pair"):
        client.batched_put(["ab", b"cd"])
    with pytest.raises(hyperpod_kv.InvalidArgument, match="key"):
        client.get(7)
    with pytest.raises(hyperpod_kv.TooLarge):
        client.get_into("key", bytearray(4))
    for wait in (-1, float("nan"), 1e10):
        with pytest.raises(hyperpod_kv.InvalidArgument, match="wait"):
            client.get("key", wait=wait)


def test_options_are_checked_with_their_names(hyperpod_daemon):
    for option, value in (("timeout", "soon"), ("timeout", float("nan")), ("lease_ttl", 1e300),
                          ("max_connections", -1), ("max_connections", 2.5), ("bucket", 7),
                          ("copy_threads", 1 << 40), ("timeout", 0), ("bucket", "")):
        with pytest.raises(InvalidOption):
            Client(hyperpod_daemon.url, **{option: value})
            pytest.fail(f"{option}={value!r} is taken")
    Client(hyperpod_daemon.url, timeout=datetime.timedelta(seconds=2)).close()


def test_an_exception_is_not_hidden_by_the_views_that_it_holds(client, hyperpod_daemon):
    client.put("key", b"hello")

    def fail():
        with client.acquire("key") as lease:
            (view,) = lease.fragments
            raise RuntimeError(bytes(view[:1]))

    with pytest.raises(RuntimeError) as raised:
        fail()
    assert hyperpod_daemon.live_leases == 1  # the traceback holds the view
    del raised
    hyperpod_daemon.wait_for("release")
    assert hyperpod_daemon.live_leases == 0


def test_leaving_a_block_does_not_raise_for_a_release_that_failed(client, hyperpod_daemon):
    client.put("key", b"hello")
    with hyperpod_daemon.fault("release", first=1, status=500) as fault:
        with client.acquire("key") as lease:
            assert lease.read() == b"hello"
        assert fault.fired == 1
    with hyperpod_daemon.fault("release", status=500):
        with pytest.raises(hyperpod_kv.Refused):
            client.acquire("key").release()


def test_a_lease_in_a_coroutine(client, hyperpod_daemon):
    async def run():
        await client.aput("key", b"hello")
        async with await client.aacquire("key") as lease:
            assert lease.read(1) == b"ello"
        assert hyperpod_daemon.live_leases == 0
        with pytest.raises(ViewsHeld):
            async with await client.aacquire("key") as lease:
                views = lease.fragments
        del views
        lease.release()

    asyncio.run(run())


def test_leases_that_are_let_go_of_are_released(hyperpod_daemon):
    client = Client(hyperpod_daemon.url, shared_memory_name=hyperpod_daemon.shm_name)
    client.put("key", b"hello")
    leases = [client.acquire("key") for _ in range(10)]
    view = leases[0].fragments[0]
    del client, leases
    gc.collect()
    hyperpod_daemon.wait_for("release", count=9)
    assert bytes(view) == b"hello"
    assert hyperpod_daemon.live_leases == 1
    del view
    hyperpod_daemon.wait_for("release", count=10)


@pytest.mark.hyperpod(block_size="4KiB")
def test_a_large_batch(client):
    keys = [str(number) for number in range(5000)]
    assert client.batched_put((key, key.encode()) for key in keys) == [True] * len(keys)
    assert client.batched_get(iter(keys)) == [key.encode() for key in keys]
    assert client.batched_contains(keys) == len(keys)


def test_a_buffer_is_free_once_a_cancelled_coroutine_has_ended(client, hyperpod_daemon):
    async def run():
        buffer = bytearray(16)
        task = asyncio.create_task(client.aget_into("never", buffer, wait=60))
        await asyncio.to_thread(wait_for_waiters, hyperpod_daemon, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        buffer.extend(b"grows")  # a BufferError if the call still held it

    asyncio.run(run())


def wait_for_waiters(daemon, count):
    deadline = time.monotonic() + 60
    while daemon.statistics["waiters"] != count and time.monotonic() < deadline:
        pass


def test_a_loop_may_be_closed_with_calls_under_way(client, hyperpod_daemon):
    loop = asyncio.new_event_loop()
    buffer = bytearray(16)
    task = loop.create_task(client.aget_into("later", buffer, wait=60))
    loop.run_until_complete(asyncio.sleep(0))
    wait_for_waiters(hyperpod_daemon, 1)
    loop.close()
    task._log_destroy_pending = False
    client.put("later", b"hello")
    hyperpod_daemon.wait_for("release")
    assert hyperpod_daemon.live_leases == 0
    asyncio.run(run_again_with(client, "later"))  # forgets the closed loop
    buffer.extend(b"grows")


async def run_again_with(client, key):
    assert await client.aget(key) == b"hello"


def test_two_loops_in_two_threads_share_a_client(client):
    client.put("key", b"hello")

    async def many():
        assert await client.abatched_get(["key"] * 200) == [b"hello"] * 200

    threads = [threading.Thread(target=asyncio.run, args=(many(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_a_lease_is_not_released_while_another_thread_reads_through_it(client):
    client.put("key", bytes(32 << 20))
    lease = client.acquire("key")
    failures = []
    stop = threading.Event()

    def read():
        buffer = bytearray(32 << 20)
        while not stop.is_set():
            try:
                lease.read_into(buffer)
            except LeaseExpired:
                return
            except Exception as error:
                failures.append(error)
                return

    thread = threading.Thread(target=read)
    thread.start()
    for _ in range(200):
        try:
            lease.release()
            break
        except ViewsHeld:
            pass
    stop.set()
    thread.join(60)
    assert not failures
    lease.release()


def test_the_stubs_tell_what_the_module_has():
    from hyperpod_kv import _native

    stubs = ast.parse(pathlib.Path(hyperpod_kv.__file__).with_name("_native.pyi").read_text())
    told = {each.name: {member.name for member in each.body
                        if isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef))}
            for each in stubs.body if isinstance(each, ast.ClassDef)}
    ours = {name: {member for member in vars(type_)
                   if not member.startswith("_") or member in told.get(name, ())}
            for name, type_ in vars(_native).items() if isinstance(type_, type)}
    assert told == ours


def test_mypy_finds_nothing(tmp_path):
    pytest.importorskip("mypy")
    package = pathlib.Path(hyperpod_kv.__file__).parent
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path), "--config-file",
         pathlib.Path(__file__).parents[1] / "pyproject.toml", package],
        cwd=package.parent, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
