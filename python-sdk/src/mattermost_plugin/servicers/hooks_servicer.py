"""Where the published SDK keeps what ServeHTTP handlers are given."""

from ..hooks import DISMISS_POST_ERROR
from ..http import HTTPRequest, HTTPResponseWriter

__all__ = ["DISMISS_POST_ERROR", "HTTPRequest", "HTTPResponseWriter"]
