"""A page whose visitors talk with each other: what one says goes to all, over WebSockets of a FastAPI application."""

import asyncio
import contextlib
from pathlib import Path

from fastapi import FastAPI, WebSocket
from fastapi.responses import FileResponse

from mattermost_plugin import Plugin, run_plugin
from mattermost_plugin.web import asgi

PAGE = Path(__file__).with_name("chat.html")

app = FastAPI()
#: What each visitor has yet to be told.
inboxes: set[asyncio.Queue] = set()


@app.get("/")
async def page():
    return FileResponse(PAGE)


@app.websocket("/socket")
async def talk(socket: WebSocket):
    await socket.accept()
    name = socket.headers.get("Mattermost-User-Id", "stranger")
    inbox = asyncio.Queue(maxsize=100)
    inboxes.add(inbox)
    telling = asyncio.create_task(tell(socket, inbox))
    try:
        # Ends when the visitor has gone.
        async for text in socket.iter_text():
            say({"from": name, "text": text[:1000]})
    finally:
        inboxes.discard(inbox)
        telling.cancel()


async def tell(socket, inbox):
    while True:
        await socket.send_json(await inbox.get())


def say(message):
    for inbox in inboxes:
        # Who is too slow to read misses some: nobody waits for them, and nothing piles up.
        with contextlib.suppress(asyncio.QueueFull):
            inbox.put_nowait(message)


class FastApiChat(Plugin):
    serve = asgi(app)


if __name__ == "__main__":
    run_plugin(FastApiChat)
