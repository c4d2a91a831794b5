"""Plugins of a protocol of their own over ttrpc: handlers of grpcio's, streams, and hosts that misbehave."""

from __future__ import annotations

import base64
import random
import re
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from effect_plugin._ttrpc.stream_calls import MAX_OPEN
from effect_plugin._ttrpc.streams import WINDOW

from .conftest import IDLE, LIMIT, RunningPlugin, StartPlugin, code_of
from .ttrpc_host import (
    CODES,
    DATA,
    REMOTE_CLOSED,
    REQUEST,
    RESPONSE,
    Response,
    Stream,
    frame,
    request_of,
)
from .wire import HealthCheckRequest, HealthCheckResponse, StdioData

pytestmark = pytest.mark.parametrize("start_plugin", ["ttrpc"], indirect=True)

#: Handlers of bytes, as they come.
PLUGIN = """
import asyncio, contextvars, logging, os, sys, threading, time
import grpc
from effect_plugin import goplugin, logs

HANDSHAKE = goplugin.HandshakeConfig("MATTERMOST_PLUGIN", "Securely message teams, anywhere.")
log = logging.getLogger("test")


async def echo(request, context):
    return request


async def count(request, context):
    for number in range(int(request)):
        yield str(number).encode()


async def join(requests, context):
    return b",".join([request async for request in requests])


async def upper(requests, context):
    async for request in requests:
        yield request.upper()


async def talk(requests, context):
    while (request := await context.read()) is not grpc.aio.EOF:
        await context.write(request.upper())


def sync_echo(request, context):
    return request + threading.current_thread().name.encode()[:3]


def sync_count(request, context):
    for number in range(int(request)):
        yield str(number).encode()


def sync_join(requests, context):
    return b",".join(requests)


def sync_upper(requests, context):
    for request in requests:
        yield request.upper()


async def unread(requests, context):
    # Or as much of them as it is told.
    async for request in requests:
        if request == b"stop":
            break
    await asyncio.Event().wait()


async def hang(request, context):
    log.info("begun")
    try:
        yield b"hanging"
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        log.info("cancelled: %s", context.cancelled())
        raise


async def large(request, context):
    yield b"small"
    yield b"x" * int(request)


async def pour(request, context):
    for number in range(1_000_000):
        yield b"x" * 100_000
        log.info("poured %s", number)


async def wrong(request, context):
    raise ValueError("a secret")


async def wrong_later(request, context):
    yield b"first"
    raise ValueError("a secret")


UNARY = {"Echo": echo, "SyncEcho": sync_echo, "Wrong": wrong}
ANSWERS = {"Count": count, "SyncCount": sync_count, "Hang": hang, "Large": large, "Pour": pour}
ANSWERS["WrongLater"] = wrong_later
ASKS = {"Join": join, "SyncJoin": sync_join}
BOTH = {"Upper": upper, "SyncUpper": sync_upper, "Talk": talk, "Unread": unread}


def register(server, broker):
    handlers = {
        **{name: grpc.unary_unary_rpc_method_handler(each) for name, each in UNARY.items()},
        **{name: grpc.unary_stream_rpc_method_handler(each) for name, each in ANSWERS.items()},
        **{name: grpc.stream_unary_rpc_method_handler(each) for name, each in ASKS.items()},
        **{name: grpc.stream_stream_rpc_method_handler(each) for name, each in BOTH.items()},
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Service", handlers)])


def run():
    logs.configure("INFO", sys.__stderr__)
    goplugin.run(goplugin.serve(HANDSHAKE, {1: register}, ttrpc=True))
"""

RUN = "run()\n"


@pytest.fixture
def plugin(start_plugin: StartPlugin) -> RunningPlugin:
    """Such a plugin, whose messages may have a hundred thousand bytes and more."""
    return start_plugin(RUN, header=PLUGIN, PLUGIN_SUPERVISOR_MESSAGE_LIMIT="100000")


def opened(plugin: RunningPlugin, method: str, *args: Any, **options: Any) -> Stream:
    assert plugin.caller is not None
    return plugin.caller.open("test.Service", method, *args, **options)


def begun(plugin: RunningPlugin, method: str, payload: bytes = b"", **options: Any) -> Any:
    assert plugin.caller is not None
    return plugin.caller.begin("test.Service", method, payload, bytes, **options)


def echoed(plugin: RunningPlugin, payload: bytes = b"a") -> None:
    assert begun(plugin, "Echo", payload).result(LIMIT) == payload


def raw(plugin: RunningPlugin) -> socket.socket:
    assert plugin.caller is not None
    return plugin.caller.connection


OK = (0, "", b"")


def test_streams_of_every_kind(plugin: RunningPlugin) -> None:
    assert re.fullmatch(r"1\|1\|fd\|[0-9]+\|ttrpc\n", plugin.handshake)
    numbers = [str(number).encode() for number in range(1000)]
    for kind, thread in (("", ""), ("Sync", "asy")):
        assert begun(plugin, f"{kind}Echo", b"a").result(LIMIT) == b"a" + thread.encode()
        assert opened(plugin, f"{kind}Count", b"1000", REMOTE_CLOSED).rest() == [*numbers, None]
        assert opened(plugin, f"{kind}Count", b"0").rest() == [None], "whatever the flags say"
        stream = opened(plugin, f"{kind}Join")
        stream.send(b"a", b"", b"b")
        stream.close()
        assert stream.rest() == [(0, "", b"a,,b")]
        assert opened(plugin, f"{kind}Join", b"", REMOTE_CLOSED).rest() == [OK]
        # What comes with the request is the first message; and the last one may say that it is.
        stream = opened(plugin, f"{kind}Upper", b"first")
        assert stream.next() == b"FIRST"
        stream.send(b"second")
        assert stream.next() == b"SECOND"
        raw(plugin).sendall(frame(stream.stream, DATA, b"third", REMOTE_CLOSED))
        assert stream.rest() == [b"THIRD", None]
    talk = opened(plugin, "Talk")
    talk.send(b"a")
    assert talk.next() == b"A"
    talk.close()
    assert talk.rest() == [None]


def test_many_streams_at_once(plugin: RunningPlugin) -> None:
    streams = [opened(plugin, "Upper") for _ in range(200)]
    for turn in range(5):
        for stream in streams:
            stream.send(b"%d" % turn)
    for stream in streams:
        stream.close()
    for stream in streams:
        assert stream.rest() == [b"0", b"1", b"2", b"3", b"4", None]


def test_how_calls_fail(plugin: RunningPlugin) -> None:
    unexpected = (2, "Unexpected <class 'ValueError'>")
    assert code_of(begun(plugin, "Wrong").result) == (CODES[2], unexpected[1])
    assert opened(plugin, "WrongLater").rest() == [b"first", (*unexpected, b"")]
    assert plugin.wait_for_log("a call has failed: test.Service/WrongLater").count("a secret") >= 2
    assert opened(plugin, "Nothing").rest() == [(12, "service test.Service", b"")]
    assert opened(plugin, "Count", b"no number").rest()[-1][0] == 2
    late = opened(plugin, "Hang", timeout=0.2)
    assert late.rest() == [b"hanging", (4, "Deadline Exceeded", b"")]
    plugin.wait_for_log('"cancelled: True"')
    assert opened(plugin, "Hang", timeout=-1).rest() == [(4, "Deadline Exceeded", b"")]
    echoed(plugin)


CONTEXT = """
async def told(request, context):
    left = context.time_remaining()
    context.add_done_callback(lambda context: log.info("done: %s", context.done()))
    await context.send_initial_metadata((("x-initial", "1"),))
    context.set_trailing_metadata((("x-trailing", "1"),))
    assert context.trailing_metadata() == (("x-trailing", "1"),)
    assert (context.cancelled(), context.done(), context.peer()) == (False, False, "unix:")
    assert (context.code(), context.details(), context.auth_context()) == (grpc.StatusCode.OK, "", {})
    return repr((dict(context.invocation_metadata()), left is None or 0 < left <= 60)).encode()


async def set(request, context):
    context.set_code(grpc.StatusCode.DATA_LOSS)
    context.set_details("set")
    if request == b"raise":
        raise ValueError("a secret")
    return b"dropped"


async def abort(request, context):
    details = bytes([8, 5, 26, 0])
    try:
        await context.abort(grpc.StatusCode.ABORTED, "aborted", (("grpc-status-details-bin", details),))
    except Exception:
        log.info("kept from ending")
    yield b"in vain"


def sync_abort(request, context):
    context.abort(grpc.StatusCode.ABORTED, "aborted", (("grpc-status-details-bin", b"garbage"),))


def unimplemented(request, context):
    # As grpcio's generated code has it.
    context.set_code(grpc.StatusCode.UNIMPLEMENTED)
    context.set_details("Method not implemented!")
    raise NotImplementedError("Method not implemented!")


UNARY.update({"Told": told, "Set": set, "SyncAbort": sync_abort, "Unimplemented": unimplemented})
ANSWERS.update({"Abort": abort})
"""


def test_the_context_of_a_call(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(RUN, header=PLUGIN + CONTEXT)
    metadata = {"x-text": "a", "x-bin": base64.b64encode(b"\x00\xff").decode().rstrip("="), "no-bin": "\u00e9"}
    told = begun(plugin, "Told", metadata=metadata, timeout=60).result(LIMIT)
    expected = {"x-text": "a", "x-bin": b"\x00\xff", "no-bin": "\u00e9".encode()}
    assert told.decode() == repr((expected, True))
    plugin.wait_for_log('"done: True"')
    assert code_of(begun(plugin, "Set").result) == (CODES[15], "set")
    assert "a secret" not in plugin.log()
    assert code_of(begun(plugin, "Set", b"raise").result) == (CODES[15], "set")
    plugin.wait_for_log("a secret")
    aborted = opened(plugin, "Abort")
    messages = aborted.rest()
    assert messages[-1] == (10, "aborted", b""), messages
    plugin.wait_for_log("kept from ending")
    assert code_of(begun(plugin, "SyncAbort").result) == (CODES[10], "aborted")
    assert code_of(begun(plugin, "Unimplemented").result) == (CODES[12], "Method not implemented!")


def test_the_details_of_a_status(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(RUN, header=PLUGIN + CONTEXT)
    stream = opened(plugin, "Abort")
    kind, _, data = stream.received.get(timeout=LIMIT)
    while kind == DATA:
        kind, _, data = stream.received.get(timeout=LIMIT)
    status = Response.FromString(data).status
    assert (status.code, status.message, len(status.details)) == (10, "aborted", 1)


def test_a_stream_that_is_given_up(plugin: RunningPlugin) -> None:
    stream = opened(plugin, "Hang")
    assert stream.next() == b"hanging"
    stream.cancel()
    plugin.wait_for_log('"cancelled: True"')
    # One whose handler does not wait for anything.
    count = opened(plugin, "Count", b"1000000000")
    assert count.next() == b"0"
    count.cancel()
    echoed(plugin)
    assert stream.received.empty(), "nobody waits for an answer"


@pytest.mark.parametrize("messages", [[b"x"] * 3 * WINDOW, [b"x" * 50_000] * 10])
def test_a_stream_that_nobody_reads_fails_and_the_others_go_on(plugin: RunningPlugin, messages: list[bytes]) -> None:
    read = opened(plugin, "Upper")
    unread = opened(plugin, "Unread", b"stop")
    unread.send(*messages)
    echoed(plugin)
    # Nobody has waited for it, unless this does.
    echoed(plugin)
    assert unread.next() == (8, "the stream's messages were not read", b"")
    # What was on its way is nothing to anybody.
    unread.send(*messages)
    read.send(b"a")
    assert read.next() == b"A"
    echoed(plugin)


def test_messages_that_are_read_late_are_all_read(plugin: RunningPlugin) -> None:
    joined = opened(plugin, "SyncJoin")
    messages = [b"%d" % number for number in range(20 * WINDOW)]
    joined.send(*messages)
    joined.close()
    assert joined.rest() == [(0, "", b",".join(messages))]


def test_a_host_that_does_not_read(plugin: RunningPlugin) -> None:
    assert plugin.caller is not None
    with plugin.caller.reading:
        stream = opened(plugin, "Pour")
        plugin.wait_for_log("poured 30")
        # What the socket takes, and some megabytes; many more would be there by now.
        time.sleep(0.5)
        assert plugin.log().count("poured") < 200
    for _ in range(300):
        assert stream.next() == b"x" * 100_000
    stream.cancel()
    echoed(plugin)


def test_what_is_too_large_fails_its_stream_alone(plugin: RunningPlugin) -> None:
    other = opened(plugin, "Upper")
    limit = 100_000 + 64 * 1024
    fits = opened(plugin, "Upper")
    fits.send(b"x" * limit)
    assert fits.next() == b"X" * limit
    large = opened(plugin, "Upper")
    large.send(b"x" * (limit + 1), b"more")
    assert large.next() == (8, f"Received message larger than max ({limit})", b"")
    sent = opened(plugin, "Large", b"%d" % (limit + 1))
    assert sent.rest() == [b"small", (8, f"Sent message larger than max ({limit + 1} vs. {limit})", b"")]
    too_large = opened(plugin, "Count", b"1" * (limit + 1))
    assert too_large.next()[0] == 8
    other.send(b"a")
    assert other.next() == b"A"


def test_what_no_host_should_send_in_a_stream(plugin: RunningPlugin) -> None:
    send = raw(plugin).sendall
    # More after the last message, of a stream that is there still, and of one whose handler takes one message.
    for method, payload in (("Unread", b""), ("Hang", b"")):
        stream = opened(plugin, method, payload)
        stream.close()
        stream.send(b"more")
        assert [each for each in stream.rest() if each != b"hanging"] == [
            (3, f"stream {stream.stream} has a message after its last", b"")
        ]
    # What is no stream, or none any more.
    done = opened(plugin, "Join", b"", REMOTE_CLOSED)
    assert done.rest() == [OK]
    done.send(b"late")
    done.close()
    nobody = opened(plugin, "Upper")
    for wrong in (
        frame(nobody.stream, RESPONSE, b""),
        frame(nobody.stream, 9, b"?"),
        frame(nobody.stream, REQUEST, request_of("test.Service", "Echo", b"", None, None)),
    ):
        nobody = opened(plugin, "Upper")
        send(wrong.replace(wrong[4:8], nobody.stream.to_bytes(4, "big"), 1))
        assert nobody.rest()[-1][0] == 3
        nobody.send(b"late")
    assert plugin.caller is not None
    for stream_id in (0, 2, 1_000_001):
        strange = plugin.caller._streams[stream_id] = Stream(plugin.caller, stream_id)
        strange.send(b"data")
        assert strange.next()[0] == 3
    echoed(plugin)
    assert done.received.empty()


def test_a_live_unary_call_that_gets_data_is_cancelled(start_plugin: StartPlugin) -> None:
    waits = """
async def wait(request, context):
    log.info("begun")
    try:
        await asyncio.Event().wait()
    finally:
        log.info("ended")

UNARY["Wait"] = wait
"""
    plugin = start_plugin(RUN, header=PLUGIN + waits)
    call = begun(plugin, "Wait")
    plugin.wait_for_log('"begun"')
    raw(plugin).sendall(frame(call.stream, DATA, b"more"))
    assert code_of(lambda: call.result(LIMIT)) == (
        CODES[3],
        f"stream {call.stream} has data, which this call does not take",
    )
    plugin.wait_for_log('"ended"')
    echoed(plugin)


def test_more_streams_than_may_be_open(plugin: RunningPlugin) -> None:
    streams = [opened(plugin, "Hang", b"", REMOTE_CLOSED) for _ in range(MAX_OPEN)]
    for stream in streams:
        assert stream.next() == b"hanging"
    for _ in range(100):
        assert opened(plugin, "Hang").rest() == [(8, f"{MAX_OPEN} streams are open already", b"")]
    # Unary calls are others.
    echoed(plugin)
    for stream in streams:
        stream.cancel()
    end = time.monotonic() + LIMIT
    while opened(plugin, "Count", b"1").rest() != [b"0", None]:
        assert time.monotonic() < end


@pytest.mark.parametrize("seed", range(3))
def test_frames_at_random(plugin: RunningPlugin, seed: int) -> None:
    assert plugin.caller is not None
    chance = random.Random(seed)
    methods = ["Echo", "SyncEcho", "Count", "SyncCount", "Join", "SyncJoin", "Upper", "Talk", "Unread", "Hang", "None"]
    frames = []
    for number in range(3000):
        # Mostly of the streams that were opened last, or of the next.
        stream = chance.choice([number | 1, max(number - chance.randrange(50), 0), chance.randrange(5000)])
        kind = chance.choice([REQUEST, REQUEST, DATA, DATA, DATA, DATA, RESPONSE, chance.randrange(256)])
        payload = bytes(chance.randrange(48, 58) for _ in range(chance.randrange(4)))
        if kind == REQUEST and chance.random() < 0.95:
            timeout = chance.choice([None, None, 0.01, -1])
            payload = request_of("test.Service", chance.choice(methods), payload, timeout, None)
        frames.append(frame(stream, kind, payload, chance.choice([0, 0, 0, 1, 2, 4, 5, chance.randrange(256)])))
    for start in range(0, len(frames), 100):
        raw(plugin).sendall(b"".join(frames[start : start + 100]))
    plugin.caller._stream = 10_001
    echoed(plugin)
    upper = opened(plugin, "Upper", b"a", REMOTE_CLOSED)
    assert upper.rest() in ([b"A", None], [(8, f"{MAX_OPEN} streams are open already", b"")])
    plugin.shut_down()
    assert plugin.wait() == 0


def test_the_end_of_the_connection_ends_streams_and_the_plugin(plugin: RunningPlugin) -> None:
    assert opened(plugin, "Hang").next() == b"hanging"
    raw(plugin).shutdown(socket.SHUT_RDWR)
    assert plugin.wait() in (0, 1, -signal.SIGKILL)
    assert '"cancelled: True"' in plugin.log()


def test_a_plugin_that_is_asked_to_end_lets_streams_end_for_a_moment(plugin: RunningPlugin) -> None:
    assert plugin.caller is not None
    watch = plugin.caller.open("grpc.health.v1.Health", "Watch", HealthCheckRequest().SerializeToString())
    assert HealthCheckResponse.FromString(watch.next()).status == HealthCheckResponse.SERVING
    hanging = opened(plugin, "Hang")
    assert hanging.next() == b"hanging"
    plugin.shut_down()
    assert HealthCheckResponse.FromString(watch.next()).status == HealthCheckResponse.NOT_SERVING
    assert watch.rest() == [None]
    assert plugin.wait() == 0
    assert '"cancelled: True"' in plugin.log()


def test_what_is_printed_comes_in_a_stream(start_plugin: StartPlugin, tmp_path: Path) -> None:
    prints = """
async def prints(request, context):
    print("out")
    sys.stdout.buffer.write(b"\\xff\\r\\n" + b"x" * 5000)
    sys.stderr.write("err")
    return b""

UNARY["Print"] = prints
"""
    plugin = start_plugin(RUN, header=PLUGIN + prints)
    assert plugin.caller is not None
    first = plugin.caller.open("plugin.GRPCStdio", "StreamStdio")
    second = plugin.caller.open("plugin.GRPCStdio", "StreamStdio")
    assert second.rest() == [(9, "the plugin's output is being read already", b"")]
    assert begun(plugin, "Print").result(LIMIT) == b""
    plugin.shut_down()
    *messages, end = first.rest()
    assert end is None and plugin.wait() == 0
    chunks = [StdioData.FromString(message) for message in messages]
    by_channel = [
        b"".join(chunk.data for chunk in chunks if chunk.channel == channel)
        for channel in (StdioData.STDOUT, StdioData.STDERR)
    ]
    assert by_channel == [b"out\n\xff\r\n" + b"x" * 5000, b"err"]


def test_what_is_registered_and_can_not_be_served(start_plugin: StartPlugin) -> None:
    strange = """
class Strange(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method == "/test.Strange/Echo" and dict(details.invocation_metadata)["x-who"] == "me":
            return grpc.unary_unary_rpc_method_handler(echo)
        if details.method == "/test.Strange/Raise":
            raise ValueError("nobody knows")

plain_register = register

def register(server, broker):
    server.add_generic_rpc_handlers([Strange()])
    plain_register(server, broker)
    for use in (broker.next_id, lambda: server.add_insecure_port("localhost:0")):
        try:
            use()
        except (goplugin.BrokerError, AttributeError) as error:
            log.info("refused: %s", error)
"""
    plugin = start_plugin(RUN, header=PLUGIN + strange)
    assert plugin.caller is not None
    asked = plugin.caller.begin("test.Strange", "Echo", b"a", bytes, metadata={"x-who": "me"})
    assert asked.result(LIMIT) == b"a"
    assert code_of(plugin.caller.begin("test.Strange", "Raise", b"", bytes).result)[0] == CODES[12]
    plugin.wait_for_log("nobody knows")
    echoed(plugin)
    assert "the plugin speaks ttrpc, which has no broker" in plugin.log()
    assert "has no 'add_insecure_port'" in plugin.log()


def test_a_plugin_with_hooks_loads_nothing_of_streams(start_plugin: StartPlugin) -> None:
    source = """
    class Looking(Plugin):
        @hook(HookName.MessageWillBePosted)
        async def look(self, ctx, post):
            ours = [name for name in sys.modules if name.startswith("effect_plugin._ttrpc")]
            return None, " ".join(ours)

    run_plugin(Looking)
    """
    plugin = start_plugin(source)
    loaded = plugin.call("MessageWillBePosted").rejection_reason
    assert "effect_plugin._ttrpc.server" in loaded
    assert "stream" not in loaded
    plain = start_plugin(IDLE)
    assert plain.caller is not None
    stream = plain.caller.open("plugin.GRPCStdio", "StreamStdio")
    assert stream.rest() == [(12, "service plugin.GRPCStdio", b"")]
