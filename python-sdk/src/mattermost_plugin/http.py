"""ServeHTTP: a request and its response, streamed both ways."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import CancelledError
from typing import Any
from urllib.parse import unquote, urlsplit

from .contract import contract_message
from .logs import own_logger
from .types import HTTPHeader, PluginContext, ServeHTTPResponseInit

_ServeHTTPResponse = contract_message("ServeHTTPResponse")

_log = own_logger("mattermost_plugin")

#: Bodies of up to this many bytes are read before an `async def` handler starts, so that it may use `request.body`.
_READ_AHEAD = 1024 * 1024

#: Bytes that may wait for the host before `write` waits too.
_HIGH_WATER = 256 * 1024


def _runs_on(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the caller runs on this loop, and so must not wait for it."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def split_target(target: str) -> tuple[str, str]:
    """Path and query of a request's target, as they were written."""
    if target.startswith("/"):
        # Two slashes at the beginning are part of the path, which urlsplit takes for a host's name.
        path, _, query = target.partition("?")
        return path, query
    try:
        url = urlsplit(target)
    except ValueError:
        return "/", ""
    return url.path or "/", url.query


#: What a header's name consists of (RFC 9110, 5.6.2), and what its value does not (5.5).
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_VALUE = re.compile(r"[^\t\x20-\x7e\x80-\xff]")


def _check_header(name: Any, value: Any) -> None:
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"a header and its value are str; the header {name!r} was to be a {type(value).__name__}")
    if not _NAME.fullmatch(name) or _NOT_IN_VALUE.search(value):
        raise ValueError(f"HTTP has no such header: {name!r}: {value!r}")


class ClientDisconnected(ConnectionError):
    """The client has gone: nobody reads the response any more."""


class HTTPRequest:
    """A request. The body is read as it arrives: `stream()`, `read()`, or `body` for the whole.

    Reading raises ClientDisconnected when the client goes before the body is complete.
    """

    def __init__(self, init: Any, incoming: AsyncIterator[Any], first: Any) -> None:
        self.method: str = init.method
        self.url: str = init.url
        self.proto: str = init.proto
        self.proto_major: int = init.proto_major
        self.proto_minor: int = init.proto_minor
        self.headers: dict[str, list[str]] = {}
        for header in init.headers:
            self.headers.setdefault(header.key, []).extend(header.values)
        self.host: str = init.host
        self.remote_addr: str = init.remote_addr
        self.request_uri: str = init.request_uri
        #: Bytes of the body; -1 when the client did not say.
        self.content_length: int = init.content_length
        self.plugin_context = PluginContext.from_proto(init.plugin_context)
        self._incoming = incoming
        self._pending = deque([first.body_chunk] if first.body_chunk else [])
        self._complete: bool = first.body_complete
        self._body: bytes | None = None
        self._loop = asyncio.get_running_loop()
        self._reading = asyncio.Lock()

    @property
    def root_path(self) -> str:
        """What the client's URL has before `url`, `/plugins/my-plugin` say: links within the plugin begin with it.

        Decoded, and without a slash at its end; empty when the host does not tell (`request_uri`).
        """
        whole = unquote(split_target(self.request_uri)[0])
        path = unquote(split_target(self.url)[0])
        if whole.endswith(path):
            return whole[: -len(path)]
        return whole if path == "/" else ""

    def get_header(self, name: str, default: str = "") -> str:
        """The first value of a header, in any case of its name."""
        return next(iter(self.get_all_headers(name)), default)

    def get_all_headers(self, name: str) -> list[str]:
        """All values of a header, in any case of its name."""
        return [value for key, values in self.headers.items() if key.lower() == name.lower() for value in values]

    async def _next(self) -> bytes:
        """The next piece of the body; empty at its end."""
        async with self._reading:
            while not self._pending and not self._complete:
                try:
                    message = await self._incoming.__anext__()
                except StopAsyncIteration:
                    # Half a body must not pass for a whole one.
                    raise ClientDisconnected("the client has gone before its request was complete") from None
                self._complete = message.body_complete
                if message.body_chunk:
                    self._pending.append(message.body_chunk)
            return self._pending.popleft() if self._pending else b""

    def _next_blocking(self) -> bytes:
        if _runs_on(self._loop):
            raise RuntimeError("an async handler reads a large body with `async for chunk in request.stream()`")
        try:
            return asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
        except CancelledError:
            raise ClientDisconnected("the client has gone") from None

    def stream(self) -> BodyStream:
        """The body's pieces as they arrive, with `for` or `async for`."""
        return BodyStream(self)

    def read(self) -> bytes:
        """The rest of the body. Not for `async def` handlers: those use `await request.aread()`."""
        return b"".join(self.stream())

    async def aread(self) -> bytes:
        """The rest of the body."""
        return b"".join([chunk async for chunk in self.stream()])

    @property
    def body(self) -> bytes:
        """The whole body. In an `async def` handler only for bodies of a known length of up to 1 MiB."""
        if self._body is None:
            self._body = self.read()
        return self._body

    async def read_ahead(self) -> None:
        """Reads a small body, for `async def` handlers."""
        if 0 <= self.content_length <= _READ_AHEAD:
            self._body = await self.aread()
            self._pending.extend([self._body] if self._body else [])


class BodyStream:
    """The pieces of a request's body; see `HTTPRequest.stream`."""

    def __init__(self, request: HTTPRequest) -> None:
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self._request._next_blocking():
            yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self._request._next():
            yield chunk


class HTTPResponseWriter:
    """The response to a request. What is written goes out as it is written.

    In a sync handler `write` waits while the client is slow. In an `async def` handler it never waits; call
    `await writer.drain()` between large writes.
    """

    #: Larger writes are cut into pieces of this many bytes.
    MAX_CHUNK_SIZE = 64 * 1024

    def __init__(self) -> None:
        self.status_code = 200
        #: The headers so far, with their values; too late to change once the response has begun.
        self.headers: dict[str, list[str]] = {}
        self._started = False
        self._finished = False
        self._closed = False
        self._pending: deque[Any] = deque()
        self._bytes = 0
        self._room = threading.Condition()
        self._loop = asyncio.get_running_loop()
        self._work = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()

    @property
    def started(self) -> bool:
        """Whether the status and the headers are fixed."""
        return self._started

    @property
    def finished(self) -> bool:
        """Whether the response has ended as a whole."""
        return self._finished

    def set_header(self, name: str, value: str) -> None:
        """Sets a header to one value. Names are compared in any case. Too late once the response has begun.

        Raises TypeError and ValueError for what HTTP does not take.
        """
        _check_header(name, value)
        if self._still_open(f"header {name}"):
            self.headers.pop(self._known(name), None)
            self.headers[name] = [value]

    def add_header(self, name: str, value: str) -> None:
        """Adds a value to a header; otherwise as `set_header`."""
        _check_header(name, value)
        if self._still_open(f"header {name}"):
            self.headers.setdefault(self._known(name), []).append(value)

    def clear_headers(self) -> None:
        """Forgets the headers so far. Too late once the response has begun."""
        if self._still_open("change of headers"):
            self.headers.clear()

    def _known(self, name: str) -> str:
        """A header's name as it was written first."""
        return next((known for known in self.headers if known.lower() == name.lower()), name)

    def _still_open(self, what: str) -> bool:
        """Whether the head may still change. As in the published SDK, being too late is a warning and nothing more."""
        if self._started:
            _log.warning("the response has begun, so its %s is not sent; set it before the first write", what)
        return not self._started

    def write_header(self, status_code: int) -> None:
        """Fixes the status and the headers and sends them. Too late once the response has begun."""
        if not 100 <= status_code <= 999:
            raise ValueError(f"{status_code} is no HTTP status")
        if self._still_open(f"status {status_code}"):
            self.status_code = status_code
            self._put(_ServeHTTPResponse())

    def write(self, data: bytes | str) -> int:
        """Sends a piece of the body; answers its length in bytes. ClientDisconnected when the client has gone."""
        if not isinstance(data, (str, bytes, bytearray, memoryview)):
            raise TypeError(f"a response's body is str or bytes; a {type(data).__name__} was written")
        body = data.encode() if isinstance(data, str) else bytes(data)
        for start in range(0, len(body), self.MAX_CHUNK_SIZE):
            self._put(_ServeHTTPResponse(body_chunk=body[start : start + self.MAX_CHUNK_SIZE]))
        if not body and not self._started:
            self._put(_ServeHTTPResponse())
        return len(body)

    def flush(self) -> None:
        """Asks the host to hand on what was written; it does so anyway as soon as it can."""
        if self._started:
            self._put(_ServeHTTPResponse(flush=True))

    async def drain(self) -> None:
        """Waits until the client has caught up."""
        await self._drained.wait()
        if self._closed:
            raise ClientDisconnected("the client has gone")

    def _put(self, message: Any) -> None:
        with self._room:
            if not _runs_on(self._loop):
                self._room.wait_for(lambda: self._closed or self._bytes < _HIGH_WATER)
            if self._closed:
                raise ClientDisconnected("the client has gone")
            if self._finished:
                raise RuntimeError("the response has ended")
            if not self._started:
                init = ServeHTTPResponseInit(status_code=self.status_code, headers=self._head())
                message.init.CopyFrom(init.to_proto())
                self._started = True
            self._finished = message.body_complete
            self._pending.append(message)
            self._bytes += len(message.body_chunk)
        if _runs_on(self._loop):
            self._wake()
        else:
            self._loop.call_soon_threadsafe(self._wake)

    def _head(self) -> list[HTTPHeader]:
        """The headers, which may also have been put into the dict."""
        headers = [
            HTTPHeader(key=name, values=[values] if isinstance(values, str) else values)
            for name, values in self.headers.items()
        ]
        for header in headers:
            for value in header.values:
                _check_header(header.key, value)
        return headers

    def _wake(self) -> None:
        if self._bytes >= _HIGH_WATER:
            self._drained.clear()
        self._work.set()

    def finish(self) -> None:
        """Ends the response; done for a handler that has returned. May be called twice."""
        if not self._finished:
            self._put(_ServeHTTPResponse(body_complete=True))

    def cut_off(self) -> None:
        """Ends the response where it is, without its end; done for a handler that has failed."""
        self._pending.append(None)
        self._wake()

    def close(self) -> None:
        """Nobody reads any more: writers are woken and told."""
        with self._room:
            self._closed = True
            self._room.notify_all()
        self._drained.set()

    async def send_to(self, context: Any) -> None:
        """Hands what is written to the host, with its back-pressure, until the response ends or is cut off."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self._pending:
                message = self._pending.popleft()
                if message is None:
                    return
                await context.write(message)
                with self._room:
                    self._bytes -= len(message.body_chunk)
                    self._room.notify_all()
                if self._bytes < _HIGH_WATER:
                    self._drained.set()
                if message.body_complete:
                    return
