"""The host API, as plugins call it. Its methods are the contract's rpcs, generated with their arguments and types."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Callable, ClassVar, TypeVar, cast

from google.protobuf.message import Message

from . import _deadline as deadline
from . import _process as process
from . import _trace as trace
from ._descriptors import message_class
from ._exceptions import convert_grpc_error
from ._generator.names import method_of
from ._limits import check_sendable
from ._loops import EventLoop
from ._ttrpc import inherited
from ._ttrpc.client import AsyncChannel, Channel
from ._values import fill
from .logs import own_logger

if TYPE_CHECKING:
    import grpc
    from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor

    from .contract import Contract

_log = own_logger("effect_plugin")

#: Seconds a call may take. The host answers from memory or its database; more means that it is stuck.
CALL_TIMEOUT = 30.0

#: The metadata by which a host that has given the plugin a token knows its calls.
TOKEN_METADATA = "plugin-supervisor-token"


def build_request(contract: Contract, rpc: str, values: dict[str, Any]) -> Message:
    """The request of a call; None leaves a field unset.

    Raises TypeError for what a field can't take, and ValueError for what the host could not.
    """
    make, fields = _request(contract.api_methods[rpc])
    request = make()
    for name, value in values.items():
        try:
            fill(request, fields[name], value)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{_called(rpc)}() {error}") from error
    try:
        check_sendable(request)
    except ValueError as error:
        raise ValueError(f"{_called(rpc)}() can't send this: {error}") from None
    return cast("Message", request)


@functools.cache
def _request(method: MethodDescriptor) -> tuple[Callable[[], Any], dict[str, FieldDescriptor]]:
    """The class of a method's request, and its fields by name."""
    return message_class(method.input_type), {field.name: field for field in method.input_type.fields}


def _called(rpc: str) -> str:
    """What a call's method is called."""
    return method_of(rpc.rpartition(".")[2])


def _spoken(rpc: str) -> str:
    """The same with what it is a method of, as in `api.get_user`; the host's own services are `host`."""
    return f"{'host' if '.' in rpc else 'api'}.{_called(rpc)}"


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


Client = TypeVar("Client", bound="_Client")
Sync = TypeVar("Sync", bound="BaseAPIClient")
Async = TypeVar("Async", bound="BaseAsyncAPIClient")


class _Client:
    """What both clients share: the target, and one method for each rpc."""

    #: Set by each contract's own class.
    _contract: ClassVar[Contract]

    def __init__(
        self,
        target: str | None = None,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        options: list[tuple[str, Any]] | None = None,
        token: str | None = None,
    ) -> None:
        hosts = self._contract.variables.api_targets()
        connection = inherited.connection()
        if connection is not None:
            hosts = [*hosts, connection.target]
        found = target or next(iter(hosts), None)
        if not found:
            raise RuntimeError(f"no host API: pass a target, or set {self._contract.variables.api_target[0]}")
        self._target = found
        is_own = found in hosts and credentials is None and not options and token in (None, process.api_token())
        #: The connection that the plugin has to its host, where that is what is asked for.
        self._inherited = connection if is_own else None
        # Nobody but the host that has given it sees the token.
        self._api_token = token if token is not None else process.api_token() if found in hosts else ""
        # A connection that nobody else can have needs none.
        is_shown = self._api_token and self._inherited is None
        self._token = [(TOKEN_METADATA, self._api_token)] if is_shown else []
        self._credentials = credentials
        self._options = options or []
        self._channel: Any = None
        self._process = 0
        self._timeout = CALL_TIMEOUT
        self._calls: dict[str, Callable[..., Any]] = {}
        self._warned: set[str] = set()

    @property
    def target(self) -> str:
        """Where the host API is."""
        return self._target

    @property
    def token(self) -> str:
        """What the host knows the plugin's calls by; empty where it gave none. For programs that the plugin starts."""
        return self._api_token

    @property
    def connected(self) -> bool:
        """Whether `connect` was called; the connection itself is made by the first call."""
        return self._channel is not None

    def _rpc(self, name: str) -> Any:
        if self._channel is None:
            if self._process:
                raise RuntimeError("Client is closed, as it is when the plugin has ended; it can't be called any more")
            raise RuntimeError("Client is not connected; call connect() first")
        if os.getpid() != self._process:
            # A call would never end: whoever reads the answers is a thread of the other process.
            raise RuntimeError(
                f"{_called(name)}() can't be called in a forked child: the connection is the plugin's. Let the "
                "child return what it has found, or start it by spawn with a client of its own"
            )
        method = self._contract.api_methods[name]
        if name not in self._calls:
            self._calls[name] = self._channel.unary(method)
        return self._calls[name]

    def _path(self, name: str) -> str:
        method = self._contract.api_methods[name]
        return f"{method.containing_service.full_name}/{method.name}"

    def with_timeout(self: Client, seconds: float) -> Client:
        """The same host API, each of whose calls ends after so many seconds at the latest.

        A call that a handler makes also ends with the handler's own time.
        """
        limited = copy.copy(self)
        limited._timeout = seconds
        return limited

    def _seconds(self) -> float:
        return deadline.limited(self._timeout)

    def _metadata(self) -> list[tuple[str, str]]:
        return [*trace.metadata(), *self._token]

    def _open(self) -> None:
        if self._channel is not None:
            raise RuntimeError("Client is already connected")
        self._process = os.getpid()
        self._channel = self._connection()

    def _connection(self) -> Any:
        """Whichever connection there is to the target, with a method `unary`."""
        raise NotImplementedError


class BaseAPIClient(_Client):
    """The host API. Every rpc is a method.

    Safe to use from any thread; `async def` handlers take AsyncPluginAPIClient. Errors are `PluginAPIError`s; a call
    ends after `CALL_TIMEOUT` seconds at the latest.
    """

    _is_ahead = False

    def connect(self) -> None:
        """Opens the channel; RuntimeError when it is open."""
        if self._is_ahead:
            self._is_ahead = False
        else:
            self._open()

    def _connection(self) -> Any:
        if self._inherited is not None:
            return Channel(self._inherited)
        from ._grpc import Channel as GrpcChannel

        return GrpcChannel(self._target, self._credentials, self._options)

    def connect_ahead(self) -> None:
        """Opens the channel before its user does, whose own first `connect` then finds it open.

        Under the published SDK a plugin's API is not connected, so that plugins written for it do that themselves.
        """
        self.connect()
        self._is_ahead = True

    def close(self) -> None:
        """Closes the channel; may be called twice."""
        self._is_ahead = False
        if self._channel is not None:
            self._channel.close()
            self._channel = None
            self._calls = {}

    def __enter__(self: Sync) -> Sync:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, rpc: str, values: dict[str, Any], /) -> Any:
        with self._holding_up(rpc) if _on_event_loop() else contextlib.nullcontext():
            call, channel = self._rpc(rpc), self._channel
            request = build_request(self._contract, rpc, values)
            try:
                response = call(request, self._seconds(), self._metadata())
            except channel.error as error:
                raise convert_grpc_error(error, self._path(rpc)) from error
        return self._contract.answer(rpc, response)

    @contextlib.contextmanager
    def _holding_up(self, rpc: str) -> Iterator[None]:
        """A call in the way of an event loop."""
        name, loop = _spoken(rpc), EventLoop.here()
        if rpc not in self._warned:
            self._warned.add(rpc)
            _log.warning("%s() holds up every async handler until it is answered; await async_%s()", name, name)
        loop.held_up_by = name
        try:
            yield
        finally:
            loop.held_up_by = ""


class BaseAsyncAPIClient(_Client):
    """The host API for `async def` code: every rpc is a coroutine method.

    Calls may be made on another event loop than the one it was connected on, as long as that one runs: from
    `asyncio.run` in a sync handler, or from an async test.
    """

    async def connect(self) -> None:
        """Opens the channel; RuntimeError when it is open."""
        self._open()

    def _connection(self) -> Any:
        if self._inherited is not None:
            return AsyncChannel(self._inherited)
        from ._grpc import AsyncChannel as GrpcChannel

        return GrpcChannel(self._target, self._credentials, self._options)

    async def close(self) -> None:
        """Closes the channel; may be called twice."""
        if self._channel is not None:
            channel, self._channel, self._calls = self._channel, None, {}
            await channel.close()

    async def __aenter__(self: Async) -> Async:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _call(self, rpc: str, values: dict[str, Any], /) -> Any:
        call = self._rpc(rpc)
        channel, seconds, metadata = self._channel, self._seconds(), self._metadata()
        try:
            response = await call(build_request(self._contract, rpc, values), seconds, metadata)
        except channel.error as error:
            raise convert_grpc_error(error, self._path(rpc)) from error
        return self._contract.answer(rpc, response)
