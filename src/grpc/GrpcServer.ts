import { chmod } from "node:fs/promises"
import type { DescMethod, DescService } from "@bufbuild/protobuf"
import * as grpc from "@grpc/grpc-js"
import { Cause, Effect, Exit, Fiber, Option, Schema, Scope, Stream } from "effect"
import { type GrpcError, GrpcStatus } from "./GrpcError.ts"
import { definition, path, type Request, type ResponseInit } from "./GrpcMethod.ts"
import { type BidiCall, bidiCall, messages } from "./GrpcStream.ts"
import { inTraceOf } from "./GrpcTrace.ts"
import { serverCredentials, type TlsConfig } from "./Tls.ts"

/** Where a server listens: a unix socket's path, or a TCP port on the loopback interface (0 picks a free one). */
export type ListenAddress = { readonly unix: string } | { readonly loopbackPort: number }

/**
 * The handler of one rpc: it is handed a message or the stream of them, and answers a message or a stream of them;
 * bidirectional ones talk over the call until they return.
 */
export type Handler<M extends DescMethod, R = never> = M extends { methodKind: "unary" }
  ? (request: Request<M>) => Effect.Effect<ResponseInit<M>, GrpcStatus, R>
  : M extends { methodKind: "server_streaming" }
    ? (request: Request<M>) => Stream.Stream<ResponseInit<M>, GrpcStatus, R>
    : M extends { methodKind: "client_streaming" }
      ? (requests: Stream.Stream<Request<M>, GrpcError>) => Effect.Effect<ResponseInit<M>, GrpcStatus, R>
      : (call: BidiCall<ResponseInit<M>, Request<M>>) => Effect.Effect<void, GrpcStatus, R>

/** Handlers by rpc name; an rpc without one answers UNIMPLEMENTED. */
export type Handlers<S extends DescService, R = never> = {
  readonly [K in keyof S["method"]]?: Handler<S["method"][K], R>
}

/** A service and its handlers, ready to be served. */
export interface ServiceImplementation<R = never> {
  readonly service: DescService
  readonly handlers: { readonly [name: string]: unknown }
  readonly _R?: (_: never) => R
}

/** Pairs a generated service with its handlers. */
export const implement = <S extends DescService, R = never>(
  service: S,
  handlers: Handlers<S, R>,
): ServiceImplementation<R> => ({ service, handlers: handlers })

/** The server could not listen. */
export class GrpcServerError extends Schema.TaggedError<GrpcServerError>()("GrpcServerError", {
  address: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `gRPC server can't listen on ${this.address}: ${this.reason}`
  }
}

/**
 * Unix socket paths longer than this are cut off silently by Node: 108 bytes of `sun_path` on Linux and 104 on macOS,
 * less the closing NUL.
 */
export const MAX_UNIX_SOCKET_PATH = process.platform === "linux" ? 107 : 103

/** How long calls in flight may end by themselves when the server's Scope closes; the plugin is gone by then. */
const SHUTDOWN_GRACE_MILLIS = 500

/**
 * Serves services on one address until the Scope closes, and answers the grpc-js target that reaches it. Handlers run
 * in the caller's context; a handler's fiber is interrupted when its call is cancelled and when the Scope closes. With
 * `tls` only clients of its authorities are let in.
 */
export const serve = <R = never>(
  address: ListenAddress,
  services: ReadonlyArray<ServiceImplementation<R>>,
  tls?: TlsConfig,
): Effect.Effect<string, GrpcServerError, R | Scope.Scope> =>
  Effect.gen(function* () {
    const context = yield* Effect.context<R>()
    const scope = yield* Effect.scope
    const target = "unix" in address ? `unix:${address.unix}` : `127.0.0.1:${address.loopbackPort}`
    if ("unix" in address && Buffer.byteLength(address.unix) > MAX_UNIX_SOCKET_PATH) {
      return yield* new GrpcServerError({
        address: target,
        reason: `the path is longer than ${MAX_UNIX_SOCKET_PATH} bytes; use a shorter temporary folder`,
      })
    }
    const server = new grpc.Server({ "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 })
    const run = (
      effect: Effect.Effect<unknown, GrpcStatus | GrpcError, R>,
      done: (exit: Exit.Exit<unknown, GrpcStatus | GrpcError>) => void,
    ) => {
      const reported = Effect.tapCause(effect, (cause) =>
        Cause.hasDies(cause) ? Effect.logError("a gRPC handler failed unexpectedly", cause) : Effect.void,
      )
      const fiber = Fiber.runIn(Effect.runForkWith(context)(reported), scope)
      fiber.addObserver(done)
      return fiber
    }
    for (const { handlers, service } of services) {
      const definitions: Record<string, grpc.MethodDefinition<any, any>> = {}
      const implementation: grpc.UntypedServiceImplementation = {}
      for (const method of service.methods) {
        const handler = handlers[method.localName]
        if (handler === undefined) continue
        definitions[method.localName] = definition(method)
        implementation[method.localName] =
          method.methodKind === "unary"
            ? unaryHandler(path(method), handler as AnyUnary<R>, run)
            : bidiHandler(path(method), overCall(method.methodKind, handler), run)
      }
      server.addService(definitions, implementation)
    }
    const port = yield* Effect.acquireRelease(
      Effect.callback<number, GrpcServerError>((resume) => {
        server.bindAsync(target, serverCredentials(tls), (error, port) =>
          resume(
            error === null
              ? Effect.succeed(port)
              : Effect.fail(new GrpcServerError({ address: target, reason: error.message })),
          ),
        )
      }),
      () =>
        Effect.callback<void>((resume) => {
          const timer = setTimeout(() => server.forceShutdown(), SHUTDOWN_GRACE_MILLIS)
          server.tryShutdown(() => {
            clearTimeout(timer)
            resume(Effect.void)
          })
        }),
    )
    if (!("unix" in address)) return `127.0.0.1:${port}`
    // The folder keeps others out; whoever may enter it must not connect by that alone.
    yield* Effect.tryPromise({
      try: () => chmod(address.unix, 0o600),
      catch: (cause) => new GrpcServerError({ address: target, reason: String(cause) }),
    })
    return target
  })

type Run<R> = (
  effect: Effect.Effect<unknown, GrpcStatus | GrpcError, R>,
  done: (exit: Exit.Exit<unknown, GrpcStatus | GrpcError>) => void,
) => Fiber.Fiber<unknown, GrpcStatus | GrpcError>

type AnyUnary<R> = (request: object) => Effect.Effect<object, GrpcStatus, R>
type AnyBidi<R> = (call: BidiCall<object, object>) => Effect.Effect<void, GrpcStatus | GrpcError, R>

/** A handler of one direction's stream, as one that talks over the call. */
const overCall = <R>(kind: Exclude<DescMethod["methodKind"], "unary">, handler: any): AnyBidi<R> => {
  if (kind === "bidi_streaming") return handler
  if (kind === "client_streaming") return (call) => Effect.flatMap(handler(messages(call)), call.send)
  return (call) =>
    Effect.flatMap(
      call.receive,
      Option.match({
        onNone: () =>
          Effect.fail(new GrpcStatus({ code: grpc.status.INVALID_ARGUMENT, details: "the call has no request" })),
        onSome: (request) => Stream.runForEach(handler(request) as Stream.Stream<object, GrpcStatus, R>, call.send),
      }),
    )
}

/** A defect's text stays on our side: the other side is told only that its call failed. */
const statusOf = (cause: Cause.Cause<GrpcStatus | GrpcError>): Partial<grpc.StatusObject> => {
  const error = Cause.findErrorOption(cause)
  if (Option.isSome(error)) return { code: error.value.code, details: error.value.details }
  return Cause.hasInterruptsOnly(cause)
    ? { code: grpc.status.CANCELLED, details: "the call was cancelled" }
    : { code: grpc.status.INTERNAL, details: "internal error of the host" }
}

const unaryHandler =
  <R>(method: string, handler: AnyUnary<R>, run: Run<R>): grpc.handleUnaryCall<object, object> =>
  (call, callback) => {
    const fiber = run(inTraceOf(call.metadata, method, handler(call.request)), (exit) =>
      Exit.isSuccess(exit) ? callback(null, exit.value as object) : callback(statusOf(exit.cause)),
    )
    call.on("cancelled", () => fiber.interruptUnsafe())
  }

const bidiHandler =
  <R>(method: string, handler: AnyBidi<R>, run: Run<R>): grpc.handleBidiStreamingCall<object, object> =>
  (call) => {
    const fiber = run(inTraceOf(call.metadata, method, handler(bidiCall(method, call))), (exit) => {
      if (Exit.isSuccess(exit)) call.end()
      else call.emit("error", statusOf(exit.cause))
    })
    call.on("cancelled", () => fiber.interruptUnsafe())
  }
