"""Plugins under a host that offers ttrpc."""

from __future__ import annotations

import pytest

from .conftest import StartPlugin
from .wire import HealthCheckRequest, HealthCheckResponse

TTRPC = pytest.mark.parametrize("start_plugin", ["ttrpc"], indirect=True)

PLUGIN = """
    class Speaking(Plugin):
        @hook(HookName.MessageWillBePosted)
        def sync(self, ctx, post):
            if post.message == "grpc?":
                return None, str("grpc" in sys.modules)
            post.message += "!"
            return post

        @hook(HookName.MessageWillBeUpdated)
        async def asynchronous(self, ctx, new, old):
            await asyncio.sleep(0)
            new.message += "?"
            return new

        @hook(HookName.MessageHasBeenPosted)
        async def notified(self, ctx, post):
            self.logger.info("notified of %s", post.message)

    run_plugin(Speaking)
"""


@TTRPC
def test_a_plugin_without_grpc(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(PLUGIN)
    assert plugin.handshake.startswith("1|1|fd|") and plugin.handshake.endswith("|ttrpc\n"), plugin.log()
    assert plugin.call("MessageWillBePosted", post={"message": "a"}).modified_post.message == "a!"
    assert plugin.call("MessageWillBeUpdated", new_post={"message": "a"}, old_post={}).modified_post.message == "a?"
    plugin.call("MessageHasBeenPosted", post={"message": "b"})
    plugin.wait_for_log("notified of b")
    assert plugin.call("MessageWillBePosted", post={"message": "grpc?"}).rejection_reason == "False"
    assert "MessageWillBePosted" in plugin.call("Implemented").hooks
    request = HealthCheckRequest(service="plugin")
    assert plugin.rpc("/grpc.health.v1.Health/Check", request, HealthCheckResponse).status == 1
    plugin.shut_down()
    assert plugin.wait() == 0, plugin.log()
