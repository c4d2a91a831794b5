"""The plugin's side of hashicorp/go-plugin's gRPC protocol, for plugins of any `.proto`; it knows nothing of hooks."""

from .broker import BROKER_TIMEOUT, BrokerError, GRPCBroker
from .handshake import HandshakeConfig
from .serve import Register, run, serve

__all__ = ["BROKER_TIMEOUT", "BrokerError", "GRPCBroker", "HandshakeConfig", "Register", "run", "serve"]
