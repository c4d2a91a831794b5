"""A contract, as the generators read it: what protoc says of its `.proto` files."""

from __future__ import annotations

import keyword
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from .names import snake_case


class ContractError(Exception):
    """A contract of which no package can be made; the text says what is wrong with it."""


#: Messages that Python has types of its own for, and the default of a field of such a type.
WELL_KNOWN = {
    ".google.protobuf.Timestamp": "datetime",
    ".google.protobuf.Duration": "timedelta",
    ".google.protobuf.Struct": "dict[str, Any]",
    ".google.protobuf.ListValue": "list[Any]",
    ".google.protobuf.Value": "Any",
    ".google.protobuf.DoubleValue": "float",
    ".google.protobuf.FloatValue": "float",
    ".google.protobuf.Int64Value": "int",
    ".google.protobuf.UInt64Value": "int",
    ".google.protobuf.Int32Value": "int",
    ".google.protobuf.UInt32Value": "int",
    ".google.protobuf.BoolValue": "bool",
    ".google.protobuf.StringValue": "str",
    ".google.protobuf.BytesValue": "bytes",
}

#: Those whose empty one is what an unset field reads as.
_EMPTY = {".google.protobuf.Struct": "dict", ".google.protobuf.ListValue": "list"}

#: The rpcs of every contract without a life cycle of its own, which the engine serves.
BASE_HOOKS = ("OnActivate", "OnDeactivate", "OnConfigurationChange", "ServeHTTP")

#: The numbers of scalar types in descriptor.proto, and of enums and messages.
_INTEGERS = (3, 4, 5, 6, 7, 13, 15, 16, 17, 18)
_SCALARS = {1: ("float", "0.0"), 2: ("float", "0.0"), 8: ("bool", "False"), 9: ("str", '""'), 12: ("bytes", 'b""')}
_SCALARS.update(dict.fromkeys(_INTEGERS, ("int", "0")))
_GROUP, _MESSAGE, _ENUM = 10, 11, 14

#: Names that generated modules need for themselves.
_RESERVED = frozenset(
    {
        "Any",
        "CONTRACT",
        "DESCRIPTORS",
        "AsyncPluginAPIClient",
        "AsyncPluginAPIMethods",
        "Awaitable",
        "Callable",
        "ContractEnum",
        "Enum",
        "False",
        "HTTPRequest",
        "HTTPRequestContext",
        "HTTPResponseWriter",
        "HookName",
        "IntEnum",
        "Iterable",
        "Json",
        "Literal",
        "Mapping",
        "Model",
        "NamedTuple",
        "PluginAPIMethods",
        "None",
        "TYPE_CHECKING",
        "True",
        "TypeVar",
        "builtins",
        "contract_enum",
        "dataclass",
        "dataclasses",
        "datetime",
        "field",
        "hook",
        "model",
        "overload",
        "timedelta",
    }
)

#: Python's own types in an annotation; the name of a parameter is followed by a colon and its annotation.
_BUILTINS = re.compile(r"(?<!\.)\b(bool|bytes|dict|float|int|list|object|str)\b(?!: )")
_TIMES = re.compile(r"\b(datetime|timedelta)\b(?!: )")


class _Found(NamedTuple):
    """A message or an enum, and where it is declared."""

    proto: Any
    package: str
    #: Its name with those of the messages that it is declared in.
    path: str
    syntax: str


def documented(text: str) -> str:
    """A comment as it can stand between the quotes of a docstring."""
    escaped = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return escaped[:-1] + '\\"' if escaped.endswith('"') else escaped


def with_builtins(annotation: str) -> str:
    """An annotation that means Python's own types, in a class whose members have their names."""
    return _TIMES.sub(r"_\1", _BUILTINS.sub(r"builtins.\1", annotation))


def shadows(names: Collection[str]) -> bool:
    """Whether a class with such members needs `with_builtins`."""
    return any(_BUILTINS.fullmatch(name) or _TIMES.fullmatch(name) for name in names)


class Described:
    """A contract as protoc describes it: messages, enums and rpcs by their Python names, with their comments."""

    #: Whether the contract's own rpcs are its life cycle and its HTTP; others have those of the engine.
    own_life = False

    #: Names that types can't have.
    reserved = _RESERVED

    #: The field of a response that says how a call has failed; where failures are gRPC statuses there is none.
    error = ""

    def __init__(self, files: Sequence[Any], services: Sequence[str], refusals: Sequence[str] = ("refusal",)) -> None:
        """`services` are full names. The messages are those of the services' packages, and all that they lead to.

        `refusals` are the names of the fields by which a hook's response refuses.
        """
        self.refusals = tuple(refusals)
        self._found: dict[str, _Found] = {}
        self._comments: dict[str, str] = {}
        #: The heading that an rpc is below, `// --- Users ---`, by `package.Service.Method`.
        self.sections: dict[str, str] = {}
        self.all_services: dict[str, Any] = {}
        for file in files:
            self._index(file)
        self.services: dict[str, Any] = {}
        for name in services:
            if name not in self.all_services:
                known = ", ".join(sorted(self.all_services)) or "none at all"
                raise ContractError(f"there is no service {name} in these .proto files; there is {known}")
            self.services[name] = self.all_services[name]
        packages = list(dict.fromkeys(name.rpartition(".")[0] for name in services))
        reached = self._reached(packages)
        #: The Python names by full names.
        self.names = self._named(reached, packages)
        #: By Python name; of a field by `Message.field`, of a service and its rpcs by `package.Service.Method`.
        self.comments: dict[str, str] = defaultdict(str)
        for full, name in self.names.items():
            self.comments[name] = self._comments.get(full, "")
            for member in self._members(full):
                self.comments[f"{name}.{member}"] = self._comments.get(f"{full}.{member}", "")
        for name in services:
            self.comments[name] = self._comments[f".{name}"]
            for method in self.services[name].method:
                self.comments[f"{name}.{method.name}"] = self._comments.get(f".{name}.{method.name}", "")
        self.messages = {self.names[full]: self._found[full].proto for full in self._of_kind(reached, "field")}
        self.enums = {self.names[full]: self._found[full].proto for full in self._of_kind(reached, "value")}
        #: The full names, without the leading dot, by Python name.
        self.full_names = {name: full[1:] for full, name in self.names.items()}
        asked = {
            name
            for service in self.all_services.values()
            for rpc in service.method
            for name, suffix in ((rpc.input_type, "Request"), (rpc.output_type, "Response"))
            if name.endswith(suffix) or name == ".google.protobuf.Empty"
        }
        used = {field.type_name for message in self.messages.values() for field in message.field}
        left_out = {self.names.get(name) for name in asked - used}
        #: What is no request or response.
        self.models = {name: message for name, message in self.messages.items() if name not in left_out}

    # -- reading -----------------------------------------------------------------------------------------------------

    def _index(self, file: Any) -> None:
        package = f".{file.package}" if file.package else ""
        comments = {tuple(at.path): " ".join(at.leading_comments.split()) for at in file.source_code_info.location}
        headings = {
            tuple(at.path): heading.group(1)
            for at in file.source_code_info.location
            # The first one trails what opens the service.
            for comment in (*at.leading_detached_comments, at.trailing_comments)
            if (heading := re.search(r"--- (.+) ---", comment))
        }

        def said(path: tuple[int, ...]) -> str:
            text = comments.get(path, "")
            # protobuf's own have pages of them.
            return text if file.package != "google.protobuf" else text.partition(". ")[0]

        def declared(proto: Any, path: tuple[int, ...], outer: str, members: str) -> str:
            within = f"{outer}.{proto.name}" if outer else proto.name
            full = f"{package}.{within}"
            self._found[full] = _Found(proto, file.package, within, file.syntax)
            self._comments[full] = said(path)
            for number, member in enumerate(getattr(proto, members)):
                self._comments[f"{full}.{member.name}"] = said((*path, 2, number))
            return within

        def message(proto: Any, path: tuple[int, ...], outer: str) -> None:
            # The numbers of these fields in descriptor.proto.
            within = declared(proto, path, outer, "field")
            for index, nested in enumerate(proto.nested_type):
                message(nested, (*path, 3, index), within)
            for index, nested in enumerate(proto.enum_type):
                declared(nested, (*path, 4, index), within, "value")

        for index, each in enumerate(file.message_type):
            message(each, (4, index), "")
        for index, each in enumerate(file.enum_type):
            declared(each, (5, index), "", "value")
        for index, service in enumerate(file.service):
            name = f"{package}.{service.name}"[1:]
            self.all_services[name] = service
            self._comments[f".{name}"] = comments.get((6, index), "")
            section = headings.get((6, index), "")
            for number, method in enumerate(service.method):
                path = (6, index, 2, number)
                self._comments[f".{name}.{method.name}"] = comments.get(path, "")
                section = headings.get(path, section)
                self.sections[f"{name}.{method.name}"] = section

    def _members(self, full: str) -> Iterator[str]:
        proto = self._found[full].proto
        yield from (member.name for member in (proto.field if hasattr(proto, "field") else proto.value))

    def _of_kind(self, names: list[str], kind: str) -> list[str]:
        return [name for name in names if hasattr(self._found[name].proto, kind)]

    def _reached(self, packages: Sequence[str]) -> list[str]:
        """The messages and enums that there are to be types for, in the order of their declaration."""
        reached: set[str] = set()

        def reach(full: str) -> None:
            if full in reached or full in WELL_KNOWN:
                return
            reached.add(full)
            proto, _, _, syntax = self._found[full]
            if syntax != "proto3":
                raise ContractError(f"{full[1:]} is in a file of {syntax or 'proto2'}; a contract is written in proto3")
            for field in getattr(proto, "field", ()):
                if field.type_name:
                    reach(field.type_name)

        for full, found in self._found.items():
            if found.package in packages:
                reach(full)
        for service in self.services.values():
            for method in service.method:
                reach(method.input_type)
                reach(method.output_type)
        return [full for full, found in self._found.items() if full in reached and not _is_entry(found.proto)]

    def _named(self, reached: list[str], packages: Sequence[str]) -> dict[str, str]:
        def rank(full: str) -> tuple[bool, int]:
            # What is added within a message, or in another package, renames nothing of the contract's own.
            return self._found[full].package not in packages, self._found[full].path.count(".")

        names: dict[str, str] = {}
        for full in sorted(reached, key=rank):
            proto, package, path, _ = self._found[full]
            name = path.replace(".", "")
            if name in self.reserved:
                name += "Message" if hasattr(proto, "field") else "Enum"
            if name in names.values():
                # Its package's name tells it from the other.
                name = "".join(part[:1].upper() + part[1:] for part in package.split(".")) + name
            if name in names.values():
                other = next(known for known, of in names.items() if of == name)
                raise ContractError(f"{other[1:]} and {full[1:]} would both be called {name} in Python; rename one")
            names[full] = name
        return {full: names[full] for full in reached}

    # -- what is asked of it -----------------------------------------------------------------------------------------

    def fields(self, message: str) -> dict[str, Any]:
        """A message's fields by name."""
        return {field.name: field for field in self.messages[message].field}

    def comment_of(self, field: Any, owner: Any) -> str:
        """What the contract says of a field of a message."""
        name = next((name for name, message in self.messages.items() if message is owner), owner.name)
        return self.comments[f"{name}.{field.name}"]

    def name_of(self, type_name: str) -> str:
        """The Python name of a field's or an rpc's message; that of protobuf's own where Python has another type."""
        return self.names.get(type_name) or type_name.rsplit(".", 1)[-1]

    def message_of(self, type_name: str) -> Any:
        """An rpc's message, with its fields; one of protobuf's that has a Python type has none."""
        name = self.names.get(type_name)
        if name is None:
            raise ContractError(f"{type_name[1:]} can't be what an rpc takes or answers; put it into a message")
        return self.messages[name]

    def is_whole(self, type_name: str, suffix: str) -> bool:
        """Whether a hook's message is handed over as it is: one that is no `…Request` or `…Response`, but a thing."""
        return not type_name.endswith(suffix) and type_name != ".google.protobuf.Empty" and not self.own_life

    def _enum_default(self, type_name: str) -> str:
        name = self.names[type_name]
        return f"{name}.{next(member for member, number in enum_members(self, name) if number == 0)}"

    def annotation(self, field: Any, owner: Any) -> tuple[str, str]:
        """A field's type and its default, as Python writes them."""
        entry = next((nested for nested in owner.nested_type if _is_entry_of(nested, owner, field)), None)
        if entry is not None:
            key, _ = self.annotation(entry.field[0], entry)
            value, _ = self.annotation(entry.field[1], entry)
            return f"dict[{key}, {value.removesuffix(' | None')}]", "field(default_factory=dict)"
        kind, default = self._of_one(field)
        if field.label == 3:
            return f"list[{kind}]", "field(default_factory=list)"
        if field.HasField("oneof_index") or default == "None":
            return (kind if kind == "Any" else f"{kind} | None"), "None"
        return kind, default

    def _of_one(self, field: Any) -> tuple[str, str]:
        if field.type == _GROUP:
            raise ContractError(f"{field.name} is a group, which proto3 does not have")
        if field.type == _ENUM:
            return self.enum_annotation(self.names[field.type_name]), self._enum_default(field.type_name)
        if field.type != _MESSAGE:
            return _SCALARS[field.type]
        if field.type_name in _EMPTY:
            return WELL_KNOWN[field.type_name], f"field(default_factory={_EMPTY[field.type_name]})"
        return WELL_KNOWN.get(field.type_name) or self.names[field.type_name], "None"

    def enum_annotation(self, name: str) -> str:
        """The type of a field with an enum of this Python name."""
        return name


def enum_members(contract: Described, name: str) -> list[tuple[str, int]]:
    """An enum's members with their numbers, without the prefix that protobuf's rules of style want."""
    enum = contract.enums[name]
    prefix = snake_case(enum.name).upper() + "_"
    short = [value.name.removeprefix(prefix) for value in enum.value]
    has_prefix = all(value.name.startswith(prefix) for value in enum.value)
    if not has_prefix or not all(part.isidentifier() for part in short) or len({*short}) < len(short):
        short = [value.name for value in enum.value]
    return [
        (f"{part}_" if keyword.iskeyword(part) or part in ("mro", "name", "value") else part, value.number)
        for part, value in zip(short, enum.value)
    ]


def _is_entry(proto: Any) -> bool:
    return hasattr(proto, "field") and bool(proto.options.map_entry)


def _is_entry_of(nested: Any, owner: Any, field: Any) -> bool:
    return _is_entry(nested) and str(field.type_name).endswith(f".{owner.name}.{nested.name}")
