"""What the host tells of a request, in headers that it alone can set."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote, unquote, urlsplit

from .. import _trace as trace
from ..http import HTTPRequest, split_target

#: Headers of the host's own: no client can send them, and nothing of the plugin's sees them, but who has asked.
_OWN = b"plugin-supervisor-"
_USER = b"plugin-supervisor-user-id"

#: The host's connection, whichever the client's is. What else is about one the host has left out.
_OF_CONNECTION = b"connection"

_NOTED = {
    b"accept-language",
    b"content-length",
    b"host",
    b"traceparent",
    b"transfer-encoding",
    b"user-agent",
    b"x-forwarded-for",
    b"x-forwarded-proto",
}

RawHeaders = list[tuple[bytes, bytes]]


@lru_cache(maxsize=256)
def _kind_of(name: bytes) -> tuple[bytes | None, bool]:
    """As which word of the host's a header is noted, if as any, and whether it is one of the client's."""
    if name.startswith(_OWN) and name != _USER:
        return name[len(_OWN) :], False
    return name if name in _NOTED else None, name != _OF_CONNECTION


class Told:
    """The host's word on one request, and the headers that are the client's."""

    __slots__ = ("_words", "headers", "raw_path")

    def __init__(self, raw_path: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.raw_path = raw_path
        self.headers: RawHeaders = []
        self._words: dict[bytes, bytes] = {}
        for field in headers:
            word, is_clients = _kind_of(field[0])
            if is_clients:
                self.headers.append(field)
            if word is not None:
                self._words[word] = field[1]

    def _word(self, name: bytes) -> str:
        return self._words.get(name, b"").decode("latin-1")

    @property
    def target(self) -> str:
        """The target as the client wrote it."""
        return self._word(b"target")

    @property
    def protocol(self) -> str:
        """The client's protocol."""
        return self._word(b"protocol") or "HTTP/1.1"

    @property
    def request_id(self) -> str:
        """What the host calls the request."""
        return self._word(b"request-id")

    @property
    def peer(self) -> str:
        """Who has connected to the host, as `address:port`."""
        return self._word(b"client")

    @property
    def host(self) -> str:
        """Who was asked."""
        return self._word(b"host")

    @property
    def accept_language(self) -> str:
        """The languages that the client wants."""
        return self._word(b"accept-language")

    @property
    def user_agent(self) -> str:
        """What the client is."""
        return self._word(b"user-agent")

    @property
    def has_body(self) -> bool:
        """Whether the request has a body."""
        return b"transfer-encoding" in self._words or self._words.get(b"content-length", b"0") != b"0"

    @property
    def scheme(self) -> str:
        """`http` or `https`, as the client has asked."""
        return "https" if self._words.get(b"x-forwarded-proto") == b"https" else "http"

    @property
    def client(self) -> tuple[str, int]:
        """Who has asked: the peer, or who stands behind it where that is a trusted proxy."""
        return _client(self._words.get(b"client", b""), self._words.get(b"x-forwarded-for", b""))

    @property
    def peer_address(self) -> str:
        """Who has connected to the host, without the port."""
        return _client(self._words.get(b"client", b""), b"")[0]

    def enter_trace(self) -> None:
        """Takes over the trace that the request belongs to."""
        if b"traceparent" in self._words:
            trace.enter([("traceparent", self._word(b"traceparent"))])

    def root_path(self) -> str:
        """See `HTTPRequest.root_path`."""
        return root_path_of(split_target(self.target)[0], self.raw_path.decode("latin-1"))


# A client's connection stays the same for many requests.
@lru_cache(maxsize=256)
def _client(peer: bytes, forwarded: bytes) -> tuple[str, int]:
    address = address_of(peer.decode("latin-1"))
    first = forwarded.decode("latin-1").partition(",")[0].strip()
    return address if not first or first == address[0] else (first, 0)


@lru_cache(maxsize=256)
def canonical(name: bytes) -> str:
    """A header's name as Go spells it, and with it the contract's hosts."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.decode("latin-1").split("-"))


@lru_cache(maxsize=64)
def root_path_of(whole: str, path: str) -> str:
    """What a target's path has before the path below it, decoded."""
    if whole.endswith(path):
        return unquote(whole[: len(whole) - len(path)])
    whole, path = unquote(whole), unquote(path)
    if whole.endswith(path):
        return whole[: len(whole) - len(path)]
    return whole if path == "/" else ""


@lru_cache(maxsize=64)
def _quoted(root_path: str) -> bytes:
    return quote(root_path).encode("latin-1")


def paths(root_path: str, raw_path: bytes) -> tuple[str, bytes]:
    """`path` and `raw_path` as ASGI 3.0 wants them: with what they are below."""
    path = raw_path.decode("latin-1")
    return root_path + (unquote(path) if "%" in path else path), _quoted(root_path) + raw_path


@lru_cache(maxsize=64)
def server_of(host: str, scheme: str = "http") -> tuple[str, int]:
    """Who was asked, by the Host header."""
    port = 443 if scheme in ("https", "wss") else 80
    try:
        url = urlsplit(f"//{host}")
        return url.hostname or "localhost", url.port or port
    except ValueError:
        return "localhost", port


def address_of(text: str) -> tuple[str, int]:
    """Go's `host:port`, with brackets around IPv6."""
    host, _, port = text.rpartition(":")
    return host.strip("[]") or text, int(port) if port.isdigit() else 0


def client_of(request: HTTPRequest) -> tuple[str, int]:
    """Who has asked."""
    return request._client or address_of(request.remote_addr)
