"""
A client of the host API on grpcio's aio and protoc's own modules; its argument is the address. Each line of stdin is a
count and how many are in flight at a time: of so many pairs of KVSet and KVGet, it answers the milliseconds.
"""

import asyncio
import sys
import time

import grpc
from mattermost.pluginapi.v1 import api_kv_pb2, plugin_api_pb2_grpc


async def pairs(api: plugin_api_pb2_grpc.PluginAPIStub, count: int) -> None:
    for _ in range(count):
        await api.KVSet(api_kv_pb2.KVSetRequest(key="key", value=b"value"))
        answer = await api.KVGet(api_kv_pb2.KVGetRequest(key="key"))
        assert answer.value == b"value"


async def main(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        api = plugin_api_pb2_grpc.PluginAPIStub(channel)
        while line := await asyncio.to_thread(sys.stdin.readline):
            count, in_flight = map(int, line.split())
            began = time.perf_counter()
            await asyncio.gather(*(pairs(api, count // in_flight) for _ in range(in_flight)))
            print((time.perf_counter() - began) * 1000, flush=True)


asyncio.run(main(sys.argv[1]))
