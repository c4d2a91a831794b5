"""Clients that leave at random moments: nothing of them stays in the plugin."""

from __future__ import annotations

import json
import os
import random
import socket
import time
from typing import Any

import pytest

from .conftest import LIMIT, RunningPlugin, StartPlugin
from .ways import WAYS, connect, http_address, request_head, until

#: Requests of each test. What is left over of many shows in a few hundred.
REQUESTS = int(os.environ.get("LEAVING_CLIENTS", "300"))

COUNTS = """
    import gc
    from effect_plugin import _body as body, _outgoing as outgoing
    from effect_plugin._serving import exchange

    def counts():
        gc.collect()
        kinds = (body.Incoming, outgoing.Outgoing, exchange.Exchange, HTTPRequest, HTTPResponseWriter)
        return {
            "tasks": len(asyncio.all_tasks()),
            "descriptors": len(os.listdir("/dev/fd")),
            "objects": sum(isinstance(thing, kinds) for thing in gc.get_objects()),
        }
"""

HANDLERS = {
    "sync": """
    class Left(Plugin):
        @hook(HookName.ServeHTTP)
        def serve(self, ctx, writer, request):
            if request.url == "/counts":
                counted = []
                LOOP.call_soon_threadsafe(lambda: counted.append(counts()))
                while not counted:
                    time.sleep(0.01)
                return writer.write(json.dumps(counted[0])) and None
            for piece in request.stream():
                writer.write(piece)
            for _ in range(20):
                writer.write(b"x" * 65536)
                time.sleep(0.001)

        @hook(HookName.OnActivate)
        async def activate(self):
            global LOOP
            LOOP = asyncio.get_running_loop()

    run_plugin(Left)
""",
    "async": """
    class Left(Plugin):
        @hook(HookName.ServeHTTP)
        async def serve(self, ctx, writer, request):
            if request.url == "/counts":
                return writer.write(json.dumps(counts())) and None
            async for piece in request.stream():
                writer.write(piece)
                await writer.drain()
            for _ in range(20):
                writer.write(b"x" * 65536)
                await writer.drain()
                await asyncio.sleep(0.001)

    run_plugin(Left)
""",
    "asgi": """
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, StreamingResponse
    from starlette.routing import Route
    from mattermost_plugin.web import asgi

    async def counted(request):
        return JSONResponse(counts())

    async def echo(request):
        async def pieces():
            async for piece in request.stream():
                yield piece
            for _ in range(20):
                yield b"x" * 65536
                await asyncio.sleep(0.001)
        return StreamingResponse(pieces())

    class Left(Plugin):
        serve = asgi(Starlette(routes=[Route("/counts", counted), Route("/{x:path}", echo, methods=["GET", "POST"])]))

    run_plugin(Left)
""",
}


def leave(address: str, chance: random.Random) -> None:
    """A request that its client leaves: in its head, its body, its response, or when it is done."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(LIMIT)
    connection.connect(address)
    body = b"b" * chance.choice([0, 10, 100_000])
    whole = request_head("/leave", "POST" if body else "GET", length=len(body)) + body
    try:
        connection.sendall(whole[: chance.randrange(1, len(whole) + 1)] if chance.random() < 0.5 else whole)
        if chance.random() < 0.7:
            connection.settimeout(chance.random() * 0.02 + 0.001)
            left = chance.randrange(1, 2_000_000)
            while left > 0 and (piece := connection.recv(65536)):
                left -= len(piece)
    except OSError:
        pass
    connection.close()


@pytest.mark.parametrize("kind", HANDLERS)
def test_nothing_of_clients_that_left_stays(start_plugin: StartPlugin, kind: str) -> None:
    plugin = start_plugin(COUNTS + HANDLERS[kind])
    if kind == "sync":
        plugin.call("OnActivate")
    address = http_address(plugin)[len("unix:") :]
    chance = random.Random(11)
    for _ in range(70):
        leave(address, chance)

    def counts() -> dict[str, int]:
        counted: dict[str, int] = json.loads(WAYS[1].ask(plugin, "/counts").body)
        return counted

    until(lambda: counts()["tasks"] <= 12)
    time.sleep(0)
    before, memory = counts(), resident(plugin)
    for _ in range(REQUESTS):
        leave(address, chance)

    def settled() -> bool:
        now = counts()
        return all(now[name] <= before[name] + 1 for name in now)

    until(settled)
    assert resident(plugin) < memory + 32 * 1024 * 1024
    errors = [line for line in plugin.log().splitlines() if '"error"' in line]
    assert errors == []
    connection: Any = connect(plugin)
    connection.close()


def resident(plugin: RunningPlugin) -> int:
    """Bytes of the plugin's memory; 0 where nobody tells."""
    try:
        with open(f"/proc/{plugin.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
