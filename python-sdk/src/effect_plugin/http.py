"""ServeHTTP: a request and its response, streamed both ways."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from ._body import STALL_LIMIT, Incoming, complete
from ._body import ClientDisconnected as ClientDisconnected
from ._generated.models import HTTPRequestContext as HTTPRequestContext
from ._outgoing import Head, Outgoing
from ._values import json_bytes
from .logs import own_logger

_log = own_logger("effect_plugin")

#: Bodies of up to this many bytes are read before an `async def` handler starts, so that it may use `request.body`.
SMALL_BODY = 1024 * 1024

#: Seconds for which such a handler waits for more of a body that does not say its length: its client may wait for the
#: handler's first words.
_PAUSE = 1.0


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
_NAME_BYTES = re.compile(_NAME.pattern.encode())
_NOT_IN_VALUE_BYTES = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def check_header(name: Any, value: Any) -> None:
    """Raises TypeError and ValueError for a header that HTTP does not have."""
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"a header and its value are str; the header {name!r} was to be a {type(value).__name__}")
    if not _is_name_text(name) or _NOT_IN_VALUE.search(value):
        raise ValueError(f"HTTP has no such header: {name!r}: {value!r}")


@functools.lru_cache(maxsize=256)
def _is_name_text(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


@functools.lru_cache(maxsize=256)
def _is_name(name: Any) -> bool:
    return isinstance(name, bytes) and _NAME_BYTES.fullmatch(name) is not None


def is_header(name: Any, value: Any) -> bool:
    """Whether HTTP has such a header, as ASGI writes it."""
    return _is_name(name) and isinstance(value, bytes) and _NOT_IN_VALUE_BYTES.search(value) is None


def check_status(status: Any) -> None:
    """Raises ValueError for what is no status of a response (RFC 9110, 15): an interim one ends no request."""
    if not 200 <= status <= 599:
        raise ValueError(f"{status} is no status of a response; those are 200 to 599")


class ClientContext(Protocol):
    """What a host knows of a client's request beside what HTTP says; empty texts where it does not."""

    #: Of the client's session, where the host has authenticated it.
    session_id: str
    request_id: str
    ip_address: str
    accept_language: str
    user_agent: str


class HTTPRequest:
    """A request. The body is read as it arrives: `stream()`, `read()`, or `body` for the whole.

    Reading raises ClientDisconnected when the client goes before the body is complete.
    """

    def __init__(
        self,
        method: str = "GET",
        url: str = "/",
        proto: str = "HTTP/1.1",
        proto_major: int = 1,
        proto_minor: int = 1,
        headers: Mapping[str, list[str]] | None = None,
        host: str = "",
        remote_addr: str = "",
        request_uri: str = "",
        content_length: int | None = None,
        body: bytes = b"",
        plugin_context: ClientContext | None = None,
        *,
        scheme: str = "http",
        incoming: Incoming | None = None,
        client: tuple[str, int] | None = None,
        stall_limit: float = STALL_LIMIT,
    ) -> None:
        """What the transport makes; in tests of a handler `HTTPRequest("POST", "/a", body=b"...")` will do."""
        self.method = method
        #: The target below `root_path`, as the client wrote it.
        self.url = url
        self.proto = proto
        self.proto_major = proto_major
        self.proto_minor = proto_minor
        self.headers: dict[str, list[str]] = {} if headers is None else dict(headers)
        self.host = host
        #: Who has connected, as `address:port`.
        self.remote_addr = remote_addr
        self.request_uri = request_uri
        #: Bytes of the body; -1 when the client did not say.
        self.content_length: int = len(body) if content_length is None else content_length
        #: What the host knows of the client's request beside what HTTP says.
        self.plugin_context: ClientContext = plugin_context or HTTPRequestContext()
        #: `http` or `https`, as the client asked; `http` where the host does not tell.
        self.scheme = scheme
        self._incoming = complete(body) if incoming is None else incoming
        self._body: bytes | None = None
        self._client = client
        self._stall_limit = stall_limit

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

    @property
    def path(self) -> str:
        """The path of `url`, decoded."""
        return unquote(split_target(self.url)[0])

    @property
    def query(self) -> dict[str, list[str]]:
        """The parameters of the URL's query with their values, decoded."""
        return parse_qs(split_target(self.url)[1], keep_blank_values=True)

    def get_query(self, name: str, default: str = "") -> str:
        """The first value of a parameter of the query."""
        return self.query.get(name, [default])[0]

    def json(self) -> Any:
        """What the body says, as JSON; read as `body` is. Raises ValueError for what is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the request's body is no JSON: {error}") from None

    def get_header(self, name: str, default: str = "") -> str:
        """The first value of a header, in any case of its name."""
        return next(iter(self.get_all_headers(name)), default)

    def get_all_headers(self, name: str) -> list[str]:
        """All values of a header, in any case of its name."""
        return [value for key, values in self.headers.items() if key.lower() == name.lower() for value in values]

    def _next_blocking(self) -> bytes:
        if (piece := self._incoming.take()) is not None:
            return piece
        if self._incoming.is_on_loop:
            raise RuntimeError("an async handler reads a large body with `async for chunk in request.stream()`")
        return self._incoming.read_blocking(self._stall_limit)

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
        """The whole body. In an `async def` handler only for bodies of up to 1 MiB, which have been read before."""
        if self._body is None:
            self._body = self.read()
        return self._body

    async def read_ahead(self) -> None:
        """Reads a small body, for `async def` handlers, which can't wait for `body`."""
        if self._incoming.at_end():
            self._body = b""
        elif self.content_length <= SMALL_BODY:
            pieces = await self._incoming.read_ahead(SMALL_BODY, _PAUSE if self.content_length < 0 else None)
            if pieces is not None:
                self._body = b"".join(pieces)


class BodyStream:
    """The pieces of a request's body; see `HTTPRequest.stream`."""

    def __init__(self, request: HTTPRequest) -> None:
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self._request._next_blocking():
            yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self._request._incoming.read():
            yield chunk


class HTTPResponseWriter:
    """The response to a request. What is written goes out as it is written.

    In a sync handler `write` waits while the client is slow. In an `async def` handler it never waits; call
    `await writer.drain()` between large writes.
    """

    #: Larger writes are cut into pieces of this many bytes.
    MAX_CHUNK_SIZE = 64 * 1024

    def __init__(self, outgoing: Outgoing | None = None) -> None:
        self.status_code = 200
        #: The headers so far, with their values; too late to change once the response has begun.
        self.headers: dict[str, list[str]] = {}
        self._outgoing = outgoing or Outgoing(None, lambda: None, STALL_LIMIT, at_once=False)

    @property
    def started(self) -> bool:
        """Whether the status and the headers are fixed."""
        return self._outgoing.head is not None

    @property
    def finished(self) -> bool:
        """Whether the response has ended as a whole."""
        return self._outgoing.ended

    def set_header(self, name: str, value: str) -> None:
        """Sets a header to one value. Names are compared in any case. Too late once the response has begun.

        Raises TypeError and ValueError for what HTTP does not take.
        """
        check_header(name, value)
        if self._still_open(f"header {name}"):
            self.headers.pop(self._known(name), None)
            self.headers[name] = [value]

    def add_header(self, name: str, value: str) -> None:
        """Adds a value to a header; otherwise as `set_header`."""
        check_header(name, value)
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
        if self.started:
            _log.warning("the response has begun, so its %s is not sent; set it before the first write", what)
        return not self.started

    def write_header(self, status_code: int) -> None:
        """Fixes the status and the headers and sends them. Too late once the response has begun.

        Raises ValueError for what is no status of a response: those are 200 to 599.
        """
        check_status(status_code)
        if self._still_open(f"status {status_code}"):
            self.status_code = status_code
            self._outgoing.put(head=self._head())

    def write(self, data: bytes | str) -> int:
        """Sends a piece of the body; answers its length in bytes. ClientDisconnected when the client has gone."""
        if not isinstance(data, (str, bytes, bytearray, memoryview)):
            raise TypeError(f"a response's body is str or bytes; a {type(data).__name__} was written")
        body = data.encode() if isinstance(data, str) else bytes(data)
        head = None if self.started else self._head()
        if len(body) <= self.MAX_CHUNK_SIZE:
            self._outgoing.put(body, head=head)
            return len(body)
        for start in range(0, len(body), self.MAX_CHUNK_SIZE):
            self._outgoing.put(body[start : start + self.MAX_CHUNK_SIZE], head=head)
            head = None
        return len(body)

    def json(self, value: Any, status_code: int = 200) -> None:
        """Answers JSON, with this status. TypeError or ValueError for what JSON can't say; nothing is sent then."""
        body = json_bytes(value)
        check_status(status_code)
        if self._still_open("JSON's head"):
            self.set_header("Content-Type", "application/json")
            self.status_code = status_code
        self.write(body)

    def flush(self) -> None:
        """Asks the host to hand on what was written; it does so anyway as soon as it can."""
        if self.started:
            self._outgoing.put(None)

    async def drain(self) -> None:
        """Waits until the client has caught up."""
        await self._outgoing.drain()

    def _head(self) -> Head:
        """Status and headers, which may also have been put into the dict."""
        check_status(self.status_code)
        headers = [(name, _listed(values)) for name, values in self.headers.items()]
        for name, values in headers:
            for value in values:
                check_header(name, value)
        return self.status_code, headers

    def finish(self) -> None:
        """Ends the response; done for a handler that has returned. May be called twice."""
        if not self.finished:
            self._outgoing.put(head=None if self.started else self._head(), last=True)

    def cut_off(self) -> None:
        """Ends the response where it is, without its end; done for a handler that has failed."""
        if not self.finished:
            self._outgoing.cut()


def _listed(values: list[str] | str) -> list[str]:
    return [values] if isinstance(values, str) else list(values)
