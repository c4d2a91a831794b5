"""Between a hook's messages and its handler: what a handler is given, and what its result says.

All of it follows from the contract's messages: a handler gets the fields of the request, and its result goes into the
field of the response that takes it. A rejection travels in `rejection_reason` or, where there is none, in `error`.
"""

from __future__ import annotations

from typing import Any, cast

from google.protobuf import descriptor, message
from google.protobuf.descriptor import FieldDescriptor

from ._generated.mattermost.pluginapi.v1.common_pb2 import AppError
from .contract import HOOKS, is_repeated, message_class, snake_case

_SERVE_HTTP_ARGUMENTS = ["plugin_context", "response_writer", "request"]

#: What no opinion means, where it isn't an empty response: the plugin is healthy as long as it answers.
_DEFAULT_PAYLOAD = {"OnSharedChannelsPing": True}

#: `CommandResponse` fields that a dict result may set; other keys are ignored, as in the published SDK.
_IGNORES_UNKNOWN_KEYS = {"ExecuteCommand"}


class HookResultError(TypeError):
    """A handler returned what its hook can't say."""


def request_fields(method: descriptor.MethodDescriptor) -> list[FieldDescriptor]:
    """The fields handed to a handler: all but the request context, which is the transport's."""
    return [field for field in method.input_type.fields if field.name != "context"]


def handler_arguments(method: descriptor.MethodDescriptor) -> list[str]:
    """The names of a handler's arguments, `self` apart."""
    if method.name == "ServeHTTP":
        return _SERVE_HTTP_ARGUMENTS
    return [field.name for field in request_fields(method)]


def arguments(method: descriptor.MethodDescriptor, request: message.Message) -> list[Any]:
    """A handler's arguments. A message that may be absent is None when it is, every other one is there."""

    def argument(field: FieldDescriptor) -> Any:
        value = getattr(request, field.name)
        if is_repeated(field):
            return list(value)
        # protobuf gives a proto3 `optional` field a oneof of its own.
        return None if field.containing_oneof is not None and not request.HasField(field.name) else value

    return [argument(field) for field in request_fields(method)]


def app_error(hook: str, kind: str, text: str, status: int = 500) -> AppError:
    """The error of a hook: its id is `plugin.<hook>.<kind>`."""
    return AppError(id=f"plugin.{snake_case(hook)}.{kind}", message=text, status_code=status, where=hook)


def _error_response(hook: str, error: AppError) -> message.Message:
    response: Any = message_class(HOOKS.methods_by_name[hook].output_type)
    return cast("message.Message", response(error=error))


def failure(hook: str, text: str) -> message.Message | None:
    """The response that says that the handler failed, if the hook's response can say so."""
    method = HOOKS.methods_by_name[hook]
    if "error" not in method.output_type.fields_by_name:
        return None
    return _error_response(hook, app_error(hook, "error", text))


def no_handler(hook: str, request: message.Message) -> message.Message:
    """The response of a plugin without a handler: no opinion, but that a command must have been meant for somebody."""
    if hook == "ExecuteCommand":
        return _error_response(hook, app_error(hook, "not_implemented", "the plugin has no slash commands", 501))
    return response_of(hook, request, None)


def response_of(hook: str, request: message.Message, result: Any) -> message.Message:
    """The response that a handler's result stands for; raises HookResultError for one that says nothing here."""
    method = HOOKS.methods_by_name[hook]
    fields = method.output_type.fields_by_name
    payloads = [field for field in method.output_type.fields if field.name not in ("error", "rejection_reason")]
    verdict_field = "rejection_reason" if "rejection_reason" in fields else "error" if "error" in fields else None
    response = message_class(method.output_type)()
    filled: Any = response
    if not fields:
        # A notification: whatever the handler returns, nobody hears it.
        return response

    def refused(value: Any) -> HookResultError:
        accepted = _accepted(payloads, verdict_field)
        return HookResultError(f"{hook} can't answer a {type(value).__name__}; it takes {accepted}")

    split = _split(result, len(payloads), verdict_field)
    if split is None:
        raise refused(result)
    values, verdict = split
    reason = _reason(verdict)
    if reason is None:
        if payloads or verdict_field == "rejection_reason":
            raise refused(verdict)
        # Nothing is decided here but whether the handler failed, and it has returned: as in the published SDK.
        reason = ""
    if verdict_field == "rejection_reason":
        filled.rejection_reason = reason
    elif verdict_field == "error" and reason:
        filled.error.CopyFrom(app_error(hook, "rejected" if payloads else "error", reason))

    if hook == "MessagesWillBeConsumed" and values[0] is None:
        values = [request.posts]  # type: ignore[attr-defined]
    for field, value in zip(payloads, values):
        if value is None:
            value = _DEFAULT_PAYLOAD.get(hook)
        if value is None:
            continue
        try:
            _assign(response, field, value, hook in _IGNORES_UNKNOWN_KEYS)
        except (TypeError, ValueError, AttributeError) as error:
            raise refused(value) from error
    return response


def _split(result: Any, payloads: int, verdict_field: str | None) -> tuple[list[Any], Any] | None:
    """A result as the response's payloads and the verdict beside them; None for a tuple of a wrong length."""
    nothing: list[Any] = [None] * payloads
    if isinstance(result, tuple) and payloads and verdict_field is not None:
        if not 2 <= len(result) <= payloads + 1:
            return None
        # Shorter tuples leave out what comes before the verdict's own place: (payload, reason).
        *values, verdict = result
        return (values + nothing)[:payloads], verdict
    if verdict_field is not None and isinstance(result, (str, BaseException)):
        return nothing, result
    return ([result, *nothing])[:payloads] if payloads else [], None if payloads else result


def _reason(verdict: Any) -> str | None:
    """A verdict as text, empty when there is none; None for what is no verdict."""
    if isinstance(verdict, BaseException):
        # An exception without a text must not pass for no objection.
        return str(verdict) or type(verdict).__name__
    return verdict or "" if verdict is None or isinstance(verdict, str) else None


def _assign(response: Any, field: FieldDescriptor, value: Any, ignore_unknown: bool) -> None:
    if is_repeated(field):
        if isinstance(value, (str, bytes)):
            raise TypeError("a text is no list")
        getattr(response, field.name).extend(value)
    elif field.message_type is None:
        setattr(response, field.name, value)
    elif isinstance(value, dict):
        known = field.message_type.fields_by_name
        unknown = [key for key in value if key not in known]
        if unknown and not ignore_unknown:
            raise TypeError(f"unknown keys {unknown}")
        target = getattr(response, field.name)
        target.SetInParent()
        target.MergeFrom(type(target)(**{key: item for key, item in value.items() if key in known}))
    else:
        getattr(response, field.name).CopyFrom(value)


def _accepted(payloads: list[FieldDescriptor], verdict_field: str | None) -> str:
    def kind(field: FieldDescriptor) -> str:
        return field.message_type.name if field.message_type is not None else type(field.default_value).__name__

    def article(field: FieldDescriptor) -> str:
        if is_repeated(field):
            return f"a list of {kind(field)}"
        if field.message_type is not None:
            return f"a {kind(field)} or a dict of its fields"
        return f"{kind(field)} ({field.name})"

    # Alone, only the first payload may stand.
    forms = ["None", *(article(field) for field in payloads[:1])]
    if verdict_field is not None:
        forms.append("a str with the reason of a rejection")
        if payloads:
            kinds = [f"list of {kind(field)}" if is_repeated(field) else kind(field) for field in payloads]
            forms.append(f"a tuple ({', '.join(kinds)}, reason)")
    return ", ".join(forms)
