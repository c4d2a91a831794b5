"""The application as a plugin."""

from application import app

from mattermost_plugin import Plugin, run_plugin
from mattermost_plugin.web import wsgi


class WsgiApp(Plugin):
    serve = wsgi(app)


if __name__ == "__main__":
    run_plugin(WsgiApp)
