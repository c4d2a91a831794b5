"""Hooks on grpcio's aio and protoc's own modules, nothing else; its argument is the address. It ends with stdin."""

import asyncio
import sys

import grpc
from mattermost.pluginapi.v1 import hooks_message_pb2, plugin_hooks_pb2_grpc


class Hooks(plugin_hooks_pb2_grpc.PluginHooksServicer):
    async def MessageWillBePosted(self, request, context):
        if not request.post.message:
            return hooks_message_pb2.MessageWillBePostedResponse(rejection_reason="it is empty")
        return hooks_message_pb2.MessageWillBePostedResponse()

    async def MessageHasBeenPosted(self, request, context):
        if not request.post.message:
            print("an empty message was posted", file=sys.stderr)
        return hooks_message_pb2.MessageHasBeenPostedResponse()


async def main(address: str) -> None:
    server = grpc.aio.server()
    plugin_hooks_pb2_grpc.add_PluginHooksServicer_to_server(Hooks(), server)
    server.add_insecure_port(address)
    await server.start()
    print("serves", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


asyncio.run(main(sys.argv[1]))
