"""Messages as protobuf has them, which tests send and read as a host would."""

from __future__ import annotations

from mattermost_plugin.contract import contract_message
from mattermost_plugin.descriptors import message_class

HTTPHeader = contract_message("HTTPHeader")
ServeHTTPRequest = contract_message("ServeHTTPRequest")
ServeHTTPRequestInit = contract_message("ServeHTTPRequestInit")

HealthCheckRequest = message_class("grpc.health.v1.HealthCheckRequest")
HealthCheckResponse = message_class("grpc.health.v1.HealthCheckResponse")

ConnInfo = message_class("plugin.ConnInfo")
StdioData = message_class("plugin.StdioData")
