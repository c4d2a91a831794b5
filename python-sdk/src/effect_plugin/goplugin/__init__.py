"""The plugin's side of hashicorp/go-plugin's gRPC protocol, for plugins of any `.proto`; it knows nothing of hooks."""

from .broker import BROKER_TIMEOUT, BrokerError, GRPCBroker
from .handshake import HandshakeConfig
from .serve import Register, hear_of_the_end, run, serve, serve_until
from .stopping import Stopping

__all__ = [
    "BROKER_TIMEOUT",
    "BrokerError",
    "GRPCBroker",
    "HandshakeConfig",
    "Register",
    "Stopping",
    "hear_of_the_end",
    "run",
    "serve",
    "serve_until",
]
