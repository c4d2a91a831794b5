"""ServeHTTP: a request and its response."""

from effect_plugin.http import ClientDisconnected, HTTPRequest, HTTPResponseWriter

__all__ = ["ClientDisconnected", "HTTPRequest", "HTTPResponseWriter"]
