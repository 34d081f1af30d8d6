# SPDX-License-Identifier: Apache-2.0
"""What the package raises. All of it is below :class:`Error`."""

from __future__ import annotations


class Error(Exception):
    """Something went wrong; the message names the offending thing and the way out.

    ``code`` is the stable name that C++ and the programs use, for example ``"segment_missing"``.
    ``status`` is the HTTP status where the daemon responded, else 0.
    """

    code = "failed"

    def __init__(self, message: str, *, code: str | None = None, status: int = 0) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        self.status = status


class InvalidOption(Error):
    """An option, a configuration value or a file cannot be used as given."""

    code = "invalid_option"


class InvalidArgument(Error):
    """A key, a buffer or another argument of the call cannot be used as given."""

    code = "invalid_argument"


class Unreachable(Error):
    """No connection could be made, or it broke before a response; or the circuit is open."""

    code = "unreachable"


class TimedOut(Error, TimeoutError):
    """A deadline passed before what was waited for had happened."""

    code = "timed_out"


class Refused(Error):
    """The daemon responded, and said no; ``status`` tells how."""

    code = "refused"


class MalformedResponse(Error):
    """What the daemon sent is not HTTP, or not a lease that can be used."""

    code = "malformed_response"


class LeaseExpired(Error):
    """The bytes were asked for after the lease's TTL. To be treated as a miss."""

    code = "lease_expired"


class SegmentMissing(Error):
    """There is no shared-memory segment of that name, or it is still empty."""

    code = "segment_missing"


class SegmentUnreadable(Error):
    """The segment may not be opened or mapped by this user."""

    code = "segment_unreadable"


class TooLarge(Error):
    """The object exceeds a limit, the buffer, or the daemon's capacity."""

    code = "too_large"


class Closed(Error):
    """The client has been closed."""

    code = "closed"


class Cancelled(Error):
    """The call was cancelled."""

    code = "cancelled"


class Forked(Error):
    """The client was made before ``fork()`` and is used in the child; make a new one there."""

    code = "forked"


class OutOfResources(Error):
    """No descriptor, thread or memory is to be had."""

    code = "out_of_resources"


class ViewsHeld(Error, BufferError):
    """A lease was to be released while views of its bytes are held."""

    code = "invalid_argument"


class UnusableBuffer(InvalidArgument, BufferError):
    """What was given has no buffer, a read-only one, or one that does not lie in one piece."""


class DaemonFailed(Error):
    """The emulator could not be started, or has ended."""


_BY_CODE = {
    each.code: each
    for each in (
        InvalidOption, InvalidArgument, Unreachable, TimedOut, Refused, MalformedResponse,
        LeaseExpired, SegmentMissing, SegmentUnreadable, TooLarge, Closed, Cancelled, Forked,
        OutOfResources,
    )
}


def from_code(code: str, message: str, status: int = 0) -> Error:
    """The error of the class that belongs to ``code``; :class:`Error` itself for others."""
    return _BY_CODE.get(code, Error)(message, code=code, status=status)
