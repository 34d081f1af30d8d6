# SPDX-License-Identifier: Apache-2.0
"""Fixtures for pytest: a daemon for each test that asks for one.

    def test_survives_a_lost_release(hyperpod_daemon):
        with hyperpod_daemon.fault("release", first=1, status=500) as fault:
            run_my_code(hyperpod_daemon.url, hyperpod_daemon.shm_name)
        assert fault.fired == 1
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from .daemon import Daemon

_DAEMONS = pytest.StashKey[list[Daemon]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("hyperpod_options",
                  "Options of every daemon, one NAME = VALUE a line, as of hyperpod-emulator",
                  type="linelist", default=[])


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "hyperpod(**options): options of this test's hyperpod_daemon, for example "
                   "capacity=\"1GiB\", clock=\"manual\", scenario=\"daemon_restarts.yaml\"")


def _ini_options(config: pytest.Config) -> dict[str, str]:
    options = {}
    for line in config.getini("hyperpod_options"):
        name, equals, value = line.partition("=")
        if not equals:
            raise pytest.UsageError(f"hyperpod_options: {line!r} is not NAME = VALUE")
        options[name.strip().replace("-", "_")] = value.strip()
    return options


@pytest.fixture
def hyperpod_daemon_factory(request: pytest.FixtureRequest) -> Iterator[Callable[..., Daemon]]:
    """Starts daemons with any option of the emulator; all end with the test."""
    started = request.node.stash.setdefault(_DAEMONS, [])

    def start(**options: Any) -> Daemon:
        daemon = Daemon(**{**_ini_options(request.config), **options})
        started.append(daemon)
        return daemon

    yield start
    for daemon in reversed(started):
        daemon.stop()
    started.clear()


@pytest.fixture
def hyperpod_daemon(request: pytest.FixtureRequest,
                    hyperpod_daemon_factory: Callable[..., Daemon]) -> Daemon:
    """A daemon of this test's own. The marker ``hyperpod`` sets its options."""
    options: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("hyperpod"))):
        if marker.args:
            raise pytest.UsageError("the marker hyperpod takes keyword arguments only")
        options.update(marker.kwargs)
    return hyperpod_daemon_factory(**options)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]
                              ) -> Generator[None, Any, None]:
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for daemon in item.stash.get(_DAEMONS, []):
            try:
                text = daemon.report()
            except Exception as error:  # a broken daemon must not hide the test's own failure
                text = f"{daemon!r} tells nothing: {error}"
            report.sections.append((f"HyperPod daemon {daemon.shm_name}", text))
