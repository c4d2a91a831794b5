"""The messages and services of every `.proto` this package speaks, made from one descriptor set when they are needed.

They have a descriptor pool of their own: other packages may bring the same `.proto` files along, in another version.
And there is no code of protoc's, which would be tied to one version of protobuf.
"""

from __future__ import annotations

import pkgutil
from typing import Any, Callable

import grpc
from google.protobuf import descriptor, descriptor_pb2, descriptor_pool, message_factory

_POOL = descriptor_pool.DescriptorPool()
for _file in descriptor_pb2.FileDescriptorSet.FromString(
    pkgutil.get_data(__package__ or "", "_generated/descriptors.binpb") or b""
).file:
    _POOL.AddSerializedFile(_file.SerializeToString())


def message_class(of: str | descriptor.Descriptor) -> Any:
    """The Python class of a message, by its descriptor or its full name."""
    found = _POOL.FindMessageTypeByName(of) if isinstance(of, str) else of
    return message_factory.GetMessageClass(found)


def service(name: str) -> descriptor.ServiceDescriptor:
    """A service, by its full name."""
    return _POOL.FindServiceByName(name)


def service_handler(name: str, methods: dict[str, Callable[..., Any]]) -> grpc.GenericRpcHandler:
    """A service as a server takes it, each method served by the function of its name."""
    described = service(name).methods_by_name

    def handler(method: str, function: Callable[..., Any]) -> Any:
        of: Any = described[method]
        kinds = ("unary", "stream")
        make = getattr(grpc, f"{kinds[of.client_streaming]}_{kinds[of.server_streaming]}_rpc_method_handler")
        return make(function, message_class(of.input_type).FromString, message_class(of.output_type).SerializeToString)

    handlers = {method: handler(method, function) for method, function in methods.items()}
    return grpc.method_handlers_generic_handler(name, handlers)
