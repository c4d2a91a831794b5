"""A Flask application that counts its visitors in the host's key-value store."""

from flask import Flask, request

from mattermost_plugin import Plugin, run_plugin
from mattermost_plugin.web import wsgi

app = Flask(__name__)


@app.get("/")
def visit():
    api = request.environ["mattermost.plugin"].api
    visits = int(api.kv_get("visits") or b"0") + 1
    api.kv_set("visits", str(visits).encode())
    who = request.headers.get("Mattermost-User-Id", "stranger")
    return {"visits": visits, "hello": who}


class FlaskApp(Plugin):
    serve = wsgi(app)


if __name__ == "__main__":
    run_plugin(FlaskApp)
