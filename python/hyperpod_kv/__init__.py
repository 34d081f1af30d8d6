# SPDX-License-Identifier: Apache-2.0
"""HyperPod's KV cache from Python: a client, the emulator as a fixture, LMCache on top of both."""

from .daemon import Daemon, Fault, Request, program, scenarios
from .errors import (Cancelled, Closed, DaemonFailed, Error, Forked, InvalidArgument, InvalidOption,
                     LeaseExpired, MalformedResponse, OutOfResources, Refused, SegmentMissing,
                     SegmentUnreadable, TimedOut, TooLarge, Unreachable, ViewsHeld)

try:
    from .client import Client, Lease
except ModuleNotFoundError as missing:
    # The fixture serves without the extension module, as in a source tree that was not built.
    if missing.name != f"{__name__}._native":
        raise

__all__ = [
    "Cancelled", "Client", "Closed", "Daemon", "DaemonFailed", "Error", "Fault", "Forked",
    "InvalidArgument", "InvalidOption", "Lease", "LeaseExpired", "MalformedResponse",
    "OutOfResources", "Refused", "Request", "SegmentMissing", "SegmentUnreadable", "TimedOut",
    "TooLarge", "Unreachable", "ViewsHeld", "program", "scenarios",
]
