"""The plugin's side of hashicorp/go-plugin's gRPC protocol, for plugins of any `.proto`; it knows nothing of hooks."""

from .._handshake import HandshakeConfig
from .._running import hear_of_the_end, run
from .._stopping import Stopping
from .broker import BROKER_TIMEOUT, BrokerError, GRPCBroker
from .serve import Register, serve, serve_until

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
