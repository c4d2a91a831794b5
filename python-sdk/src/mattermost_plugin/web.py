"""A web application as a plugin's ServeHTTP: WSGI (Flask, Django) and ASGI (FastAPI, Starlette), streamed both ways."""

from effect_plugin.web import asgi, wsgi

__all__ = ["asgi", "wsgi"]
