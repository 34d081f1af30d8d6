# SPDX-License-Identifier: Apache-2.0
"""The client, against the emulator."""

import asyncio
import os
import threading

import pytest

import hyperpod_kv
from hyperpod_kv import Client, Closed, Error, Forked, InvalidOption, LeaseExpired, ViewsHeld


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
    with pytest.raises(BufferError):
        client.get_into("array", b"read only")
    with pytest.raises((BufferError, ValueError)):
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
