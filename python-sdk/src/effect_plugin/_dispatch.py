"""Between a hook's messages and its handler: what a handler is given, and what its result says.

All of it follows from the contract's messages: a handler gets the fields of the request, and its result goes into the
field of the response that takes it. A refusal travels in a field of its own.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, Callable

from google.protobuf import descriptor
from google.protobuf.descriptor import FieldDescriptor

from ._calls import LIFE_HOOKS
from ._descriptors import message_class
from ._fields import is_repeated, is_struct
from ._generator.names import attribute_of
from ._limits import check_sendable
from ._values import fill, has_model, model_of, reader, to_message, value_reader
from .logs import own_logger

if TYPE_CHECKING:
    from .contract import Contract

_log = own_logger("effect_plugin")

_SERVE_HTTP_ARGUMENTS = ["plugin_context", "response_writer", "request"]


class HookResultError(TypeError):
    """A handler returned what its hook can't say."""


class HookFailed(Exception):
    """A handler of the plugin's own life has returned why it has failed, where no field of the response says so."""


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


def handler_arguments(contract: Contract, method: descriptor.MethodDescriptor) -> list[str]:
    """The names of a handler's arguments, `self` apart."""
    if method.name == "ServeHTTP":
        return _SERVE_HTTP_ARGUMENTS
    if contract.takes_whole(method):
        return [attribute_of(model_of(method.input_type).__name__)]
    return [attribute_of(field.name) for field in contract.request_fields(method)]


def arguments(contract: Contract, method: descriptor.MethodDescriptor, request: Any) -> list[Any]:
    """A handler's arguments. A message that may be absent is None when it is, every other one is there."""
    return [read(request) for read in _argument_readers(contract, method)]


@functools.cache
def _argument_readers(contract: Contract, method: descriptor.MethodDescriptor) -> list[Callable[[Any], Any]]:
    """What makes each of a handler's arguments of a request."""
    if contract.takes_whole(method):
        return [model_of(method.input_type).from_proto]

    return [value_reader(field) for field in contract.request_fields(method)]


class _Answers:
    """What a hook may answer, as it follows from its response."""

    def __init__(self, contract: Contract, method: descriptor.MethodDescriptor) -> None:
        self.response = message_class(method.output_type)
        self.has_none = not method.output_type.fields
        self.verdict_field = contract.verdict_field(method)
        self.payloads = contract.payload_fields(method)
        self.whole = method.output_type if contract.answers_whole(method) else None
        self.count = 1 if self.whole is not None else len(self.payloads)
        #: The response to None on the wire, once it is known, where that is the same whatever was asked.
        self.nothing: bytes | None = None


@functools.cache
def _answers(contract: Contract, hook: str) -> _Answers:
    return _Answers(contract, contract.hooks[hook])


def no_handler(contract: Contract, hook: str, request: Any) -> Any:
    """The response of a plugin without a handler: no opinion, in most cases."""
    answer = contract.no_handler(hook)
    return response_of(contract, hook, request, None) if answer is None else answer


def response_of(contract: Contract, hook: str, request: Any, result: Any) -> Any:
    """The response that a handler's result stands for; raises HookResultError for one that says nothing here."""
    answers = _answers(contract, hook)
    is_nothing = result is None and contract.default_payload(hook, request) is None
    if is_nothing and answers.nothing is not None:
        return answers.response.FromString(answers.nothing)
    response = _filled(contract, hook, request, result, answers)
    if is_nothing:
        answers.nothing = response.SerializeToString()
    return response


def _filled(contract: Contract, hook: str, request: Any, result: Any, answers: _Answers) -> Any:
    verdict_field, payloads, whole = answers.verdict_field, answers.payloads, answers.whole
    response = answers.response()
    if answers.has_none:
        if hook in LIFE_HOOKS and (reason := _reason(result)):
            raise HookFailed(reason)
        # A notification: whatever the handler returns, nobody hears it.
        return response
    count = answers.count

    def refused(value: Any, why: str = "") -> HookResultError:
        takes = _accepted(payloads, verdict_field, whole)
        return HookResultError(f"can't answer a {type(value).__name__}{why}; it takes {takes}")

    result = contract.adapted(hook, result)
    split = _split(result, count, verdict_field is not None)
    values, verdict = split or ([None] * count, result)
    reason = _reason(verdict)
    if reason is None and not count and verdict_field is not None and verdict_field.name == contract.error_field:
        # Nothing is decided here but whether the handler failed, and it has returned: as in the published SDK.
        reason = ""
    if reason is None:
        last = _reason(result[-1]) if verdict_field is not None and isinstance(result, tuple) and result else None
        if not last:
            raise refused(verdict)
        # Whatever stands before it: who has refused must be heard.
        _log.error("%s %s; all but its rejection is left out", hook, refused(result))
        values, reason = [None] * count, last

    for field, given in zip([None] if whole is not None else payloads, values):
        value = contract.default_payload(hook, request) if given is None else given
        if value is None:
            continue
        try:
            if field is None:
                response.CopyFrom(to_message(answers.response.DESCRIPTOR, value))
                continue
            if isinstance(value, (dict, tuple)):
                value = (
                    _known(field, value) if contract.ignores_unknown_keys(hook) else _completed(request, field, value)
                )
            fill(response, field, value)
        except (TypeError, ValueError) as error:
            why = error if field is None else error.__cause__
            if not reason:
                raise refused(value, f" ({sayable(str(why))})") from error
            _log.error("%s %s; it is left out of the rejection", hook, refused(value, f" ({why})"))
            if field is not None:
                response.ClearField(field.name)
    if reason or whole is None:
        # What is answered as a whole may say no itself.
        contract.refuse(hook, response, reason)
    try:
        check_sendable(response)
    except ValueError as error:
        if not reason:
            raise HookResultError(f"can't send its answer: {error}") from None
        _log.error("%s can't send what it answers beside its rejection: %s", hook, error)
        for payload in payloads:
            response.ClearField(payload.name)
    return response


def _completed(request: Any, field: FieldDescriptor, value: dict[str, Any] | tuple[Any, ...]) -> Any:
    """Fields, as a dict or in their order, on what the hook was asked about: what is left out stays as it is."""
    if field.message_type is None or is_repeated(field) or not has_model(field.message_type):
        return value
    for asked in request.DESCRIPTOR.fields:
        if asked.message_type is field.message_type and not is_repeated(asked):
            model = reader(asked)(getattr(request, asked.name))
            break
    else:
        if request.DESCRIPTOR is not field.message_type:
            return value
        model = model_of(field.message_type).from_proto(request)
    names = [known.name for known in dataclasses.fields(model)]
    if isinstance(value, tuple):
        if len(value) > len(names):
            return value
        value = dict(zip(names, value))
    try:
        return dataclasses.replace(model, **value)
    except TypeError:
        return value


def _split(result: Any, payloads: int, has_verdict: bool) -> tuple[list[Any], Any] | None:
    """A result as the response's payloads and the verdict beside them; None for a tuple of a wrong length."""
    nothing: list[Any] = [None] * payloads
    if isinstance(result, tuple) and payloads and has_verdict:
        if not 2 <= len(result) <= payloads + 1:
            return None
        # Shorter tuples leave out what comes before the verdict's own place: (payload, reason).
        *values, verdict = result
        return (values + nothing)[:payloads], verdict
    if has_verdict and isinstance(result, (str, BaseException)):
        return nothing, result
    if isinstance(result, tuple) and payloads > 1:
        return (list(result), None) if len(result) == payloads else None
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


def _accepted(
    payloads: list[FieldDescriptor], verdict_field: FieldDescriptor | None, whole: descriptor.Descriptor | None
) -> str:
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
    kinds = [f"list of {kind(field)}" if is_repeated(field) else kind(field) for field in payloads]
    if whole is not None:
        forms, kinds = ["None", f"a {whole.name} or a dict of its fields"], [whole.name]
    if verdict_field is not None:
        forms.append("a str with the reason of a rejection")
        if kinds:
            forms.append(f"a tuple ({', '.join(kinds)}, reason)")
    elif len(kinds) > 1:
        forms.append(f"a tuple ({', '.join(kinds)})")
    return ", ".join(forms)
