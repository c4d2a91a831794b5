"""ServeHTTP by handlers, on both ways: over the contract's gRPC, and on the plugin's own web server."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from pathlib import Path
from typing import Callable

import grpc
import pytest

from .conftest import RunningPlugin, StartPlugin, code_of
from .test_http import ASYNC, HTTP, get, init
from .ways import WAYS, Answer, Exchange, OverGrpc, Way, answer_of, each_way, until


@each_way
def test_bodies_stream_both_ways(start_plugin: StartPlugin, way: Way) -> None:
    for source, path, change in ((HTTP, "/echo", bytes), (ASYNC, "/upper", bytes.upper)):
        exchange = way.open(start_plugin(source), path, "POST", (), None)
        for number, part in enumerate((b"one", b"two")):
            exchange.send(part)
            if number == 0:
                assert exchange.head()[0] == 200
            assert exchange.read() == change(part), "it arrives while the request goes on"
        exchange.end()
        assert exchange.read() == b""


@each_way
def test_failures_are_plain(start_plugin: StartPlugin, way: Way) -> None:
    plugin = start_plugin(HTTP)
    for url in ("/fail", "/bad_status", "/bad_header", "/bad_headers", "/odd_body", "/returned"):
        failed = way.ask(plugin, url)
        assert (failed.status, failed.body, failed.whole) == (500, b"Internal Server Error", True)
        assert failed.headers.pop("content-type") == ["text/plain; charset=utf-8"]
        assert failed.headers in ({}, {"content-length": ["21"]}), "nothing of the handler's own is left"
        plugin.wait_for_log(f"ServeHTTP (Http.serve) failed: GET {url}")
    cut_off = way.ask(plugin, "/fail_late")
    assert (cut_off.status, cut_off.body, cut_off.whole) == (200, b"begun", False)
    assert "42" not in str(cut_off.headers)


@each_way
@pytest.mark.parametrize("source", [HTTP, ASYNC], ids=["sync", "async"])
def test_half_an_upload_does_not_pass_for_a_whole_one(start_plugin: StartPlugin, way: Way, source: str) -> None:
    plugin = start_plugin(source)
    # Of an unknown length, since an async handler begins when a small body is there.
    upload = way.open(plugin, "/save", "POST", (), None)
    upload.send(b"half")
    assert upload.head()[0] == 200 and upload.read() == b"begun"
    upload.leave()
    assert "saved" not in plugin.wait_for_log("the upload broke off")
    upload = way.open(plugin, "/save", "POST", (), None)
    upload.send(b"half")
    assert upload.head()[0] == 200 and upload.read() == b"begun"
    upload.send(b"half")
    upload.end()
    assert upload.read() == b""
    plugin.wait_for_log("saved 8 bytes")


def stalled(plugin: RunningPlugin, way: Way) -> Exchange:
    """A request for a body without end, of which nothing more is read; the handler has stopped writing."""
    exchange = way.open(plugin, "/for_ever", "GET", (), 0)
    exchange.end()
    exchange.head()
    before = -1
    written = 0

    def stopped() -> bool:
        nonlocal before, written
        before, written = written, int(way.ask(plugin, "/so_far").body)
        assert written < 64 * 1024 * 1024, "a client that does not read is written to without end"
        return 0 < written == before

    until(stopped)
    return exchange


@each_way
@pytest.mark.parametrize("source", [HTTP, ASYNC], ids=["sync", "async"])
def test_a_handler_hears_that_its_client_has_gone(start_plugin: StartPlugin, way: Way, source: str) -> None:
    plugin = start_plugin(source)
    stalled(plugin, way).leave()
    assert re.search(r"(gone|CancelledError|ClientDisconnected) after \d+ bytes", plugin.wait_for_log(" bytes"))
    assert way.ask(plugin, "/so_far").status == 200
    assert "error" not in [line.split('"')[3] for line in plugin.log().splitlines() if line.startswith("{")], (
        "a client that goes is no error of anybody's"
    )


ODD = """
    class Odd(Plugin):
        http_stall_limit = 0.3
        http_threads = 2
        left = 0

        @hook(HookName.ServeHTTP)
        async def serve(self, ctx, writer, request):
            await getattr(self, request.url.strip("/"))(writer, request)

        async def cancelled(self, writer, request):
            task = asyncio.ensure_future(asyncio.sleep(600))
            asyncio.get_running_loop().call_soon(task.cancel)
            await task

        async def cancelled_late(self, writer, request):
            writer.write("begun")
            await writer.drain()
            await self.cancelled(writer, request)

        async def small(self, writer, request):
            writer.write(request.body)

        async def slow(self, writer, request):
            Odd.left += 1
            try:
                await asyncio.sleep(600)
            finally:
                Odd.left -= 1

        async def count(self, writer, request):
            writer.write(str(Odd.left))

        async def trace(self, writer, request):
            from effect_plugin import _trace as trace
            writer.write(str(trace.metadata()))

    run_plugin(Odd)
"""


@each_way
def test_async_handlers(start_plugin: StartPlugin, way: Way) -> None:
    plugin = start_plugin(ODD)
    failed = way.ask(plugin, "/cancelled")
    assert (failed.status, failed.body) == (500, b"Internal Server Error")
    assert "CancelledError" in plugin.wait_for_log("ServeHTTP (Odd.serve) failed: GET /cancelled")
    late = way.ask(plugin, "/cancelled_late")
    assert (late.status, late.body, late.whole) == (200, b"begun", False)
    # Whatever it says of its length.
    exchange = way.open(plugin, "/small", "POST", (), None)
    exchange.send(b"a")
    exchange.send(b"b")
    exchange.end()
    assert answer_of(exchange).body == b"ab"
    leaving = [way.open(plugin, "/slow", "GET", (), 0) for _ in range(3)]
    until(lambda: way.ask(plugin, "/count").body == b"3")
    for exchange in leaving:
        exchange.leave()
    until(lambda: way.ask(plugin, "/count").body == b"0")


STALLING = """
    class Stalling(Plugin):
        http_stall_limit = 0.5
        http_threads = 2

        @hook(HookName.ServeHTTP)
        def serve(self, ctx, writer, request):
            if request.url == "/large":
                writer.write(b"x" * 32 * 1024 * 1024)
            elif request.url == "/ahead":
                writer.write(b"x" * 900_000)
            elif request.url == "/read":
                writer.write(str(len(request.body)))
            else:
                writer.write("alive")

    run_plugin(Stalling)
"""

STALLING_WSGI = """
    from mattermost_plugin.web import wsgi

    def app(environ, start_response):
        path = environ["PATH_INFO"]
        start_response("200 OK", [])
        if path == "/large":
            return (b"x" * 65536 for _ in range(512))
        if path == "/read":
            return [str(len(environ["wsgi.input"].read())).encode()]
        return [b"x" * 900_000 if path == "/ahead" else b"alive"]

    class Stalling(Plugin):
        http_stall_limit = 0.5
        http_threads = 2
        serve = wsgi(app)

    run_plugin(Stalling)
"""


@each_way
@pytest.mark.parametrize("source", [STALLING, STALLING_WSGI], ids=["handler", "wsgi"])
def test_clients_that_stall_don_t_keep_the_threads(start_plugin: StartPlugin, way: Way, source: str) -> None:
    plugin = start_plugin(source)
    # More of each than there are threads.
    stalling = []
    for path, method, length in (("/large", "GET", 0), ("/ahead", "GET", 0), ("/read", "POST", 10)):
        for _ in range(3):
            exchange = way.open(plugin, path, method, (), length)
            if length:
                exchange.send(b"half")
            stalling.append(exchange)
    answers: list[Answer] = []

    def alive() -> bool:
        answers.append(way.ask(plugin, "/"))
        return answers[-1].body == b"alive"

    until(alive)
    plugin.wait_for_log("the client has taken nothing of its response for 0.5 s")
    plugin.wait_for_log("the client has sent nothing of its request for 0.5 s")
    for exchange in stalling[3:6]:
        assert len(answer_of(exchange).body) == 900_000, "what fits ahead of the client is not lost"
    # Nor their connections; some may have been served only now.
    large = [answer_of(exchange) for exchange in stalling[:3]]
    assert not all(answer.whole for answer in large)
    for exchange in stalling:
        exchange.leave()


UNTAKEN = """
    import gc
    from effect_plugin._outgoing import Outgoing

    class Untaken(Plugin):
        http_stall_limit = 0.1

        @hook(HookName.ServeHTTP)
        def serve(self, ctx, writer, request):
            if request.url == "/held":
                gc.collect()
                writer.write(str(sum(isinstance(thing, Outgoing) for thing in gc.get_objects())))
            elif request.url == "/large":
                writer.write(b"x" * 32 * 1024 * 1024)
            else:
                writer.write(b"x" * 900_000)
                if request.url == "/fails":
                    raise RuntimeError("after a part of the response")
                writer.finish()
                raise RuntimeError("after the response")

    run_plugin(Untaken)
"""

#: Has responses that have failed cut off at once.
NO_PATIENCE = """
    from effect_plugin import _outgoing as outgoing
    outgoing.CUT_PATIENCE = 0
"""

FAILED = (grpc.StatusCode.INTERNAL, "plugin Untaken: ServeHTTP failed after it had begun")


def end_of(exchange: OverGrpc) -> tuple[grpc.StatusCode, str]:
    """How a call ends that fails, once all of its response has been read."""

    def read_all() -> None:
        exchange.head()
        while exchange.read():
            pass

    return code_of(read_all)


class Between:
    """Hands a connection's bytes on to a plugin, and those of the plugin as long as it goes on."""

    def __init__(self, address: str, plugin: str) -> None:
        self.address = address
        self.goes_on = threading.Event()
        self.goes_on.set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(address)
        self._listener.listen()
        self._plugin = plugin
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with self._listener:
            host, plugin = self._listener.accept()[0], socket.socket(socket.AF_UNIX)
        plugin.connect(self._plugin)
        threading.Thread(target=self._hand_on, args=(host, plugin), daemon=True).start()
        self._hand_on(plugin, host, self.goes_on.wait)

    @staticmethod
    def _hand_on(source: socket.socket, sink: socket.socket, wait: Callable[[], object] = lambda: None) -> None:
        with contextlib.suppress(OSError), source:
            while piece := source.recv(65536):
                wait()
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("path", ["/large", "/fails"])
def test_a_call_of_which_nothing_is_taken_is_kept_by_nobody_and_ends(start_plugin: StartPlugin, path: str) -> None:
    plugin = start_plugin(UNTAKEN)
    exchanges = [OverGrpc(plugin, path, "GET", (), 0) for _ in range(2)]
    until(lambda: plugin.log().count(f": GET {path}") == len(exchanges))
    # But for the response of the request that asks.
    until(lambda: WAYS[0].ask(plugin, "/held").body == b"1")
    for exchange in exchanges:
        exchange.end()
        assert end_of(exchange) == FAILED


def test_a_call_that_fails_while_the_host_reads_nothing_ends(start_plugin: StartPlugin, tmp_path: Path) -> None:
    plugin = start_plugin(NO_PATIENCE + UNTAKEN)
    between = Between(f"{tmp_path}/between", plugin.address)
    # What of a response is not read may be more than fits into the connection.
    options = [("grpc.http2.lookahead_bytes", 8 * 1024 * 1024)]
    plugin.channel.close()
    plugin.channel = grpc.insecure_channel(f"unix:{between.address}", options=options)
    assert get(plugin, "/held")
    between.goes_on.clear()
    calls = [plugin.serve_http(iter([init("/fails", body_complete=True)])) for _ in range(4)]
    until(lambda: plugin.log().count(": POST /fails") == len(calls))
    between.goes_on.set()
    for call in calls:
        assert code_of(lambda: list(call)) == FAILED  # noqa: B023


@each_way
def test_a_failure_after_the_end_takes_nothing_from_the_response(start_plugin: StartPlugin, way: Way) -> None:
    plugin = start_plugin(NO_PATIENCE + UNTAKEN)
    exchange = way.open(plugin, "/finishes", "GET", (), 0)
    exchange.end()
    plugin.wait_for_log("ServeHTTP (Untaken.serve) failed: GET /finishes")
    # A response that is cut off has been by then.
    assert way.ask(plugin, "/held").whole
    answer = answer_of(exchange)
    assert (len(answer.body), answer.whole) == (900_000, True)


@each_way
def test_threads_that_can_t_be_started(start_plugin: StartPlugin, way: Way) -> None:
    plugin = start_plugin("""
    class Poor(Plugin):
        http_threads = 2

        @hook(HookName.ServeHTTP)
        def serve(self, ctx, writer, request):
            writer.write("fine")

    start, refused = threading.Thread.start, []

    def poor(thread):
        if thread.name.startswith("http") and len(refused) < 5:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    threading.Thread.start = poor
    run_plugin(Poor)
    """)
    statuses = [way.ask(plugin, "/").status for _ in range(8)]
    assert statuses == [503] * 5 + [200] * 3, "none has cost a thread"
    plugin.wait_for_log("no thread can be started")


@each_way
def test_the_trace_of_a_request_is_its_handler_s(start_plugin: StartPlugin, way: Way) -> None:
    if way.name == "http":
        traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        answer = way.ask(start_plugin(ODD), "/trace", headers=[("traceparent", traceparent)])
        assert traceparent in answer.body.decode()
    else:
        assert way.ask(start_plugin(ODD), "/trace").body == b"[]"


@each_way
def test_a_response_in_progress_does_not_hold_up_the_end(start_plugin: StartPlugin, way: Way) -> None:
    for source, path in ((HTTP, "/echo"), (ASYNC, "/upper")):
        plugin = start_plugin(source)
        exchange = way.open(plugin, path, "POST", (), None)
        exchange.send(b"one")
        assert exchange.head()[0] == 200 and exchange.read().lower() == b"one"
        plugin.process.terminate()
        # While the handler waits for more of the request, which does not come.
        assert plugin.wait() == 0
        exchange.leave()
