"""The plugin's side of hashicorp/go-plugin's gRPC protocol: `effect_plugin.goplugin` by its former name."""

from effect_plugin.goplugin import (
    BROKER_TIMEOUT,
    BrokerError,
    GRPCBroker,
    HandshakeConfig,
    Register,
    Stopping,
    hear_of_the_end,
    run,
    serve,
    serve_until,
)

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
