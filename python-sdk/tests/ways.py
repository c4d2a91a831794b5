"""The two ways to a plugin's ServeHTTP, each as a client: the contract's gRPC, and HTTP on the plugin's own socket."""

from __future__ import annotations

import http.client
import queue
import socket
import time
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple, Protocol

import grpc
import pytest

from effect_plugin._descriptors import message_class

from .conftest import LIMIT, RunningPlugin
from .wire import HTTPHeader, ServeHTTPRequest, ServeHTTPRequestInit

ROOT = "/plugins/my-plugin"

Headers = Sequence[tuple[str, str]]


class Answer(NamedTuple):
    """A response, as far as it came."""

    status: int
    headers: dict[str, list[str]]
    body: bytes
    whole: bool


class Exchange(Protocol):
    """A request that is being sent, and its response."""

    def send(self, piece: bytes) -> None:
        """Sends a piece of the body."""

    def end(self) -> None:
        """Ends the body."""

    def head(self) -> tuple[int, dict[str, list[str]]]:
        """Status and headers, in lower case."""

    def read(self) -> bytes:
        """The next of the body that comes; empty at its end. ConnectionError when it is cut off."""

    def leave(self) -> None:
        """The client goes."""


class Way(NamedTuple):
    """How a request comes to the plugin."""

    name: str
    open: Callable[..., Exchange]

    def ask(
        self, plugin: RunningPlugin, url: str, method: str = "GET", headers: Headers = (), body: bytes | None = None
    ) -> Answer:
        """A request with a body of a known length, or none, and its response."""
        exchange = self.open(plugin, url, method, headers, 0 if body is None else len(body))
        if body is not None:
            exchange.send(body)
        exchange.end()
        return answer_of(exchange)


def answer_of(exchange: Exchange) -> Answer:
    """The response to a request."""
    status, headers = exchange.head()
    body, whole = b"", True
    try:
        while piece := exchange.read():
            body += piece
    except ConnectionError:
        whole = False
    return Answer(status, headers, body, whole)


class OverGrpc:
    """A request by the contract."""

    def __init__(self, plugin: RunningPlugin, url: str, method: str, headers: Headers, length: int | None) -> None:
        # Without the probe gRPC's buffers stay as they are: it makes them larger as long as data comes quickly.
        options = [("grpc.http2.bdp_probe", 0)]
        self._channel = grpc.insecure_channel(f"unix:{plugin.address}", options=options)
        channel, plugin.channel = plugin.channel, self._channel
        self._outgoing: queue.Queue[Any] = queue.Queue()
        self._call = plugin.serve_http(iter(self._outgoing.get, None), timeout=10 * LIMIT)
        plugin.channel = channel
        self._is_complete = length == 0
        init = ServeHTTPRequestInit(
            method=method,
            url=url,
            request_uri=ROOT + url,
            host="example.org:8065",
            proto="HTTP/1.1",
            proto_major=1,
            proto_minor=1,
            remote_addr="192.0.2.1:1234",
            content_length=-1 if length is None else length,
            headers=[HTTPHeader(key=name, values=[value]) for name, value in headers],
            plugin_context={"request_id": "r1", "ip_address": "192.0.2.1"},
        )
        self._outgoing.put(ServeHTTPRequest(init=init, body_complete=self._is_complete))
        self._first: Any = None
        self._ended = False

    def send(self, piece: bytes) -> None:
        self._outgoing.put(ServeHTTPRequest(body_chunk=piece))

    def end(self) -> None:
        if not self._is_complete:
            self._outgoing.put(ServeHTTPRequest(body_complete=True))
        self._outgoing.put(None)

    def head(self) -> tuple[int, dict[str, list[str]]]:
        self._first = next(self._call)
        headers: dict[str, list[str]] = {}
        for header in self._first.init.headers:
            headers.setdefault(header.key.lower(), []).extend(header.values)
        return self._first.init.status_code, headers

    def read(self) -> bytes:
        while not self._ended:
            message, self._first = self._first or next(self._call, None), None
            if message is None:
                raise ConnectionError("no end")
            self._ended = message.body_complete
            if message.body_chunk:
                return bytes(message.body_chunk)
        return b""

    def leave(self) -> None:
        self._call.cancel()
        self._outgoing.put(None)


class OverGrpcGuarded(OverGrpc):
    """Its failures are those of a connection."""

    def read(self) -> bytes:
        try:
            return super().read()
        except grpc.RpcError as error:
            raise ConnectionError(str(error)) from error


def http_address(plugin: RunningPlugin) -> str:
    """Where the plugin serves HTTP, which it is asked; empty where it does not."""
    request, response = (message_class(f"plugin_supervisor.v1.Describe{kind}") for kind in ("Request", "Response"))
    address: str = plugin.rpc("/plugin_supervisor.v1.PluginOffers/Describe", request(), response).http.address
    return address


def connect(plugin: RunningPlugin) -> socket.socket:
    """A connection to the plugin's web server."""
    address = http_address(plugin)
    assert address.startswith("unix:/"), plugin.log()
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(LIMIT)
    connection.connect(address[len("unix:") :])
    return connection


def request_head(url: str, method: str = "GET", headers: Headers = (), length: int | None = 0) -> bytes:
    """A request's head, as the host writes it."""
    framing = {None: "Transfer-Encoding: chunked\r\n", 0: ""}.get(length, f"Content-Length: {length}\r\n")
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return (
        f"{method} {url} HTTP/1.1\r\nHost: example.org:8065\r\n{framing}{fields}X-Forwarded-For: 192.0.2.1\r\n"
        "X-Forwarded-Proto: http\r\nX-Forwarded-Host: example.org:8065\r\nPlugin-Supervisor-Request-Id: r1\r\n"
        f"Plugin-Supervisor-Target: {ROOT}{url}\r\nPlugin-Supervisor-Client: 192.0.2.1:1234\r\n"
        "Plugin-Supervisor-Protocol: HTTP/1.1\r\n\r\n"
    ).encode("latin-1")


class OverHttp:
    """A request on the plugin's socket."""

    def __init__(self, plugin: RunningPlugin, url: str, method: str, headers: Headers, length: int | None) -> None:
        self.socket = connect(plugin)
        self._is_chunked = length is None
        self.socket.sendall(request_head(url, method, headers, length))
        self.response = http.client.HTTPResponse(self.socket, method=method)

    def send(self, piece: bytes) -> None:
        self.socket.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if self._is_chunked else piece)

    def end(self) -> None:
        if self._is_chunked:
            self.socket.sendall(b"0\r\n\r\n")

    def head(self) -> tuple[int, dict[str, list[str]]]:
        self.response.begin()
        headers: dict[str, list[str]] = {}
        for name, value in self.response.getheaders():
            headers.setdefault(name.lower(), []).append(value)
        return self.response.status, headers

    def read(self) -> bytes:
        try:
            piece = self.response.read1(65536)
        except (http.client.HTTPException, OSError) as error:
            raise ConnectionError(str(error)) from error
        if not piece and self.response.length:
            raise ConnectionError("no end")
        return piece

    def leave(self) -> None:
        # The response has a file of the socket of its own.
        self.response.close()
        self.socket.close()


WAYS = [Way("grpc", OverGrpcGuarded), Way("http", OverHttp)]

each_way = pytest.mark.parametrize("way", WAYS, ids=[way.name for way in WAYS])


def until(condition: Callable[[], bool]) -> None:
    """Waits for something to become true."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)
