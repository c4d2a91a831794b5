"""Browsers that listen to /events hear of every post, as server-sent events from a FastAPI application."""

import asyncio
import json

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from mattermost_plugin import HookName, Plugin, hook, run_plugin
from mattermost_plugin.web import asgi

app = FastAPI()
listeners: set[asyncio.Queue] = set()


@app.get("/events")
async def events():
    async def told():
        queue = asyncio.Queue()
        listeners.add(queue)
        try:
            yield ": welcome\n\n"
            while True:
                yield f"data: {json.dumps(await queue.get())}\n\n"
        finally:
            # Also when the browser has gone: this is cancelled then.
            listeners.discard(queue)

    return StreamingResponse(told(), media_type="text/event-stream")


@app.get("/listeners")
async def count():
    return {"listeners": len(listeners)}


class FastApiEvents(Plugin):
    serve = asgi(app)

    @hook(HookName.MessageHasBeenPosted)
    async def on_post(self, ctx, post):
        for queue in listeners:
            queue.put_nowait({"message": post.message})


if __name__ == "__main__":
    run_plugin(FastApiEvents)
