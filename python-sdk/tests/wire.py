"""Messages as protobuf has them, which tests send and read as a host would."""

from __future__ import annotations

from functools import partial

from effect_plugin import _client, _dispatch
from effect_plugin._descriptors import message_class
from mattermost_plugin._contract import CONTRACT, contract_message

#: The services of Mattermost's contract.
API, HOOKS = CONTRACT.api_service, CONTRACT.hooks_service

arguments = partial(_dispatch.arguments, CONTRACT)
handler_arguments = partial(_dispatch.handler_arguments, CONTRACT)
no_handler = partial(_dispatch.no_handler, CONTRACT)
response_of = partial(_dispatch.response_of, CONTRACT)
build_request = partial(_client.build_request, CONTRACT)
read_response = CONTRACT.answer

HTTPHeader = contract_message("HTTPHeader")
ServeHTTPRequest = contract_message("ServeHTTPRequest")
ServeHTTPRequestInit = contract_message("ServeHTTPRequestInit")

HealthCheckRequest = message_class("grpc.health.v1.HealthCheckRequest")
HealthCheckResponse = message_class("grpc.health.v1.HealthCheckResponse")

ConnInfo = message_class("plugin.ConnInfo")
StdioData = message_class("plugin.StdioData")
