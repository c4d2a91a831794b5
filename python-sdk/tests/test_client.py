"""The host API's client: requests, responses, errors, and both clients against a real server."""

from __future__ import annotations

import asyncio
from concurrent import futures
from pathlib import Path
from typing import Any, Callable

import grpc
import pytest
from google.protobuf import json_format

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
from mattermost_plugin.client import _PUBLISHED_KEYWORDS, build_request, read_response
from mattermost_plugin.contract import API, message_class, snake_case
from mattermost_plugin.types import AppError, PluginKVSetOptions, Post, User

ServeApi = Callable[[dict[str, Callable[[Any], Any]]], str]


def response(rpc: str, **fields: Any) -> Any:
    return message_class(API.methods_by_name[rpc].output_type)(**fields)


def test_every_rpc_is_a_method_of_its_published_name() -> None:
    published = (Path(__file__).parent / "api_methods.txt").read_text().split()
    assert len(published) == 236
    assert sorted(snake_case(method.name) for method in API.methods) == published
    client = PluginAPIClient("unix:/nowhere")
    assert set(published) <= set(dir(client))
    assert all(callable(getattr(client, name)) for name in published)


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
def test_snake_case(rpc: str, name: str) -> None:
    assert snake_case(rpc) == name


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
    notified = built("update_channel_member_notifications", "c", "u", {"desktop": "all"})
    assert dict(notified.notifications) == {"desktop": "all"}
    event = built("publish_web_socket_event", "e", {"list": [1, "a", None], "deep": {"yes": True}})
    assert json_format.MessageToDict(event.payload) == {"list": [1, "a", None], "deep": {"yes": True}}


def test_the_defaults_of_the_published_sdk() -> None:
    for method in API.methods:
        built: Any = build_request(
            snake_case(method.name), ("m",) if "msg" in method.input_type.fields_by_name else (), {}
        )
        for field in method.input_type.fields:
            name = (snake_case(method.name), field.name)
            if field.name == "per_page":
                assert built.per_page == (100 if name[0] == "kv_list" else 60)
            elif name == ("search_users", "limit"):
                assert built.limit == 100
            elif field.name not in ("msg", "key_value_pairs"):
                assert not built.HasField(field.name) if field.has_presence else not getattr(built, field.name), name


@pytest.mark.parametrize(
    ("name", "published", "field"),
    [(name, key, field) for name, keys in _PUBLISHED_KEYWORDS.items() for key, field in keys.items()],
)
def test_keywords_of_the_published_sdk(name: str, published: str, field: str) -> None:
    described = API.methods_by_name[next(m.name for m in API.methods if snake_case(m.name) == name)].input_type
    of = described.fields_by_name[field]
    assert published not in described.fields_by_name, "else the contract's name would be hidden"
    value: Any = message_class(of.message_type)() if of.message_type is not None else type(of.default_value)(1)
    assert build_request(name, (), {published: value}) == build_request(name, (), {field: value})


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "message"),
    [
        ("get_user", ("u", "v"), {}, r"get_user\(\) takes 1 arguments \(user_id\), 2 were given"),
        ("get_user", (), {"id": "u", "name": "n"}, r"no argument id, name; it takes user_id"),
        ("get_user", ("u",), {"user_id": "v"}, r"get_user\(\) was given user_id twice"),
        ("get_user", (5,), {}, r"get_user\(\) can't take a int as user_id"),
        ("kv_set", ("k", "text"), {}, r"kv_set\(\) can't take a str as value"),
        ("create_post", (User(),), {}, r"create_post\(\) can't take a User as post"),
        ("get_users_by_ids", ("abc",), {}, r"get_users_by_ids\(\) can't take a str as user_ids: a text is no list"),
        ("save_plugin_config", (3,), {}, r"save_plugin_config\(\) can't take a int as config"),
        ("save_plugin_config", ({"a": object()},), {}, r"can't take a dict as config"),
        ("plugin_http", ("GET", "/", {"A": ["1"]}), {}, r"plugin_http\(\) can't take a dict as headers"),
    ],
)
def test_wrong_arguments(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        build_request(name, args, kwargs)


def test_responses() -> None:
    def read(rpc: str, **fields: Any) -> Any:
        return read_response(snake_case(rpc), response(rpc, **fields))

    assert read("DeletePost") is None
    assert read("GetServerVersion", version="1") == "1"
    assert read("KVCompareAndSet", success=True) is True
    assert read("KVGet", value=b"") is None
    assert read("ReadFile", data=b"") == b"", "an empty file is a file"
    assert read("GetPost", post=Post(id="p")) == Post(id="p")
    assert read("GetUsersByIds", users=[User(id="u")]) == [User(id="u")]
    assert type(read("GetUsersByIds")) is list
    assert read("GetLDAPUserAttributes", attributes={"a": "b"}) == {"a": "b"}
    assert type(read("GetLDAPUserAttributes")) is dict
    assert read("GetPluginConfig", config={"a": [1, {"b": None}]}) == {"a": [1, {"b": None}]}
    status, headers, body = answer = read("PluginHTTP", status_code=201, headers={"A": "1"}, body=b"b")
    assert (status, headers, body) == (201, {"A": "1"}, b"b")
    assert (answer.status_code, answer.headers, answer.body) == (201, {"A": "1"}, b"b")
    with pytest.raises(NotFoundError, match="gone"):
        read("GetPost", post=Post(id="p"), error=AppError(id="an.id", message="gone", status_code=404))


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
        (0, PluginAPIError),
    ],
)
def test_errors_that_the_host_answers(status: int, kind: type[PluginAPIError]) -> None:
    answered = AppError(
        id="an.id", message="m", status_code=status, where="W", detailed_error="d", params={"count": "1"}
    )
    error = convert_app_error(answered)
    assert type(error) is kind and isinstance(error, PluginAPIError)
    assert (error.error_id, error.message, error.where, error.detailed_error) == ("an.id", "m", "W", "d")
    assert (error.status_code, error.params, error.code) == (status, {"count": "1"}, None)
    assert str(convert_app_error(AppError(id="an.id"))) == "an.id", "without a message the id is better than nothing"


CODES: dict[grpc.StatusCode, type[PluginAPIError]] = {
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.UNAUTHENTICATED: PermissionDeniedError,
    grpc.StatusCode.INVALID_ARGUMENT: ValidationError,
    grpc.StatusCode.FAILED_PRECONDITION: ValidationError,
    grpc.StatusCode.OUT_OF_RANGE: ValidationError,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExistsError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: UnavailableError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: UnavailableError,
    grpc.StatusCode.ABORTED: PluginAPIError,
    grpc.StatusCode.UNIMPLEMENTED: PluginAPIError,
    grpc.StatusCode.INTERNAL: PluginAPIError,
    grpc.StatusCode.DATA_LOSS: PluginAPIError,
    grpc.StatusCode.CANCELLED: PluginAPIError,
    grpc.StatusCode.UNKNOWN: PluginAPIError,
}


def test_the_table_has_every_status() -> None:
    assert set(CODES) == set(grpc.StatusCode) - {grpc.StatusCode.OK}


@pytest.mark.parametrize("code", CODES)
def test_statuses(code: grpc.StatusCode) -> None:
    def refuse(_: Any, context: Any) -> Any:
        context.abort(code, "details")

    server = grpc.server(futures.ThreadPoolExecutor(1))
    handler: Any = grpc.unary_unary_rpc_method_handler(refuse)
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(API.full_name, {"GetServerVersion": handler})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with PluginAPIClient(f"127.0.0.1:{port}") as client, pytest.raises(PluginAPIError) as caught:
            client.get_server_version()
    finally:
        server.stop(None)
    assert type(caught.value) is CODES[code]
    assert (caught.value.code, caught.value.message, caught.value.error_id) == (code, "details", "")


def test_a_failure_without_a_status() -> None:
    error = convert_grpc_error(grpc.RpcError("broken"))
    assert type(error) is PluginAPIError and error.code is None and str(error) == "broken"


def test_a_host_that_is_not_there(tmp_path: Path) -> None:
    with PluginAPIClient(f"unix:{tmp_path}/nothing") as client, pytest.raises(UnavailableError):
        client.get_server_version()


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
            with pytest.raises(PluginAPIError) as caught:
                await client.create_post(Post())
            assert caught.value.code == grpc.StatusCode.UNIMPLEMENTED
            with pytest.raises(TypeError, match="no argument id"):
                await client.get_user(id="u")
            with pytest.raises(RuntimeError, match="already connected"):
                await client.connect()
            version, value = await asyncio.gather(client.get_server_version(), client.kv_get("k"))
            assert (version, value) == ("1.2.3", b"v")
        await client.close()
        assert not client.connected
        with pytest.raises(RuntimeError, match="not connected"):
            await client.get_server_version()

    asyncio.run(use(host_api(HANDLERS)))


def test_many_threads_may_share_a_client(host_api: ServeApi) -> None:
    with PluginAPIClient(host_api(HANDLERS)) as client, futures.ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: client.get_user("u").id, range(64)))
    assert found == ["u"] * 64


def test_no_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MATTERMOST_PLUGIN_API_TARGET", raising=False)
    monkeypatch.delenv("MATTERMOST_API_TARGET", raising=False)
    with pytest.raises(RuntimeError, match="MATTERMOST_PLUGIN_API_TARGET"):
        PluginAPIClient()
    monkeypatch.setenv("MATTERMOST_API_TARGET", "unix:/x")
    assert PluginAPIClient().target == "unix:/x"
