"""A Starlette application: what plugin and uvicorn serve alike."""

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

PIECE = b"x" * 65536


async def small(request):
    return PlainTextResponse("Hello, world!")


async def echo(request):
    return Response(await request.body())


async def down(request):
    async def pieces():
        for _ in range(int(request.query_params["bytes"]) // len(PIECE)):
            yield PIECE

    return StreamingResponse(pieces(), headers={"content-length": request.query_params["bytes"]})


async def up(request):
    size = 0
    async for piece in request.stream():
        size += len(piece)
    return PlainTextResponse(str(size))


app = Starlette(
    routes=[
        Route("/small", small),
        Route("/echo", echo, methods=["POST"]),
        Route("/down", down),
        Route("/up", up, methods=["POST"]),
    ]
)
