"""What the tests of the generic layer share."""

from __future__ import annotations

import base64
import ssl

import grpc
import pytest

from effect_plugin.goplugin import listener

from .conftest import LIMIT, RunningPlugin
from .wire import HealthCheckRequest, HealthCheckResponse

#: A plugin on the generic layer, without a service of its own.
PLUGIN = """
    import logging
    from effect_plugin import goplugin, logs

    HANDSHAKE = goplugin.HandshakeConfig("MATTERMOST_PLUGIN", "Securely message teams, anywhere.")

    async def main():
        await goplugin.serve(HANDSHAKE, {1: lambda server, broker: None})

    goplugin.run(main())
"""


def check(channel: grpc.Channel) -> int:
    """The plugin's health."""
    call = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=HealthCheckRequest.SerializeToString,
        response_deserializer=HealthCheckResponse.FromString,
    )
    status: int = call(HealthCheckRequest(service="plugin"), timeout=LIMIT).status
    return status


def certificate_of(plugin: RunningPlugin) -> bytes:
    """The certificate in the handshake, as PEM."""
    field = plugin.handshake.strip().split("|")[5]
    assert "=" not in field
    return ssl.DER_cert_to_PEM_cert(base64.b64decode(field + "=" * (-len(field) % 4))).encode()


def secure(plugin: RunningPlugin, key: bytes | None, certificate: bytes | None) -> grpc.Channel:
    """A connection of a host that trusts the plugin's certificate, and shows one."""
    credentials = grpc.ssl_channel_credentials(certificate_of(plugin), key, certificate)
    return grpc.secure_channel(f"unix:{plugin.address}", credentials, [("grpc.ssl_target_name_override", "localhost")])


def listen_on_tcp(monkeypatch: pytest.MonkeyPatch, low: str = "", high: str = "") -> None:
    """Makes plugins in this process listen as on Windows, on a port of a range."""
    monkeypatch.setattr(listener, "has_unix_sockets", lambda: False)
    monkeypatch.setenv("PLUGIN_MIN_PORT", low)
    monkeypatch.setenv("PLUGIN_MAX_PORT", high)
