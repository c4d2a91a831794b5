import type { DescMethod } from "@bufbuild/protobuf"
import type * as grpc from "@grpc/grpc-js"
import { type Cause, Effect, Exit, Result } from "effect"
import {
  handled,
  overCall,
  type Run,
  statusOf,
  type StreamHandler,
  type Transport,
  type UnaryHandler,
} from "../rpc/HandlerRun.ts"
import type { Metadata } from "../rpc/Metadata.ts"
import { type RpcError, RpcStatus, statusCode } from "../rpc/RpcError.ts"
import type { CallContext, ServiceImplementation } from "../rpc/RpcHandler.ts"
import { path } from "../rpc/RpcMethod.ts"
import { inTraceOf } from "../rpc/RpcTrace.ts"
import { toStatus } from "./GrpcError.ts"
import { fromGrpc, toGrpc } from "./GrpcMetadata.ts"
import { deserializer, serializer } from "./GrpcMethod.ts"
import { streamingCall } from "./GrpcStream.ts"
import { traceparentIn } from "./GrpcTrace.ts"

/** gRPC, as what runs handlers knows it. */
export const transport: Transport = { name: "gRPC", problem: (status) => toStatus(status).problem }

/**
 * The services as grpc-js takes them. A method that streams in one direction is served as one that streams in both: on
 * the wire they are the same. Responses are serialized by our own handlers, so that what can't be is logged as theirs.
 */
export const definitions = <R>(
  services: ReadonlyArray<ServiceImplementation<R>>,
  run: Run<R>,
): ReadonlyArray<readonly [grpc.ServiceDefinition, grpc.UntypedServiceImplementation]> =>
  services.flatMap(({ handlers, service }) => {
    const methods = handled(service.methods, handlers)
    // grpc-js refuses a service without methods, and answers for an unknown one as for one without handlers.
    if (methods.length === 0) return []
    return [
      [
        Object.fromEntries(methods.map((method) => [method.localName, definition(method)])),
        Object.fromEntries(
          methods.map((method) => [method.localName, handlerOf(method, handlers[method.localName], run)]),
        ),
      ],
    ]
  })

const asIs = (bytes: unknown): never => bytes as never

const definition = (method: DescMethod): grpc.MethodDefinition<unknown, unknown> => ({
  path: path(method),
  requestStream: method.methodKind !== "unary",
  responseStream: method.methodKind !== "unary",
  requestSerialize: asIs,
  requestDeserialize: deserializer(method.input),
  responseSerialize: asIs,
  responseDeserialize: asIs,
})

const handlerOf = <R>(method: DescMethod, handler: unknown, run: Run<R>): grpc.UntypedHandleCall =>
  method.methodKind === "unary"
    ? unaryHandler(method, handler as UnaryHandler<R>, run)
    : streamHandler(method, overCall<R>(method.methodKind, handler), run)

const unaryHandler = <R>(
  method: DescMethod,
  handler: UnaryHandler<R>,
  run: Run<R>,
): grpc.handleUnaryCall<object, Buffer> => {
  const name = path(method)
  const serialize = serializer(method.output) as (message: object) => Buffer
  return (call, callback) => {
    const { context, trailers } = contextOf(call)
    const answer = Effect.suspend(() => Effect.map(handler(call.request, context), serialize))
    const fiber = run(inTraceOf(traceparentIn(call.metadata), name, answer), (exit) =>
      Exit.isSuccess(exit) ? callback(null, exit.value as Buffer, trailers()) : callback(failure(exit.cause)),
    )
    call.on("cancelled", () => fiber.interruptUnsafe())
  }
}

const streamHandler = <R>(
  method: DescMethod,
  handler: StreamHandler<R>,
  run: Run<R>,
): grpc.handleBidiStreamingCall<object, Buffer> => {
  const name = path(method)
  const serialize = serializer(method.output) as (message: object) => Buffer
  return (call) => {
    const { context, trailers } = contextOf(call)
    const bytes = streamingCall<Buffer, object>(name, call)
    const both = { ...bytes, send: (message: object) => Effect.suspend(() => bytes.send(serialize(message))) }
    const talk = Effect.suspend(() => handler(both, context))
    const fiber = run(inTraceOf(traceparentIn(call.metadata), name, talk), (exit) => {
      if (Exit.isSuccess(exit)) call.end(trailers())
      else call.emit("error", failure(exit.cause))
    })
    call.on("cancelled", () => fiber.interruptUnsafe())
  }
}

/** What a call's handler sees of it, and the trailers that it has set. */
const contextOf = (call: Pick<grpc.ServerUnaryCall<object, Buffer>, "metadata" | "sendMetadata">) => {
  let trailers: grpc.Metadata | undefined
  let received: Metadata | undefined
  const converted = (metadata: Metadata, use: (metadata: grpc.Metadata) => void) =>
    Effect.suspend(() =>
      Result.match(toGrpc(metadata), {
        onFailure: (details) => Effect.fail(new RpcStatus({ code: statusCode.INTERNAL, details })),
        onSuccess: (converted) => Effect.sync(() => use(converted)),
      }),
    )
  const context: CallContext = {
    get metadata() {
      return (received ??= fromGrpc(call.metadata))
    },
    sendHeaders: (metadata) => converted(metadata, (headers) => call.sendMetadata(headers)),
    setTrailers: (metadata) => converted(metadata, (set) => (trailers = set)),
  }
  return { context, trailers: () => trailers }
}

const failure = (cause: Cause.Cause<RpcStatus | RpcError>): Partial<grpc.StatusObject> =>
  toStatus(statusOf(cause)).status
