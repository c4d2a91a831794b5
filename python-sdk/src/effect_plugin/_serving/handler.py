"""The handler of ServeHTTP at work: what each transport does with a request."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, Callable

from .._body import ClientDisconnected
from .._loops import EventLoop
from .._plugin import BasePlugin, contract_of
from .._threads import HandlerThreads, NoThreadError, run_on_thread
from ..http import HTTPRequest, HTTPResponseWriter, split_target
from ..logs import own_logger

#: Seconds a request waits for one of ServeHTTP's threads, before its client is told to come again.
PATIENCE = 5.0

_log = own_logger("effect_plugin")


class RequestHandler:
    """Runs a plugin's handler of ServeHTTP for the transports."""

    def __init__(self, plugin: BasePlugin, author: EventLoop, machinery: EventLoop) -> None:
        self.plugin = plugin
        self.contract = contract_of(type(plugin))
        self._author = author
        self._handler = plugin.get_hook_handler("ServeHTTP")
        self._is_async = inspect.iscoroutinefunction(self._handler)
        #: The loop on which requests are served: where an async handler runs, so that no request is handed from one
        #: thread to another.
        self.home = author if self._is_async else machinery
        #: The ASGI application that is the handler, if one is.
        self.application: Any = getattr(self._handler, "application", None)
        #: What its lifespan has left for its requests.
        self.state: dict[str, Any] = getattr(self._handler, "state", {})
        if plugin.http_threads < 1:
            raise ValueError(f"{type(plugin).__name__}.http_threads is {plugin.http_threads}; it needs at least one")
        self._threads = HandlerThreads("http", plugin.http_threads, PATIENCE)
        #: What goes on after responses have ended, as web applications' background tasks do.
        self.background: set[asyncio.Future[Any]] = set()

    @property
    def stall_limit(self) -> float:
        """Seconds for which a handler on a thread waits for its client."""
        return self.plugin.http_stall_limit

    def close(self) -> None:
        """Ends the threads of sync handlers, each as soon as its handler has returned."""
        self._threads.close()

    async def finish(self, limit: float) -> None:
        """Waits for what goes on in the background; then ends it."""
        if self.background:
            await asyncio.wait(self.background, timeout=limit)
        for task in self.background:
            task.cancel()

    async def answer(self, request: HTTPRequest, writer: HTTPResponseWriter, given_up: Callable[[], bool]) -> None:
        """Runs the handler, and ends its response: whole, or cut off where it failed.

        `given_up` tells whether the transport has cancelled it. Whatever else cancels it is a failure of its own.
        """
        handler = self._handler
        if handler is None:
            _plain(writer, 404, "Not Found")
            return
        try:
            if self._is_async and self.application is None:
                await request.read_ahead()
            args = [request.plugin_context, writer, request]
            if self._is_async:
                result = await handler(*args)
            else:
                result = await run_on_thread(self._threads, handler, args, self._author)
            if result is not None and not writer.started:
                kind = type(result).__name__
                raise TypeError(f"it returned a {kind}, which nobody reads; a handler calls writer.write(...)")
            writer.finish()
        except NoThreadError as error:
            _log.error("ServeHTTP (%s) could not begin: %s", handler.__qualname__, error)
            writer.set_header("Retry-After", "1")
            _plain(writer, 503, "Service Unavailable")
        except ClientDisconnected as error:
            if not given_up():
                _log.info("ServeHTTP (%s) ended early: %s: %s", handler.__qualname__, _asked(request), error)
            writer.cut_off()
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and given_up():
                raise
            _log.exception("ServeHTTP (%s) failed: %s", handler.__qualname__, _asked(request))
            if writer.started:
                writer.cut_off()
            else:
                writer.clear_headers()
                _plain(writer, 500, "Internal Server Error")


def _asked(request: HTTPRequest) -> str:
    return f"{request.method} {split_target(request.url)[0]}"


def _plain(writer: HTTPResponseWriter, status: int, text: str) -> None:
    writer.set_header("Content-Type", "text/plain; charset=utf-8")
    writer.write_header(status)
    writer.write(text)
    writer.finish()
