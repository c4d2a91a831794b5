"""The host API's client: requests, responses, errors, and both clients against a real server."""

from __future__ import annotations

import asyncio
from typing import Any, Callable

import grpc
import pytest

from mattermost_plugin import (
    AlreadyExistsError,
    AsyncPluginAPIClient,
    NotFoundError,
    PermissionDeniedError,
    PluginAPIClient,
    PluginAPIError,
    UnavailableError,
    ValidationError,
    convert_app_error,
    convert_grpc_error,
)
from mattermost_plugin.client import build_request
from mattermost_plugin.contract import API, message_class, snake_case
from mattermost_plugin.types import AppError, PluginKVSetOptions, Post, User

ServeApi = Callable[[dict[str, Callable[[Any], Any]]], str]


def response(rpc: str, **fields: Any) -> Any:
    return message_class(API.methods_by_name[rpc].output_type)(**fields)


@pytest.mark.parametrize(
    ("rpc", "name"),
    [
        ("KVSetWithOptions", "kv_set_with_options"),
        ("GetLDAPUserAttributes", "get_ldap_user_attributes"),
        ("SetUserStatusTimedDND", "set_user_status_timed_dnd"),
        ("CreateOAuthApp", "create_o_auth_app"),
        ("PluginHTTP", "plugin_http"),
        ("GetPluginID", "get_plugin_id"),
        ("PublishWebSocketEvent", "publish_web_socket_event"),
        ("GetUsersByIds", "get_users_by_ids"),
    ],
)
def test_names(rpc: str, name: str) -> None:
    assert snake_case(rpc) == name
    assert name in dir(PluginAPIClient("unix:/nowhere"))


def test_every_rpc_has_a_name_of_its_own() -> None:
    assert len({snake_case(method.name) for method in API.methods}) == 236


def test_requests() -> None:
    def built(name: str, *args: Any, **kwargs: Any) -> Any:
        return build_request(name, args, kwargs)

    assert built("get_user", "u").user_id == "u"
    assert built("kv_set", "k", b"v").value == b"v"
    assert built("kv_set", key="k", value=b"v").key == "k"
    assert built("kv_compare_and_set", "k", None, b"v").old_value == b""
    assert built("kv_set_with_options", "k", b"v", PluginKVSetOptions(atomic=True)).options.atomic
    assert built("kv_list").per_page == 100
    assert built("get_users").per_page == 60
    assert built("get_users", page=2, per_page=5, roles=["a", "b"]).roles == ["a", "b"]
    assert built("create_post", Post(message="m")).post.message == "m"
    assert built("save_plugin_config", {"a": "b", "n": 1}).config["a"] == "b"
    logged = built("log_info", "message", count=1, what=None)
    assert logged.msg == "message"
    assert {pair.key: pair.value.string_value for pair in logged.key_value_pairs} == {"count": "1", "what": "None"}


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        (("u", "v"), {}, r"get_user\(\) takes 1 arguments \(user_id\)"),
        ((), {"id": "u"}, r"no argument id; it takes user_id"),
    ],
)
def test_wrong_arguments(args: tuple[Any, ...], kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        build_request("get_user", args, kwargs)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ValidationError),
        (401, PermissionDeniedError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (409, AlreadyExistsError),
        (429, UnavailableError),
        (503, UnavailableError),
        (500, PluginAPIError),
        (501, PluginAPIError),
    ],
)
def test_errors_that_the_host_answers(status: int, kind: type[PluginAPIError]) -> None:
    error = convert_app_error(AppError(id="an.id", message="m", status_code=status, where="W", detailed_error="d"))
    assert type(error) is kind
    assert (error.error_id, error.message, error.where, error.detailed_error) == ("an.id", "m", "W", "d")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.NOT_FOUND, NotFoundError),
        (grpc.StatusCode.UNAUTHENTICATED, PermissionDeniedError),
        (grpc.StatusCode.OUT_OF_RANGE, ValidationError),
        (grpc.StatusCode.ALREADY_EXISTS, AlreadyExistsError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, UnavailableError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, UnavailableError),
        (grpc.StatusCode.UNIMPLEMENTED, PluginAPIError),
        (grpc.StatusCode.INTERNAL, PluginAPIError),
    ],
)
def test_statuses(code: grpc.StatusCode, kind: type[PluginAPIError]) -> None:
    class Failure(grpc.RpcError):
        def code(self) -> grpc.StatusCode:
            return code

        def details(self) -> str:
            return "details"

    error = convert_grpc_error(Failure())
    assert type(error) is kind
    assert (error.code, error.message) == (code, "details")


HANDLERS: dict[str, Callable[[Any], Any]] = {
    "GetServerVersion": lambda _: response("GetServerVersion", version="1.2.3"),
    "GetUser": lambda request: (
        response("GetUser", user=User(id=request.user_id))
        if request.user_id == "u"
        else response("GetUser", error=AppError(id="missing", status_code=404))
    ),
    "KVGet": lambda request: response("KVGet", value=b"v" if request.key == "k" else b""),
    "KVList": lambda request: response("KVList", keys=["a", "b"][: request.per_page]),
    "KVDelete": lambda _: response("KVDelete", error=AppError(message="an error without an id is none")),
    "GetPluginConfig": lambda _: response("GetPluginConfig", config={"a": "b"}),
}


def test_the_sync_client(host_api: ServeApi) -> None:
    client = PluginAPIClient(host_api(HANDLERS))
    with pytest.raises(RuntimeError, match="not connected"):
        client.get_server_version()
    with client:
        assert client.connected
        assert client.get_server_version() == "1.2.3"
        assert client.get_user("u").id == "u"
        assert client.kv_get("k") == b"v"
        assert client.kv_get("absent") is None
        assert client.kv_list() == ["a", "b"]
        assert client.kv_delete("k") is None
        assert client.get_plugin_config() == {"a": "b"}
        with pytest.raises(NotFoundError):
            client.get_user("other")
        with pytest.raises(PluginAPIError) as caught:
            client.create_post(Post())
        assert caught.value.code == grpc.StatusCode.UNIMPLEMENTED
        with pytest.raises(RuntimeError, match="already connected"):
            client.connect()
        with pytest.raises(AttributeError, match="no method 'no_such_method'"):
            client.no_such_method()
    client.close()
    assert not client.connected


def test_the_async_client(host_api: ServeApi) -> None:
    async def use(target: str) -> None:
        async with AsyncPluginAPIClient(target) as client:
            assert await client.get_server_version() == "1.2.3"
            assert (await client.get_user(user_id="u")).id == "u"
            with pytest.raises(NotFoundError):
                await client.get_user("other")

    asyncio.run(use(host_api(HANDLERS)))


def test_no_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MATTERMOST_PLUGIN_API_TARGET", raising=False)
    monkeypatch.delenv("MATTERMOST_API_TARGET", raising=False)
    with pytest.raises(RuntimeError, match="MATTERMOST_PLUGIN_API_TARGET"):
        PluginAPIClient()
    monkeypatch.setenv("MATTERMOST_API_TARGET", "unix:/x")
    assert PluginAPIClient().target == "unix:/x"
