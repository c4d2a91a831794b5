"""ServeHTTP over real gRPC, against a plugin's real process."""

from __future__ import annotations

import json
import queue
import re
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from mattermost_plugin import HTTPRequest

from .conftest import LIMIT, RunningPlugin, StartPlugin, code_of
from .wire import HTTPHeader, ServeHTTPRequest, ServeHTTPRequestInit

HTTP = """
    class Http(Plugin):
        @hook(HookName.ServeHTTP)
        def serve(self, ctx, writer, request):
            return getattr(self, request.url.strip("/"))(writer, request)

        def inspect(self, writer, request):
            writer.set_header("X-One", "1")
            writer.set_header("x-one", "2")
            writer.add_header("X-ONE", "3")
            writer.write_header(201)
            seen = {name: value for name, value in vars(request).items() if name[0] != "_" and name != "scheme"}
            seen["plugin_context"] = request.plugin_context.request_id
            seen["found"] = [request.get_header("content-TYPE"), request.get_header("no", "default")]
            seen["all"] = request.get_all_headers("accept") + request.get_all_headers("no")
            seen["body"] = [request.body.decode(), request.body.decode(), request.read().decode()]
            assert writer.write(json.dumps(seen)) == len(json.dumps(seen))

        def echo(self, writer, request):
            for chunk in request.stream():
                writer.write(chunk)

        def sizes(self, writer, request):
            for size in (0, 1, 65536, 65537, 200_000):
                assert writer.write(memoryview(b"x" * size)) == size
            writer.write("ä")
            writer.flush()

        def nothing(self, writer, request):
            pass

        def head_only(self, writer, request):
            writer.write_header(204)

        def fail(self, writer, request):
            writer.set_header("Content-Type", "application/json")
            writer.set_header("Set-Cookie", "session")
            raise ValueError("the secret is 42")

        def bad_status(self, writer, request):
            writer.write_header(1000)

        def fail_late(self, writer, request):
            writer.write(b"begun")
            raise ValueError("the secret is 42")

        def headers_late(self, writer, request):
            writer.write(b"begun")
            writer.set_header("X", "too late")
            writer.write_header(404)
            writer.write(b" more")

        def bad_header(self, writer, request):
            writer.set_header("Content-Length", 5)

        def bad_headers(self, writer, request):
            writer.headers["X"] = ["a\\r\\nB: c"]
            writer.write(b"never")

        def odd_body(self, writer, request):
            writer.write(5)

        def returned(self, writer, request):
            return "hello"

        def early_flush(self, writer, request):
            writer.flush()
            writer.write_header(404)

        def headers_dict(self, writer, request):
            writer.headers["X"] = "one"
            return writer.write(b"fine")

        def save(self, writer, request):
            writer.write(b"begun")
            try:
                self.logger.info("saved %d bytes", len(request.body))
            except ClientDisconnected:
                self.logger.info("the upload broke off")

        def for_ever(self, writer, request):
            self.written = 0
            try:
                while True:
                    self.written += writer.write(b"x" * 65536)
            except ClientDisconnected:
                self.logger.info("the client has gone after %d bytes", self.written)

        def so_far(self, writer, request):
            writer.write(str(self.written))

    run_plugin(Http)
"""


def init(url: str, **fields: Any) -> Any:
    headers = [HTTPHeader(key="Content-Type", values=["text/x"]), HTTPHeader(key="Accept", values=["a", "b"])]
    described: dict[str, Any] = {"method": "POST", "headers": headers, "content_length": -1, **fields.pop("more", {})}
    return ServeHTTPRequest(init=ServeHTTPRequestInit(url=url, **described), **fields)


def get(plugin: RunningPlugin, url: str, *messages: Any, **more: Any) -> list[Any]:
    return list(plugin.serve_http(iter([init(url, body_complete=not messages, more=more), *messages])))


def body_of(answer: list[Any]) -> bytes:
    return b"".join(message.body_chunk for message in answer)


def headers_of(answer: list[Any]) -> dict[str, list[str]]:
    return {header.key: list(header.values) for header in answer[0].init.headers}


BODY = [ServeHTTPRequest(body_chunk=b"bo"), ServeHTTPRequest(body_chunk=b"dy", body_complete=True)]


def test_a_request_and_its_response(start_plugin: StartPlugin) -> None:
    answer = get(
        start_plugin(HTTP),
        "/inspect",
        *BODY,
        proto="HTTP/1.1",
        proto_major=1,
        proto_minor=1,
        host="example.org",
        remote_addr="192.0.2.1:1",
        request_uri="/plugins/p/inspect",
        content_length=4,
        plugin_context={"request_id": "r"},
        headers=[
            HTTPHeader(key="Content-Type", values=["text/x"]),
            HTTPHeader(key="Accept", values=["a", "b"]),
            HTTPHeader(key="Accept", values=["c"]),
            HTTPHeader(key="accept", values=["d"]),
        ],
    )
    assert answer[0].init.status_code == 201
    assert headers_of(answer) == {"x-one": ["2", "3"]}, "names are one in any case"
    assert [message.body_complete for message in answer] == [False] * (len(answer) - 1) + [True]
    assert not any(message.HasField("init") for message in answer[1:])
    assert json.loads(body_of(answer)) == {
        "method": "POST",
        "url": "/inspect",
        "proto": "HTTP/1.1",
        "proto_major": 1,
        "proto_minor": 1,
        "headers": {"Content-Type": ["text/x"], "Accept": ["a", "b", "c"], "accept": ["d"]},
        "host": "example.org",
        "remote_addr": "192.0.2.1:1",
        "request_uri": "/plugins/p/inspect",
        "content_length": 4,
        "plugin_context": "r",
        "found": ["text/x", "default"],
        "all": ["a", "b", "c", "d"],
        "body": ["body", "body", ""],
    }


def test_pieces_are_small(start_plugin: StartPlugin) -> None:
    answer = get(start_plugin(HTTP), "/sizes")
    assert [len(message.body_chunk) for message in answer if message.body_chunk] == [
        *(1, 65536),
        *(65536, 1),
        *(65536, 65536, 65536, 200_000 - 3 * 65536),
        len("ä".encode()),
    ]
    assert [message.flush for message in answer[-2:]] == [True, False]


def test_responses_without_a_body(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(HTTP)
    (nothing,) = get(plugin, "/nothing")
    assert nothing.init.status_code == 200 and nothing.body_complete and not nothing.body_chunk
    head_only = get(plugin, "/head_only")
    assert head_only[0].init.status_code == 204
    assert body_of(head_only) == b"" and head_only[-1].body_complete


@pytest.mark.parametrize("url", ["/fail", "/bad_status", "/no_such_method"])
def test_a_failure_before_the_head_is_a_plain_500(start_plugin: StartPlugin, url: str) -> None:
    plugin = start_plugin(HTTP)
    failed = get(plugin, url)
    assert failed[0].init.status_code == 500
    assert headers_of(failed) == {"Content-Type": ["text/plain; charset=utf-8"]}, "nothing of the handler's own is left"
    assert body_of(failed) == b"Internal Server Error"
    assert failed[-1].body_complete
    assert f"ServeHTTP (Http.serve) failed: POST {url}" in plugin.wait_for_log("Traceback")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("/bad_header", "the header 'Content-Length' was to be a int"),
        ("/bad_headers", "HTTP has no such header: 'X'"),
        ("/odd_body", "a response's body is str or bytes; a int was written"),
        ("/returned", "it returned a str, which nobody reads; a handler calls writer.write(...)"),
    ],
)
def test_what_http_does_not_have_is_a_plain_500(start_plugin: StartPlugin, url: str, why: str) -> None:
    plugin = start_plugin(HTTP)
    answer = get(plugin, url)
    assert (answer[0].init.status_code, body_of(answer)) == (500, b"Internal Server Error")
    plugin.wait_for_log(why)


def test_a_flush_before_the_head_does_not_fix_it(start_plugin: StartPlugin) -> None:
    assert get(start_plugin(HTTP), "/early_flush")[0].init.status_code == 404


def test_headers_that_were_put_into_the_dict(start_plugin: StartPlugin) -> None:
    answer = get(start_plugin(HTTP), "/headers_dict")
    assert (headers_of(answer)["X"], body_of(answer)) == (["one"], b"fine")


def test_a_header_after_the_head_is_too_late_and_no_failure(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(HTTP)
    answer = get(plugin, "/headers_late")
    assert body_of(answer) == b"begun more"
    assert headers_of(answer) == {}
    assert answer[-1].body_complete
    assert "its header X is not sent" in plugin.wait_for_log("its status 404 is not sent")


def test_a_failure_after_the_head_cuts_the_response_off(start_plugin: StartPlugin) -> None:
    received: list[Any] = []
    call = start_plugin(HTTP).serve_http(iter([init("/fail_late", body_complete=True)]))

    def receive() -> None:
        for message in call:
            received.append(message)

    code, details = code_of(receive)
    assert body_of(received) == b"begun"
    assert not any(message.body_complete for message in received)
    assert (code, details) == (grpc.StatusCode.INTERNAL, "plugin Http: ServeHTTP failed after it had begun")


class Upload:
    """A request whose messages are sent one by one."""

    def __init__(self, plugin: RunningPlugin, url: str, **more: Any) -> None:
        self._outgoing: queue.Queue[Any | None] = queue.Queue()
        self.call = plugin.serve_http(self._messages())
        self.send(init(url, more=more))

    def _messages(self) -> Iterator[Any]:
        while (message := self._outgoing.get(timeout=LIMIT)) is not None:
            yield message

    def send(self, *messages: Any | None) -> None:
        for message in messages:
            self._outgoing.put(message)


def stalled(plugin: RunningPlugin) -> Any:
    """A request for a body without end, of which nothing more is read; the handler has stopped writing."""
    # Without the probe gRPC's buffers stay as they are: it makes them larger as long as data comes quickly.
    plugin.channel.close()
    plugin.channel = grpc.insecure_channel(f"unix:{plugin.address}", options=[("grpc.http2.bdp_probe", 0)])
    call = plugin.serve_http(iter([init("/for_ever", body_complete=True)]))
    next(call)
    written, before = int(body_of(get(plugin, "/so_far"))), -1
    while written != before:
        assert written < 64 * 1024 * 1024, "a client that does not read is written to without end"
        time.sleep(0.2)
        written, before = int(body_of(get(plugin, "/so_far"))), written
    return call


def test_a_client_that_goes_is_noticed_by_the_handler(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(HTTP)
    call = stalled(plugin)
    call.cancel()
    plugin.wait_for_log("the client has gone after ")


def test_a_request_without_a_head(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(HTTP)
    for messages in ([ServeHTTPRequest(body_chunk=b"b", body_complete=True)], []):
        code, details = code_of(lambda: list(plugin.serve_http(iter(messages))))  # noqa: B023
        assert (code, details) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "the first message of ServeHTTP has no init",
        )


def test_a_plugin_without_a_handler(start_plugin: StartPlugin) -> None:
    plugin = start_plugin("""
    class Silent(Plugin): ...

    run_plugin(Silent)
    """)
    answer = get(plugin, "/")
    assert answer[0].init.status_code == 404
    assert headers_of(answer) == {"Content-Type": ["text/plain; charset=utf-8"]}
    assert body_of(answer) == b"Not Found" and answer[-1].body_complete


ASYNC = """
    class Async(Plugin):
        @hook(HookName.ServeHTTP)
        async def serve(self, ctx, writer, request):
            await getattr(self, request.url.strip("/"))(writer, request)

        async def upper(self, writer, request):
            async for chunk in request.stream():
                writer.write(chunk.upper())
                await writer.drain()

        async def whole(self, writer, request):
            writer.write(request.body + await request.aread())

        async def later(self, writer, request):
            writer.write(b"begun")
            writer.write(await request.aread())

        async def for_ever(self, writer, request):
            self.written = 0
            try:
                while True:
                    self.written += writer.write(b"x" * 65536)
                    await writer.drain()
            except (asyncio.CancelledError, ClientDisconnected) as error:
                self.logger.info("%s after %d bytes", type(error).__name__, self.written)
                raise

        async def so_far(self, writer, request):
            writer.write(str(self.written))

        async def save(self, writer, request):
            writer.write(b"begun")
            await writer.drain()
            try:
                self.logger.info("saved %d bytes", len(await request.aread()))
            except (ClientDisconnected, asyncio.CancelledError):
                self.logger.info("the upload broke off")
                raise

    run_plugin(Async)
"""


def test_async_handlers(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(ASYNC)
    assert body_of(get(plugin, "/upper", *BODY)) == b"BODY"
    assert body_of(get(plugin, "/later", *BODY)) == b"begunbody"
    for length in (4, -1):
        whole = get(plugin, "/whole", *BODY, content_length=length)
        assert body_of(whole) == b"bodybody", "a small body is there at once"
    half = ServeHTTPRequest(body_chunk=b"x" * 1024 * 1024)
    refused = get(plugin, "/whole", half, half, ServeHTTPRequest(body_complete=True))
    assert refused[0].init.status_code == 500
    plugin.wait_for_log("an async handler reads a large body with `async for chunk in request.stream()`")


def test_an_async_handler_ends_when_its_client_goes(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(ASYNC)
    call = stalled(plugin)
    call.cancel()
    plugin.wait_for_log(" after ")
    assert re.search(r"(CancelledError|ClientDisconnected) after \d+ bytes", plugin.log())


def test_a_response_in_progress_does_not_hold_up_the_end(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(HTTP)
    upload = Upload(plugin, "/echo")
    upload.send(ServeHTTPRequest(body_chunk=b"one"))
    next(upload.call)
    plugin.process.terminate()
    # While the handler waits for more of the request, which does not come.
    assert plugin.wait() == 0
    upload.send(None)


def test_path_query_and_json() -> None:
    request = HTTPRequest("POST", "/caf%C3%A9/a%2Fb?x=1&x=2&empty=&t=a+b%26", body=b'{"a": [1]}')
    assert request.path == "/café/a/b"
    assert request.query == {"x": ["1", "2"], "empty": [""], "t": ["a b&"]}
    assert (request.get_query("x"), request.get_query("empty", "?"), request.get_query("none", "?")) == ("1", "", "?")
    assert request.json() == {"a": [1]}
    assert HTTPRequest(url="//x").path == "//x" and HTTPRequest(url="/").query == {}
    for body in (b"", b"{", b"\xff", b"[" * 100_000):
        with pytest.raises(ValueError, match="the request's body is no JSON"):
            HTTPRequest("POST", body=body).json()


JSON = """
    class P(Plugin):
        @hook(HookName.ServeHTTP)
        def serve(self, ctx, writer, request):
            if request.path == "/bad":
                try:
                    writer.json({"a": float("nan")})
                except ValueError:
                    return writer.json({"error": "no"}, 400)
            writer.json({"sum": sum(request.json()["numbers"]), "ä": request.get_query("q")}, status_code=201)

    run_plugin(P)
"""


def test_json_both_ways(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(JSON)
    response = get(plugin, "/sum?q=1", ServeHTTPRequest(body_chunk=b'{"numbers": [1, 2]}', body_complete=True))
    assert response[0].init.status_code == 201
    assert body_of(response) == '{"sum": 3, "ä": "1"}'.encode()
    assert headers_of(response)["Content-Type"] == ["application/json"]
    response = get(plugin, "/bad")
    assert (response[0].init.status_code, body_of(response)) == (400, b'{"error": "no"}')
