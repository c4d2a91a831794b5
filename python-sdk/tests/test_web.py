"""Web applications as ServeHTTP: Flask and FastAPI as they are, over real gRPC, in a plugin's real process."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask

from effect_plugin.web import _environ, _scope, asgi, wsgi
from mattermost_plugin.http import HTTPRequest

from .conftest import StartPlugin
from .test_http import body_of, get

FLASK = """
    from flask import Flask, Response, jsonify, request, url_for
    from mattermost_plugin.web import wsgi

    app = Flask("app")

    @app.route("/seen/<name>", methods=["GET", "POST"])
    def seen(name):
        answer = jsonify(
            name=name, query=request.args.getlist("q"), body=request.get_data(as_text=True), host=request.host,
            user=request.headers.get("Mattermost-User-Id"), addr=request.remote_addr,
            plugin=type(request.environ["mattermost.plugin"]).__name__,
            link=url_for("ticks"), url=request.base_url,
        )
        answer.status_code = 201
        answer.headers.add("X-Many", "1")
        answer.headers.add("X-Many", "2")
        return answer

    @app.route("/echo", methods=["POST"])
    def echo():
        stream = request.stream
        def pieces():
            while piece := stream.read(4096):
                yield piece
        return Response(pieces(), mimetype="application/octet-stream")

    @app.route("/ticks")
    def ticks():
        def pieces():
            for number in range(3):
                yield f"tick {number}\\n"
        return Response(pieces(), mimetype="text/plain")

    @app.route("/fail")
    def fail():
        raise ValueError("the secret is 42")

    class Web(Plugin):
        serve = wsgi(app)

    run_plugin(Web)
"""

FASTAPI = """
    from fastapi import BackgroundTasks, FastAPI, Request
    from fastapi.responses import JSONResponse, StreamingResponse
    from mattermost_plugin.web import asgi

    app = FastAPI()

    @app.api_route("/seen/{name}", methods=["GET", "POST"])
    async def seen(name: str, request: Request):
        answer = JSONResponse(status_code=201, content=dict(
            name=name, query=request.query_params.getlist("q"), body=(await request.body()).decode(),
            host=request.headers["host"], user=request.headers.get("mattermost-user-id"), addr=request.client.host,
            plugin=type(request.scope["plugin"]).__name__,
            link=request.url_for("ticks").path,
            url=str(request.url.replace(query="")),
        ))
        answer.headers.append("X-Many", "1")
        answer.headers.append("X-Many", "2")
        return answer

    @app.post("/echo")
    async def echo(request: Request):
        return StreamingResponse(request.stream())

    @app.get("/ticks")
    async def ticks():
        async def pieces():
            for number in range(3):
                yield f"tick {number}\\n"
                await asyncio.sleep(0)
        return StreamingResponse(pieces(), media_type="text/plain")

    @app.get("/events")
    async def events():
        async def pieces():
            try:
                yield "data: first\\n\\n"
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                logging.getLogger("events").info("the listener has gone")
                raise
        return StreamingResponse(pieces(), media_type="text/event-stream")

    @app.get("/fail")
    async def fail():
        raise ValueError("the secret is 42")

    @app.get("/background")
    async def background(tasks: BackgroundTasks, seconds: float):
        async def work():
            logging.getLogger("work").info("begun")
            await asyncio.sleep(seconds)
            logging.getLogger("work").info("done after %s s", seconds)
        tasks.add_task(work)
        return "answered"

    import logging

    class Web(Plugin):
        serve = asgi(app)

    run_plugin(Web)
"""

APPS = pytest.mark.parametrize("app", [FLASK, FASTAPI], ids=["flask", "fastapi"])


@APPS
def test_pieces_go_out_as_they_are_made(start_plugin: StartPlugin, app: str) -> None:
    answer = get(start_plugin(app), "/ticks", method="GET")
    pieces = [message.body_chunk for message in answer if message.body_chunk]
    assert pieces == [b"tick 0\n", b"tick 1\n", b"tick 2\n"]


RAW = """
    from mattermost_plugin.web import wsgi

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/silent":
            return [b"never"]
        if environ["PATH_INFO"] == "/empty":
            start_response("204 No Content", [])
            return []
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/write":
            write(b"written, ")
            return Closing([b"", b"returned"])
        try:
            raise KeyError("x")
        except KeyError:
            start_response("500 Oops", [("X-Error", "1")], sys.exc_info())
            return [b"sorry"]

    class Closing(list):
        def close(self):
            log.info("closed")

    import logging
    log = logging.getLogger("app")

    class Web(Plugin):
        serve = wsgi(app)

    run_plugin(Web)
"""


LIFESPAN = """
    import contextlib
    from fastapi import BackgroundTasks, FastAPI, Request
    from mattermost_plugin.web import asgi

    @contextlib.asynccontextmanager
    async def lifespan(app):
        if os.environ.get("HOW") == "fail":
            raise ValueError("the database is away")
        logging.getLogger("web").info("up")
        yield {"pool": ["a pool"]}
        logging.getLogger("web").info("down")

    import logging
    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def pool(request: Request):
        return request.state.pool

    class Web(Plugin):
        serve = asgi(app)

    run_plugin(Web)
"""


def test_an_application_starts_up_before_its_plugin_and_shuts_down_after_it(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(LIFESPAN)
    assert '"up"' in plugin.log()
    assert body_of(get(plugin, "/", method="GET")) == b'["a pool"]'
    assert '"down"' not in plugin.log()
    plugin.shut_down()
    assert plugin.wait() == 0
    assert '"down"' in plugin.log()


def test_an_application_that_can_t_start_up_keeps_its_plugin_from_starting(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(LIFESPAN, HOW="fail")
    assert plugin.handshake == ""
    assert plugin.wait() == 1
    assert "the web application could not start up" in plugin.log() and "the database is away" in plugin.log()


@pytest.mark.parametrize(
    ("url", "request_uri", "root_path"),
    [
        ("/a?x=/b", "/plugins/p/a?x=/b&access_token=t", "/plugins/p"),
        ("/", "/plugins/p", "/plugins/p"),
        ("/", "/plugins/p/", "/plugins/p"),
        ("//a/b", "/mattermost/plugins/p//a/b", "/mattermost/plugins/p"),
        ("/%C3%B6", "/plugins/p/ö", "/plugins/p"),
        ("/a", "/a", ""),
        ("/a", "", ""),
        ("/a", "/plugins/p/b", ""),
        ("/a", "https://example.org/plugins/p/a", "/plugins/p"),
        ("", "https://[x", ""),
    ],
)
def test_where_a_plugin_is_in_its_host_s_urls(url: str, request_uri: str, root_path: str) -> None:
    assert HTTPRequest(url=url, request_uri=request_uri).root_path == root_path


@pytest.mark.parametrize(
    ("host", "server"),
    [
        ("example.org", ("example.org", 80)),
        ("example.org:8065", ("example.org", 8065)),
        ("[::1]:8065", ("::1", 8065)),
        ("[::1]", ("::1", 80)),
        ("", ("localhost", 80)),
        ("[", ("localhost", 80)),
        ("x:y", ("localhost", 80)),
    ],
)
def test_paths_and_hosts_as_clients_write_them(host: str, server: tuple[str, int]) -> None:
    request = HTTPRequest(url="//a/b%2Fc?d", request_uri="/plugins/p//a/b%2Fc?d", host=host)
    scope, environ = _scope(None, request), _environ(None, request)
    assert (scope["server"], environ["SERVER_NAME"], environ["SERVER_PORT"]) == (server, server[0], str(server[1]))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/plugins/p", "//a/b/c", "d")
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == (
        "/plugins/p",
        "/plugins/p//a/b/c",
        b"/plugins/p//a/b%2Fc",
    )


def test_background_tasks_go_on_after_the_response_and_the_client(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(FASTAPI)
    for seconds in ("600", "0.2"):
        # Neither the response nor the next request waits for it.
        assert body_of(get(plugin, f"/background?seconds={seconds}", method="GET")) == b'"answered"'
    plugin.wait_for_log("done after 0.2 s")
    plugin.shut_down()
    assert plugin.wait() == 0, "nor does the plugin's end"
    assert "done after 600" not in plugin.log()


def test_background_tasks_get_a_moment_when_the_plugin_stops(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(FASTAPI)
    get(plugin, "/background?seconds=0.5", method="GET")
    plugin.wait_for_log("begun")
    plugin.shut_down()
    assert plugin.wait() == 0
    assert "done after 0.5 s" in plugin.log()


MISBEHAVING = """
    from mattermost_plugin.web import asgi

    async def app(scope, receive, send):
        async def body(text, more):
            await send({"type": "http.response.body", "body": text, "more_body": more})

        if scope["path"].endswith("/silent"):
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await body(b"begun", True)
        if scope["path"].endswith("/late"):
            await body(b", ended", False)
            await body(b", and more", False)

    class Web(Plugin):
        serve = asgi(app)

    run_plugin(Web)
"""


@pytest.mark.parametrize(
    ("adapter", "application", "message"),
    [
        (wsgi, "plugin:app", "a str"),
        (wsgi, FastAPI(), r"that one is for asgi\(\)"),
        (asgi, Flask("app"), r"that one is for wsgi\(\)"),
        (asgi, None, "a NoneType"),
    ],
)
def test_what_is_no_application_of_the_kind_is_refused_at_once(adapter: Any, application: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        adapter(application)
