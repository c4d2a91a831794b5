"""The host API, as plugins call it. Its methods are the contract's rpcs, in snake case."""

from __future__ import annotations

import os
from collections import namedtuple
from typing import Any, Callable, cast

import grpc
import grpc.aio
from google.protobuf import descriptor, json_format, struct_pb2
from google.protobuf.message import Message

from . import trace
from ._generated.mattermost.pluginapi.v1.common_pb2 import AppError
from .contract import API, is_repeated, message_class, snake_case
from .exceptions import convert_app_error, convert_grpc_error

#: Seconds a call may take. The host answers from memory or its database; more means that it is stuck.
CALL_TIMEOUT = 30.0

_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
]

_METHODS: dict[str, descriptor.MethodDescriptor] = {snake_case(method.name): method for method in API.methods}

#: Values that the published SDK's methods have for what is left out.
_DEFAULTS: dict[str, dict[str, Any]] = {"kv_list": {"per_page": 100}, "search_users": {"limit": 100}}
for _name, _method in _METHODS.items():
    if "per_page" in _method.input_type.fields_by_name:
        _DEFAULTS.setdefault(_name, {"per_page": 60})

#: Keywords of the published SDK's methods that are not the contract's names.
_PUBLISHED_KEYWORDS: dict[str, dict[str, str]] = {
    "create_command": {"command": "cmd"},
    "create_upload_session": {"session": "upload_session"},
    "disable_plugin": {"plugin_id": "id"},
    "enable_plugin": {"plugin_id": "id"},
    "execute_slash_command": {"args": "command_args"},
    "get_emoji_list": {"sort": "sort_by"},
    "get_groups_by_source": {"source": "group_source"},
    "get_plugin_status": {"plugin_id": "id"},
    "get_user_by_username": {"username": "name"},
    "install_plugin": {"data": "file_data", "force": "replace"},
    "open_interactive_dialog": {"dialog_request": "dialog"},
    "patch_bot": {"patch": "bot_patch"},
    "remove_plugin": {"plugin_id": "id"},
    "update_command": {"command": "updated_cmd"},
    "update_group_syncable": {"syncable": "group_syncable"},
    "upload_data": {"session": "upload_session"},
    "upsert_group_syncable": {"syncable": "group_syncable"},
}


def build_request(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Message:
    """The request of a call: positional arguments in the order of the message's fields, keyword ones by their names."""
    method = _METHODS[name]
    if name.startswith("log_") and name not in ("log_audit_rec", "log_audit_rec_with_level"):
        return _log_request(method, *args, **kwargs)
    fields = [field.name for field in method.input_type.fields]
    if len(args) > len(fields):
        raise TypeError(f"{name}() takes {len(fields)} arguments ({', '.join(fields)}), {len(args)} were given")
    positional = dict(zip(fields, args))
    published = _PUBLISHED_KEYWORDS.get(name, {})
    named = {published.get(key, key): value for key, value in kwargs.items()}
    twice = positional.keys() & named.keys()
    if twice:
        raise TypeError(f"{name}() was given {', '.join(sorted(twice))} twice")
    values = {**_DEFAULTS.get(name, {}), **positional, **named}
    unknown = values.keys() - set(fields)
    if unknown:
        raise TypeError(f"{name}() has no argument {', '.join(sorted(unknown))}; it takes {', '.join(fields)}")
    request = message_class(method.input_type)()
    for field in method.input_type.fields:
        value = values.get(field.name)
        if value is None:
            continue
        try:
            _fill(request, field, value)
        except (TypeError, ValueError, AttributeError, json_format.ParseError) as error:
            raise TypeError(f"{name}() can't take a {type(value).__name__} as {field.name}: {error}") from error
    return request


def _fill(request: Message, field: descriptor.FieldDescriptor, value: Any) -> None:
    if field.message_type is not None and field.message_type.full_name == "google.protobuf.Struct":
        json_format.ParseDict(value, getattr(request, field.name))
    elif field.message_type is not None and not is_repeated(field):
        getattr(request, field.name).CopyFrom(value)
    elif is_repeated(field):
        target = getattr(request, field.name)
        if isinstance(value, (str, bytes)):
            raise TypeError("a text is no list")
        target.update(value) if hasattr(target, "update") else target.extend(value)
    else:
        setattr(request, field.name, value)


def _log_request(method: descriptor.MethodDescriptor, /, message: str, **fields: Any) -> Message:
    request: Any = message_class(method.input_type)(msg=str(message))
    for key, value in fields.items():
        request.key_value_pairs.add(key=key, value=struct_pb2.Value(string_value=str(value)))
    return cast("Message", request)


def read_response(name: str, response: Any) -> Any:
    """What a call answers: the field beside the error, a named tuple of several, or None where there is none.

    Raises the host's error, if it answered one.
    """
    fields = {field.name: field for field in response.DESCRIPTOR.fields}
    error: AppError | None = getattr(response, "error", None) if "error" in fields else None
    if error is not None and error.id:
        raise convert_app_error(error)
    answer = {key: _value(response, field) for key, field in fields.items() if key != "error"}
    if not answer:
        return None
    if len(answer) > 1:
        return namedtuple(name, answer)(**answer)
    (value,) = answer.values()
    # The contract can't tell an empty value from none.
    return value or None if name == "kv_get" else value


def _value(response: Any, field: descriptor.FieldDescriptor) -> Any:
    value = getattr(response, field.name)
    if field.message_type is not None and field.message_type.full_name == "google.protobuf.Struct":
        return json_format.MessageToDict(value)
    if is_repeated(field):
        return dict(value) if hasattr(value, "items") else list(value)
    return value


class _Client:
    """What both clients share: the target, and one method for each rpc."""

    def __init__(
        self,
        target: str | None = None,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        options: list[tuple[str, Any]] | None = None,
    ) -> None:
        found = target or os.environ.get("MATTERMOST_PLUGIN_API_TARGET") or os.environ.get("MATTERMOST_API_TARGET")
        if not found:
            raise RuntimeError("no host API: pass a target, or set MATTERMOST_PLUGIN_API_TARGET")
        self._target = found
        self._credentials = credentials
        self._options = [*_OPTIONS, *(options or [])]
        self._channel: Any = None
        self._calls: dict[str, Callable[..., Any]] = {}

    @property
    def target(self) -> str:
        """Where the host API is."""
        return self._target

    @property
    def connected(self) -> bool:
        """Whether `connect` was called; the connection itself is made by the first call."""
        return self._channel is not None

    def _rpc(self, name: str) -> Any:
        if self._channel is None:
            raise RuntimeError("Client is not connected; call connect() first")
        method = _METHODS[name]
        if name not in self._calls:
            self._calls[name] = self._channel.unary_unary(
                f"/{API.full_name}/{method.name}",
                request_serializer=message_class(method.input_type).SerializeToString,
                response_deserializer=message_class(method.output_type).FromString,
            )
        return self._calls[name]

    def _open(self, module: Any) -> None:
        if self._channel is not None:
            raise RuntimeError("Client is already connected")
        if self._credentials is None:
            self._channel = module.insecure_channel(self._target, options=self._options)
        else:
            self._channel = module.secure_channel(self._target, self._credentials, options=self._options)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *_METHODS]


class PluginAPIClient(_Client):
    """The host API. Every rpc is a method: `api.get_user(user_id)`, `api.kv_set("key", b"value")`.

    Safe to use from any thread. Errors are `PluginAPIError`s; a call ends after `CALL_TIMEOUT` seconds at the latest.
    """

    def connect(self) -> None:
        """Opens the channel; RuntimeError when it is open."""
        self._open(grpc)

    def close(self) -> None:
        """Closes the channel; may be called twice."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
            self._calls = {}

    def __enter__(self) -> PluginAPIClient:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in _METHODS:
            raise AttributeError(f"the host API has no method {name!r}")

        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                request = build_request(name, args, kwargs)
                response = self._rpc(name)(request, timeout=CALL_TIMEOUT, metadata=trace.metadata())
            except grpc.RpcError as error:
                raise convert_grpc_error(error) from error
            return read_response(name, response)

        return call


class AsyncPluginAPIClient(_Client):
    """The host API for `async def` code: every rpc is a coroutine method."""

    async def connect(self) -> None:
        """Opens the channel; RuntimeError when it is open."""
        self._open(grpc.aio)

    async def close(self) -> None:
        """Closes the channel; may be called twice."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = None
            self._calls = {}

    async def __aenter__(self) -> AsyncPluginAPIClient:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in _METHODS:
            raise AttributeError(f"the host API has no method {name!r}")

        async def call(*args: Any, **kwargs: Any) -> Any:
            try:
                request = build_request(name, args, kwargs)
                response = await self._rpc(name)(request, timeout=CALL_TIMEOUT, metadata=trace.metadata())
            except grpc.RpcError as error:
                raise convert_grpc_error(error) from error
            return read_response(name, response)

        return call
