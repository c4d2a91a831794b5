from dataclasses import dataclass
from html import escape

from humanize import intcomma

from mattermost_plugin import HookName, Plugin, command, every, hook, run_plugin
from mattermost_plugin.types import CommandResponse


@dataclass
class Settings:
    greeting: str = "Thank you"
    top_count: int = 3


class Thanks(Plugin):
    @hook(HookName.MessageWillBePosted)
    def spell_out(self, ctx, post):
        if "thx" not in post.message:
            return None
        post.message = post.message.replace("thx", "thanks")
        return post

    @command("thanks", hint="NAME", description="Thanks somebody")
    def thank(self, ctx, args, text):
        if not text:
            return "Whom? Type `/thanks NAME`."
        author = self.api.get_user(args.user_id)
        count = self.kv.update(f"count:{text}", lambda before: before + 1, default=0)
        answer = f"{self.settings.greeting}, {text}, says {author.username}! That makes {count}."
        return CommandResponse(response_type="in_channel", text=answer)

    @hook(HookName.OnConfigurationChange)
    def configure(self):
        self.settings = self.load_settings(Settings)

    def top(self):
        counts = {key.removeprefix("count:"): self.kv.get(key, 0) for key in self.kv.keys("count:")}
        ranking = sorted(counts.items(), key=lambda item: item[1], reverse=True)
        return ranking[: self.settings.top_count]

    @command("thanks top", description="Who was thanked most")
    def show_top(self, ctx, args, text):
        return "\n".join(f"{name}: {count}" for name, count in self.top()) or "Nobody yet."

    @every(seconds=3600, at_once=True)
    def report(self):
        for name, count in self.top():
            self.logger.info("thanked most", extra={"who": name, "count": count})

    @hook(HookName.ServeHTTP)
    def serve(self, ctx, writer, request):
        rows = "".join(f"<li>{escape(name)}: {intcomma(count)}</li>" for name, count in self.top())
        writer.set_header("Content-Type", "text/html; charset=utf-8")
        writer.write(f"<h1>Thanked most</h1><ol>{rows}</ol>")


if __name__ == "__main__":
    run_plugin(Thanks)
