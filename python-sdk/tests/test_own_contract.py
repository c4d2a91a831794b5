"""Plugins of contracts of our own, in this process."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from datetime import datetime, timedelta, timezone
from types import ModuleType
from typing import Any

import grpc
import pytest

import mattermost_plugin
from effect_plugin import HookRegistrationError, NotFoundError, NotImplementedByHostError, PluginAPIError, every
from effect_plugin._dispatch import HookResultError
from effect_plugin.host import LogLevel
from effect_plugin.testing import PluginHost, StartPlugin
from effect_plugin.web import asgi, wsgi

from .own_contracts import OwnContracts
from .own_contracts import own_contracts as own_contracts


@dataclasses.dataclass
class Settings:
    rate: int = 0


@pytest.fixture
def billing(own_contracts: OwnContracts) -> Any:
    return own_contracts.billing


@pytest.fixture
def types(own_contracts: OwnContracts) -> Any:
    return own_contracts.billing.types


@pytest.fixture
def tricky(own_contracts: OwnContracts) -> Any:
    return own_contracts.tricky


def taxes(billing: Any) -> Any:
    class Taxes(billing.Plugin):  # type: ignore[misc]
        @billing.hook(billing.HookName.InvoiceWillBeSent)  # type: ignore[untyped-decorator]
        def check(self, invoice: Any) -> Any:
            customer = self.api.get_customer(invoice.customer_id)
            if customer.blocked:
                return "the customer is blocked"
            invoice.note = "thanks"
            return invoice

    return Taxes


def test_a_hook_changes_or_refuses(billing: Any, types: Any, plugin_host: StartPlugin) -> None:
    host = plugin_host(taxes(billing))
    host.api.answer("get_customer", types.Customer(id="c"))
    answer = host.call("InvoiceWillBeSent", types.Invoice(id="i", customer_id="c", cents=5))
    assert (answer.refusal, answer.invoice) == ("", types.Invoice(id="i", customer_id="c", cents=5, note="thanks"))
    (given,) = host.api.calls_of("get_customer")
    assert given.customer_id == "c"
    host.api.answer("get_customer", types.Customer(blocked=True))
    answer = host.call(billing.HookName.InvoiceWillBeSent, types.Invoice())
    assert (answer.refusal, answer.invoice) == ("the customer is blocked", None)


def test_errors_of_the_api_are_statuses(billing: Any, types: Any) -> None:
    with PluginHost(taxes(billing)) as host:
        host.api.answer("get_customer", NotFoundError("nobody has that id", code=grpc.StatusCode.NOT_FOUND))
        with pytest.raises(NotFoundError, match="nobody has that id"):
            host.call("InvoiceWillBeSent", types.Invoice())


def test_an_answer_that_the_test_does_not_say(billing: Any, types: Any) -> None:
    host: Any = PluginHost(taxes(billing))
    with pytest.raises(PluginAPIError, match="the test does not say what get_customer answers"):
        host.call("InvoiceWillBeSent", types.Invoice())
    with pytest.raises(AssertionError, match="the plugin has called get_customer, and the test says no answer"):
        host.close()


def test_a_method_that_the_host_lacks(billing: Any) -> None:
    with PluginHost(taxes(billing)) as host:
        host.api.answer("block_customer", PluginAPIError("Method not found!", code=grpc.StatusCode.UNIMPLEMENTED))
        with pytest.raises(NotImplementedByHostError) as caught:
            host.plugin.api.block_customer("c")
    assert str(caught.value) == (
        "the host does not have billing.v1.BillingApi/BlockCustomer; its contract is older than the one that the "
        "plugin is made for (Method not found!)"
    )


def test_a_method_that_the_backend_lacks(billing: Any) -> None:
    with PluginHost(taxes(billing)) as host:
        said = "api.plugin.not_implemented: The host does not implement BlockCustomer: its backend leaves it out"
        host.api.answer("block_customer", PluginAPIError(said, code=grpc.StatusCode.UNIMPLEMENTED))
        with pytest.raises(NotImplementedByHostError) as caught:
            host.plugin.api.block_customer("c")
    assert str(caught.value) == (
        f"the host does not have billing.v1.BillingApi/BlockCustomer; its backend does not provide it ({said})"
    )


def test_a_response_of_several_fields(billing: Any, types: Any) -> None:
    with PluginHost(taxes(billing)) as host:
        host.api.answer("list_customers", ([types.Customer(id="a")], 7))
        answer = host.plugin.api.list_customers(limit=1)
        assert (answer.customers, answer.count) == ([types.Customer(id="a")], 7)

        async def awaited() -> Any:
            return await host.plugin.async_api.list_customers(after="a")

        assert asyncio.run(awaited()) == answer
        assert [call.after for call in host.api.calls_of("list_customers")] == ["", "a"]


def test_what_every_plugin_has(billing: Any) -> None:
    class Has(billing.Plugin):  # type: ignore[misc]
        seen: list[Any]

        @billing.hook(billing.HookName.OnActivate)  # type: ignore[untyped-decorator]
        def activate(self) -> None:
            self.kv.set("a", {"n": 1})
            self.kv.set("b", 2, expires=timedelta(hours=1))
            self.kv.update("c", lambda count: count + 1, default=0)
            self.kv.update("c", lambda count: count + 1, default=0)
            self.seen = [self.kv.get("a"), self.kv.get("c"), self.kv.keys(), self.kv.keys("c")]
            self.kv.delete("a")
            self.host.log(LogLevel.WARNING, "activated", {"a": "b"})

        @billing.hook(billing.HookName.OnConfigurationChange)  # type: ignore[untyped-decorator]
        def configured(self) -> None:
            self.settings = self.load_settings(Settings)

        @billing.hook(billing.HookName.InvoiceHasBeenPaid)  # type: ignore[untyped-decorator]
        async def paid(self, invoice: Any) -> None:
            self.seen = [
                await self.async_kv.get("c"),
                await self.async_kv.keys(),
                await self.async_host.describe_host(),
            ]

        @every(seconds=3600)
        def now_and_then(self) -> None:
            pass

    with PluginHost(Has, config={"rate": 19}, plugin_id="has") as host:
        assert host.plugin.seen == [{"n": 1}, 2, ["a", "b", "c"], ["c"]]
        assert dict(host.api.kv) == {"b": b"2", "c": b"2"}
        (line,) = host.api.logged
        assert (line.level, line.message, line.fields) == (LogLevel.WARNING, "activated", {"a": "b"})
        assert host.plugin.settings == Settings(19)
        host.configure(rate=20)
        assert host.plugin.settings == Settings(20)
        host.call("InvoiceHasBeenPaid")
        value, keys, described = host.plugin.seen
        assert (value, keys, described.plugin_id) == (2, ["b", "c"], "has")
        assert (described.hooks_service, described.api_service) == ("billing.v1.BillingHooks", "billing.v1.BillingApi")
    assert Has.implemented_hooks() == ["InvoiceHasBeenPaid", "OnActivate", "OnConfigurationChange"]


def test_activation_fails_by_a_text_or_an_exception(billing: Any) -> None:
    for failing in ("there is no key", ValueError("there is no key")):

        class Fails(billing.Plugin):  # type: ignore[misc]
            reason: Any = failing

            @billing.hook(billing.HookName.OnActivate)  # type: ignore[untyped-decorator]
            def activate(self) -> Any:
                return self.reason

        with pytest.raises(RuntimeError, match="the plugin can't be activated: there is no key"), PluginHost(Fails):
            pass


def test_http(billing: Any) -> None:
    def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        assert "mattermost.plugin" not in environ
        return [type(environ["effect_plugin.plugin"]).__name__.encode()]

    async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 201})
            await send({"type": "http.response.body", "body": type(scope["plugin"]).__name__.encode()})

    class Plain(billing.Plugin):  # type: ignore[misc]
        @billing.hook(billing.HookName.ServeHTTP)  # type: ignore[untyped-decorator]
        def serve(self, ctx: Any, writer: Any, request: Any) -> None:
            assert isinstance(ctx, billing.HTTPRequestContext)
            writer.json({"path": request.path, "root": request.root_path})

    class Wsgi(billing.Plugin):  # type: ignore[misc]
        serve = wsgi(wsgi_app)

    class Asgi(billing.Plugin):  # type: ignore[misc]
        serve = asgi(asgi_app)

    with PluginHost(Plain, plugin_id="p") as host:
        assert host.request("GET", "/a").body == b'{"path": "/a", "root": "/plugins/p"}'
    with PluginHost(Wsgi) as host:
        assert host.request("GET", "/").text == "Wsgi"
    with PluginHost(Asgi) as host:
        answer = host.request("GET", "/")
        assert (answer.status, answer.text) == (201, "Asgi")


def test_routers(billing: Any, types: Any) -> None:
    class Postage(billing.Router):  # type: ignore[misc]
        @billing.hook(billing.HookName.PostageFor)  # type: ignore[untyped-decorator]
        def postage(self, invoice: Any, country: str) -> int:
            return 90 if country == "AT" else invoice.cents

    class Sends(billing.Plugin):  # type: ignore[misc]
        postage = billing.include(Postage)

    with PluginHost(Sends) as host:
        assert host.call("PostageFor", country="AT").cents == 90
        assert host.call("PostageFor", types.Invoice(cents=7), "DE").cents == 7


def test_wrong_handlers(billing: Any) -> None:
    with pytest.raises(
        HookRegistrationError, match=r"there is no hook 'InvoiceWilBeSent'; say @hook\(HookName.Invoice"
    ):
        billing.hook("InvoiceWilBeSent")(lambda self, invoice: None)
    with pytest.raises(HookRegistrationError, match="there is no hook 'MessageWillBePosted'"):
        billing.hook("MessageWillBePosted")(lambda self, ctx, post: None)
    with pytest.raises(HookRegistrationError, match=r"it must take \(self, invoice\)"):
        billing.hook("InvoiceWillBeSent")(lambda self: None)

    @mattermost_plugin.hook("OnInstall")
    def installed(self: Any, ctx: Any, event: Any) -> None:
        pass

    with pytest.raises(
        HookRegistrationError, match=r"Both\.installed handles OnInstall, which is no hook of billing_plugin"
    ):
        type("Both", (billing.Plugin,), {"installed": installed})


def test_wrong_results(billing: Any) -> None:
    class Wrong(billing.Plugin):  # type: ignore[misc]
        @billing.hook(billing.HookName.PostageFor)  # type: ignore[untyped-decorator]
        def postage(self, invoice: Any, country: str) -> Any:
            return "a lot"

    with (
        PluginHost(Wrong) as host,
        pytest.raises(HookResultError, match=r"can't answer a str .*it takes None, int \(cents\)"),
    ):
        host.call("PostageFor")


def test_a_plugin_without_a_contract() -> None:
    import effect_plugin

    class Lost(effect_plugin.Plugin):
        pass

    with pytest.raises(TypeError, match="Lost has no contract: take Plugin of the contract's own package"):
        PluginHost(Lost)


# -- a contract with all that .proto has -----------------------------------------------------------------------------

AT = datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=timezone.utc)


def everything(types: Any) -> Any:
    part = types.ThingPart(state=types.ThingPartState.NEW, parts=[types.ThingPart()])
    thing = types.Thing(
        from_="f", level=types.Level.HIGH, part=part, shape=types.TrickyShapesV1Thing(kind=types.Kind.ROUND)
    )
    return types.Everything(
        a_double=math.inf,
        a_float=0.5,
        an_int32=-(2**31),
        an_int64=-(2**63),
        an_uint32=2**32 - 1,
        an_uint64=2**64 - 1,
        a_sint32=-1,
        a_sint64=-(2**62),
        a_fixed32=1,
        a_fixed64=2**63,
        a_sfixed32=-1,
        a_sfixed64=-(2**63),
        a_bool=True,
        a_string="ü",
        some_bytes=b"\x00\xff",
        settings_json=b"no JSON",
        level=types.Level.BELOW,
        levels=[types.Level.LOW, types.Level.HIGH],
        thing=thing,
        things=[thing, types.Thing()],
        maybe="",
        maybe_level=types.Level.UNSPECIFIED,
        maybe_thing=types.Thing(),
        texts={"a": "b"},
        by_number={-1: thing},
        by_truth={True: types.Level.LOW},
        times={"then": AT},
        number=0,
        at=AT,
        lasts=timedelta(days=-1, microseconds=5),
        fields={"a": [1, None, {"b": True}]},
        value=[1.5, "x"],
        items=["a", {"b": 2}],
        any=types.GoogleProtobufAnyMessage(type_url="t", value=b"v"),
        mask=types.FieldMask(paths=["a.b"]),
        empty=types.Empty(),
        moments=[AT, datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc)],
        bool_value=False,
        bytes_value=b"",
        double_value=0.0,
        float_value=0.5,
        int32_value=0,
        int64_value=-(2**63),
        string_value="",
        uint32_value=0,
        uint64_value=2**64 - 1,
        class_="c",
        list="l",
        str=["s"],
        dict={"d": 1},
        int=2,
        field="f",
        self_="s",
        to_proto_="t",
        camel_case="c",
        odd=types.Odd.ODD_2ND,
        words=types.Words.True_,
        alias=types.Alias.B,
        own_any=types.AnyMessage(text="own"),
        datetime=AT,
        things_by={"a": "b"},
        entries=[types.ShelfThingsByEntry(key="k")],
    )


def test_everything_there_and_back(tricky: Any) -> None:
    types = tricky.types
    given = everything(types)
    read = types.Everything.from_proto(type(given.to_proto()).FromString(given.to_proto().SerializeToString()))
    assert read == given
    assert (read.choice_thing, read.text, read.number) == (None, None, 0)
    assert type(read.level) is types.Level and type(read.things[0].part.state) is types.ThingPartState
    assert read.lasts == timedelta(days=-1, microseconds=5)
    # What is not set.
    nothing = types.Everything.from_proto(type(given.to_proto())())
    assert nothing == types.Everything()
    assert (nothing.thing, nothing.maybe, nothing.at, nothing.string_value, nothing.text) == (None,) * 5
    assert (nothing.fields, nothing.items, nothing.value, nothing.level) == ({}, [], None, types.Level.UNSPECIFIED)


def test_everything_as_arguments(tricky: Any, own_contracts: OwnContracts) -> None:
    class Asks(tricky.Plugin):  # type: ignore[misc]
        pass

    given = everything(tricky.types)
    with PluginHost(Asks) as host:
        host.api.answer("echo", lambda sent: tricky.types.Everything(**vars(sent)))
        names = [field.name for field in dataclasses.fields(given)]
        assert host.plugin.api.echo(**{name: getattr(given, name) for name in names}) == given
        host.api.answer("import_", lambda sent: len(sent.from_))
        assert host.plugin.api.import_("four") == 4
        assert host.plugin.api.close_() is None
        host.api.answer("list", ([tricky.types.ListResult(why="w")], 1))
        listed = host.plugin.api.list(["a"])
        assert (listed.list[0].why, listed.count, type(listed).__name__) == ("w", 1, "ListAnswer")
        host.api.answer("get_thing", tricky.types.Thing(from_="x"))
        assert host.plugin.api.get_thing("i").from_ == "x"
        host.api.answer("maybe", (None, None, AT))
        answer = host.plugin.api.maybe()
        assert (answer.number, answer.thing, answer.at) == (None, None, AT)
        host.api.answer("maybe", (0, tricky.types.Thing(), None))
        answer = host.plugin.api.maybe(0)
        assert (answer.number, answer.thing, answer.at) == (0, tricky.types.Thing(), None)


def test_what_can_t_be_sent(tricky: Any) -> None:
    types = tricky.types
    with pytest.raises(ValueError, match="choice is one of text, number, choice_thing, and text is set"):
        types.Everything(text="a", number=1).to_proto()
    with pytest.raises(ValueError, match="a time needs its time zone"):
        types.Everything(at=datetime(2024, 1, 1)).to_proto()
    for wrong in (types.Everything(level="none"), types.Everything(level=1.5), types.Everything(at=5)):
        with pytest.raises(TypeError):
            wrong.to_proto()
    assert types.Everything(level="HIGH").to_proto().level == 7
    assert types.Everything.from_proto(types.Everything(level=99).to_proto()).level == 99, "a host of tomorrow"


def test_messages_that_are_handed_over_whole(tricky: Any) -> None:
    types = tricky.types

    class Chooses(tricky.Plugin):  # type: ignore[misc]
        answer: Any = None
        heard = 0

        @tricky.hook(tricky.HookName.Choose)  # type: ignore[untyped-decorator]
        def choose(self, thing: Any) -> Any:
            assert isinstance(thing, types.Thing)
            return self.answer

        @tricky.hook(tricky.HookName.Told)  # type: ignore[untyped-decorator]
        def told(self) -> None:
            self.heard += 1

        @tricky.hook(tricky.HookName.Measure)  # type: ignore[untyped-decorator]
        def measure(self, everything: Any) -> Any:
            return 3, None

        @tricky.hook(tricky.HookName.Dates)  # type: ignore[untyped-decorator]
        def dates(self, at: Any, lasts: Any, fields: Any) -> Any:
            return None if at is None else at + lasts

        @tricky.hook(tricky.HookName.ThingWillBeMade)  # type: ignore[untyped-decorator]
        def making(self, thing: Any, before: Any, lambda_: str) -> Any:
            return {"level": 7} if before is None else (None, ["tag"], lambda_)

    with PluginHost(Chooses) as host:
        for answer, found in (
            (None, (None, 0, "")),
            (types.Decision(score=5), (None, 5, "")),
            ({"score": 5}, (None, 5, "")),
            ("no", (None, 0, "no")),
            ((types.Decision(score=1), "no"), (None, 1, "no")),
            (types.Decision(refusal="own"), (None, 0, "own")),
        ):
            host.plugin.answer = answer
            decision = host.call("Choose", types.Thing(from_="x"))
            assert (decision.thing, decision.score, decision.refusal) == found
        host.plugin.answer = 5
        with pytest.raises(HookResultError, match="it takes None, a Decision or a dict of its fields, a str"):
            host.call("Choose", types.Thing())
        host.call("Told")
        assert host.plugin.heard == 1
        measured = host.call("Measure")
        assert (measured.width, measured.height) == (3, 0)
        assert host.call("Dates", AT, timedelta(1)).at == AT + timedelta(1)
        assert host.call("Dates").at is None
        made = host.call("ThingWillBeMade", types.Thing(from_="kept"))
        assert (made.thing, made.tags, made.refusal) == (types.Thing(from_="kept", level=types.Level.HIGH), [], "")
        made = host.call("ThingWillBeMade", before=types.Thing(), lambda_="why")
        assert (made.thing, made.tags, made.refusal) == (None, ["tag"], "why")


def test_contracts_side_by_side(billing: ModuleType, tricky: ModuleType) -> None:
    contracts = [package.Plugin._contract for package in (billing, tricky, mattermost_plugin)]
    assert len({id(contract) for contract in contracts}) == 3
    assert {package.HookName.OnActivate.value for package in (billing, tricky, mattermost_plugin)} == {"OnActivate"}

    class Posts(mattermost_plugin.Plugin):
        pass

    assert type(Posts().config) is mattermost_plugin.RuntimeConfig
    assert not hasattr(Posts, "host"), "plugins may have an attribute of that name"
