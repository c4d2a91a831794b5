"""What the reference server does, with a plain function."""

from mattermost_plugin import HookName, Plugin, hook, run_plugin


class Sync(Plugin):
    @hook(HookName.MessageWillBePosted)
    def check(self, ctx, post):
        if not post.message:
            return None, "it is empty"
        return None


if __name__ == "__main__":
    run_plugin(Sync)
