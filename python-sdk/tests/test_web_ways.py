"""Web applications as ServeHTTP on both ways: over the contract's gRPC, and on the plugin's own web server."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import pytest

from .conftest import StartPlugin
from .test_web import APPS, FASTAPI, MISBEHAVING, RAW
from .ways import ROOT, Answer, Exchange, Way, answer_of, each_way

LOOKING = """
    from fastapi import FastAPI, Request
    from mattermost_plugin.web import asgi

    app = FastAPI()

    @app.post("/look")
    async def look(request: Request):
        looks = [await request.is_disconnected() for _ in range(3)]
        return {"looks": looks, "read": (await request.body()).decode()}

    class Web(Plugin):
        serve = asgi(app)

    run_plugin(Web)
"""


@each_way
@APPS
def test_a_request_and_its_response(start_plugin: StartPlugin, way: Way, app: str) -> None:
    plugin = start_plugin(app)
    headers = [("Content-Type", "text/plain"), ("Mattermost-User-Id", "u1"), ("Mattermost_User_Id", "spoofed")]
    url = "/seen/a%20n%C3%A4me?q=1&q=2"
    answer = way.ask(plugin, url, "POST", headers, "bödy".encode())
    assert answer.status == 201
    assert (answer.headers["x-many"], answer.headers["content-type"]) == (["1", "2"], ["application/json"])
    assert json.loads(unquote(answer.body.decode())) == {
        "name": "a näme",
        "query": ["1", "2"],
        "body": "bödy",
        "host": "example.org:8065",
        "user": "u1",
        "addr": "192.0.2.1",
        "plugin": "Web",
        "link": f"{ROOT}/ticks",
        "url": f"http://example.org:8065{ROOT}/seen/a näme",
    }
    assert way.ask(plugin, "/ticks").body == b"tick 0\ntick 1\ntick 2\n"
    assert way.ask(plugin, "/nowhere").status == 404
    failed = way.ask(plugin, "/fail")
    assert failed.status == 500 and b"42" not in failed.body
    plugin.wait_for_log("the secret is 42")


@each_way
@APPS
def test_bodies_stream_both_ways(start_plugin: StartPlugin, way: Way, app: str) -> None:
    """The answer's first piece comes before the request's last is sent."""
    exchange = way.open(start_plugin(app), "/echo", "POST", (), None)
    exchange.send(b"a" * 4096)
    assert exchange.head()[0] == 200
    received = b""
    while len(received) < 4096:
        received += exchange.read()
    exchange.send(b"b" * 10)
    exchange.end()
    while piece := exchange.read():
        received += piece
    assert received == b"a" * 4096 + b"b" * 10


@each_way
def test_looking_whether_the_client_is_there_loses_nothing(start_plugin: StartPlugin, way: Way) -> None:
    plugin = start_plugin(LOOKING)

    def looked(length: int | None) -> Answer:
        exchange: Exchange = way.open(plugin, "/look", "POST", (), length)
        exchange.send(b"01234")
        exchange.send(b"56789")
        exchange.end()
        return answer_of(exchange)

    for length in (None, 10, None):
        answer = looked(length)
        assert json.loads(answer.body) == {"looks": [False] * 3, "read": "0123456789"}


@each_way
def test_server_sent_events_end_with_their_listener(start_plugin: StartPlugin, way: Way) -> None:
    plugin = start_plugin(FASTAPI)
    events = way.open(plugin, "/events", "GET", (), 0)
    events.end()
    assert events.head()[0] == 200 and events.read() == b"data: first\n\n"
    events.leave()
    plugin.wait_for_log("the listener has gone")
    assert '"error"' not in plugin.log()


@each_way
def test_background_tasks_outlive_the_response_and_its_client(start_plugin: StartPlugin, way: Way) -> None:
    plugin = start_plugin(FASTAPI)
    background = way.open(plugin, "/background?seconds=0.3", "GET", (), 0)
    background.end()
    answer: Any = answer_of(background)
    assert (answer.body, answer.whole) == (b'"answered"', True)
    # The moment it has the end.
    background.leave()
    plugin.wait_for_log("done after 0.3 s")


@each_way
def test_applications_that_break_their_protocol_fail(start_plugin: StartPlugin, way: Way) -> None:
    plugin = start_plugin(MISBEHAVING)
    silent = way.ask(plugin, "/silent")
    assert (silent.status, silent.body) == (500, b"Internal Server Error")
    plugin.wait_for_log("the application returned before its response had ended")
    assert not way.ask(plugin, "/half").whole, "half a response does not look whole"
    late = way.ask(plugin, "/late")
    assert (late.body, late.whole) == (b"begun, ended", True)
    plugin.wait_for_log("the response has ended")


@each_way
@pytest.mark.parametrize(
    ("url", "status", "body"),
    [("/silent", 500, b"Internal Server Error"), ("/empty", 204, b""), ("/write", 200, b"written, returned")],
)
def test_the_corners_of_wsgi(start_plugin: StartPlugin, way: Way, url: str, status: int, body: bytes) -> None:
    answer = way.ask(start_plugin(RAW), url)
    assert (answer.status, answer.body, answer.whole) == (status, body, True)
