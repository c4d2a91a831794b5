"""Which hooks there are, the decorator, and the registry."""

from __future__ import annotations

import asyncio
import functools
import warnings
from typing import Any

import pytest

from effect_plugin._plugin import make_plugin
from mattermost_plugin import HookName, HookRegistrationError, Plugin, RuntimeConfig, hook

from .wire import HOOKS, handler_arguments

ALL_HOOKS = [method.name for method in HOOKS.methods if method.name != "Implemented"]


def test_hook_names_are_the_contracts() -> None:
    assert sorted(HookName.__members__) == sorted(ALL_HOOKS)
    assert all(name.value == key for key, name in HookName.__members__.items())


def test_every_form_of_the_decorator() -> None:
    class Example(Plugin):
        @hook(HookName.OnActivate)
        def a(self) -> None: ...

        @hook("OnDeactivate")
        def b(self) -> None: ...

        @hook
        def OnConfigurationChange(self) -> None: ...

        @hook()
        def OnSendDailyTelemetry(self) -> None: ...

        @hook(HookName.MessageHasBeenPosted)
        async def c(self, ctx: Any, post: Any) -> None: ...

        @hook(HookName.UserHasLoggedIn)
        def d(self, *args: Any) -> None: ...

    assert Example.implemented_hooks() == [
        "MessageHasBeenPosted",
        "OnActivate",
        "OnConfigurationChange",
        "OnDeactivate",
        "OnSendDailyTelemetry",
        "UserHasLoggedIn",
    ]
    assert Example.has_hook("OnActivate") and not Example.has_hook("ServeHTTP")
    assert Example().get_hook_handler("OnActivate") is not None
    assert Example().get_hook_handler("ServeHTTP") is None


def test_inherited_handlers_count_and_a_second_one_does_not() -> None:
    class Base(Plugin):
        @hook(HookName.OnActivate)
        def activate(self) -> None: ...

    class Derived(Base):
        @hook(HookName.OnDeactivate)
        def deactivate(self) -> None: ...

    assert Derived.implemented_hooks() == ["OnActivate", "OnDeactivate"]

    class Checks(Plugin):
        @hook(HookName.MessageWillBePosted)
        def check(self, ctx: Any, post: Any) -> None: ...

    with pytest.raises(
        HookRegistrationError, match=r"Twice\.check and Twice\.again both handle MessageWillBePosted, which takes one"
    ):

        class Twice(Checks):
            @hook(HookName.MessageWillBePosted)
            def again(self, ctx: Any, post: Any) -> None: ...


@pytest.mark.parametrize(
    ("name", "handler", "message"),
    [
        ("OnActive", lambda self: None, "no hook 'OnActive'.*HookName.OnActivate"),
        ("MessageWillBePosted", lambda self, post: None, r"must take \(self, plugin_context, post\)"),
        ("OnActivate", lambda self, ctx: None, r"must take \(self\)"),
        ("ServeHTTP", lambda self, ctx, w: None, r"plugin_context, response_writer, request"),
        ("message_will_be_posted", lambda self: None, r"say @hook\(HookName.MessageWillBePosted\)"),
        ("on_activate", lambda self: None, r"say @hook\(HookName.OnActivate\)"),
        ("whatever", lambda self: None, "name one of HookName"),
        ("OnActivate", functools.partial(print), "@hook is for methods.*partial"),
        ("OnActivate", property(print), "@hook is for methods.*property"),
        ("OnActivate", None, "@hook is for methods"),
        (5, lambda self: None, "@hook is for methods.*given 5"),
        (HookName, lambda self: None, "@hook is for methods.*HookName"),
    ],
)
def test_a_wrong_handler_fails_when_it_is_made(name: Any, handler: Any, message: str) -> None:
    with pytest.raises(HookRegistrationError, match=message):
        hook(name)(handler)


def test_a_handler_with_an_underscore_fails_when_it_is_made() -> None:
    with pytest.raises(HookRegistrationError, match="rename it"):

        class Hidden(Plugin):
            @hook(HookName.OnActivate)
            def _activate(self) -> None: ...


def test_an_override_that_is_no_handler_takes_the_hook_away() -> None:
    class Base(Plugin):
        @hook(HookName.OnActivate)
        def activate(self) -> str:
            return "base"

        @hook(HookName.OnDeactivate)
        def deactivate(self) -> str:
            return "base"

    with pytest.warns(UserWarning, match="Derived.activate takes the place of the handler of OnActivate and is none"):

        class Derived(Base):
            def activate(self) -> str:
                return "no handler any more"

            @hook(HookName.OnDeactivate)
            def deactivate(self) -> str:
                return "derived"

    with warnings.catch_warnings():
        warnings.simplefilter("error")

        class Meant(Base):
            activate = None  # type: ignore[assignment]

    assert Meant.implemented_hooks() == ["OnDeactivate"]

    assert Base.implemented_hooks() == ["OnActivate", "OnDeactivate"], "the base class is as it was"
    assert Derived.implemented_hooks() == ["OnDeactivate"]
    assert Derived().invoke_hook("OnDeactivate") == "derived"
    assert Derived().invoke_hook("OnActivate") is None


@pytest.mark.parametrize("name", ALL_HOOKS)
def test_only_what_takes_no_answer_may_have_two_handlers(name: Any) -> None:
    handlers = {attribute: hook(name)(lambda self, *args: None) for attribute in ("one", "two")}
    life = ("OnActivate", "OnDeactivate", "OnConfigurationChange")
    if name in life or not HOOKS.methods_by_name[name].output_type.fields:
        assert type("Twice", (Plugin,), handlers).implemented_hooks() == [name]  # type: ignore[attr-defined]
    else:
        with pytest.raises(
            HookRegistrationError,
            match=rf"Twice\.one and Twice\.two both handle {name}, which takes one answer; keep one, and have it call",
        ):
            type("Twice", (Plugin,), handlers)


def test_a_mark_survives_other_decorators() -> None:
    def traced(handler: Any) -> Any:
        @functools.wraps(handler)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return "traced", handler(*args, **kwargs)

        return wrapper

    class Traced(Plugin):
        @traced
        @hook(HookName.OnActivate)
        def outside(self) -> str:
            return "activated"

        @hook(HookName.OnDeactivate)
        @traced
        def inside(self) -> str:
            return "deactivated"

    assert Traced.implemented_hooks() == ["OnActivate", "OnDeactivate"]
    assert Traced().invoke_hook("OnActivate") == ("traced", "activated")
    assert Traced().invoke_hook("OnDeactivate") == ("traced", "deactivated")


@pytest.mark.parametrize("name", ALL_HOOKS)
def test_arity_is_checked_for_every_hook(name: Any) -> None:
    names = handler_arguments(HOOKS.methods_by_name[name])
    handlers: dict[str, Any] = {}
    for count in (len(names), len(names) + 1):
        parameters = "".join(f", p{index}" for index in range(count))
        exec(f"def takes_{count}(self{parameters}): ...", handlers)
    hook(name)(handlers[f"takes_{len(names)}"])
    with pytest.raises(
        HookRegistrationError, match=rf"takes_{len(names) + 1} can't handle {name}: it must take \(self"
    ):
        hook(name)(handlers[f"takes_{len(names) + 1}"])


def test_a_plugin_without_a_host() -> None:
    class Alone(Plugin): ...

    plugin = Alone()
    assert plugin.config == RuntimeConfig()
    assert plugin.logger.name == "Alone"
    with pytest.raises(RuntimeError, match="no host API"):
        _ = plugin.api


def test_a_handler_that_yields_fails_when_it_is_made() -> None:
    def yields(self: Any, ctx: Any, post: Any) -> Any:
        yield

    async def yields_async(self: Any, ctx: Any, post: Any) -> Any:
        yield

    for handler in (yields, yields_async):
        with pytest.raises(HookRegistrationError, match="it yields, and so its body would not run"):
            hook("MessageHasBeenPosted")(handler)


class Fine(Plugin):
    @hook
    def OnActivate(self) -> None: ...


def with_init(init: Any) -> type[Plugin]:
    return type("Own", (Fine,), {"__init__": init})


def set_in_init(self: Any, api: Any = None, config: Any = None) -> None:
    self.serve = hook(HookName.OnDeactivate)(set_in_init_handler)


def set_in_init_handler(self: Any) -> None: ...


@pytest.mark.parametrize(
    ("plugin_class", "message"),
    [
        (Fine(), "the class itself; <"),
        (object, "a subclass of Plugin is needed"),
        (with_init(lambda self: None), r"Own.__init__ must be \(self, api=None, config=None\)"),
        (with_init(set_in_init), "Own.serve is a handler that __init__ has set; set it in the class"),
    ],
)
def test_a_class_that_is_no_plugin_is_told_so(plugin_class: Any, message: str) -> None:
    with pytest.raises((TypeError, HookRegistrationError), match=message):
        make_plugin(plugin_class, None, None, RuntimeConfig())


def test_an_init_of_its_own_need_not_call_ours() -> None:
    own = with_init(lambda self, api=None, config=None: None)
    assert make_plugin(own, None, None, RuntimeConfig(plugin_id="p")).config.plugin_id == "p"


def test_a_plugin_without_hooks_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    make_plugin(type("Hookless", (Plugin,), {}), None, None, RuntimeConfig())
    assert "Hookless has no hooks: @hook has to be the outermost decorator" in caplog.text


def test_what_counts_is_the_attribute_s_name() -> None:
    def _undecorated(self: Any) -> str:
        return "called"

    async def _for_both(self: Any, ctx: Any, post: Any) -> str:
        return "both"

    class Named(Plugin):
        on_activate = hook(HookName.OnActivate)(_undecorated)
        on_deactivate = hook(HookName.OnDeactivate)(_undecorated)
        _alias = on_activate
        on_posted = hook(HookName.MessageHasBeenPosted)(_for_both)
        on_deleted = hook(HookName.MessageHasBeenDeleted)(_for_both)

    plugin = Named()
    assert plugin.implemented_hooks() == ["MessageHasBeenDeleted", "MessageHasBeenPosted", "OnActivate", "OnDeactivate"]
    assert plugin.invoke_hook("OnActivate") == plugin.invoke_hook("OnDeactivate") == "called"
    assert asyncio.run(plugin.invoke_hook("MessageHasBeenDeleted", None, None)) == "both"


def test_plugins_that_type_checkers_take_are_right() -> None:
    from . import typing_right

    assert issubclass(typing_right.RightAsWell, Plugin)
