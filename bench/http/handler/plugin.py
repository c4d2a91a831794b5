"""A plain handler that does what the applications do."""

from mattermost_plugin import HookName, Plugin, hook, run_plugin


class Handler(Plugin):
    @hook(HookName.ServeHTTP)
    def serve(self, ctx, writer, request):
        writer.set_header("Content-Type", "text/plain")
        writer.write(b"Hello, world!")


if __name__ == "__main__":
    run_plugin(Handler)
