# SPDX-License-Identifier: Apache-2.0
"""Stand-in of the ways in which LMCache loads a remote connector."""

import abc
import importlib
import types
import urllib.parse

from .base_connector import RemoteConnector


class ConnectorAdapter(abc.ABC):
    def __init__(self, schema):
        self.schema = schema

    def can_parse(self, url):
        return url.startswith(self.schema)

    @abc.abstractmethod
    def create_connector(self, context): ...


def _load(module_path, class_name):
    return getattr(importlib.import_module(module_path), class_name)


def load(config, loop, backend, url=None):
    """The connector that ``config`` names: as a plug-in, by the virtual URL of newer versions unless
    a URL is given, or by ``external://``. None: nobody takes the URL."""
    url = url or f"plugin://{config.remote_storage_plugins[0]}"
    if url.startswith("external://"):
        parts = urllib.parse.urlsplit(url)
        (name,) = urllib.parse.parse_qs(parts.query)["connector_name"]
        return _load(parts.path.strip("/"), name)(loop=loop, local_cpu_backend=backend,
                                                  config=config)
    for name in config.remote_storage_plugins:
        prefix = f"remote_storage_plugin.{name}."
        loaded = _load(config.extra_config[prefix + "module_path"],
                       config.extra_config[prefix + "class_name"])
        if issubclass(loaded, RemoteConnector):
            return loaded(loop=loop, local_cpu_backend=backend, config=config)
        adapter = loaded()
        if adapter.can_parse(url):
            return adapter.create_connector(types.SimpleNamespace(
                url=url, loop=loop, local_cpu_backend=backend, config=config,
                metadata=getattr(backend, "metadata", None), plugin_name=name))
    return None
