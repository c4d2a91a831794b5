"""What a plugin prints after its handshake, on the stream for its host."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2

from effect_plugin.goplugin.stdio import Stdio

from .conftest import LIMIT, RunningPlugin, StartPlugin, code_of
from .wire import StdioData

PRINTING = """
    import logging
    from effect_plugin import goplugin, logs

    HANDSHAKE = goplugin.HandshakeConfig("MATTERMOST_PLUGIN", "Securely message teams, anywhere.")

    async def main():
        async def prints():
            while not os.path.exists("go"):
                await asyncio.sleep(0.01)
            {body}
            open("printed", "w").close()

        task = asyncio.ensure_future(prints())
        await goplugin.serve(HANDSHAKE, {{1: lambda server, broker: None}})
        print("after the end")

    goplugin.run(main())
"""


def streamed(plugin: RunningPlugin) -> Any:
    """Opens the stream of what the plugin prints."""
    call = plugin.channel.unary_stream(
        "/plugin.GRPCStdio/StreamStdio",
        request_serializer=empty_pb2.Empty.SerializeToString,
        response_deserializer=StdioData.FromString,
    )
    return call(empty_pb2.Empty(), timeout=LIMIT)


def go(folder: Path) -> None:
    """Lets the plugin print, and waits until it has."""
    (folder / "go").touch()
    end = time.monotonic() + LIMIT
    while not (folder / "printed").exists():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_stdio_is_byte_for_byte_and_whole(start_plugin: StartPlugin, tmp_path: Path) -> None:
    body = 'print("out"); sys.stdout.buffer.write(b"\\xff\\r\\n" + b"x" * 5000); sys.stderr.write("err")'
    plugin = start_plugin(PRINTING.format(body=body))
    stream = streamed(plugin)
    go(tmp_path)
    plugin.shut_down()
    chunks = list(stream)
    assert plugin.wait() == 0
    assert "after the end" in plugin.log(), "there is no stream for it any more"
    assert max(len(chunk.data) for chunk in chunks) == 1024
    by_channel = {
        channel: b"".join(chunk.data for chunk in chunks if chunk.channel == channel)
        for channel in (StdioData.STDOUT, StdioData.STDERR)
    }
    assert list(by_channel.values()) == [b"out\n\xff\r\n" + b"x" * 5000, b"err"]


def test_stdio_that_nobody_reads_blocks_nobody_and_is_bounded(start_plugin: StartPlugin, tmp_path: Path) -> None:
    plugin = start_plugin(PRINTING.format(body='[print("y" * 999) for _ in range(2000)]'))
    go(tmp_path)
    plugin.wait_for_log("the host does not read what the plugin prints: some of it is lost")
    stream = streamed(plugin)
    plugin.shut_down()
    assert sum(len(chunk.data) for chunk in stream) == 1048 * 1000
    assert plugin.log().count("is lost") == 1


def test_stdio_has_one_reader(start_plugin: StartPlugin, tmp_path: Path) -> None:
    plugin = start_plugin(PRINTING.format(body='print("for the first")'))
    first = streamed(plugin)
    go(tmp_path)
    assert next(first).data == b"for the first\n"
    code, details = code_of(lambda: next(streamed(plugin)))
    assert (code, details) == (grpc.StatusCode.FAILED_PRECONDITION, "the plugin's output is being read already")


def test_stdio_survives_its_loop() -> None:
    async def main() -> Stdio:
        return Stdio(asyncio.get_running_loop())

    writer = asyncio.run(main()).writer(StdioData.STDOUT)
    print("after the end", file=writer)
    assert writer.fileno() == 1
