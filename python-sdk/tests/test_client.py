"""The host API's client: requests, responses, errors, and both clients against a real server."""

from __future__ import annotations

import asyncio
import inspect
import json
import math
from concurrent import futures
from pathlib import Path
from typing import Any, Callable, cast

import grpc
import pytest
from google.protobuf import json_format

from effect_plugin._descriptors import message_class
from effect_plugin._generator.names import snake_case
from effect_plugin._limits import MESSAGE_LIMIT, message_limit, message_options
from generator.mattermost_api import DECLARED_OTHERWISE
from mattermost_plugin import (
    AlreadyExistsError,
    AsyncPluginAPIClient,
    NotFoundError,
    NotImplementedByHostError,
    PermissionDeniedError,
    PluginAPIClient,
    PluginAPIError,
    UnavailableError,
    ValidationError,
    convert_app_error,
    convert_grpc_error,
)
from mattermost_plugin._contract import CONTRACT
from mattermost_plugin._generated.api import PluginAPIMethods, PluginHTTPResult
from mattermost_plugin.client import log_entry
from mattermost_plugin.models import to_message
from mattermost_plugin.types import (
    AppError,
    Channel,
    ChannelType,
    FileInfo,
    Json,
    PluginKVSetOptions,
    Post,
    PostList,
    PostMetadata,
    PropertyField,
    User,
)

from .wire import API, build_request, read_response

ServeApi = Callable[[dict[str, Callable[[Any], Any]]], str]


#: The published SDK's methods, one a line, with their arguments.
PUBLISHED = (Path(__file__).parent.parent / "generator" / "published_api.txt").read_text().splitlines()


def response(rpc: str, **fields: Any) -> Any:
    return message_class(API.methods_by_name[rpc].output_type)(**fields)


def struct(values: dict[str, Any]) -> Any:
    return to_message(CONTRACT.descriptors.message("google.protobuf.Struct"), values)


@pytest.mark.parametrize("client", [PluginAPIClient, AsyncPluginAPIClient])
def test_every_method_is_called_as_in_the_published_sdk(client: Any) -> None:
    names = [line.partition("(")[0] for line in PUBLISHED]
    assert sorted(names) == sorted(snake_case(method.name) for method in API.methods) and len(names) == 236
    for line in PUBLISHED:
        name = line.partition("(")[0]
        scope: dict[str, Any] = {}
        exec(f"def {line}: ...", scope)
        published = inspect.signature(scope[name]).parameters
        ours = inspect.signature(getattr(client, name)).parameters
        if name in DECLARED_OTHERWISE and name != "load_plugin_configuration":
            continue
        for index, (argument, wanted) in enumerate(published.items(), 1):
            if wanted.kind is wanted.VAR_KEYWORD:
                assert any(mine.kind is mine.VAR_KEYWORD for mine in ours.values())
                continue
            mine = ours[argument]
            assert mine.kind is wanted.kind, line
            if wanted.kind is wanted.POSITIONAL_OR_KEYWORD:
                assert list(ours).index(argument) == index, line
            # `dest` can be left out: what was loaded is answered, it is not put there.
            assert mine.default == wanted.default or argument == "dest", line
        for argument in ours.keys() - published.keys() - {"self"}:
            assert ours[argument].default is not inspect.Parameter.empty or ours[argument].kind is wanted.VAR_KEYWORD


class Recorder(PluginAPIMethods):
    """Keeps what each call would make its request of."""

    def __init__(self) -> None:
        self.sent: dict[str, Any] = {}

    def _call(self, rpc: str, values: dict[str, Any], /) -> Any:
        self.sent = {rpc: values}
        return [None] * len(API.methods_by_name[rpc].output_type.fields[1:])


@pytest.mark.parametrize("name", [line.partition("(")[0] for line in PUBLISHED if "**" not in line])
def test_every_argument_is_sent_and_every_field_can_be(name: str) -> None:
    recorder = Recorder()
    method = getattr(recorder, name)
    given = {argument: object() for argument in inspect.signature(method).parameters if argument != "dest"}
    method(**given)
    ((rpc, sent),) = recorder.sent.items()
    arrived = []
    fields: Any = API.methods_by_name[rpc].input_type.fields
    assert sent.keys() == {field.name for field in fields}
    for field in fields:
        value = sent[field.name][0] if isinstance(sent[field.name], list) else sent[field.name]
        if isinstance(value, dict):
            assert value.keys() == {inner.name for inner in field.message_type.fields}
        arrived += list(value.values()) if isinstance(value, dict) else [value]
    assert sorted(map(id, arrived)) == sorted(map(id, given.values()))


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


def nested(levels: int) -> dict[str, Any]:
    """Objects of JSON within one another."""
    value: dict[str, Any] = {"a": 1}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


class Requests(PluginAPIMethods):
    """Answers the request of each call in place of sending it."""

    def _call(self, rpc: str, values: dict[str, Any], /) -> Any:
        return build_request(rpc, values)

    def _log(self, rpc: str, message: str, fields: dict[str, object]) -> Any:
        return build_request(rpc, log_entry(message, fields))


def test_requests() -> None:
    api: Any = Requests()
    assert api.get_user("u").user_id == "u"
    assert api.kv_set("k", b"v").value == b"v"
    assert api.kv_set(key="k", value=b"v").key == "k"
    assert api.kv_compare_and_set("k", None, b"v").old_value == b""
    assert api.kv_set_with_options("k", b"v", PluginKVSetOptions(atomic=True)).options.atomic
    assert api.kv_list().per_page == 100
    assert api.get_users().per_page == 60
    assert api.get_users(page=2, per_page=5, roles=["a", "b"]).roles == ["a", "b"]
    assert api.create_post(Post(message="m")).post.message == "m"
    assert api.create_post({"message": "m"}).post.message == "m"
    assert api.save_plugin_config({"a": "b", "n": 1}).config["a"] == "b"
    assert json.loads(api.save_config({"a": [1]}).config_json) == {"a": [1]}
    assert api.save_config(b"{}").config_json == b"{}"
    assert api.create_property_field(b'{"name": "n"}').field.name == "n"
    assert api.create_property_field(PropertyField(name="n")).field.name == "n"
    assert [value.id for value in api.upsert_property_values(b'[{"id": "a"}, {"id": "b"}]').values] == ["a", "b"]
    assert api.get_file_infos(user_id="u").options.user_id == "u"
    assert api.search_posts_in_team("t", "a b").params_list[0].terms == "a b"
    assert api.publish_plugin_cluster_event("e", b"d").event.data == b"d"
    assert api.publish_plugin_cluster_event("e", b"d").opts.send_type == "reliable"
    assert api.patch_channel_members_notifications([("c", "u")], {}).members[0].user_id == "u"
    channel = Channel(type=ChannelType.PRIVATE)
    assert api.create_channel(channel).channel.type == 2
    logged = api.log_info("message", count=1, what=None)
    assert logged.msg == "message"
    assert {pair.key: pair.value.string_value for pair in logged.key_value_pairs} == {"count": "1", "what": "None"}
    notified = api.update_channel_member_notifications("c", "u", {"desktop": "all"})
    assert dict(notified.notifications) == {"desktop": "all"}
    event = api.publish_web_socket_event("e", {"list": [1, "a", None], "deep": {"yes": True}}, {"user_id": "u"})
    assert json_format.MessageToDict(event.payload) == {"list": [1, "a", None], "deep": {"yes": True}}
    assert event.broadcast.user_id == "u"


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "message"),
    [
        ("get_user", ("u", "v"), {}, r"takes 2 positional arguments but 3 were given"),
        ("get_user", ("u",), {"name": "n"}, r"unexpected keyword argument 'name'"),
        ("get_user", (5,), {}, r"get_user\(\) can't take a int as user_id"),
        ("kv_set", ("k", "text"), {}, r"kv_set\(\) can't take a str as value"),
        ("create_post", (User(),), {}, r"create_post\(\) can't take a User as post: a Post is needed"),
        ("create_post", ({"mesage": "m"},), {}, r"can't take a dict as post: Post has no field 'mesage'; it has id, "),
        (
            "create_post",
            (Post(message=cast("Any", 5)),),
            {},
            r"create_post\(\) can't take a Post as post: can't take a int as message",
        ),
        ("create_channel", (Channel(type="X"),), {}, r"can't take a str as type: 'X' is not a valid ChannelType"),
        ("get_users_by_ids", ("abc",), {}, r"get_users_by_ids\(\) can't take a str as user_ids: that is no list"),
        ("save_plugin_config", (3,), {}, r"save_plugin_config\(\) can't take a int as config"),
        ("save_plugin_config", ({"a": object()},), {}, r"can't take a dict as config"),
        ("plugin_http", ("GET", "/", {"A": ["1"]}), {}, r"plugin_http\(\) can't take a dict as headers"),
    ],
)
def test_wrong_arguments(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        getattr(Requests(), name)(*args, **kwargs)


@pytest.mark.parametrize(
    ("post", "message"),
    [
        (
            Post(create_at=2**60),
            r"post.create_at is 1152921504606846976, more .*; times are in milliseconds since 1970",
        ),
        (Post(create_at=-(2**53)), r"post.create_at is -9007199254740992, more than JSON's integers can say"),
        (Post(create_at=2**70), r"can't take this int as create_at"),
        (Post(participants=[User(), User(delete_at=2**60)]), r"post.participants\[1\].delete_at is "),
        (Post(metadata=PostMetadata(files=[FileInfo(size=2**53)])), r"post.metadata.files\[0\].size is "),
        (Post(props={"a": [1, {"b": math.nan}]}), r"post.props.a\[1\].b is nan, which JSON can't say"),
        (Post(props={"a": -math.inf}), r"post.props.a is -inf"),
        (Post(props=nested(30)), r"post.props.a(\.a)* is nested too deeply: .* 29 objects of JSON"),
        (Post(props={"a" * 50: nested(1000)}), r"can't take this dict as props: maximum recursion"),
        (Post(props={"a": "\udc80"}), r"can't take this dict as props: 'utf-8' codec"),
        (Post(message="\udc80"), r"can't take this str as message: 'utf-8' codec"),
        (Post(message="x" * MESSAGE_LIMIT), r"it has 67108\d* bytes; a message has at most 67108864"),
    ],
)
def test_what_the_host_could_not_keep_is_not_sent(post: Post, message: str) -> None:
    with pytest.raises(ValueError, match=r"^create_post\(\) .*" + message):
        Requests().create_post(post)


def test_what_the_host_can_keep_is_sent() -> None:
    for post in (Post(create_at=2**53 - 1), Post(props=nested(29)), Post(props={"a": [[[[[[[1e300]]]]]]]})):
        assert Post.from_proto(cast("Any", Requests().create_post(post)).post) == post
    for config in ({"a": math.nan}, {"a": "\udc80"}):
        with pytest.raises(ValueError, match=r"JSON|utf-8"):
            Json(config)
    assert Json({"a": "é"}).json() == {"a": "é"}


def test_the_limit_of_messages_is_the_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    # The last one is of the other tests as well: it is read once.
    for named, limit in (("1024", 1024), ("-1", -1), ("much", MESSAGE_LIMIT), ("", MESSAGE_LIMIT)):
        monkeypatch.setenv("PLUGIN_SUPERVISOR_MESSAGE_LIMIT", named)
        message_limit.cache_clear()
        assert set(message_options()) == {
            ("grpc.max_receive_message_length", limit),
            ("grpc.max_send_message_length", limit),
        }
    monkeypatch.setattr("effect_plugin._limits.message_limit", lambda: 1024)
    with pytest.raises(ValueError, match="at most 1024"):
        Requests().kv_set("k", b"x" * 1024)


def test_responses() -> None:
    def read(rpc: str, **fields: Any) -> Any:
        return read_response(rpc, response(rpc, **fields))

    assert read("DeletePost") is None
    assert read("GetServerVersion", version="1") == "1"
    assert read("KVCompareAndSet", success=True) is True
    assert read("KVGet", value=b"") is None
    assert read("ReadFile", data=b"") == b"", "an empty file is a file"
    assert read("GetPost", post=Post(id="p").to_proto()) == Post(id="p")
    assert read("GetUsersByIds", users=[User(id="u").to_proto()]) == [User(id="u")]
    assert type(read("GetUsersByIds")) is list
    assert read("GetLDAPUserAttributes", attributes={"a": "b"}) == {"a": "b"}
    assert type(read("GetLDAPUserAttributes")) is dict
    assert read("GetPluginConfig", config=struct({"a": [1, {"b": None}]})) == {"a": [1, {"b": None}]}
    answer = PluginHTTPResult(*read("PluginHTTP", status_code=201, headers={"A": "1"}, body=b"b"))
    status, headers, body = answer
    assert (status, headers, body) == (201, {"A": "1"}, b"b")
    assert (answer.status_code, answer.headers, answer.body) == (201, {"A": "1"}, b"b")
    assert read("GetEmojiImage", image=b"i", content_type="image/png") == b"i"
    found = read("SearchPostsInTeam", posts=[{"id": "b"}, {"id": "a"}])
    assert found == PostList(order=["b", "a"], posts={"a": Post(id="a"), "b": Post(id="b")})
    assert read("GetConfig", config_json=b'{"a": 1}').json() == {"a": 1}
    assert isinstance(read("GetConfig"), bytes) and read("GetConfig").json() is None
    assert read("GetChannel", channel={"type": 1}).type == ChannelType.OPEN == "O"
    with pytest.raises(NotFoundError, match="gone"):
        read("GetPost", post={"id": "p"}, error={"id": "an.id", "message": "gone", "status_code": 404})


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
        (501, NotImplementedByHostError),
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
    assert (error.status_code, error.params) == (status, {"count": "1"})
    assert error.code is None if status == 0 else convert_grpc_error_kind(error) in (kind, PluginAPIError)
    assert str(convert_app_error(AppError(id="an.id"))) == "an.id", "without a message the id is better than nothing"


def convert_grpc_error_kind(error: PluginAPIError) -> type[PluginAPIError]:
    """The kind of error that the status stands for which an error has been given."""
    assert error.code is not None
    return CODES[error.code]


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
    grpc.StatusCode.UNIMPLEMENTED: NotImplementedByHostError,
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
    said = "details"
    if code is grpc.StatusCode.UNIMPLEMENTED:
        said = (
            "the host does not have mattermost.pluginapi.v1.PluginAPI/GetServerVersion; its contract is older than the "
            "one that the plugin is made for (details)"
        )
    assert (caught.value.code, caught.value.message, caught.value.error_id) == (code, said, "")


def test_a_failure_without_a_status() -> None:
    error = convert_grpc_error(grpc.RpcError("broken"))
    assert type(error) is PluginAPIError and error.code is None and str(error) == "broken"


def test_a_host_that_is_not_there(tmp_path: Path) -> None:
    with PluginAPIClient(f"unix:{tmp_path}/nothing") as client, pytest.raises(UnavailableError):
        client.get_server_version()


HANDLERS: dict[str, Callable[[Any], Any]] = {
    "GetServerVersion": lambda _: response("GetServerVersion", version="1.2.3"),
    "GetUser": lambda request: (
        response("GetUser", user={"id": request.user_id})
        if request.user_id == "u"
        else response("GetUser", error={"id": "missing", "status_code": 404})
    ),
    "KVGet": lambda request: response("KVGet", value=b"v" if request.key == "k" else b""),
    "KVList": lambda request: response("KVList", keys=["a", "b"][: request.per_page]),
    "KVDelete": lambda _: response("KVDelete", error={"message": "an error without an id is none"}),
    "GetPluginConfig": lambda _: response("GetPluginConfig", config=struct({"a": "b"})),
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
        client.kv_delete("k")
        assert client.get_plugin_config() == {"a": "b"}
        with pytest.raises(NotFoundError):
            client.get_user("other")
        with pytest.raises(PluginAPIError) as caught:
            client.create_post(Post())
        assert caught.value.code == grpc.StatusCode.UNIMPLEMENTED
        with pytest.raises(RuntimeError, match="already connected"):
            client.connect()
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
            with pytest.raises(TypeError, match="can't take a int as user_id"):
                await client.get_user(5)  # type: ignore[arg-type]
            with pytest.raises(RuntimeError, match="already connected"):
                await client.connect()
            version, value = await asyncio.gather(client.get_server_version(), client.kv_get("k"))
            assert (version, value) == ("1.2.3", b"v")
        await client.close()
        assert not client.connected
        with pytest.raises(RuntimeError, match="is closed"):
            await client.get_server_version()

    asyncio.run(use(host_api(HANDLERS)))


def test_the_async_client_may_be_called_from_other_loops(host_api: ServeApi) -> None:
    async def use(target: str) -> AsyncPluginAPIClient:
        client = AsyncPluginAPIClient(target)
        await client.connect()

        def elsewhere() -> str:
            return asyncio.run(client.get_server_version())

        assert await asyncio.get_running_loop().run_in_executor(None, elsewhere) == "1.2.3"
        return client

    client = asyncio.run(use(host_api(HANDLERS)))
    with pytest.raises(RuntimeError, match="an event loop that does not run any more"):
        asyncio.run(client.get_server_version())


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
