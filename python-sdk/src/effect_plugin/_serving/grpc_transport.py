"""ServeHTTP over the contract's gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import grpc
import grpc.aio

from .. import _trace as trace
from .._body import Incoming
from .._descriptors import message_class
from .._loops import EventLoop
from .._outgoing import CUT_PATIENCE, Outgoing
from ..http import HTTPRequest, HTTPResponseWriter
from .handler import RequestHandler


async def serve_grpc(
    handler: RequestHandler, incoming: AsyncIterator[Any], context: Any, failed: Callable[[str], str]
) -> None:
    """Serves one request: `incoming` are the messages of its stream, `context` takes those of the response.

    `failed` makes a status' details of what went wrong.
    """
    here = EventLoop.here()
    if handler.home is not here:
        incoming = context = _Elsewhere(here, incoming, context)
    await handler.home.run(_serve, handler, incoming, context, failed)


class _Elsewhere:
    """A call's messages and its context, for another loop than their own."""

    def __init__(self, own: EventLoop, incoming: AsyncIterator[Any], context: Any) -> None:
        self._own = own
        self._incoming = incoming
        self._context = context

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        message = await self._own.run(anext_or_none, self._incoming)
        if message is None:
            raise StopAsyncIteration
        return message

    def invocation_metadata(self) -> Any:
        """What came with the call, and is there."""
        return self._context.invocation_metadata()

    async def send_initial_metadata(self, metadata: Any) -> None:
        """Sends what precedes the messages."""
        await self._own.run(self._context.send_initial_metadata, metadata)

    async def write(self, message: Any) -> None:
        """Sends a message; waits while the host takes none."""
        await self._own.run(self._context.write, message)

    def set_code(self, code: grpc.StatusCode) -> None:
        """The code of the status with which the call ends."""
        self._context.set_code(code)

    def set_details(self, details: str) -> None:
        """Its details."""
        self._context.set_details(details)


async def _serve(
    handler: RequestHandler, incoming: AsyncIterator[Any], context: Any, failed: Callable[[str], str]
) -> None:
    first = await anext_or_none(incoming)
    if first is None or not first.HasField("init"):
        return _fail(context, grpc.StatusCode.INVALID_ARGUMENT, "the first message of ServeHTTP has no init")
    trace.enter(context.invocation_metadata())
    work, loop = asyncio.Event(), asyncio.get_running_loop()
    outgoing = Outgoing(loop, work.set, handler.stall_limit, at_once=True)
    body = Incoming(loop, _source(incoming), lambda: None)
    body.feed(first.body_chunk, more=not first.body_complete)
    request, writer = _request(handler, first.init, body), HTTPResponseWriter(outgoing)
    is_given_up = False
    # grpcio sends no status while the initial metadata are on their way, and then the call never ends for the host.
    beginning = asyncio.Lock()
    sender = asyncio.ensure_future(_send(handler, outgoing, work, context, beginning))
    answering = asyncio.ensure_future(handler.answer(request, writer, lambda: is_given_up))
    try:
        # A web application may go on when its response has ended, and its client need not wait for that.
        done, _ = await asyncio.wait([sender, answering], return_when=asyncio.FIRST_COMPLETED)
        if answering in done:
            answering.result()
        if outgoing.cut_off:
            # Its client may take nothing, and then neither hears of that.
            await asyncio.wait([sender], timeout=CUT_PATIENCE)
        if (sender.done() or not outgoing.cut_off) and not await sender:
            is_given_up = True
        elif not writer.finished:
            # Its status comes behind what has been sent already. Nobody here waits for the client to take that.
            async with beginning:
                _fail(context, grpc.StatusCode.INTERNAL, failed("failed after it had begun"))
    except asyncio.CancelledError:
        is_given_up = True
        raise
    finally:
        # Also when the client has gone and this call was cancelled: a handler that still writes is told.
        outgoing.close()
        sender.cancel()
        if writer.finished and not answering.done():
            # It reads on, if it still does.
            handler.background.add(answering)
            answering.add_done_callback(handler.background.discard)
            answering.add_done_callback(lambda _: body.close())
        else:
            body.close()
            answering.cancel()


def _fail(context: Any, code: grpc.StatusCode, details: str) -> None:
    """Has the call fail when it is returned from. `context.abort` would first wait until the status is sent."""
    context.set_code(code)
    context.set_details(details)


async def anext_or_none(incoming: Any) -> Any:
    """The next message of a stream, or None at its end."""
    try:
        return await incoming.__anext__()
    except StopAsyncIteration:
        return None


def _source(incoming: AsyncIterator[Any]) -> Callable[[], Any]:
    async def piece() -> tuple[bytes, bool] | None:
        try:
            message = await incoming.__anext__()
        except (StopAsyncIteration, grpc.aio.BaseError):
            return None
        return message.body_chunk, not message.body_complete

    return piece


async def _send(
    handler: RequestHandler, outgoing: Outgoing, work: asyncio.Event, context: Any, beginning: asyncio.Lock
) -> bool:
    """Hands the response to the host, with its back-pressure, until it ends or is cut off; whether the host took it."""
    is_begun = False
    response = message_class(handler.contract.hooks["ServeHTTP"].output_type)
    while True:
        await work.wait()
        work.clear()
        while outgoing.head is not None:
            message = response()
            if not is_begun:
                status, headers = outgoing.head
                message.init.status_code = status
                for name, values in headers:
                    message.init.headers.add(key=name, values=values)
            elif not outgoing.pieces and not outgoing.ended:
                break
            piece: bytes | None = b""
            if outgoing.pieces:
                piece = outgoing.pieces.popleft()
                if piece is None:
                    message.flush = True
                else:
                    message.body_chunk = piece
            message.body_complete = outgoing.ended and not outgoing.pieces and not message.flush
            try:
                if not is_begun and not message.body_complete:
                    # The message would take it along. But that may wait for the client.
                    async with beginning:
                        await context.send_initial_metadata(())
                is_begun = True
                await context.write(message)
            except grpc.aio.BaseError:
                return False
            outgoing.sent(len(piece or b""))
            if message.body_complete:
                return True
        if outgoing.cut_off:
            return True


def _request(handler: RequestHandler, init: Any, body: Incoming) -> HTTPRequest:
    headers: dict[str, list[str]] = {}
    for header in init.headers:
        headers.setdefault(header.key, []).extend(header.values)
    return HTTPRequest(
        init.method,
        init.url,
        init.proto,
        init.proto_major,
        init.proto_minor,
        headers,
        init.host,
        init.remote_addr,
        init.request_uri,
        init.content_length,
        plugin_context=cast("Any", handler.contract.http_context.from_proto(init.plugin_context)),
        incoming=body,
        stall_limit=handler.stall_limit,
    )
