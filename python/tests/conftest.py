# SPDX-License-Identifier: Apache-2.0
import pytest

pytest_plugins = ["pytester"]


@pytest.fixture
def client(hyperpod_daemon):
    from hyperpod_kv import Client

    with Client(hyperpod_daemon.url, shared_memory_name=hyperpod_daemon.shm_name) as made:
        yield made
