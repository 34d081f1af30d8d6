# SPDX-License-Identifier: Apache-2.0
"""LMCache's connector on this client, in the stand-in of LMCache beside (standin/README.md)."""

import asyncio
import contextlib
import pathlib
import sys
import threading
import types
import urllib.parse
import urllib.request

import pytest

STANDIN = pathlib.Path(__file__).parent / "standin"
GOLDEN = pathlib.Path(__file__).parents[2] / "fixtures" / "golden"


@pytest.fixture(autouse=True)
def lmcache(monkeypatch):
    """The stand-in's modules; they go with the test."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(STANDIN)
    from lmcache.v1 import memory_management
    from lmcache.v1.storage_backend import connector
    import torch

    yield types.SimpleNamespace(memory=memory_management, load=connector.load, torch=torch)
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("lmcache", "torch") or name == "hyperpod_kv.lmcache":
            del sys.modules[name]


class Key:
    def __init__(self, text):
        self.text = text

    def to_string(self):
        return self.text


KEY = Key("meta-llama/Llama-3.1-8B-Instruct@1@0@6f1e2d3c4b5a6978@bfloat16")


def configuration(daemon, name="hyperpodkv", class_name="HyperPodKvAdapter", **settings):
    prefix = f"remote_storage_plugin.{name}."
    extra = {prefix + "module_path": "hyperpod_kv.lmcache", prefix + "class_name": class_name,
             prefix + "lease_wait_timeout_ms": 50,
             "sagemaker_hyperpod_shared_memory_name": daemon.shm_name}
    extra.update({key if "." in key or key == "save_chunk_meta" else prefix + key: value
                  for key, value in settings.items()})
    extra.setdefault(prefix + "remote_url", daemon.url)
    return types.SimpleNamespace(remote_url=None, remote_storage_plugins=[name],
                                 use_layerwise=False, extra_config=extra)


@pytest.fixture
def metadata(lmcache):
    return types.SimpleNamespace(
        groups=[(lmcache.torch.Size([2, 1, 4, 8]), lmcache.torch.bfloat16)], tokens=4,
        fmt=lmcache.memory.MemoryFormat.KV_2LTD)


@pytest.fixture
def connected(lmcache, metadata, hyperpod_daemon):
    """A connector in a running loop, closed behind the block."""
    @contextlib.asynccontextmanager
    async def connect(url=None, backend=None, **settings):
        config = configuration(hyperpod_daemon, **settings)
        config.remote_url = url
        backend = backend or lmcache.memory.LocalCpuBackend(config, metadata)
        connector = lmcache.load(config, asyncio.get_running_loop(), backend, url)
        try:
            yield connector
        finally:
            if connector is not None:
                await connector.close()

    return connect


def chunk(lmcache, fill=None):
    memory = lmcache.memory.MemoryObj(lmcache.torch.Size([2, 1, 4, 8]), lmcache.torch.bfloat16,
                                      lmcache.memory.MemoryFormat.KV_2LTD)
    payload = bytes(range(128)) if fill is None else bytes([fill]) * 128
    memory.byte_array.cast("B")[:] = payload
    return memory


def store_raw(daemon, key, data):
    path = f"/v1/kv/lmcache/{urllib.parse.quote(key.to_string(), safe='')}"
    urllib.request.urlopen(urllib.request.Request(daemon.url + path, data=data, method="PUT"))


def test_objects_have_the_bytes_of_lmcaches_own_connector(lmcache, connected, hyperpod_daemon):
    async def run():
        async with connected() as connector:
            await connector.put(KEY, chunk(lmcache))

    asyncio.run(run())
    from hyperpod_kv import Client
    with Client(hyperpod_daemon.url, shared_memory_name=hyperpod_daemon.shm_name) as client:
        assert client.get(KEY.to_string()) == (GOLDEN / "kv_2ltd_bf16_2x1x4x8.chunk.bin").read_bytes()


@pytest.mark.parametrize("golden,shape,type_,format_,size", [
    ("kv_2ltd_bf16_2x1x4x8", [2, 1, 4, 8], "bfloat16", "KV_2LTD", 128),
    ("kv_2ltd_half_2x1x4x8_legacy", [2, 1, 4, 8], "float16", "KV_2LTD", 128),
    ("kv_t2d_fp16_4x2x8_zero_padded", [4, 2, 8], "float16", "KV_T2D", 128),
    ("kv_2td_fp32_1x2x4x8_one_padded", [1, 2, 4, 8], "float32", "KV_2TD", 256),
    ("kv_mla_bf16_2x4x16_zero_padded", [2, 4, 16], "bfloat16", "KV_MLA_FMT", 256),
    ("binary_uint8_300", [300], "uint8", "BINARY", 300),
    ("binary_buffer_none_300", [300], None, "BINARY_BUFFER", 300),
])
def test_what_lmcaches_own_connector_stored_is_read(lmcache, connected, hyperpod_daemon, golden,
                                                    shape, type_, format_, size):
    payload = bytes(index % 251 for index in range(size))
    store_raw(hyperpod_daemon, KEY, (GOLDEN / f"{golden}.header.bin").read_bytes() + payload)

    async def run():
        async with connected() as connector:
            memory = await connector.get(KEY)
            assert bytes(memory.byte_array) == payload
            assert list(memory.meta.shape) == shape
            assert memory.meta.dtype is (getattr(lmcache.torch, type_) if type_ else None)
            assert memory.meta.fmt.name == format_
            assert memory.references == 1

    asyncio.run(run())
    (release,) = hyperpod_daemon.wait_for("release")
    assert release.status == 200


def test_chunks_of_two_groups_come_back(lmcache, connected, metadata, hyperpod_daemon):
    metadata.groups.append((lmcache.torch.Size([2, 1, 4, 8]), lmcache.torch.float8_e4m3fn))
    header = (GOLDEN / "kv_2ltd_two_groups_bf16_fp8.header.bin").read_bytes()
    store_raw(hyperpod_daemon, KEY, header + bytes(range(192)))

    async def run():
        async with connected() as connector:
            memory = await connector.get(KEY)
            assert bytes(memory.byte_array) == bytes(range(192))
            await connector.put(Key("copy"), memory)

    asyncio.run(run())
    from hyperpod_kv import Client
    with Client(hyperpod_daemon.url, shared_memory_name=hyperpod_daemon.shm_name) as client:
        assert client.get("copy") == header + bytes(range(192))


def test_without_chunk_metadata_both_forms_are_read(lmcache, connected, hyperpod_daemon):
    store_raw(hyperpod_daemon, Key("whole"), bytes(range(128)))
    store_raw(hyperpod_daemon, Key("partial"), bytes(range(96)))  # three tokens of four
    store_raw(hyperpod_daemon, Key("odd"), bytes(97))

    async def run():
        async with connected(save_chunk_meta=False) as connector:
            await connector.put(KEY, chunk(lmcache))  # LMCache's own writes a header in any case
            assert bytes((await connector.get(KEY)).byte_array) == bytes(range(128))
            assert bytes((await connector.get(Key("whole"))).byte_array) == bytes(range(128))
            partial = await connector.get(Key("partial"))
            assert list(partial.meta.shape) == [2, 1, 3, 8]
            assert bytes(partial.byte_array) == bytes(range(96))
            assert await connector.get(Key("odd")) is None
            allocated = connector.local_cpu_backend.allocated
            assert [memory.references for memory in allocated] == [1, 1, 1, 0]

    asyncio.run(run())


@pytest.mark.parametrize("header", [
    b"\x00" * 28,  # no payload
    (127).to_bytes(4, "little") + b"\x01" + b"\x00" * 23,  # more than the object has
    (GOLDEN / "kv_2ltd_bf16_2x1x4x8.header.bin").read_bytes()[:-4] + b"\xff\xff\xff\x7f",
    (GOLDEN / "kv_2ltd_bf16_2x1x4x8.header.bin").read_bytes()[:4] + b"\x63" + b"\x00" * 23,
    b"short",
])
def test_what_is_not_a_chunk_is_a_miss(lmcache, connected, hyperpod_daemon, header, caplog):
    store_raw(hyperpod_daemon, KEY, header + bytes(20))

    async def run():
        async with connected() as connector:
            assert await connector.get(KEY) is None
            assert all(memory.references == 0
                       for memory in connector.local_cpu_backend.allocated)

    asyncio.run(run())
    assert "get of meta-llama" in caplog.text


def test_a_look_up_counts_the_prefix(lmcache, connected):
    async def run():
        async with connected() as connector:
            keys = [Key(text) for text in ("a", "b", "absent", "c")]
            await connector.batched_put([keys[0], keys[1], keys[3]],
                                        [chunk(lmcache, fill) for fill in (1, 2, 3)])
            assert await connector.exists(keys[0]) and not await connector.exists(keys[2])
            assert await connector.batched_async_contains("look-up", keys) == 2
            assert await asyncio.to_thread(connector.batched_contains, keys) == 2
            assert await asyncio.to_thread(connector.exists_sync, keys[1])
            got = await connector.batched_get(keys)
            assert [memory and bytes(memory.byte_array)[0] for memory in got] == [1, 2, None, 3]
            got = await connector.batched_get_non_blocking("look-up", keys)
            assert [bytes(memory.byte_array)[0] for memory in got] == [1, 2]
            allocated = connector.local_cpu_backend.allocated
            assert sum(memory.references == 0 for memory in allocated) == 1  # the late one
            assert await connector.list() == []
            assert connector.remove_sync(keys[0]) is False
            assert await connector.ping() == 0
            for what in ("ping", "batched_get", "batched_put", "batched_contains",
                         "batched_async_contains", "batched_get_non_blocking"):
                assert getattr(connector, f"support_{what}")()

    asyncio.run(run())


def test_no_room_and_the_schedulers_backend_are_misses(lmcache, connected, metadata):
    async def run():
        async with connected() as connector:
            await connector.put(KEY, chunk(lmcache))
            connector.local_cpu_backend.room = 0
            assert await connector.get(KEY) is None
        async with connected(backend=lmcache.memory.SchedulersBackend()) as connector:
            assert await connector.exists(KEY)
            assert await connector.get(KEY) is None

    asyncio.run(run())


def test_a_daemon_that_is_gone_is_a_miss(lmcache, connected, hyperpod_daemon, caplog):
    async def run():
        async with connected() as connector:
            await connector.put(KEY, chunk(lmcache))
            hyperpod_daemon.stop()
            assert await connector.get(KEY) is None
            assert not await connector.exists(KEY)
            assert await connector.batched_async_contains("look-up", [KEY]) == 0
            await connector.put(KEY, chunk(lmcache))
            assert await connector.ping() == 1

    asyncio.run(run())
    assert "put of meta-llama" in caplog.text


def test_memory_is_given_back_when_the_lease_expires_meanwhile(lmcache, connected, hyperpod_daemon,
                                                               monkeypatch):
    async def run():
        async with connected() as connector:
            await connector.put(KEY, chunk(lmcache))
            allocate = connector.local_cpu_backend.allocate

            def allocate_while_the_daemon_restarts(*arguments):
                hyperpod_daemon.restart()
                return allocate(*arguments)

            monkeypatch.setattr(connector.local_cpu_backend, "allocate",
                                allocate_while_the_daemon_restarts)
            assert await connector.get(KEY) is None
            assert [memory.references for memory in connector.local_cpu_backend.allocated] == [0]

    asyncio.run(run())


@pytest.mark.parametrize("way", ["virtual", "instance", "old", "connector", "external"])
def test_every_way_of_loading_works(lmcache, connected, hyperpod_daemon, way):
    address = hyperpod_daemon.url.removeprefix("http://")
    settings = {
        "virtual": {},
        "instance": {"name": "hyperpodkv.a", "remote_storage_plugin.hyperpodkv.remote_url": "x:1"},
        "old": {"url": f"hyperpodkv://{address}", "remote_url": None},
        "connector": {"class_name": "HyperPodKvConnector"},
        "external": {"url": f"external://{address}/hyperpod_kv.lmcache/"
                            "?connector_name=HyperPodKvConnector", "remote_url": None},
    }[way]

    async def run():
        async with connected(**settings) as connector:
            await connector.put(KEY, chunk(lmcache))
            assert (await connector.get(KEY)) is not None

    asyncio.run(run())


def test_other_plugins_urls_are_refused(lmcache):
    from hyperpod_kv.lmcache import HyperPodKvAdapter

    adapter = HyperPodKvAdapter()
    for url in ("hyperpodkv://host:9200", "plugin://hyperpodkv", "plugin://hyperpodkv.a"):
        assert adapter.can_parse(url), url
    for url in ("plugin://fs", "plugin://fs.hyperpodkv", "plugin://hyperpodkvs", "redis://host:1",
                "sagemaker-hyperpod://host:9200", "hyperpodkv", ""):
        assert not adapter.can_parse(url), url


def test_settings_are_checked_and_warned_of(lmcache, connected, hyperpod_daemon, caplog):
    from hyperpod_kv import InvalidOption

    async def connect(**settings):
        async with connected(**settings):
            pass

    with pytest.raises(InvalidOption, match="lease_ttl_s"):
        asyncio.run(connect(lease_ttl_s="soon"))
    with pytest.raises(InvalidOption, match="copy_threads"):
        asyncio.run(connect(copy_threads="many"))
    with pytest.raises(InvalidOption, match="no daemon is named"):
        asyncio.run(connect(remote_url=None))
    asyncio.run(connect(lease_tll_s=1))
    assert "lease_tll_s" in caplog.text


def test_settings_are_read_as_lmcache_reads_them(lmcache, connected, hyperpod_daemon, caplog):
    async def connect(**settings):
        async with connected(**settings) as connector:
            await connector.put(KEY, chunk(lmcache))
            assert (await connector.get(KEY)) is not None

    for number, settings in enumerate([
        {"timeout_ms": 1e16}, {"lease_ttl_s": 1e1}, {"timeout_ms": "5000"}, {"max_lease_size_mb": None},
        {"copy_threads": "2"}, {"copy_threads": 2.0}, {"copy_threads": None},
    ]):
        asyncio.run(connect(bucket=f"bucket {number}", **settings))
    for bucket in ("a\x7f\x85b", "\U0001f600", 1e16, "\"\\'#: {}"):
        asyncio.run(connect(bucket=bucket))
        assert str(bucket) in [each["bucket"] for each in hyperpod_daemon.objects]
    asyncio.run(connect(**{"long" * 500: "x" * 5000}))
    assert "has the unknown key sagemaker_hyperpod_longlong" in caplog.text


def test_keys_that_are_not_text_are_passed_over(lmcache, hyperpod_daemon):
    from hyperpod_kv.lmcache import _make_client

    config = configuration(hyperpod_daemon, foo={1: 2, (3, 4): None})
    config.extra_config.update({1: 2, None: 3, ("a", "b"): 4})
    with _make_client(config, None, "hyperpodkv") as client:
        assert client.put("key", b"hello")


def test_the_coroutines_use_no_thread_of_their_own(lmcache, connected):
    async def run():
        async with connected() as connector:
            before = threading.active_count()
            await asyncio.gather(*(connector.put(Key(str(n)), chunk(lmcache)) for n in range(64)))
            assert all(await connector.batched_get([Key(str(n)) for n in range(64)]))
            assert threading.active_count() == before

    asyncio.run(run())
