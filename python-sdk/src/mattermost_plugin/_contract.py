"""Mattermost's contract, and what it has that others don't."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Callable

from effect_plugin._descriptors import message_class
from effect_plugin._dispatch import sayable
from effect_plugin._generator.names import snake_case
from effect_plugin._values import one_or_all, reader
from effect_plugin.contract import Contract

from ._descriptors import DESCRIPTORS
from .config import HANDSHAKE, PROTOCOL_VERSION, VARIABLES, RuntimeConfig, load_runtime_config

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor

    from effect_plugin._store import KeyValueCalls

    from .types import AppError, PostList

PACKAGE = "mattermost.pluginapi.v1"

#: What methods of the host API answer that isn't the response's field as it is.
_ANSWERS: dict[str, Callable[..., Any]] = {
    "GetEmojiImage": lambda image, content_type: image,
    # The contract can't tell an empty value from none.
    "KVGet": lambda value: value or None,
    "SearchPostsInTeam": lambda posts: _list_of(posts),
}


def _list_of(posts: list[Any]) -> PostList:
    from .types import PostList

    return PostList(order=[post.id for post in posts], posts={post.id: post for post in posts})


class MattermostContract(Contract):
    """A contract whose own rpcs are the plugin's life cycle, HTTP, key-value store and settings.

    Errors are answered: an AppError in the response's field `error`, or a text in `rejection_reason`.
    """

    error_field = "error"
    config_class = RuntimeConfig
    wsgi_names = (*Contract.wsgi_names, "mattermost.plugin")

    def services(self) -> list[ServiceDescriptor]:
        """See `Contract`."""
        return [self.hooks_service]

    def host_services(self) -> list[ServiceDescriptor]:
        """See `Contract`."""
        return []

    def runtime_config(self) -> RuntimeConfig:
        """See `Contract`."""
        return load_runtime_config()

    # -- hooks -------------------------------------------------------------------------------------------------------

    def request_fields(self, method: MethodDescriptor) -> list[FieldDescriptor]:
        """All but the request context, which is the transport's."""
        return [field for field in method.input_type.fields if field.name != "context"]

    def takes_whole(self, method: MethodDescriptor) -> bool:
        """See `Contract`."""
        return False

    def answers_whole(self, method: MethodDescriptor) -> bool:
        """See `Contract`."""
        return False

    def verdict_field(self, method: MethodDescriptor) -> FieldDescriptor | None:
        """A rejection travels in `rejection_reason` or, where there is none, in `error`."""
        fields = method.output_type.fields_by_name
        return fields.get("rejection_reason") or fields.get(self.error_field)

    def payload_fields(self, method: MethodDescriptor) -> list[FieldDescriptor]:
        """See `Contract`."""
        return [field for field in method.output_type.fields if field.name not in ("error", "rejection_reason")]

    def refuse(self, hook: str, response: Any, reason: str) -> None:
        """See `Contract`."""
        method = self.hooks[hook]
        field = self.verdict_field(method)
        if field is not None and field.name != self.error_field:
            setattr(response, field.name, reason)
        elif field is not None and reason:
            kind = "rejected" if self.payload_fields(method) else "error"
            response.error.CopyFrom(app_error(hook, kind, reason).to_proto())

    def adapted(self, hook: str, result: Any) -> Any:
        """A text that answers a command is the text of its response."""
        return {"text": sayable(result)} if hook == "ExecuteCommand" and isinstance(result, str) else result

    def default_payload(self, hook: str, request: Any) -> Any:
        """A plugin is healthy as long as it answers, and passes on what it has no opinion of."""
        if hook == "MessagesWillBeConsumed":
            return request.posts
        return True if hook == "OnSharedChannelsPing" else None

    def ignores_unknown_keys(self, hook: str) -> bool:
        """Those of a CommandResponse are ignored, as in the published SDK."""
        return hook == "ExecuteCommand"

    def failure(self, hook: str, text: str) -> Any | None:
        """See `Contract`."""
        if self.error_field not in self.hooks[hook].output_type.fields_by_name:
            return None
        return self._error_response(hook, app_error(hook, "error", text))

    def failed(self, response: Any) -> str:
        """See `Contract`."""
        if not _has_error(response.DESCRIPTOR) or not response.error.id:
            return ""
        return str(response.error.message or response.error.id)

    def no_handler(self, hook: str) -> Any | None:
        """A command must have been meant for somebody."""
        if hook != "ExecuteCommand":
            return None
        return self._error_response(hook, app_error(hook, "not_implemented", "the plugin has no slash commands", 501))

    def _error_response(self, hook: str, error: AppError) -> Any:
        return message_class(self.hooks[hook].output_type)(error=error.to_proto())

    # -- the host API ------------------------------------------------------------------------------------------------

    def answer_reader(self, method: MethodDescriptor) -> Callable[[Any], Any]:
        """The field beside the error, a tuple of several, or None. Raises the host's error, if it answered one."""
        fields = method.output_type.fields
        readers = [_reader(field) for field in fields if field.name != "error"]
        read = one_or_all(readers)
        if method.name in _ANSWERS:
            adapt = _ANSWERS[method.name]
            read = lambda response: adapt(*[each(response) for each in readers])  # noqa: E731
        if all(field.name != "error" for field in fields):
            return read

        def read_unless_failed(response: Any) -> Any:
            if response.error.id:
                from .exceptions import convert_app_error

                raise convert_app_error(response.error)
            return read(response)

        return read_unless_failed

    @functools.cached_property
    def key_values(self) -> KeyValueCalls:
        """See `Contract`."""
        from ._key_values import MattermostKeyValues

        return MattermostKeyValues()

    def settings(self, api: Any) -> Mapping[str, Any]:
        """See `Contract`."""
        loaded: Mapping[str, Any] | None = api.load_plugin_configuration().json()
        return loaded or {}


@functools.cache
def _has_error(of: Descriptor) -> bool:
    return MattermostContract.error_field in of.fields_by_name


def _reader(field: FieldDescriptor) -> Callable[[Any], Any]:
    get, read = attrgetter(field.name), reader(field)
    return lambda response: read(get(response))


def app_error(hook: str, kind: str, text: str, status: int = 500) -> AppError:
    """The error of a hook: its id is `plugin.<hook>.<kind>`."""
    from .types import AppError

    return AppError(id=f"plugin.{snake_case(hook)}.{kind}", message=text, status_code=status, where=hook)


CONTRACT = MattermostContract(
    package="mattermost_plugin",
    descriptors=DESCRIPTORS,
    hooks=f"{PACKAGE}.PluginHooks",
    api=f"{PACKAGE}.PluginAPI",
    cookie=(HANDSHAKE.magic_cookie_key, HANDSHAKE.magic_cookie_value),
    variables=VARIABLES,
    protocol_version=PROTOCOL_VERSION,
)

# As early as this, so that nothing is lost that is logged while the plugin is imported.
CONTRACT.log_to_host()


def contract_message(name: str) -> Any:
    """The Python class of a message of the contract: what goes over the wire, as protobuf has it."""
    return message_class(DESCRIPTORS.message(f"{PACKAGE}.{name}"))
