"""The plugin: serves calculator.proto. It would run under a host in Go just as well."""

import sys
from pathlib import Path

import grpc

from effect_plugin import goplugin

sys.path.append(str(Path(__file__).parent / "proto"))
messages, services = grpc.protos_and_services("calculator/calculator.proto")


class Calculator(services.CalculatorServicer):
    async def Add(self, request, context):
        print(f"adding {request.a} and {request.b}")
        return messages.AddResponse(sum=request.a + request.b)

    async def Count(self, request, context):
        for value in range(1, request.to + 1):
            yield messages.CountResponse(value=value)

    async def Total(self, requests, context):
        return messages.TotalResponse(total=sum([request.value async for request in requests]))

    async def Running(self, requests, context):
        total = 0
        async for request in requests:
            total += request.value
            yield messages.RunningResponse(total=total)


def register(server, broker):
    services.add_CalculatorServicer_to_server(Calculator(), server)


handshake = goplugin.HandshakeConfig(magic_cookie_key="CALCULATOR_PLUGIN", magic_cookie_value="adds up")
goplugin.run(goplugin.serve(handshake, versions={1: register}, ttrpc=True))
