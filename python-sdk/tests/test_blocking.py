"""What goes on while a handler blocks the event loop of its plugin's async code: all but what runs on that loop."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import grpc
import pytest

from effect_plugin._descriptors import message_class
from mattermost_plugin.types import Post

from .conftest import IN_GOOD_TIME, LIMIT, RunningPlugin, StartPlugin, code_of
from .goplugin import check
from .test_watchdog import line_of
from .ways import Way, each_way
from .wire import API, HealthCheckResponse

BOTH_PROTOCOLS = True

#: An async handler that blocks the loop until a sync one lets it go on.
BLOCKING = """
    import atexit

    class Blocking(Plugin):
        go_on = threading.Event()

        @hook(HookName.MessageWillBePosted)
        async def blocks(self, ctx, post):
            self.logger.info("begun")
            self.go_on.wait(600)
            try:
                await asyncio.sleep(600 if post.message == "sleep" else 0)
            except asyncio.CancelledError:
                self.logger.info("cancelled")
                raise
            return "it went on"

        @hook(HookName.MessageWillBeUpdated)
        def lets_it_go_on(self, ctx, new, old):
            def log():
                self.logger.info("from a thread")
                self.go_on.set()
            if new.message == "go on":
                threading.Thread(target=log).start()
            return "sync"

        @hook(HookName.UserWillLogIn)
        async def waits(self, ctx, user):
            return "async"

    atexit.register(Blocking().logger.info, "the exit functions have run")
    run_plugin(Blocking)
"""


#: uvloop is not everywhere.
each_loop = pytest.mark.parametrize(
    "source", [BLOCKING, "    sys.modules['uvloop'] = None\n" + BLOCKING], ids=["uvloop", "asyncio"]
)


def sync_hook(plugin: RunningPlugin, message: str = "") -> str:
    reason: str = plugin.call("MessageWillBeUpdated", new_post=Post(message=message)).rejection_reason
    return reason


@each_loop
@pytest.mark.grpc
def test_the_host_is_answered(start_plugin: StartPlugin, source: str) -> None:
    plugin = start_plugin(source)
    blocked = plugin.busy("MessageWillBePosted")
    waiting = [plugin.begin("UserWillLogIn") for _ in range(3)]
    assert check(plugin.channel) == HealthCheckResponse.SERVING
    assert sync_hook(plugin) == "sync"
    assert not blocked.done() and not any(call.done() for call in waiting)
    assert sync_hook(plugin, "go on") == "sync"
    plugin.wait_for_log("from a thread")
    assert blocked.result(LIMIT).rejection_reason == "it went on"
    assert [call.result(LIMIT).rejection_reason for call in waiting] == ["async"] * 3


def test_its_call_ends_in_time_and_says_where_it_is(start_plugin: StartPlugin) -> None:
    source = IN_GOOD_TIME + BLOCKING
    plugin = start_plugin(source)
    code, details = code_of(lambda: plugin.call("MessageWillBePosted", timeout=20))
    assert (code, details) == (
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "plugin Blocking: MessageWillBePosted did not return in time",
    )
    place = f"plugin.py:{line_of(source, 'self.go_on.wait(600)')}, in blocks"
    plugin.wait_for_log(f"MessageWillBePosted (Blocking.blocks) did not return within 0.2 s; it is at {place}")
    code, _ = code_of(lambda: plugin.call("UserWillLogIn", timeout=20))
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    plugin.wait_for_log(f'UserWillLogIn (Blocking.waits) could not begin within 0.2 s: the event loop is at {place}"')


def test_it_is_cancelled_as_soon_as_it_can_be(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(BLOCKING)
    blocked = plugin.busy("MessageWillBePosted", post=Post(message="sleep"))
    waiting = plugin.begin("UserWillLogIn")
    blocked.cancel()
    waiting.cancel()
    assert sync_hook(plugin, "go on") == "sync"
    plugin.wait_for_log("cancelled")
    assert plugin.call("UserWillLogIn").rejection_reason == "async"


@each_loop
@pytest.mark.parametrize("how", ["Shutdown", "SIGTERM"])
def test_the_plugin_ends(start_plugin: StartPlugin, how: str, source: str) -> None:
    plugin = start_plugin(source)
    plugin.busy("MessageWillBePosted")
    if how == "Shutdown":
        plugin.shut_down()
    else:
        plugin.process.send_signal(signal.SIGTERM)
    assert plugin.wait() == 0
    assert not Path(plugin.address).exists()
    log = plugin.log()
    place = f"plugin.py:{line_of(source, 'self.go_on.wait(600)')}, in blocks"
    assert f"something blocks its event loop, and nothing async comes to its end; it is at {place}" in log
    assert "the exit functions have run" in log


def test_the_plugin_ends_whatever_blocks_in_the_course_of_it(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(
        """
        class Ending(Plugin):
            @hook(HookName.OnActivate)
            async def activate(self):
                self.create_task(self.work())

            async def work(self):
                try:
                    await asyncio.sleep(600)
                finally:
                    time.sleep(600)

        run_plugin(Ending)
        """
    )
    plugin.call("OnActivate")
    plugin.shut_down()
    assert plugin.wait() == 0
    assert "nothing async comes to its end; it is at plugin.py:" in plugin.log()


ASKING = """
    class Asking(Plugin):
        @hook(HookName.OnActivate)
        async def activate(self):
            self.api.create_post(Post(message="hello"))

        @hook(HookName.MessageWillBePosted)
        {handler}(self, ctx, post):
            self.logger.info("asked about %s", post.message)

    {header}
    run_plugin(Asking)
"""


def creating(plugins: list[RunningPlugin], asked: list[Any]) -> dict[str, Any]:
    """A host API that asks the plugin before it creates a post, as hosts do."""

    def create_post(request: Any) -> Any:
        answer = plugins[0].begin("MessageWillBePosted", post=Post.from_proto(request.post))
        asked.append(answer.exception(LIMIT))
        return message_class(API.methods_by_name["CreatePost"].output_type)(post=request.post)

    return {"CreatePost": create_post}


def test_a_sync_call_in_an_async_handler_may_lead_to_a_sync_hook(start_plugin: StartPlugin, host_api: Any) -> None:
    plugins: list[RunningPlugin] = []
    asked: list[Any] = []
    target = host_api(creating(plugins, asked))
    plugins.append(start_plugin(ASKING.format(handler="def ask", header=""), MATTERMOST_PLUGIN_API_TARGET=target))
    assert plugins[0].call("OnActivate").error.id == ""
    assert asked == [None]
    assert "asked about hello" in plugins[0].log()


def test_a_sync_call_does_not_wait_for_a_hook_that_waits_for_it(start_plugin: StartPlugin, host_api: Any) -> None:
    plugins: list[RunningPlugin] = []
    asked: list[Any] = []
    target = host_api(creating(plugins, asked))
    source = ASKING.format(
        handler="async def ask", header="from effect_plugin import _watchdog as watchdog; watchdog.BLOCKED = 0.2"
    )
    plugins.append(start_plugin(source, MATTERMOST_PLUGIN_API_TARGET=target))
    assert plugins[0].call("OnActivate", timeout=10 * LIMIT).error.id == ""
    assert [error.code() for error in asked] == [grpc.StatusCode.DEADLINE_EXCEEDED]
    plugins[0].wait_for_log(
        "MessageWillBePosted (Asking.ask) could not begin within 0.2 s: the event loop is at "
        f"plugin.py:{line_of(source, 'self.api.create_post')}, in activate; that waits for api.create_post(), instead "
        "of async_api.create_post()"
    )
    assert "asked about hello" not in plugins[0].log()


APPLICATION = """
    import logging
    from mattermost_plugin.web import asgi

    go_on = threading.Event()

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        logging.getLogger("app").info("begun")
        go_on.wait(600)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"it went on"})

    class Web(Plugin):
        serve = asgi(app)

        @hook(HookName.MessageWillBeUpdated)
        def lets_it_go_on(self, ctx, new, old):
            if new.message == "go on":
                go_on.set()
            return "sync"

    run_plugin(Web)
"""


@each_way
@pytest.mark.grpc
def test_an_application_that_blocks_keeps_nobody_waiting(start_plugin: StartPlugin, way: Way) -> None:
    plugin = start_plugin(APPLICATION)
    exchange = way.open(plugin, "/", "GET", (), 0)
    exchange.end()
    plugin.wait_for_log("begun")
    assert check(plugin.channel) == HealthCheckResponse.SERVING
    assert sync_hook(plugin) == "sync"
    sync_hook(plugin, "go on")
    assert exchange.head()[0] == 200
    assert exchange.read() == b"it went on"


@each_way
@pytest.mark.grpc
def test_a_sync_application_is_served_all_the_same(start_plugin: StartPlugin, way: Way) -> None:
    plugin = start_plugin(
        """
        from mattermost_plugin.web import wsgi

        def app(environ, start_response):
            start_response("200 OK", [])
            return [b"sync"]

        class Web(Plugin):
            serve = wsgi(app)

            @hook(HookName.MessageHasBeenPosted)
            async def blocks(self, ctx, post):
                self.logger.info("begun")
                time.sleep(600)

        run_plugin(Web)
        """
    )
    plugin.busy("MessageHasBeenPosted")
    assert way.ask(plugin, "/").body == b"sync"


def test_signals_of_the_author_s_own_leave_sigterm_alone(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(
        """
        import signal

        class Signals(Plugin):
            @hook(HookName.OnActivate)
            async def activate(self):
                loop = asyncio.get_running_loop()
                loop.add_signal_handler(signal.SIGUSR1, self.logger.info, "its own signal")
                assert threading.current_thread() is threading.main_thread()

        run_plugin(Signals)
        """
    )
    assert plugin.call("OnActivate").error.id == ""
    plugin.process.send_signal(signal.SIGUSR1)
    plugin.wait_for_log("its own signal")
    plugin.process.send_signal(signal.SIGTERM)
    assert plugin.wait() == 0


def test_context_variables_are_those_of_the_plugin_s_making(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(
        """
        import contextvars
        variable = contextvars.ContextVar("variable", default="unset")

        class Context(Plugin):
            def __init__(self, api=None, config=None):
                super().__init__(api=api, config=config)
                variable.set("set")

            @hook(HookName.UserWillLogIn)
            async def log_in(self, ctx, user):
                previous = variable.get()
                variable.set("changed by a call")
                await asyncio.sleep(0)
                return previous

            @hook(HookName.MessageWillBePosted)
            def posted(self, ctx, post):
                previous = variable.get()
                variable.set("changed by a call")
                return previous

        run_plugin(Context)
        """
    )
    for hook in ("UserWillLogIn", "MessageWillBePosted") * 2:
        assert plugin.call(hook).rejection_reason == "set"


def test_async_handlers_begin_in_the_order_of_their_calls(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(
        """
        class Order(Plugin):
            seen = []

            @hook(HookName.MessageHasBeenPosted)
            async def posted(self, ctx, post):
                self.seen.append(post.message)
                await asyncio.sleep(0)

            @hook(HookName.UserWillLogIn)
            async def log_in(self, ctx, user):
                return " ".join(self.seen)

        run_plugin(Order)
        """
    )
    for number in range(100):
        plugin.call("MessageHasBeenPosted", post=Post(message=str(number)))
    assert plugin.call("UserWillLogIn").rejection_reason == " ".join(map(str, range(100)))
