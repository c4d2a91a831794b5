"""The contract, as the generators read it."""

from __future__ import annotations

import re
from typing import Any

CONTRACT = "mattermost/pluginapi/v1/"


def snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


class Contract:
    """The contract as protoc describes it: messages, enums and rpcs, with their comments."""

    def __init__(self, files: Any) -> None:
        self.messages: dict[str, Any] = {}
        self.enums: dict[str, Any] = {}
        self.services: dict[str, Any] = {}
        #: By name; of a field by `Message.field`.
        self.comments: dict[str, str] = {}
        #: The heading that an rpc is below, `// --- Users ---`, by `Service.Method`.
        self.sections: dict[str, str] = {}
        for file in files:
            if not file.name.startswith(CONTRACT):
                continue
            comments = {tuple(at.path): " ".join(at.leading_comments.split()) for at in file.source_code_info.location}
            headings = {
                tuple(at.path): heading.group(1)
                for at in file.source_code_info.location
                # The first one trails what opens the service.
                for comment in (*at.leading_detached_comments, at.trailing_comments)
                if (heading := re.search(r"--- (.+) ---", comment))
            }
            # The numbers of these fields in descriptor.proto; members of all three are their field 2.
            for kind, of, into in (
                (4, file.message_type, self.messages),
                (5, file.enum_type, self.enums),
                (6, file.service, self.services),
            ):
                members = {4: "field", 5: "value", 6: "method"}[kind]
                for index, item in enumerate(of):
                    into[item.name] = item
                    self.comments[item.name] = comments.get((kind, index), "")
                    section = headings.get((kind, index), "")
                    for number, member in enumerate(getattr(item, members)):
                        path = (kind, index, 2, number)
                        self.comments[f"{item.name}.{member.name}"] = comments.get(path, "")
                        section = headings.get(path, section)
                        if kind == 6:
                            self.sections[f"{item.name}.{member.name}"] = section
        rpcs = [method for service in self.services.values() for method in service.method]
        used = {name.rsplit(".", 1)[1] for method in rpcs for name in (method.input_type, method.output_type)}
        self.models = {name: message for name, message in self.messages.items() if name not in used}

    def fields(self, message: str) -> dict[str, Any]:
        return {field.name: field for field in self.messages[message].field}

    def annotation(self, field: Any, owner: Any) -> tuple[str, str]:
        """A field's type and its default, as Python writes them."""
        name = field.type_name.rsplit(".", 1)[-1]
        entry = next((nested for nested in owner.nested_type if nested.name == name), None)
        if entry is not None:
            value, _ = self.annotation(entry.field[1], entry)
            return f"dict[str, {value}]", "field(default_factory=dict)"
        kind, default = {
            1: ("float", "0.0"),
            3: ("int", "0"),
            5: ("int", "0"),
            13: ("int", "0"),
            8: ("bool", "False"),
            9: ("str", '""'),
            11: (name, "None"),
            12: ("Json" if field.name.endswith("_json") else "bytes", 'b""'),
            14: ("str", f"{name}.UNSPECIFIED"),
        }[field.type]
        if kind == "Json":
            default = 'Json(b"")'
        if name == "Struct":
            kind, default = "dict[str, Any]", "field(default_factory=dict)"
        elif name == "Value":
            kind = "Any"
        elif name in ("Int32Value", "Int64Value"):
            kind = "int"
        if field.label == 3:
            return f"list[{kind}]", "field(default_factory=list)"
        if field.proto3_optional or default == "None":
            return (kind if kind == "Any" else f"{kind} | None"), "None"
        return kind, default
