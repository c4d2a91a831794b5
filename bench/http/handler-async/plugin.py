"""The plain handler as a coroutine."""

from mattermost_plugin import HookName, Plugin, hook, run_plugin


class AsyncHandler(Plugin):
    @hook(HookName.ServeHTTP)
    async def serve(self, ctx, writer, request):
        writer.set_header("Content-Type", "text/plain")
        writer.write(b"Hello, world!")


if __name__ == "__main__":
    run_plugin(AsyncHandler)
