"""What goes along with calls over ttrpc, which is text, as grpcio has it: bytes under keys that end in `-bin`."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any, NamedTuple

#: The key of trailing metadata by which gRPC sends a google.rpc.Status.
STATUS_KEY = "grpc-status-details-bin"

_BINARY = "-bin"


class Metadatum(NamedTuple):
    """One value of one key."""

    key: str
    value: str | bytes


def metadata_of(entries: Iterable[tuple[str, str]]) -> tuple[Metadatum, ...]:
    """What has come along with a call, as grpcio tells it."""
    return tuple(Metadatum(key, _bytes_of(value) if key.endswith(_BINARY) else value) for key, value in entries)


def _bytes_of(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return text.encode()


def entries_of(metadata: Iterable[tuple[str, Any]]) -> list[tuple[str, str]]:
    """What is to go along with a call, as ttrpc takes it. Raises TypeError where a value is of the wrong type."""
    return [(key.lower(), _text_of(key.lower(), value)) for key, value in metadata]


def _text_of(key: str, value: Any) -> str:
    if key.endswith(_BINARY):
        if not isinstance(value, bytes):
            raise TypeError(f"metadata under {key!r} must be bytes, and is {type(value).__name__}")
        return base64.b64encode(value).decode()
    if not isinstance(value, str):
        raise TypeError(
            f"metadata under {key!r} must be a str, and is {type(value).__name__}: bytes need a key in -bin"
        )
    return value
