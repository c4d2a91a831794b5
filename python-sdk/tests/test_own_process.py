"""A plugin of a contract of our own as a real process, under a host that knows nothing of the SDK."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any, Callable

import grpc
import pytest

from effect_plugin._descriptors import Descriptors, message_class
from effect_plugin._generator.protoc import described
from effect_plugin._grpc import service_handler

from .conftest import LIMIT, RunningPlugin, StartPlugin, code_of
from .own_contracts import COOKIE, PROTO, OwnContracts
from .own_contracts import own_contracts as own_contracts
from .ways import WAYS

BOTH_PROTOCOLS = True

#: As another language would have them: the contract's files, and those of every contract.
HOST = Descriptors(described([PROTO, Path(__file__).parents[2] / "proto/plugin_supervisor"]).SerializeToString())
BILLING = "billing.v1."
EVERY = "plugin_supervisor.v1."

HEADER = """\
import os, sys, time
from datetime import timedelta
from billing_plugin import *
print("printed while it is imported")
"""

TAXES = """
    class Taxes(Plugin):
        @hook(HookName.InvoiceWillBeSent)
        def check(self, invoice):
            customer = self.api.get_customer(invoice.customer_id)
            if customer.blocked:
                return "the customer is blocked"
            invoice.note = "thanks"
            return invoice

    if __name__ == "__main__":
        run_plugin(Taxes)
"""

EVERYTHING = """
    class Taxes(Plugin):
        @hook(HookName.OnConfigurationChange)
        def configured(self):
            self.settings = self.host.get_settings()

        @hook(HookName.OnActivate)
        async def activate(self):
            if self.settings.get("rate") is None:
                return "the rate is not set"
            identity = await self.async_host.describe_host()
            self.logger.info("at %s of %s", identity.plugin_id, self.config.plugin_id)
            await self.async_kv.set("until", 1, expires=timedelta(seconds=2))

        @hook(HookName.OnDeactivate)
        def deactivate(self):
            self.host.log(message="goodbye", fields={"count": str(self.kv.get("count"))})

        @hook(HookName.InvoiceHasBeenPaid)
        def paid(self, invoice):
            self.kv.update("count", lambda count: count + 1, default=0)
            raise ValueError("secret")

        @hook(HookName.PostageFor)
        def postage(self, invoice, country):
            self.api.block_customer(invoice.customer_id)

        @every(seconds=3600, at_once=True)
        def ticks(self):
            self.logger.info("ticked")

        @hook(HookName.ServeHTTP)
        def serve(self, ctx, writer, request):
            writer.write(f"{ctx.session_id} {request.path} {request.body.decode()}")

    run_plugin(Taxes)
"""


class Host:
    """What a host serves to its plugin."""

    def __init__(self) -> None:
        self.customers = {"good": False, "bad": True}
        self.values: dict[str, bytes] = {}
        self.expiries: list[int] = []
        self.logged: list[Any] = []
        self.settings: dict[str, Any] = {"rate": 19}
        self._lock = threading.Lock()

    def services(self) -> list[grpc.GenericRpcHandler]:
        return [
            service_handler(HOST.service(BILLING + "BillingApi"), {"GetCustomer": self.get_customer}),
            service_handler(
                HOST.service(EVERY + "HostKeyValues"), {"GetValue": self.get_value, "SetValue": self.set_value}
            ),
            service_handler(HOST.service(EVERY + "HostSettings"), {"GetSettings": self.get_settings}),
            service_handler(HOST.service(EVERY + "HostLog"), {"Log": self.log}),
            service_handler(HOST.service(EVERY + "HostIdentity"), {"DescribeHost": self.describe}),
        ]

    def get_customer(self, request: Any, context: Any) -> Any:
        if request.customer_id not in self.customers:
            context.abort(grpc.StatusCode.NOT_FOUND, "there is no such customer")
        customer = {"id": request.customer_id, "blocked": self.customers[request.customer_id]}
        return made(BILLING + "GetCustomerResponse", customer=customer)

    def get_value(self, request: Any, context: Any) -> Any:
        value = self.values.get(request.key)
        return made(EVERY + "GetValueResponse", **({} if value is None else {"value": value}))

    def set_value(self, request: Any, context: Any) -> Any:
        with self._lock:
            now = self.values.get(request.key)
            wanted = {"if_absent": now is None, "if_equal": now == request.if_equal, None: True}
            if not wanted[request.WhichOneof("condition")]:
                return made(EVERY + "SetValueResponse", is_set=False)
            self.values[request.key] = request.value
        if request.HasField("expires_in_millis"):
            self.expiries.append(request.expires_in_millis)
        return made(EVERY + "SetValueResponse", is_set=True)

    def get_settings(self, request: Any, context: Any) -> Any:
        response = made(EVERY + "GetSettingsResponse")
        response.settings.update(self.settings)
        return response

    def log(self, request: Any, context: Any) -> Any:
        self.logged.append((request.message, dict(request.fields)))
        return made(EVERY + "LogResponse")

    def describe(self, request: Any, context: Any) -> Any:
        return made(EVERY + "DescribeHostResponse", plugin_id="taxes")


def made(name: str, **fields: Any) -> Any:
    return message_class(HOST.message(name))(**fields)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[tuple[Host, str]]:
    """A host, and where it serves."""
    serving, target = Host(), f"unix:{tmp_path}/own.sock"
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers(serving.services())
    server.add_insecure_port(target)
    server.start()
    yield serving, target
    server.stop(None).wait()


@pytest.fixture
def start(start_plugin: StartPlugin, own_contracts: OwnContracts, host: tuple[Host, str]) -> Callable[[str], Any]:
    """Starts a plugin of the contract as its host would."""

    def started(source: str, **variables: str) -> RunningPlugin:
        key, value = COOKIE
        return start_plugin(
            source,
            header=HEADER,
            cookie="",
            PYTHONPATH=str(own_contracts.folders[0]),
            **{
                key: value,
                "PLUGIN_SUPERVISOR_PLUGIN_ID": "taxes",
                "PLUGIN_SUPERVISOR_API_TARGET": host[1],
                **variables,
            },
        )

    return started


def call(plugin: RunningPlugin, rpc: str, timeout: float = LIMIT, **fields: Any) -> Any:
    """Calls an rpc by its full name, `billing.v1.BillingHooks/PostageFor`."""
    service, _, name = rpc.partition("/")
    method = HOST.service(service).methods_by_name[name]
    request = message_class(method.input_type)(**fields)
    return plugin.begin_rpc(f"/{rpc}", request, message_class(method.output_type), timeout).result()


def hook(plugin: RunningPlugin, name: str, **fields: Any) -> Any:
    return call(plugin, f"{BILLING}BillingHooks/{name}", **fields)


def life(plugin: RunningPlugin, name: str) -> Any:
    return call(plugin, f"{EVERY}PluginLifecycle/{name}")


def test_twelve_lines(start: Any) -> None:
    plugin = start(TAXES)
    assert plugin.handshake.startswith(("1|1|unix|", "1|1|fd|"))
    assert list(life(plugin, "Implemented").hooks) == ["InvoiceWillBeSent"]
    life(plugin, "OnConfigurationChange")
    life(plugin, "OnActivate")
    answer = hook(plugin, "InvoiceWillBeSent", invoice={"customer_id": "good", "cents": 5})
    assert (answer.invoice.note, answer.invoice.cents, answer.refusal) == ("thanks", 5, "")
    answer = hook(plugin, "InvoiceWillBeSent", invoice={"customer_id": "bad"})
    assert (answer.HasField("invoice"), answer.refusal) == (False, "the customer is blocked")
    # No opinion, since there is no handler.
    assert hook(plugin, "PostageFor", country="AT").cents == 0
    # What the handler does not catch is a failure, and no refusal.
    code, details = code_of(lambda: hook(plugin, "InvoiceWillBeSent", invoice={"customer_id": "nobody"}))
    assert (code, details) == (grpc.StatusCode.INTERNAL, "plugin taxes: InvoiceWillBeSent raised NotFoundError")
    plugin.wait_for_log("printed while it is imported")
    life(plugin, "OnDeactivate")
    plugin.shut_down()
    assert plugin.wait() == 0


def test_what_every_plugin_has(start: Any, host: tuple[Host, str]) -> None:
    serving, _ = host
    plugin = start(EVERYTHING)
    life(plugin, "OnConfigurationChange")
    life(plugin, "OnActivate")
    plugin.wait_for_log("at taxes of taxes")
    plugin.wait_for_log("ticked")
    assert (serving.values, serving.expiries) == ({"until": b"1"}, [2000])
    code, details = code_of(lambda: hook(plugin, "InvoiceHasBeenPaid"))
    assert (code, details) == (grpc.StatusCode.INTERNAL, "plugin taxes: InvoiceHasBeenPaid raised ValueError")
    assert serving.values["count"] == b"1"
    # The host's contract is older.
    assert code_of(lambda: hook(plugin, "PostageFor"))[1] == "plugin taxes: PostageFor raised NotImplementedByHostError"
    plugin.wait_for_log(
        "the host does not have billing.v1.BillingApi/BlockCustomer; its contract is older than the one that the "
        "plugin is made for"
    )
    life(plugin, "OnDeactivate")
    assert serving.logged == [("goodbye", {"count": "1"})]


@pytest.mark.grpc
def test_http_by_the_contract(start: Any) -> None:
    plugin = start(EVERYTHING)
    assert "ServeHTTP" in life(plugin, "Implemented").hooks
    request, response = EVERY + "ServeHTTPRequest", message_class(HOST.message(EVERY + "ServeHTTPResponse"))
    init = {"method": "POST", "url": "/a", "plugin_context": {"session_id": "s"}, "content_length": -1}
    messages = [made(request, init=init), made(request, body_chunk=b"body", body_complete=True)]
    stub = plugin.channel.stream_stream(
        f"/{EVERY}PluginHttp/ServeHTTP",
        request_serializer=message_class(HOST.message(request)).SerializeToString,
        response_deserializer=response.FromString,
    )
    answers = list(stub(iter(messages), timeout=LIMIT))
    assert (answers[0].init.status_code, b"".join(answer.body_chunk for answer in answers)) == (200, b"s /a body")


def test_http(start: Any) -> None:
    plugin = start(EVERYTHING)
    (over_http,) = (way for way in WAYS if way.name == "http")
    answer = over_http.ask(plugin, "/a", "POST", body=b"body")
    assert (answer.status, answer.body) == (200, b" /a body")


@pytest.mark.parametrize(
    ("settings", "said"),
    [({}, (grpc.StatusCode.FAILED_PRECONDITION, "the rate is not set"))],
)
def test_it_says_why_it_can_t_be_activated(start: Any, host: tuple[Host, str], settings: Any, said: Any) -> None:
    host[0].settings = settings
    plugin = start(EVERYTHING)
    life(plugin, "OnConfigurationChange")
    assert code_of(lambda: life(plugin, "OnActivate")) == said
    plugin.wait_for_log("OnActivate (Taxes.activate) failed: the rate is not set")


def test_an_exception_while_it_is_activated(start: Any) -> None:
    plugin = start("""
        class Fails(Plugin):
            @hook(HookName.OnActivate)
            def activate(self):
                raise ValueError("there is no key")

        run_plugin(Fails)
    """)
    assert code_of(lambda: life(plugin, "OnActivate")) == (grpc.StatusCode.INTERNAL, "ValueError: there is no key")


def test_by_hand_it_says_what_it_is(start: Any) -> None:
    key, _ = COOKIE
    plugin = start(TAXES, **{key: "another"})
    assert plugin.wait() == 1
    assert "These are not meant to be executed directly" in plugin.log()


def test_its_own_variables(start: Any) -> None:
    plugin = start(TAXES, PLUGIN_SUPERVISOR_HOOK_TIMEOUT="soon", PLUGIN_SUPERVISOR_LOG_LEVEL="ERROR")
    plugin.wait_for_log("PLUGIN_SUPERVISOR_HOOK_TIMEOUT is no positive number; 30.0 s are taken")
    life(plugin, "Implemented")
    assert "printed" not in plugin.log()
