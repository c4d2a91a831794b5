"""The application as a plugin."""

from application import app

from mattermost_plugin import Plugin, run_plugin
from mattermost_plugin.web import asgi


class AsgiApp(Plugin):
    serve = asgi(app)


if __name__ == "__main__":
    run_plugin(AsgiApp)
