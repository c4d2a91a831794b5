"""The plugin's own web server: what it is besides the way that requests take."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import unix_connect

from effect_plugin._loops import EventLoop
from effect_plugin._serving.handler import RequestHandler
from effect_plugin._serving.http_socket import HttpSocket
from mattermost_plugin import HookName, Plugin, hook
from mattermost_plugin.http import HTTPRequest, HTTPResponseWriter

from .conftest import LIMIT, RunningPlugin, StartPlugin
from .test_http import ASYNC, HTTP
from .test_web import FASTAPI
from .ways import ROOT, WAYS, OverHttp, answer_of, connect, http_address, request_head

HTTP_WAY = WAYS[1]

MODULES = """
    class Modules(Plugin):
        @hook(HookName.ServeHTTP)
        async def serve(self, ctx, writer, request):
            writer.write(json.dumps(sorted(name for name in sys.modules if name.split(".")[0] in NAMES)))

    NAMES = {"uvicorn", "httptools", "h11", "websockets", "wsproto", "click"}
    run_plugin(Modules)
"""


def test_nothing_of_it_is_loaded_before_somebody_connects(start_plugin: StartPlugin, tmp_path: Path) -> None:
    plugin = start_plugin(MODULES)
    assert not (tmp_path / "http.sock").exists()
    address = http_address(plugin)
    assert address == f"unix:{tmp_path}/http.sock" == http_address(plugin)
    assert WAYS[0].ask(plugin, "/").body == b"[]"
    assert stat.S_IMODE((tmp_path / "http.sock").stat().st_mode) == 0o600
    assert b"uvicorn" in HTTP_WAY.ask(plugin, "/").body
    plugin.shut_down()
    assert plugin.wait() == 0
    assert not (tmp_path / "http.sock").exists()
    assert plugin.log() == "", "uvicorn does not talk"


def test_only_a_plugin_with_serve_http_offers_it(start_plugin: StartPlugin) -> None:
    from .conftest import IDLE

    assert http_address(start_plugin(IDLE)) == ""


def test_without_uvicorn_grpc_serves(start_plugin: StartPlugin) -> None:
    plugin = start_plugin("    sys.modules['uvicorn'] = None\n" + HTTP)
    assert http_address(plugin) == ""
    assert WAYS[0].ask(plugin, "/nothing").status == 200
    plugin.wait_for_log("pip install uvicorn")


def test_a_server_that_can_t_start_leaves_its_connections(start_plugin: StartPlugin, tmp_path: Path) -> None:
    plugin = start_plugin(
        """
    import uvicorn
    async def exits(self, sockets=None):
        sys.exit(3)
    uvicorn.Server.startup = exits
    """
        + HTTP
    )
    with connect(plugin) as waiting, pytest.raises(ConnectionResetError):
        waiting.recv(1)
    plugin.wait_for_log("RuntimeError: uvicorn could not start (it would exit with 3)")
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(OSError):
        client.connect(str(tmp_path / "http.sock"))
    assert WAYS[0].ask(plugin, "/nothing").status == 200, "the plugin lives on"
    plugin.shut_down()
    assert plugin.wait() == 0


def test_a_socket_that_can_t_be_made_is_an_error(start_plugin: StartPlugin, tmp_path: Path) -> None:
    from .conftest import code_of

    # In the way of the socket, and no file that is removed.
    (tmp_path / "http.sock").mkdir()
    plugin = start_plugin(HTTP)
    code, details = code_of(lambda: http_address(plugin))
    assert code.name == "INTERNAL" and "the plugin's web server has no socket" in details
    (tmp_path / "http.sock").rmdir()
    assert http_address(plugin) != ""


def test_requests_wait_for_it_to_be_loaded(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(HTTP)
    connections = [connect(plugin) for _ in range(20)]
    for connection in connections:
        connection.sendall(request_head("/nothing"))
    for connection in connections:
        assert connection.recv(12) == b"HTTP/1.1 200"
        connection.close()


def test_what_is_the_host_s_does_not_reach_a_plugin(start_plugin: StartPlugin) -> None:
    plugin = start_plugin("""
    class Seen(Plugin):
        @hook(HookName.ServeHTTP)
        async def serve(self, ctx, writer, request):
            ctx = {name: getattr(ctx, name) for name in ("request_id", "ip_address", "user_agent", "accept_language")}
            writer.write(json.dumps([request.headers, request.scheme, request.proto, request.remote_addr, ctx]))

    run_plugin(Seen)
    """)
    connection = connect(plugin)
    headers = [("user-agent", "browser"), ("Accept-Language", "de"), ("x-many", "1")]
    # Who has asked is the host's word as well, and meant for the plugin.
    head = request_head("/", headers=[*headers, ("plugin-supervisor-user-id", "alice")])
    head = head.replace(b"Proto: http\r\n", b"Proto: https\r\nX-Many: 2\r\n").replace(
        b"Protocol: HTTP/1.1", b"Protocol: HTTP/1.0"
    )
    connection.sendall(head)
    exchange: Any = OverHttp.__new__(OverHttp)
    import http.client

    exchange.response = http.client.HTTPResponse(connection)
    answer = answer_of(exchange)
    assert json.loads(answer.body) == [
        {
            # As our host has it by gRPC.
            "Host": ["example.org:8065"],
            "User-Agent": ["browser"],
            "Accept-Language": ["de"],
            "X-Many": ["1", "2"],
            "Plugin-Supervisor-User-Id": ["alice"],
            "X-Forwarded-For": ["192.0.2.1"],
            "X-Forwarded-Proto": ["https"],
            "X-Forwarded-Host": ["example.org:8065"],
        },
        "https",
        "HTTP/1.0",
        "192.0.2.1:1234",
        {"request_id": "r1", "ip_address": "192.0.2.1", "user_agent": "browser", "accept_language": "de"},
    ]
    assert not {"date", "server"} & set(answer.headers)
    connection.close()


SHAPES = """
    from mattermost_plugin.web import asgi

    async def app(scope, receive, send):
        kind = scope["path"].rsplit("/", 1)[1]
        if kind == "scope":
            told = {name: scope[name] for name in ("scheme", "client", "server", "http_version", "root_path", "path")}
            told["raw_path"] = scope["raw_path"].decode()
            told["names"] = sorted(name.decode() for name, _ in scope["headers"])
            body = json.dumps(told).encode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})
        elif kind == "slow":
            try:
                await asyncio.sleep(600)
            finally:
                logging.getLogger("app").info("slow has ended")
        elif kind == "interim":
            await send({"type": "http.response.start", "status": 103, "headers": []})
        elif kind == "header":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"a\\r\\nB: c")]})
        elif kind in ("length", "lengths"):
            values = {"length": [b"-1"], "lengths": [b"1", b"2"]}[kind]
            headers = [(b"Content-Length", value) for value in values]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        elif kind == "framed":
            headers = [(b"Transfer-Encoding", b"chunked"), (b"content-length", b"2"), (b"Content-Length", b"2")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"ab"})
        elif kind == "upload":
            read = 0
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RuntimeError("not reached: it is cancelled")
                read += len(message["body"])
                if not message["more_body"]:
                    break
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": str(read).encode()})
        else:
            headers = [(b"content-length", b"5")]
            await send({"type": "http.response.start", "status": int(kind), "headers": headers})
            await send({"type": "http.response.body", "body": b"ab", "more_body": True})
            await send({"type": "http.response.body", "body": b"cde"})

    import logging

    class Web(Plugin):
        serve = asgi(app)

    run_plugin(Web)
"""


def test_answers_have_the_shape_of_http(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(SHAPES)
    connection = connect(plugin)

    def ask(url: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """One after the other on a connection, so that what one leaves over is another's."""
        import http.client

        connection.sendall(request_head(url, method))
        response = http.client.HTTPResponse(connection, method=method)
        response.begin()
        body = response.read()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, body

    assert ask("/200") == (200, {"content-length": "5"}, b"abcde")
    assert ask("/200", "HEAD") == (200, {"content-length": "5"}, b"")
    assert ask("/204") == (204, {}, b"")
    assert ask("/304") == (304, {}, b"")
    assert ask("/framed") == (200, {"content-length": "2"}, b"ab")
    for kind, why in (
        ("interim", "103 is no status of a response"),
        ("header", "HTTP has no such header"),
        ("length", "HTTP has no such length: b'-1'"),
        ("lengths", "HTTP has no such length: b'2', beside b'1'"),
    ):
        assert ask(f"/{kind}")[0] == 500
        plugin.wait_for_log(why)
    status, _, body = ask("/a%2Fb%C3%B6/scope?x=1")
    told = json.loads(body)
    assert (status, told.pop("names")) == (200, ["host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"])
    assert told == {
        "scheme": "http",
        "client": ["192.0.2.1", 1234],
        "server": ["example.org", 8065],
        "http_version": "1.1",
        "root_path": ROOT,
        "path": f"{ROOT}/a/bö/scope",
        "raw_path": f"{ROOT}/a%2Fb%C3%B6/scope",
    }
    connection.close()


def test_an_application_ends_when_its_client_goes(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(SHAPES)
    slow = HTTP_WAY.open(plugin, "/slow", "GET", (), 0)
    HTTP_WAY.ask(plugin, "/200")
    slow.leave()
    plugin.wait_for_log("slow has ended")
    upload = HTTP_WAY.open(plugin, "/upload", "POST", (), 10)
    upload.send(b"half")
    HTTP_WAY.ask(plugin, "/200")
    upload.leave()
    assert HTTP_WAY.ask(plugin, "/upload", "POST", body=b"x" * 3_000_000).body == b"3000000"
    assert '"error"' not in plugin.log()


SOCKETS = """
    from fastapi import FastAPI, WebSocket, WebSocketDisconnect
    from mattermost_plugin.web import asgi

    app = FastAPI()

    @app.websocket("/echo")
    async def echo(connection: WebSocket):
        await connection.accept()
        told = [connection.scope["scheme"], connection.scope["root_path"], type(connection.scope["plugin"]).__name__]
        await connection.send_json([*told, connection.headers.get("plugin-supervisor-client")])
        try:
            while True:
                await connection.send_bytes(await connection.receive_bytes())
        except WebSocketDisconnect as error:
            logging.getLogger("app").info("left with %d", error.code)

    @app.websocket("/refused")
    async def refused(connection: WebSocket):
        await connection.close()

    @app.websocket("/fails")
    async def fails(connection: WebSocket):
        await connection.accept()
        raise ValueError("the secret is 42")

    @app.websocket("/floods")
    async def floods(connection: WebSocket):
        await connection.accept()
        while True:
            logging.getLogger("app").info("flooding")
            await connection.send_bytes(bytes(1_000_000))

    @app.websocket("/pushes")
    async def pushes(connection: WebSocket):
        await connection.accept()
        await connection.send_text("begun")
        try:
            await asyncio.sleep(600)
        finally:
            logging.getLogger("app").info("pushes no more")

    import logging

    class Web(Plugin):
        serve = asgi(app)

    run_plugin(Web)
"""


def open_socket(plugin: RunningPlugin, path: str) -> Any:
    told = {
        "Plugin-Supervisor-Target": ROOT + path,
        "Plugin-Supervisor-Client": "192.0.2.1:1234",
        "X-Forwarded-Proto": "https",
    }
    address = http_address(plugin)[len("unix:") :]
    return unix_connect(address, f"ws://example.org{path}", additional_headers=told, open_timeout=LIMIT)


def test_web_sockets(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(SOCKETS)
    with open_socket(plugin, "/echo") as connection:
        assert json.loads(connection.recv(LIMIT)) == ["wss", ROOT, "Web", None]
        for size in (0, 1, 1_000_000):
            connection.send(b"x" * size)
            assert connection.recv(LIMIT) == b"x" * size
    plugin.wait_for_log("left with 1000")
    with open_socket(plugin, "/pushes") as connection:
        connection.recv(LIMIT)
    plugin.wait_for_log("pushes no more")
    with pytest.raises(Exception, match="403"):
        open_socket(plugin, "/refused")
    with open_socket(plugin, "/fails") as connection:
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(LIMIT)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1011
    plugin.wait_for_log("ServeHTTP failed: WebSocket /fails")
    with open_socket(plugin, "/echo") as echo, open_socket(plugin, "/pushes") as pushes:
        for connection in (echo, pushes):
            connection.recv(LIMIT)
        plugin.shut_down()
        for connection in (echo, pushes):
            with pytest.raises(ConnectionClosed) as closed:
                connection.recv(LIMIT)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1001
    assert plugin.wait() == 0


def test_a_client_that_takes_nothing_does_not_hold_up_the_end(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(SOCKETS)
    address = http_address(plugin)[len("unix:") :]
    with socket.socket(socket.AF_UNIX) as stalled, open_socket(plugin, "/pushes") as pushes:
        stalled.connect(address)
        upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
        stalled.sendall(request_head("/floods", headers=[*upgrade, ("Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg==")]))
        plugin.wait_for_log("flooding")
        pushes.recv(LIMIT)
        plugin.shut_down()
        with pytest.raises(ConnectionClosed) as closed:
            pushes.recv(LIMIT)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1001
        assert plugin.wait() == 0


def test_it_does_not_poll(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Web(Plugin):
        @hook(HookName.ServeHTTP)
        async def serve(self, ctx: Any, writer: HTTPResponseWriter, request: HTTPRequest) -> None:
            writer.write("hello")

    sleep = asyncio.sleep

    async def only_yields(delay: float, result: Any = None) -> Any:
        assert delay == 0, "an idle plugin is woken by it, and its end waits for it"
        return await sleep(0, result)

    async def serve() -> tuple[bytes, bytes]:
        made = HttpSocket(RequestHandler(Web(), EventLoop.here(), EventLoop.here()), str(tmp_path / "http.sock"))
        made.open()
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "http.sock"))
        writer.write(request_head("/"))
        answer = await reader.readuntil(b"hello")
        await made.stop()
        # Its connections have ended as well: the rest of this one is its end.
        rest = await reader.read()
        writer.close()
        return answer, rest

    monkeypatch.setattr(asyncio, "sleep", only_yields)
    answer, rest = asyncio.run(serve())
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert rest.strip(b"\r\n0") == b""


@pytest.mark.parametrize("source", [HTTP, ASYNC], ids=["sync", "async"])
def test_only_applications_have_web_sockets(start_plugin: StartPlugin, source: str) -> None:
    plugin = start_plugin(source)
    with pytest.raises(Exception, match="403"):
        open_socket(plugin, "/echo")


def test_open_streams_don_t_hold_up_the_end(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(FASTAPI)
    events = HTTP_WAY.open(plugin, "/events", "GET", (), 0)
    assert events.head()[0] == 200 and events.read() == b"data: first\n\n"
    background = HTTP_WAY.ask(plugin, "/background?seconds=0.3")
    assert background.body == b'"answered"'
    idle = connect(plugin)
    plugin.shut_down()
    assert plugin.wait() == 0
    assert "done after 0.3 s" in plugin.log(), "what is soon done is done"
    assert "the listener has gone" in plugin.log()
    assert '"error"' not in plugin.log()
    idle.close()
    events.leave()


def test_requests_and_writers_are_made_by_tests_as_well() -> None:
    request, writer = HTTPRequest("POST", "/a?b=c", body=b"body"), HTTPResponseWriter()
    assert (request.method, request.body, request.content_length, request.root_path) == ("POST", b"body", 4, "")
    writer.set_header("X", "1")
    writer.write_header(201)
    assert writer.write("more than waits for a client" * 100_000) == 2_800_000
    assert (writer.status_code, writer.headers, writer.started, writer.finished) == (201, {"X": ["1"]}, True, False)
    for status in (99, 100, 199, 600, 999):
        with pytest.raises(ValueError, match="200 to 599"):
            HTTPResponseWriter().write_header(status)


def test_sockets_of_a_group(start_plugin: StartPlugin, tmp_path: Path) -> None:
    plugin = start_plugin(HTTP, PLUGIN_UNIX_SOCKET_GROUP=str(os.getgid()))
    assert http_address(plugin)
    assert stat.S_IMODE((tmp_path / "http.sock").stat().st_mode) == 0o660


def test_a_writer_s_length_that_is_none_is_a_500(start_plugin: StartPlugin) -> None:
    plugin = start_plugin("""
    class Wrong(Plugin):
        @hook(HookName.ServeHTTP)
        def serve(self, ctx, writer, request):
            writer.set_header("Content-Length", "abc")
            writer.write("abcde")

    run_plugin(Wrong)
    """)
    answer = WAYS[1].ask(plugin, "/")
    assert (answer.status, answer.body) == (500, b"Internal Server Error")
    assert "HTTP has no such length" in plugin.log()
