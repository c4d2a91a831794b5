"""The context of a call over ttrpc, as handlers of grpcio's have it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Callable, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from .._status import CallError, Code
from .._ttrpc import wire
from .metadata import STATUS_KEY, Metadatum, metadata_of


class Context:
    """What grpcio's handlers know of their call, as `grpc.aio.ServicerContext` has it.

    Metadata of an answer is kept for who asks for it here, and not sent: ttrpc has none.
    """

    def __init__(self, call: Any) -> None:
        self._call = call
        self._code = Code.OK
        self._details = ""
        self._aborted: CallError | None = None
        self._trailers: Any = ()
        self._is_done = False
        self._callbacks: list[Callable[[Context], object]] = []

    # -- the call ------------------------------------------------------------------------------------------------------

    def invocation_metadata(self) -> tuple[Metadatum, ...]:
        """What came along with the call; bytes under keys that end in `-bin`."""
        return metadata_of(self._call.invocation_metadata())

    def time_remaining(self) -> float | None:
        """Seconds that the caller waits still; None for as long as it takes."""
        seconds: float | None = self._call.time_remaining()
        return seconds

    def cancelled(self) -> bool:
        """Whether the call has ended before its handler."""
        return not self._is_done and not self._call.server.has(self._call)

    def done(self) -> bool:
        """Whether the handler has returned, or nobody waits for it."""
        return self._is_done or self.cancelled()

    def add_done_callback(self, callback: Callable[[Context], object]) -> None:
        """Has a function called when the handler has returned."""
        self._callbacks.append(callback)

    def peer(self) -> str:
        """As over a unix socket."""
        return "unix:"

    def peer_identities(self) -> None:
        """None: ttrpc has none."""

    def peer_identity_key(self) -> None:
        """None: ttrpc has none."""

    def auth_context(self) -> dict[str, Any]:
        """Nothing: ttrpc has none."""
        return {}

    # -- messages ------------------------------------------------------------------------------------------------------

    async def read(self) -> Any:
        """The next request; `grpc.aio.EOF` after the last."""
        requests: AsyncIterator[Any] = self._call
        try:
            return await requests.__anext__()
        except StopAsyncIteration:
            return grpc.aio.EOF

    async def write(self, response: Any) -> None:
        """Sends a response, and waits while the host takes none."""
        await self._call.write(response)

    # -- how it ends ---------------------------------------------------------------------------------------------------

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Sequence[tuple[str, Any]] = ()
    ) -> NoReturn:
        """Ends the call with a status, whatever the handler does with what this raises."""
        self.abort_now(code, details, trailing_metadata)

    async def abort_with_status(self, status: Any) -> NoReturn:
        """The same with a `grpc.Status`."""
        await self.abort(status.code, status.details, status.trailing_metadata or ())

    def abort_now(self, code: grpc.StatusCode, details: str, trailers: Iterable[tuple[str, Any]]) -> NoReturn:
        """What `abort` does."""
        if code is grpc.StatusCode.OK:
            raise ValueError("a call is not aborted with OK")
        self._aborted = CallError(Code[code.name], details, _status_in(trailers))
        raise self._aborted

    def set_code(self, code: grpc.StatusCode) -> None:
        """The status that the call ends with when the handler returns."""
        self._code = Code[code.name]

    def set_details(self, details: str) -> None:
        """The text of that."""
        self._details = details

    def code(self) -> grpc.StatusCode:
        """What has been set."""
        return self._code.grpc

    def details(self) -> str:
        """What has been set."""
        return self._details

    async def send_initial_metadata(self, metadata: Any) -> None:
        """Sends nothing."""

    def set_trailing_metadata(self, metadata: Any) -> None:
        """Keeps it; nothing is sent but a google.rpc.Status, with another status than OK."""
        self._trailers = metadata

    def trailing_metadata(self) -> Any:
        """What has been set."""
        return self._trailers

    def set_compression(self, compression: grpc.Compression) -> None:
        """Does nothing: ttrpc has none."""

    def disable_next_message_compression(self) -> None:
        """Does nothing."""

    def raise_status(self) -> None:
        """Raises the status that was set, unless it is OK."""
        if self._aborted is not None:
            raise self._aborted
        if self._code is not Code.OK:
            raise CallError(self._code, self._details, _status_in(self._trailers))

    def finish(self) -> None:
        """The handler has returned."""
        self._is_done = True
        for callback in self._callbacks:
            callback(self)


def _status_in(trailers: Iterable[tuple[str, Any]]) -> bytes:
    """The google.rpc.Status that is among trailing metadata, or nothing where there is none."""
    data = next((value for key, value in trailers if key == STATUS_KEY), b"")
    try:
        wire.Response().status.MergeFromString(data)
    except (DecodeError, TypeError):
        return b""
    return data if isinstance(data, bytes) else b""
