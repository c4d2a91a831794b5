"""A web application as a plugin's ServeHTTP: WSGI (Flask, Django) and ASGI (FastAPI, Starlette), streamed both ways."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import sys
from collections.abc import AsyncIterator, Iterable
from typing import Any, Callable, cast
from urllib.parse import unquote

from ._hooks import serves_http, signature_of
from ._router import Router
from ._serving.told import client_of, paths, server_of
from .http import ClientDisconnected, HTTPRequest, HTTPResponseWriter, split_target
from .logs import own_logger

_log = own_logger("effect_plugin")

#: Seconds an ASGI application has to start up, and to shut down: less than hosts wait for the handshake.
LIFESPAN_LIMIT = 20.0


def wsgi(application: Callable[..., Iterable[bytes]]) -> Callable[..., None]:
    """Makes a WSGI application (PEP 3333) the handler of ServeHTTP: `serve = wsgi(app)` in the plugin's class.

    Requests run on the handlers' threads. The application finds the plugin as `effect_plugin.plugin` in its environ; in
    plugins for Mattermost's contract as `mattermost.plugin` too, and who asks as `HTTP_MATTERMOST_USER_ID`.
    """

    if not callable(application) or _is_async(application):
        raise TypeError(f"wsgi() takes a WSGI application, not {_described(application)}")

    def serve_http(owner: Any, context: Any, writer: HTTPResponseWriter, request: HTTPRequest) -> None:
        has_begun = False

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], Any]:
            nonlocal has_begun
            has_begun = True
            if exc_info is not None and writer.started:
                raise exc_info[1].with_traceback(exc_info[2])
            # An error's head takes the place of the one there was.
            writer.clear_headers()
            writer.status_code = int(status.split(" ", 1)[0])
            for name, value in headers:
                writer.add_header(name, value)
            return writer.write

        answer = application(_environ(_plugin_of(owner), request), start_response)
        try:
            for piece in answer:
                if piece:
                    if not has_begun:
                        break
                    writer.write(piece)
        finally:
            close = getattr(answer, "close", None)
            if close is not None:
                close()
        if not has_begun:
            raise RuntimeError("the application did not call start_response")
        if not writer.started:
            writer.write(b"")

    return serves_http(serve_http)  # type: ignore[no-any-return]


def _names_of(plugin: Any) -> tuple[str, ...]:
    contract = getattr(plugin, "_contract", None)
    return () if contract is None else cast("tuple[str, ...]", contract.wsgi_names)


def _plugin_of(owner: Any) -> Any:
    return owner.plugin if isinstance(owner, Router) else owner


def _is_async(application: Any) -> bool:
    return inspect.iscoroutinefunction(application) or inspect.iscoroutinefunction(type(application).__call__)


def _takes(application: Any, arguments: int) -> bool:
    try:
        signature_of(application).bind(*range(arguments))
    except TypeError:
        return False
    except ValueError:
        # Written in C: nobody knows.
        return True
    return True


def _described(application: Any) -> str:
    if not callable(application):
        return f"a {type(application).__name__}"
    return f"{application!r}; that one is for {'asgi' if _is_async(application) else 'wsgi'}()"


def _environ(plugin: Any, request: HTTPRequest) -> dict[str, Any]:
    path, query = split_target(request.url)
    host, port = server_of(request.host, request.scheme)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        # PEP 3333 wants bytes in the clothes of Latin-1.
        "SCRIPT_NAME": request.root_path.encode().decode("latin-1"),
        "PATH_INFO": unquote(path, "latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": request.proto or "HTTP/1.1",
        "REMOTE_ADDR": client_of(request)[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.scheme,
        "wsgi.input": io.BufferedReader(_Body(request), HTTPResponseWriter.MAX_CHUNK_SIZE),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        # A body of unknown length ends by itself here.
        "wsgi.input_terminated": True,
        **dict.fromkeys(_names_of(plugin), plugin),
    }
    for name, values in request.headers.items():
        if "_" in name:
            # It would pass for the header with dashes: for `Mattermost-User-Id`, which only the host may set.
            continue
        key = name.upper().replace("-", "_")
        value = ("; " if key == "COOKIE" else ",").join(values)
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    environ.setdefault("HTTP_HOST", request.host)
    if request.content_length >= 0:
        environ["CONTENT_LENGTH"] = str(request.content_length)
    return environ


class _Body(io.RawIOBase):
    """A request's body as a file; read as it arrives."""

    def __init__(self, request: HTTPRequest) -> None:
        self._pieces = iter(request.stream())
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        piece, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


def asgi(application: Callable[..., Any]) -> Callable[..., Any]:
    """Makes an ASGI application (3.0) the handler of ServeHTTP: `serve = asgi(app)` in the plugin's class.

    The application finds the plugin as `plugin` in its scope, and the host API as that plugin's `async_api`. When the
    client goes, the application is cancelled. Lifespan events are sent: the application starts up before the plugin
    does, and shuts down when the plugin has been stopped; one that can't start up keeps the plugin from starting.
    """
    if not callable(application) or not (_is_async(application) or _takes(application, 3)):
        raise TypeError(f"asgi() takes an ASGI application, not {_described(application)}")
    state: dict[str, Any] = {}

    async def serve_http(owner: Any, context: Any, writer: HTTPResponseWriter, request: HTTPRequest) -> None:
        body = request._incoming
        is_read = False
        answered = asyncio.Event()

        async def receive() -> dict[str, Any]:
            nonlocal is_read
            if not is_read:
                # Who only looks, and cancels this at once (`is_disconnected` of FastAPI), must not have taken a piece.
                await asyncio.sleep(0)
                try:
                    piece = await body.read()
                except ClientDisconnected:
                    return {"type": "http.disconnect"}
                is_read = body.at_end()
                return {"type": "http.request", "body": piece, "more_body": not is_read}
            # A client that goes earlier cancels us.
            await answered.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if answered.is_set():
                raise RuntimeError("the response has ended")
            if message["type"] == "http.response.start":
                for name, value in message.get("headers", ()):
                    writer.add_header(name.decode("latin-1"), value.decode("latin-1"))
                writer.write_header(message["status"])
            elif message["type"] == "http.response.body":
                piece = message.get("body", b"")
                if piece:
                    writer.write(piece)
                    await writer.drain()
                if not message.get("more_body", False):
                    # The application may go on: with its background tasks, say.
                    writer.finish()
                    answered.set()

        try:
            await application({**_scope(_plugin_of(owner), request), "state": state.copy()}, receive, send)
        except Exception:
            # An application may raise once more what it has answered already, for the server to log.
            if not answered.is_set():
                raise
            _log.exception("ServeHTTP failed: %s %s", request.method, split_target(request.url)[0])
        else:
            if not answered.is_set():
                raise RuntimeError("the application returned before its response had ended")

    handler: Any = serves_http(serve_http)
    handler.application = application
    handler.state = state
    handler.lifespan = lambda plugin: _lifespan(application, plugin, state)
    return handler  # type: ignore[no-any-return]


@contextlib.asynccontextmanager
async def _lifespan(application: Callable[..., Any], plugin: Any, state: dict[str, Any]) -> AsyncIterator[None]:
    """The life of an ASGI application (ASGI 3.0, "Lifespan Protocol"); one that does not know of it has none."""
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[str] = asyncio.Queue()
    answers = {"startup": loop.create_future(), "shutdown": loop.create_future()}

    async def receive() -> dict[str, str]:
        return {"type": f"lifespan.{await events.get()}"}

    async def send(message: dict[str, Any]) -> None:
        _, event, outcome = message["type"].split(".")
        if not answers[event].done():
            answers[event].set_result(None if outcome == "complete" else message.get("message") or "no reason is given")

    async def tell(event: str) -> str | None:
        await events.put(event)
        done, _ = await asyncio.wait(
            [answers[event], running], timeout=LIFESPAN_LIMIT, return_when=asyncio.FIRST_COMPLETED
        )
        if answers[event] in done:
            return cast("str | None", answers[event].result())
        return None if running in done else f"it did not answer within {LIFESPAN_LIMIT} s"

    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state, "plugin": plugin}
    running = asyncio.ensure_future(application(scope, receive, send))
    # An application without a lifespan raises, which is no failure.
    running.add_done_callback(lambda task: task.cancelled() or task.exception())
    failure = await tell("startup")
    if failure is not None:
        running.cancel()
        raise RuntimeError(f"the web application could not start up: {failure}")
    try:
        yield
    finally:
        if not running.done() and (failure := await tell("shutdown")) is not None:
            _log.error("the web application could not shut down: %s", failure)
        running.cancel()


def _scope(plugin: Any, request: HTTPRequest) -> dict[str, Any]:
    path, query = split_target(request.url)
    root_path = request.root_path
    full_path, raw_path = paths(root_path, path.encode("latin-1"))
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, values in request.headers.items()
        for value in values
    ]
    if not any(name == b"host" for name, _ in headers):
        headers.insert(0, (b"host", request.host.encode("latin-1")))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": f"{request.proto_major}.{request.proto_minor}" if request.proto_major == 1 else "2",
        "method": request.method,
        "scheme": request.scheme,
        # ASGI 3.0 wants the path with what it is below.
        "path": full_path,
        "raw_path": raw_path,
        "query_string": query.encode("latin-1"),
        "root_path": root_path,
        "headers": headers,
        "client": client_of(request),
        "server": server_of(request.host, request.scheme),
        "plugin": plugin,
    }
