# SPDX-License-Identifier: Apache-2.0
"""LMCache's remote connector on this client, in place of LMCache's own.

In LMCache's configuration:

    remote_storage_plugins: ["hyperpodkv"]
    extra_config:
      remote_storage_plugin.hyperpodkv.module_path: hyperpod_kv.lmcache
      remote_storage_plugin.hyperpodkv.class_name: HyperPodKvAdapter
      remote_storage_plugin.hyperpodkv.remote_url: "$NODE_IP:9200"
      remote_storage_plugin.hyperpodkv.shared_memory_name: ai_toolkit_cache

Objects have the same bytes as those of LMCache's own connector, so that either reads what the other
stored. docs/lmcache.md tells the settings and which versions of LMCache this is for.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any, List, Optional

import torch
from lmcache.v1.memory_management import MemoryFormat
from lmcache.v1.storage_backend.connector import ConnectorAdapter
from lmcache.v1.storage_backend.connector.base_connector import RemoteConnector

from . import _native
from .client import Client, Lease, _run
from .errors import Error, InvalidOption, MalformedResponse

_SCHEME = "hyperpodkv"
_OWN_SCHEME = "sagemaker-hyperpod"  # of LMCache's own connector
_log = logging.getLogger("hyperpod_kv.lmcache")

# Codes of a chunk's header; docs/protocol.md has them. Of two names of one type the later is written.
_TYPES = ["half", "float16", "bfloat16", "float32", "float64", "uint8", "float8_e4m3fn",
          "float8_e5m2"]
_TYPE_OF_CODE = {0: None, **{code: getattr(torch, name) for code, name in enumerate(_TYPES, 1)
                             if hasattr(torch, name)}}
_CODE_OF_TYPE = {type_: code for code, type_ in _TYPE_OF_CODE.items()}
_DIMENSIONS = 4


def _is_ours(plugin_name: str) -> bool:
    """``hyperpodkv`` or ``hyperpodkv.INSTANCE``."""
    return plugin_name.split(".", 1)[0] == _SCHEME


def _plugin_name(config: Any) -> str:
    """The first of our plug-ins that the configuration names."""
    names = getattr(config, "remote_storage_plugins", None) or []
    return next(filter(_is_ours, names), _SCHEME)


def _named(config: Any) -> Iterator[tuple[str, Any]]:
    """The extra_config except what has a number or nothing for its key, as YAML's may."""
    return (item for item in (config.extra_config or {}).items() if isinstance(item[0], str))


def _settings(config: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The plug-in's own settings, without their prefix."""
    prefix = f"remote_storage_plugin.{name}."
    for key, value in _named(config):
        setting = key.removeprefix(prefix)
        # With an instance (hyperpodkv.a) its settings begin with the prefix of the plug-in, too.
        if setting != key and "." not in setting and setting not in ("module_path", "class_name"):
            yield setting, value


def _address(settings: dict[str, Any], url: Optional[str], config: Any) -> str:
    """Where the daemons are, in the form of the client's ``url``."""
    for candidate in (settings.pop("remote_url", None), url, getattr(config, "remote_url", None)):
        scheme, separator, rest = str(candidate or "").partition("://")
        if not candidate or scheme == "plugin":
            continue
        if separator and scheme == "external":  # external://HOST:PORT/MODULE/?connector_name=…
            return rest.partition("/")[0]
        if separator and scheme not in (_SCHEME, _OWN_SCHEME, "http", "https"):
            continue  # of another connector
        return str(candidate).replace(f"{_SCHEME}://", "")
    raise InvalidOption(f"no daemon is named: set remote_storage_plugin.{_SCHEME}.remote_url, for "
                        "example to $NODE_IP:9200")


def _count(value: Any) -> Any:
    """As LMCache reads a count. What is none is told by the client."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return value


def _make_client(config: Any, url: Optional[str], plugin_name: str) -> Client:
    """A client with LMCache's settings for HyperPod and, stronger, those of the plug-in."""
    if config is None:
        raise InvalidOption("LMCache has handed over no configuration")
    settings = dict(_settings(config, plugin_name))
    address = _address(settings, url, config)
    given: dict[str, Any] = {"save_chunk_meta": True}  # LMCache's own connector writes a header in any case
    threads = settings.pop("copy_threads", None)
    if threads is not None:
        given["copy_threads"] = _count(threads)
    extra = {key: value for key, value in _named(config) if key.startswith("sagemaker_hyperpod_")}
    extra.update({f"sagemaker_hyperpod_{key}": value for key, value in settings.items()})
    # As LMCache's file may have it: JSON within YAML. What json.dumps() makes of ASCII text is both,
    # and of JSON's values the client makes what LMCache does.
    values = json.dumps(extra, skipkeys=True, default=str)
    text = json.dumps({"remote_url": address, "extra_config": values})
    return Client._made(*_native.Client.from_text(text, "LMCache's configuration", given))


class HyperPodKvConnector(RemoteConnector):
    """A remote connector of LMCache. Its coroutines run in LMCache's loop and use no thread of
    their own; ``exists_sync`` and ``batched_contains`` block, and may be called by any thread.

    A failed get is a miss and a failed put is forgotten, as in LMCache; either is logged.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, local_cpu_backend: Any, config: Any, *,
                 url: Optional[str] = None, metadata: Any = None,
                 plugin_name: Optional[str] = None) -> None:
        if metadata is None:  # the backend of LMCache's scheduler has none
            metadata = getattr(local_cpu_backend, "metadata", None)
        super().__init__(config, metadata)
        self.loop = loop
        self.local_cpu_backend = local_cpu_backend
        self._client = _make_client(config, url, plugin_name or _plugin_name(config))
        header_bytes = getattr(self, "remote_metadata_bytes", None) or 28
        self._groups = max(1, (header_bytes - 8) // 20)

    # --- Looking up -----------------------------------------------------------------------------

    async def exists(self, key: Any) -> bool:
        try:
            return await self._client.aexists(key.to_string())
        except Error as error:
            self._failed("look-up", key, error)
            return False

    def exists_sync(self, key: Any) -> bool:
        try:
            return self._client.exists(key.to_string())
        except Error as error:
            self._failed("look-up", key, error)
            return False

    def support_batched_contains(self) -> bool:
        return True

    def batched_contains(self, keys: List[Any]) -> int:
        try:
            return self._client.batched_contains([key.to_string() for key in keys])
        except Error as error:
            self._failed("look-up", keys[0], error)
            return 0

    def support_batched_async_contains(self) -> bool:
        return True

    async def batched_async_contains(self, lookup_id: str, keys: List[Any],
                                     pin: bool = False) -> int:
        try:
            return await self._client.abatched_contains([key.to_string() for key in keys])
        except Error as error:
            self._failed("look-up", keys[0], error)
            return 0

    # --- Reading --------------------------------------------------------------------------------

    async def get(self, key: Any) -> Optional[Any]:
        try:
            lease = await self._client.aacquire(key.to_string())
            return None if lease is None else self._read(lease)
        except Exception as error:  # also what LMCache's allocator raises
            self._failed("get", key, error)
            return None

    def support_batched_get(self) -> bool:
        return True

    async def batched_get(self, keys: List[Any]) -> List[Optional[Any]]:
        return list(await asyncio.gather(*map(self.get, keys)))

    def support_batched_get_non_blocking(self) -> bool:
        return True

    async def batched_get_non_blocking(self, lookup_id: str, keys: List[Any]) -> List[Any]:
        found = await self.batched_get(keys)
        prefix = found.index(None) if None in found else len(found)
        for late in found[prefix:]:
            if late is not None:
                late.ref_count_down()
        return found[:prefix]

    def _read(self, lease: Lease) -> Optional[Any]:
        """The object in memory of LMCache's; None where there is no room for it."""
        try:
            length, code, tensors, least = lease.chunk_header(self._groups)
            offset = 8 + 20 * self._groups
            if offset + length > lease.size or least > length:
                raise MalformedResponse(
                    f"the chunk of {lease.size} bytes has a header that tells {length}")
        except MalformedResponse:
            if self.save_chunk_meta:
                raise
            return self._read_bare(lease)
        types = [_TYPE_OF_CODE[type_] for type_, _ in tensors]
        shapes = [_shape(dimensions) for _, dimensions in tensors]
        memory = self._allocate(shapes, types, MemoryFormat(code))
        return None if memory is None else self._fill(memory, lease, offset, length)

    def _read_bare(self, lease: Lease) -> Optional[Any]:
        """A chunk without a header, of the layout that LMCache's configuration tells."""
        memory = self._allocate(self.meta_shapes, self.meta_dtypes, self.meta_fmt)
        if memory is None:
            return None
        size = lease.size
        memory = self._fill(memory, lease, 0, size)
        if size == self.full_chunk_size_bytes:
            return memory
        try:
            return self.reshape_partial_chunk(memory, size)
        except BaseException:
            memory.ref_count_down()
            raise

    def _allocate(self, shapes: Any, types: Any, format_: Any) -> Optional[Any]:
        if len(shapes) == 1:
            shapes, types = shapes[0], types[0]
        memory = self.local_cpu_backend.allocate(shapes, types, format_)
        if memory is None:
            _log.warning("LMCache has no room for a chunk of shape %s", shapes)
        return memory

    @staticmethod
    def _fill(memory: Any, lease: Lease, offset: int, length: int) -> Any:
        try:
            lease.read_into(memory.byte_array, offset, length)
            return memory
        except BaseException:
            memory.ref_count_down()
            raise

    # --- Storing --------------------------------------------------------------------------------

    async def put(self, key: Any, memory_obj: Any) -> None:
        try:
            meta = memory_obj.meta
            shapes = getattr(meta, "shapes", None) or [meta.shape]
            types = getattr(meta, "dtypes", None) or [meta.dtype]
            groups = [(_CODE_OF_TYPE[type_], _padded(shape))
                      for type_, shape in zip(types, shapes)]
            await _run(self._client._native.start_put_chunk, key.to_string(),
                       memory_obj.byte_array, int(meta.fmt.value), groups)
        except Exception as error:
            self._failed("put", key, error)

    def support_batched_put(self) -> bool:
        return True

    async def batched_put(self, keys: List[Any], memory_objs: List[Any]) -> None:
        await asyncio.gather(*map(self.put, keys, memory_objs))

    # --- The rest -------------------------------------------------------------------------------

    async def list(self) -> List[str]:
        """Empty: the daemon cannot list."""
        return []

    def remove_sync(self, key: Any) -> bool:
        """False: the daemon cannot remove."""
        return False

    def support_ping(self) -> bool:
        return True

    async def ping(self) -> int:
        """0: the daemon responds; it is asked for a key that nobody stores. 1: it does not."""
        try:
            await self._client.aexists(f"{_SCHEME} ping", wait=0)
            return 0
        except Error as error:
            _log.warning("ping failed: %s", str(error))
            return 1

    async def close(self) -> None:
        await self._client.aclose()

    @staticmethod
    def _failed(what: str, key: Any, error: Exception) -> None:
        # As text: who keeps the record must not keep the lease, which the error's traceback holds.
        _log.warning("%s of %s failed: %s", what, key.to_string(), str(error))


def _shape(dimensions: list[int]) -> Any:
    """As LMCache's own connector reads it: from the first zero on it is padding."""
    if 0 in dimensions[1:]:
        dimensions = dimensions[:dimensions.index(0, 1)]
    return torch.Size(dimensions)


def _padded(shape: Any) -> list[int]:
    """As LMCache's own connector writes it: four dimensions, with zeros behind."""
    return (list(shape) + [0] * _DIMENSIONS)[:_DIMENSIONS]


class HyperPodKvAdapter(ConnectorAdapter):
    """What LMCache asks for a connector: by ``hyperpodkv://HOST:PORT`` or, in newer versions, by
    ``plugin://hyperpodkv`` or ``plugin://hyperpodkv.INSTANCE``."""

    def __init__(self) -> None:
        super().__init__(f"{_SCHEME}://")

    def can_parse(self, url: str) -> bool:
        scheme, _, name = url.partition("://")
        return url.startswith(self.schema) or (scheme == "plugin" and _is_ours(name.rstrip("/")))

    def create_connector(self, context: Any) -> RemoteConnector:
        return HyperPodKvConnector(context.loop, context.local_cpu_backend, context.config,
                                   url=context.url, metadata=context.metadata,
                                   plugin_name=getattr(context, "plugin_name", None))
