"""Between a hook's messages and its handler: what a handler is given, and what its result says.

All of it follows from the contract's messages: a handler gets the fields of the request, and its result goes into the
field of the response that takes it. A rejection travels in `rejection_reason` or, where there is none, in `error`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from google.protobuf import descriptor
from google.protobuf.descriptor import FieldDescriptor

from .contract import HOOKS, is_optional, is_repeated, is_struct, snake_case
from .descriptors import message_class
from .limits import check_sendable
from .logs import own_logger
from .models import fill, reader
from .types import AppError

_log = own_logger("mattermost_plugin")

_SERVE_HTTP_ARGUMENTS = ["plugin_context", "response_writer", "request"]

#: What no opinion means, where it isn't an empty response: the plugin is healthy as long as it answers.
_DEFAULT_PAYLOAD = {"OnSharedChannelsPing": True}

#: `CommandResponse` fields that a dict result may set; other keys are ignored, as in the published SDK.
_IGNORES_UNKNOWN_KEYS = {"ExecuteCommand"}


class HookResultError(TypeError):
    """A handler returned what its hook can't say."""


#: Characters of what a plugin says of a refusal or a failure; a user reads it.
_TEXT_LIMIT = 16 * 1024


def sayable(text: str, limit: int = _TEXT_LIMIT) -> str:
    """A text as it can be sent: what can't be encoded is replaced, what is too much is cut off.

    File names that aren't UTF-8 have halves of characters, for example.
    """
    whole = str.__getitem__(text, slice(limit + 1))
    if len(whole) > limit:
        whole = whole[: limit - 1] + "…"
    return whole.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def text_of(error: BaseException) -> str:
    """What an exception says; empty when it says nothing, or can't."""
    try:
        return sayable(str(error))
    except Exception:
        return ""


def request_fields(method: descriptor.MethodDescriptor) -> list[FieldDescriptor]:
    """The fields handed to a handler: all but the request context, which is the transport's."""
    return [field for field in method.input_type.fields if field.name != "context"]


def handler_arguments(method: descriptor.MethodDescriptor) -> list[str]:
    """The names of a handler's arguments, `self` apart."""
    if method.name == "ServeHTTP":
        return _SERVE_HTTP_ARGUMENTS
    return [field.name for field in request_fields(method)]


def arguments(method: descriptor.MethodDescriptor, request: Any) -> list[Any]:
    """A handler's arguments. A message that may be absent is None when it is, every other one is there."""

    def argument(field: FieldDescriptor) -> Any:
        if is_optional(field) and not request.HasField(field.name):
            return None
        return reader(field)(getattr(request, field.name))

    return [argument(field) for field in request_fields(method)]


def app_error(hook: str, kind: str, text: str, status: int = 500) -> AppError:
    """The error of a hook: its id is `plugin.<hook>.<kind>`."""
    return AppError(id=f"plugin.{snake_case(hook)}.{kind}", message=text, status_code=status, where=hook)


def _error_response(hook: str, error: AppError) -> Any:
    response = message_class(HOOKS.methods_by_name[hook].output_type)
    return response(error=error.to_proto())


def failure(hook: str, text: str) -> Any | None:
    """The response that says that the handler failed, if the hook's response can say so."""
    method = HOOKS.methods_by_name[hook]
    if "error" not in method.output_type.fields_by_name:
        return None
    return _error_response(hook, app_error(hook, "error", text))


def no_handler(hook: str, request: Any) -> Any:
    """The response of a plugin without a handler: no opinion, but that a command must have been meant for somebody."""
    if hook == "ExecuteCommand":
        return _error_response(hook, app_error(hook, "not_implemented", "the plugin has no slash commands", 501))
    return response_of(hook, request, None)


def response_of(hook: str, request: Any, result: Any) -> Any:
    """The response that a handler's result stands for; raises HookResultError for one that says nothing here."""
    method = HOOKS.methods_by_name[hook]
    fields = method.output_type.fields_by_name
    payloads = [field for field in method.output_type.fields if field.name not in ("error", "rejection_reason")]
    verdict_field = "rejection_reason" if "rejection_reason" in fields else "error" if "error" in fields else None
    response = message_class(method.output_type)()
    if not fields:
        # A notification: whatever the handler returns, nobody hears it.
        return response

    def refused(value: Any, why: str = "") -> HookResultError:
        accepted = _accepted(payloads, verdict_field)
        return HookResultError(f"can't answer a {type(value).__name__}{why}; it takes {accepted}")

    if hook == "ExecuteCommand" and isinstance(result, str):
        result = {"text": sayable(result)}
    split = _split(result, len(payloads), verdict_field)
    values, verdict = split or ([None] * len(payloads), result)
    reason = _reason(verdict)
    if reason is None and not payloads and verdict_field != "rejection_reason":
        # Nothing is decided here but whether the handler failed, and it has returned: as in the published SDK.
        reason = ""
    if reason is None:
        last = _reason(result[-1]) if verdict_field and isinstance(result, tuple) and result else None
        if not last:
            raise refused(verdict)
        # Whatever stands before it: who has refused must be heard.
        _log.error("%s %s; all but its rejection is left out", hook, refused(result))
        values, reason = [None] * len(payloads), last
    if verdict_field == "rejection_reason":
        response.rejection_reason = reason
    elif verdict_field == "error" and reason:
        response.error.CopyFrom(app_error(hook, "rejected" if payloads else "error", reason).to_proto())

    if hook == "MessagesWillBeConsumed" and values[0] is None:
        values = [request.posts]
    for field, value in zip(payloads, values):
        if value is None:
            value = _DEFAULT_PAYLOAD.get(hook)
        if value is None:
            continue
        try:
            if isinstance(value, (dict, tuple)):
                value = _known(field, value) if hook in _IGNORES_UNKNOWN_KEYS else _completed(request, field, value)
            fill(response, field, value)
        except (TypeError, ValueError) as error:
            if not reason:
                raise refused(value, f" ({sayable(str(error.__cause__))})") from error
            _log.error("%s %s; it is left out of the rejection", hook, refused(value, f" ({error.__cause__})"))
            response.ClearField(field.name)
    try:
        check_sendable(response)
    except ValueError as error:
        if not reason:
            raise HookResultError(f"can't send its answer: {error}") from None
        _log.error("%s can't send what it answers beside its rejection: %s", hook, error)
        for field in payloads:
            response.ClearField(field.name)
    return response


def _completed(request: Any, field: FieldDescriptor, value: dict[str, Any] | tuple[Any, ...]) -> Any:
    """Fields, as a dict or in their order, on what the hook was asked about: what is left out stays as it is."""
    if field.message_type is None or is_repeated(field):
        return value
    for asked in request.DESCRIPTOR.fields:
        if asked.message_type is field.message_type and not is_repeated(asked):
            model = reader(asked)(getattr(request, asked.name))
            names = [known.name for known in dataclasses.fields(model)]
            if isinstance(value, tuple):
                if len(value) > len(names):
                    break
                value = dict(zip(names, value))
            try:
                return dataclasses.replace(model, **value)
            except TypeError:
                break
    return value


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
        return text_of(verdict) or type(verdict).__name__
    if verdict is None:
        return ""
    return sayable(verdict) if isinstance(verdict, str) else None


def _known(field: FieldDescriptor, value: Any) -> Any:
    """A value without the keys that its message does not have, nor items of a list that have no other."""
    if isinstance(value, list):
        items = [_known(field, item) for item in value]
        return [item for item in items if item != {}]
    if not isinstance(value, dict) or field.message_type is None or is_struct(field):
        return value
    known = field.message_type.fields_by_name
    return {key: _known(known[key], item) for key, item in value.items() if key in known}


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
