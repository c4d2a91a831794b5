"""A plugin's settings as a class of its own."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Literal, Optional

import pydantic
import pytest

from mattermost_plugin import HookName, Plugin, SettingsError, hook, read_settings
from mattermost_plugin.testing import PluginHost

from .conftest import StartPlugin


class Mode(enum.Enum):
    STRICT = "strict"
    LAX = "lax"


@dataclass
class Settings:
    api_key: str
    max_length: int = 100
    ratio: float = 0.5
    enabled: bool = True
    mode: Mode = Mode.LAX
    colour: Literal["red", "green"] = "red"
    words: list[str] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)
    channel: Optional[str] = None  # noqa: UP045
    budget: Optional[int] = None  # noqa: UP045

    def __post_init__(self) -> None:
        if self.max_length > 1000:
            raise ValueError("max_length is at most 1000")


def test_what_is_set_and_what_is_not() -> None:
    assert read_settings(Settings, {"apikey": "k"}) == Settings("k")
    given = {
        "apikey": "k",
        "maxlength": 12.0,
        "ratio": "0.25",
        "enabled": "FALSE",
        "mode": "strict",
        "colour": "green",
        "words": "darn, heck,",
        "limits": [1, "2"],
        "channel": "town-square",
        "budget": "7",
        "unknown": 1,
    }
    assert read_settings(Settings, given) == Settings(
        "k", 12, 0.25, False, Mode.STRICT, "green", ["darn", "heck"], [1, 2], "town-square", 7
    )
    empty = {"apikey": "", "maxlength": "", "enabled": None, "channel": "", "budget": ""}
    assert read_settings(Settings, empty) == Settings("", channel="")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "api_key has to be set"),
        ({"apikey": "k", "maxlength": "ten"}, "max_length has to be a whole number, and is 'ten'"),
        ({"apikey": "k", "maxlength": 1.5}, "max_length has to be a whole number, and is 1.5"),
        ({"apikey": "k", "maxlength": True}, "max_length has to be a whole number, and is True"),
        ({"apikey": "k", "enabled": "perhaps"}, "enabled has to be true or false, and is 'perhaps'"),
        ({"apikey": "k", "mode": "odd"}, "mode has to be one of strict, lax, and is 'odd'"),
        ({"apikey": "k", "colour": 5}, "colour has to be one of red, green, and is 5"),
        ({"apikey": "k", "words": 5}, "words has to be a list, and is 5"),
        ({"apikey": "k", "limits": "1,x"}, "limits has to be a whole number, and is 'x'"),
        ({"apikey": ["k"], "ratio": "x"}, r"api_key has to be a text, and is \['k'\]; ratio has to be a number"),
        ({"apikey": "k", "maxlength": 1001}, "max_length is at most 1000"),
    ],
)
def test_what_an_operator_has_to_change(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError, match=f"^settings: {problem}"):
        read_settings(Settings, given)


def test_a_pydantic_model() -> None:
    class Model(pydantic.BaseModel):
        max_length: int = pydantic.Field(10, ge=1)
        name: str = pydantic.Field("x", alias="displayName")

    read = read_settings(Model, {"maxlength": "12", "displayname": "y", "other": 1})
    assert (read.max_length, read.name) == (12, "y")
    with pytest.raises(SettingsError, match="settings: max_length: Input should be greater than or equal to 1"):
        read_settings(Model, {"maxlength": 0})


def test_classes_that_are_no_settings() -> None:
    @dataclass
    class Odd:
        # As Python 3.9 can read it.
        what: Optional[list[dict]] = None  # type: ignore[type-arg]  # noqa: UP045

    with pytest.raises(TypeError, match="settings are a dataclass or a pydantic model"):
        read_settings(dict, {})
    with pytest.raises(
        TypeError, match=r"Odd\.what: settings have no values of type .*dict.*; there are str, .* and Any"
    ):
        read_settings(Odd, {"what": ["x"]})


def test_what_json_there_is() -> None:
    @dataclass
    class Open:
        rules: Any = None

    assert read_settings(Open, {"rules": {"words": ["a"]}}).rules == {"words": ["a"]}


class Configured(Plugin):
    settings = Settings("")

    @hook(HookName.OnConfigurationChange)
    def configure(self) -> None:
        self.settings = self.load_settings(Settings)


def test_a_plugin_s_settings() -> None:
    with PluginHost(Configured, config={"ApiKey": "k", "MaxLength": 5}) as host:
        assert host.plugin.settings == Settings("k", 5)


def test_the_operator_is_told(start_plugin: StartPlugin, host_api: Any) -> None:
    from mattermost_plugin._contract import contract_message

    response = contract_message("LoadPluginConfigurationResponse")
    target = host_api({"LoadPluginConfiguration": lambda _: response(config_json=b'{"limit": "many"}')})
    plugin = start_plugin(
        """
    import dataclasses

    @dataclasses.dataclass
    class Settings:
        limit: int = 1

    class P(Plugin):
        @hook(HookName.OnActivate)
        def activate(self):
            self.load_settings(Settings)

    run_plugin(P)
    """,
        MATTERMOST_PLUGIN_API_TARGET=target,
    )
    told = plugin.call("OnActivate").error.message
    assert told == "SettingsError: settings: limit has to be a whole number, and is 'many'"
