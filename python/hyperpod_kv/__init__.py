# SPDX-License-Identifier: Apache-2.0
"""HyperPod's KV cache from Python: a client, the emulator as a fixture, LMCache on top of both."""

import importlib.util

from .daemon import Daemon, Fault, Request, Scenario, program, scenarios
from .errors import (Cancelled, Closed, DaemonFailed, Error, Forked, InvalidArgument, InvalidOption,
                     LeaseExpired, MalformedResponse, OutOfResources, Refused, SegmentMissing,
                     SegmentUnreadable, TimedOut, TooLarge, Unreachable, UnusableBuffer, ViewsHeld)

# Without the extension module, as in a source tree that was not built, the fixture serves all the same.
if importlib.util.find_spec(f"{__name__}._native"):
    from .client import Client, Lease

__all__ = [
    "Cancelled", "Client", "Closed", "Daemon", "DaemonFailed", "Error", "Fault", "Forked",
    "InvalidArgument", "InvalidOption", "Lease", "LeaseExpired", "MalformedResponse",
    "OutOfResources", "Refused", "Request", "Scenario", "SegmentMissing", "SegmentUnreadable",
    "TimedOut", "TooLarge", "Unreachable", "UnusableBuffer", "ViewsHeld", "program", "scenarios",
]
