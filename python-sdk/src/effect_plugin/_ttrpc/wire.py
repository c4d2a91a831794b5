"""ttrpc on the wire: frames, and the messages that open and answer calls (github.com/containerd/ttrpc, 1.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, NamedTuple

from .._descriptors import message_class
from .._limits import message_limit
from .._status import CallError, Code

#: A frame's head: the length of its data, the stream, the type and the flags.
HEADER = struct.Struct(">IIBB")

#: Types of frames.
REQUEST, RESPONSE, DATA = 1, 2, 3

#: Flags, of a request and of data: its side sends nothing more; it will send messages; this frame has no message.
REMOTE_CLOSED, REMOTE_OPEN, NO_DATA = 1, 2, 4

#: Streams are opened with odd numbers of 32 bits, each two more than the one before; after the last comes the first.
LAST_STREAM = 0xFFFFFFFF

#: Bytes that a frame has beside its message: the names of service and method, metadata, a status.
_BESIDE_MESSAGE = 64 * 1024

#: What a frame's length can say.
_LONGEST = 0xFFFFFFFF

_NANOSECONDS = 1_000_000_000

#: Seconds from which on a call may as well take forever.
_FOREVER = 2**63 // _NANOSECONDS - 1

Request = message_class("ttrpc.Request")
Response = message_class("ttrpc.Response")

HealthRequest = message_class("grpc.health.v1.HealthCheckRequest")

_CANCEL = message_class("plugin_supervisor.v1.CancelRequest")

#: The service by which a caller says that it waits no longer.
CALLS = "plugin_supervisor.v1.Calls"


class Frame(NamedTuple):
    """What has come over a connection."""

    stream: int
    kind: int
    #: None where it was more than is taken.
    data: bytes | None
    flags: int = 0


def frame_limit() -> int:
    """Bytes of data that a frame may have, either way."""
    limit = message_limit()
    return min(limit + _BESIDE_MESSAGE, _LONGEST) if limit >= 0 else _LONGEST


def frame(stream: int, kind: int, data: bytes, flags: int = 0) -> bytes:
    """A frame."""
    return HEADER.pack(len(data), stream, kind, flags) + data


def end_of_messages(stream: int) -> bytes:
    """The frame by which a side ends its messages. It has none: containerd's server refuses a last one that ends."""
    return frame(stream, DATA, b"", REMOTE_CLOSED | NO_DATA)


def request(
    service: str, method: str, payload: bytes, seconds: float | None = None, metadata: Iterable[tuple[str, str]] = ()
) -> bytes:
    """The data of a call's first frame; `metadata` has keys in lower case. Without `seconds` it may take forever."""
    made = Request(service=service, method=method, payload=payload)
    if seconds is not None and seconds < _FOREVER:
        made.timeout_nano = int(seconds * _NANOSECONDS) or 1
    for key, value in metadata:
        made.metadata.add(key=key, value=value)
    data: bytes = made.SerializeToString()
    return data


def seconds_of(asked: Any) -> float | None:
    """Seconds that a request has, none or fewer where its time is over; None for as long as it takes."""
    return asked.timeout_nano / _NANOSECONDS if asked.timeout_nano else None


def cancel(stream: int) -> bytes:
    """The data of the call that ends another one."""
    return request(CALLS, "Cancel", _CANCEL(stream_id=stream).SerializeToString())


def cancelled_stream(payload: bytes) -> int:
    """The stream that such a call means. Raises protobuf's DecodeError."""
    stream: int = _CANCEL.FromString(payload).stream_id
    return stream


def success(stream: int, payload: bytes, limit: int) -> bytes:
    """The frame by which a call succeeds, or fails where that is larger than is taken."""
    data: bytes = Response(payload=payload).SerializeToString() if payload else b""
    if len(data) > limit:
        return failure(stream, Code.RESOURCE_EXHAUSTED, too_large(len(data), limit))
    return HEADER.pack(len(data), stream, RESPONSE, 0) + data


def too_large(size: int, limit: int) -> str:
    """What is said of data that can't be sent."""
    return f"Sent message larger than max ({size} vs. {limit})"


def error_of(status: Any) -> CallError:
    """The error that a response's status, which is none of success, tells of."""
    return CallError(Code.of(status.code), status.message, status.SerializeToString() if status.details else b"")


def failure(stream: int, code: Code, details: str, status: bytes = b"") -> bytes:
    """The frame by which a call fails; `status` is a google.rpc.Status whose details are sent along."""
    made = Response()
    if status:
        made.status.MergeFromString(status)
    made.status.code = code
    made.status.message = details
    return frame(stream, RESPONSE, made.SerializeToString())
