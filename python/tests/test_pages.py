# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/python.md and docs/lmcache.md do what the pages say."""

import asyncio
import pathlib
import re
import types

import pytest
import yaml

DOCS = pathlib.Path(__file__).parents[2] / "docs"

# What the pages call their reader's own code.
YOURS = """
import pytest
from hyperpod_kv import Client

def run_my_code(url, shm_name):
    with Client(url, shared_memory_name=shm_name) as client:
        client.put("key", b"bytes")
        assert client.get("key") == b"bytes"

def store_and_load():
    with Client.from_config() as client:
        for key in ("a", "b"):
            try:
                client.put(key, b"bytes")
                client.get(key, wait=0)
            except Exception:
                pass
"""


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


@pytest.mark.parametrize("page,tests", [("python.md", 2), ("lmcache.md", 2)])
def test_the_tests_that_a_page_shows_pass(pytester, page, tests):
    shown = [block for block in blocks(page, "python") if "def test_" in block]
    pytester.makepyfile(YOURS + "\n".join(shown))
    pytester.makeini("\n".join(blocks(page, "ini")))
    result = pytester.runpytest_subprocess("-p", "hyperpod_kv.pytest_plugin")
    result.assert_outcomes(passed=tests)


def test_the_clients_examples_run(hyperpod_daemon):
    names = {"numpy_array": bytearray(16), "use": lambda fragments: None}
    plain, coroutine = [block for block in blocks("python.md", "python") if "def test_" not in block]
    exec(plain.replace("http://127.0.0.1:9200", hyperpod_daemon.url)
         .replace("ai_toolkit_cache", hyperpod_daemon.shm_name), names)
    assert (names["data"], names["size"]) == (b"bytes", 5)
    exec(coroutine, names)
    with names["Client"](hyperpod_daemon.url, shared_memory_name=hyperpod_daemon.shm_name,
                         lease_wait_timeout=0.05) as client:
        assert asyncio.run(names["read"](client, ["key", "key"])) == (b"bytes", [b"bytes"])
        assert asyncio.run(names["read"](client, ["absent"])) is None


def test_the_configuration_of_the_page_loads_the_connector(hyperpod_daemon, monkeypatch):
    monkeypatch.syspath_prepend(pathlib.Path(__file__).parent / "standin")
    import lmcache.v1.storage_backend.connector as standin

    (shown,) = [block for block in blocks("lmcache.md", "yaml") if "extra_config" in block]
    address = hyperpod_daemon.url.removeprefix("http://")
    monkeypatch.setenv("NODE_IP", address.partition(":")[0])
    shown = shown.replace("$NODE_IP:9200", "$NODE_IP:" + address.partition(":")[2])
    document = yaml.safe_load(shown.replace("ai_toolkit_cache", hyperpod_daemon.shm_name))
    config = types.SimpleNamespace(remote_url=None, use_layerwise=False, **document)

    async def run():
        connector = standin.load(config, asyncio.get_running_loop(),
                                 types.SimpleNamespace(metadata=None))
        assert await connector.ping() == 0
        await connector.close()

    asyncio.run(run())


def test_the_job_of_the_page_builds_installs_and_tests():
    (shown,) = [block for block in blocks("lmcache.md", "yaml") if "jobs" in block]
    (job,) = yaml.safe_load(shown)["jobs"].values()
    commands = "\n".join(step.get("run", "") for step in job["steps"])
    for needed in ("dev wheel", "pip install", "hyperpod_kv-*.whl", "pytest -n 8"):
        assert needed in commands
