import type { DescMethod } from "@bufbuild/protobuf"
import * as grpc from "@grpc/grpc-js"
import { Cause, type Context, Effect, Exit, Fiber, Option, Result, type Scope, Stream } from "effect"
import type { Metadata } from "../rpc/Metadata.ts"
import { type BidiCall, messages } from "../rpc/RpcClient.ts"
import { type RpcError, RpcStatus, statusCode } from "../rpc/RpcError.ts"
import type { CallContext, ServiceImplementation } from "../rpc/RpcHandler.ts"
import { toStatus } from "./GrpcError.ts"
import { fromGrpc, toGrpc } from "./GrpcMetadata.ts"
import { deserializer, path, serializer } from "./GrpcMethod.ts"
import { streamingCall } from "./GrpcStream.ts"
import { inTraceOf } from "./GrpcTrace.ts"

/** Runs a handler; `done` is told how it ended. */
type Run<R> = (
  effect: Effect.Effect<unknown, RpcStatus | RpcError, R>,
  done: (exit: Exit.Exit<unknown, RpcStatus | RpcError>) => void,
) => Fiber.Fiber<unknown, RpcStatus | RpcError>

/**
 * Makes what runs handlers: in a context, each in a fiber of its own that belongs to the Scope. What nobody expected is
 * logged, since the other side is told nothing of it.
 */
export const runner = <R>(context: Context.Context<R>, scope: Scope.Scope): Run<R> => {
  const fork = Effect.runForkWith(context)
  return (effect, done) => {
    const fiber = Fiber.runIn(fork(Effect.tapCause(effect, report)), scope)
    fiber.addObserver((exit) => {
      try {
        done(exit)
      } catch (error) {
        // The call is beyond being answered. Thrown from here, it would end the process.
        fork(Effect.logError("a gRPC call could not be answered", error))
      }
    })
    return fiber
  }
}

const report = (cause: Cause.Cause<RpcStatus | RpcError>): Effect.Effect<void> => {
  if (Cause.hasDies(cause)) return Effect.logError("a gRPC handler failed unexpectedly", cause)
  const problem = Option.map(Cause.findErrorOption(cause), (error) => toStatus(error).problem)
  return Option.isSome(problem) && problem.value !== undefined
    ? Effect.logWarning(`a gRPC status was sent without its trailers: ${problem.value}`)
    : Effect.void
}

/**
 * The services as grpc-js takes them. A method that streams in one direction is served as one that streams in both: on
 * the wire they are the same. Responses are serialized by our own handlers, so that what can't be is logged as theirs.
 */
export const definitions = <R>(
  services: ReadonlyArray<ServiceImplementation<R>>,
  run: Run<R>,
): ReadonlyArray<readonly [grpc.ServiceDefinition, grpc.UntypedServiceImplementation]> =>
  services.flatMap(({ handlers, service }) => {
    const methods = service.methods.filter(({ localName }) => Object.hasOwn(handlers, localName) && handlers[localName])
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

type AnyUnary<R> = (request: object, context: CallContext) => Effect.Effect<object, RpcStatus, R>
type AnyStream<R> = (
  call: BidiCall<object, object>,
  context: CallContext,
) => Effect.Effect<void, RpcStatus | RpcError, R>

/** A handler of any kind; which one it is the method says. */
type AnyHandler = (given: never, context: CallContext) => unknown

const handlerOf = <R>(method: DescMethod, handler: unknown, run: Run<R>): grpc.UntypedHandleCall =>
  method.methodKind === "unary"
    ? unaryHandler(method, handler as AnyUnary<R>, run)
    : streamHandler(method, overCall<R>(method.methodKind, handler as AnyHandler), run)

/** A handler of one direction's stream, as one that talks over the call. */
const overCall = <R>(kind: Exclude<DescMethod["methodKind"], "unary">, handler: AnyHandler): AnyStream<R> => {
  if (kind === "bidi_streaming") return handler as AnyStream<R>
  if (kind === "client_streaming") {
    return (call, context) =>
      Effect.flatMap(handler(messages(call) as never, context) as Effect.Effect<object, RpcStatus, R>, call.send)
  }
  return (call, context) =>
    Effect.flatMap(
      call.receive,
      Option.match({
        onNone: () =>
          Effect.fail(new RpcStatus({ code: statusCode.INVALID_ARGUMENT, details: "the call has no request" })),
        onSome: (request) =>
          Stream.runForEach(handler(request as never, context) as Stream.Stream<object, RpcStatus, R>, call.send),
      }),
    )
}

const unaryHandler = <R>(
  method: DescMethod,
  handler: AnyUnary<R>,
  run: Run<R>,
): grpc.handleUnaryCall<object, Buffer> => {
  const name = path(method)
  const serialize = serializer(method.output) as (message: object) => Buffer
  return (call, callback) => {
    const { context, trailers } = contextOf(call)
    const answer = Effect.suspend(() => Effect.map(handler(call.request, context), serialize))
    const fiber = run(inTraceOf(call.metadata, name, answer), (exit) =>
      Exit.isSuccess(exit) ? callback(null, exit.value as Buffer, trailers()) : callback(statusOf(exit.cause)),
    )
    call.on("cancelled", () => fiber.interruptUnsafe())
  }
}

const streamHandler = <R>(
  method: DescMethod,
  handler: AnyStream<R>,
  run: Run<R>,
): grpc.handleBidiStreamingCall<object, Buffer> => {
  const name = path(method)
  const serialize = serializer(method.output) as (message: object) => Buffer
  return (call) => {
    const { context, trailers } = contextOf(call)
    const bytes = streamingCall<Buffer, object>(name, call)
    const both = { ...bytes, send: (message: object) => Effect.suspend(() => bytes.send(serialize(message))) }
    const talk = Effect.suspend(() => handler(both, context))
    const fiber = run(inTraceOf(call.metadata, name, talk), (exit) => {
      if (Exit.isSuccess(exit)) call.end(trailers())
      else call.emit("error", statusOf(exit.cause))
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

/** The status of a call that failed. A defect's text stays on our side: the other side is told only that it failed. */
const statusOf = (cause: Cause.Cause<RpcStatus | RpcError>): Partial<grpc.StatusObject> => {
  const error = Cause.findErrorOption(cause)
  if (Option.isSome(error)) return toStatus(error.value).status
  return Cause.hasInterruptsOnly(cause)
    ? { code: grpc.status.CANCELLED, details: "the call was cancelled" }
    : { code: grpc.status.INTERNAL, details: "internal error of the host" }
}
