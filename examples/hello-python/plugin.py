"""A plugin that shows each side of the contract once: vetoes, notifications, the host API, and HTTP."""

from mattermost_plugin import HookName, Plugin, hook, run_plugin
from mattermost_plugin.types import Post

BLOCKED_WORD = "forbidden"
GREETING = "hello python"
COUNT_KEY = "posts"

# What GET /large answers: byte i is i % 251, so that a byte that is lost or doubled shows.
PATTERN = bytes(range(251)) * 261


class HelloPython(Plugin):
    @hook(HookName.OnActivate)
    def on_activate(self):
        self.logger.info("hello-python is active", extra={"server_version": self.api.get_server_version()})

    @hook(HookName.OnDeactivate)
    def on_deactivate(self):
        self.logger.info("hello-python says goodbye")

    @hook(HookName.MessageWillBePosted)
    def check_post(self, ctx, post):
        if BLOCKED_WORD in post.message.lower():
            return None, f"the word '{BLOCKED_WORD}' is not allowed here"
        if ":wave:" in post.message:
            post.message = post.message.replace(":wave:", "👋")
            return post
        return None

    @hook(HookName.MessageHasBeenPosted)
    def answer_post(self, ctx, post):
        # Our own answers are posts too: a root id marks them, and answering them would never end.
        if post.root_id:
            return
        self.count()
        if GREETING in post.message.lower():
            answer = Post(
                channel_id=post.channel_id, user_id=post.user_id, root_id=post.id, message="Hello from Python!"
            )
            self.api.create_post(answer)

    def count(self):
        """Adds one to the counter, whoever else does at the same time."""
        self.kv.update(COUNT_KEY, lambda posts: posts + 1, default=0)

    @hook(HookName.ServeHTTP)
    def serve(self, ctx, writer, request):
        if request.method == "GET" and request.path in ("/", "/hello"):
            writer.json({"message": "Hello from Python!", "posts": self.kv.get(COUNT_KEY, 0)})
        elif (request.method, request.path) == ("POST", "/echo"):
            writer.set_header("Content-Type", request.get_header("Content-Type", "application/octet-stream"))
            for chunk in request.stream():
                writer.write(chunk)
        elif (request.method, request.path) == ("GET", "/large"):
            left = int(request.get_query("bytes", "0"))
            writer.set_header("Content-Type", "application/octet-stream")
            while left > 0:
                left -= writer.write(PATTERN[:left])
        else:
            writer.write_header(404)


if __name__ == "__main__":
    run_plugin(HelloPython)
