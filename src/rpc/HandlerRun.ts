import type { DescMethod } from "@bufbuild/protobuf"
import { Cause, Context, Effect, type Exit, Fiber, Option, type Scope, Stream, Tracer } from "effect"
import { type BidiCall, messages } from "./RpcClient.ts"
import { errorCode, RpcError, RpcStatus, statusCode } from "./RpcError.ts"
import type { CallContext } from "./RpcHandler.ts"
import { MAX_STATUS_TEXT } from "./RpcLimits.ts"

/** Runs a handler; `done` is told how it ended. */
export type Run<R> = (
  effect: Effect.Effect<unknown, RpcStatus | RpcError, R>,
  done: (exit: Exit.Exit<unknown, RpcStatus | RpcError>) => void,
) => Fiber.Fiber<unknown, RpcStatus | RpcError>

/** What handlers are run for. */
export interface Transport {
  /** For example `gRPC`. */
  readonly name: string
  /** What of a status can't be sent, beside its code and its text. */
  readonly problem: (status: RpcStatus) => string | undefined
}

/**
 * Makes what runs handlers: in a context, each in a fiber of its own that belongs to the Scope. What nobody expected is
 * logged, since the other side is told nothing of it.
 */
export const runner = <R>(context: Context.Context<R>, scope: Scope.Scope, transport: Transport): Run<R> => {
  // The span that the server was made in has ended long ago.
  const fork = Effect.runForkWith(Context.omit(Tracer.ParentSpan)(context) as Context.Context<R>)
  const report = reporter(transport)
  return (effect, done) => {
    const fiber = Fiber.runIn(fork(Effect.tapCause(effect, report)), scope)
    fiber.addObserver((exit) => {
      try {
        done(exit)
      } catch (error) {
        // The call is beyond being answered. Thrown from here, it would end the process.
        fork(Effect.logError(`a ${transport.name} call could not be answered`, error))
      }
    })
    return fiber
  }
}

const reporter =
  ({ name, problem }: Transport) =>
  (cause: Cause.Cause<RpcStatus | RpcError>): Effect.Effect<void> => {
    if (Cause.hasDies(cause)) return Effect.logError(`a ${name} handler failed unexpectedly`, cause)
    const error = Option.getOrUndefined(Cause.findErrorOption(cause))
    const unsent = error?._tag === "RpcStatus" ? problem(error) : undefined
    return unsent === undefined
      ? Effect.void
      : Effect.logWarning(`a ${name} status was sent without its trailers: ${unsent}`)
  }

/** The handler of a unary method. */
export type UnaryHandler<R> = (request: object, context: CallContext) => Effect.Effect<object, RpcStatus, R>

/** The handler of a method that streams, in whichever direction. */
export type StreamHandler<R> = (
  call: BidiCall<object, object>,
  context: CallContext,
) => Effect.Effect<void, RpcStatus | RpcError, R>

/** A handler of any kind; which one it is the method says. */
type AnyHandler = (given: never, context: CallContext) => unknown

/** A handler of one direction's stream, as one that talks over the call. */
export const overCall = <R>(kind: Exclude<DescMethod["methodKind"], "unary">, given: unknown): StreamHandler<R> => {
  const handler = given as AnyHandler
  if (kind === "bidi_streaming") return handler as StreamHandler<R>
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

/** What handlers of a service are there, by their methods. */
export const handled = (
  methods: ReadonlyArray<DescMethod>,
  handlers: { readonly [name: string]: unknown },
): ReadonlyArray<DescMethod> =>
  methods.filter(({ localName }) => Object.hasOwn(handlers, localName) && handlers[localName])

/**
 * The status of a call that failed, as it may be sent. A defect's text stays on our side: the other side is told only that
 * it failed.
 */
export const statusOf = (cause: Cause.Cause<RpcStatus | RpcError>): RpcStatus => {
  const error = Cause.findErrorOption(cause)
  if (Option.isSome(error)) return sendable(error.value)
  return Cause.hasInterruptsOnly(cause)
    ? new RpcStatus({ code: statusCode.CANCELLED, details: "the call was cancelled" })
    : new RpcStatus({ code: statusCode.INTERNAL, details: "internal error of the host" })
}

/** What came along with the error of another call is not sent on. */
const sendable = (error: RpcStatus | RpcError): RpcStatus => {
  const text = error.details.toWellFormed()
  return new RpcStatus({
    code: errorCode(error.code),
    details: text.length > MAX_STATUS_TEXT ? `${text.slice(0, MAX_STATUS_TEXT).toWellFormed()}…` : text,
    ...(error._tag === "RpcStatus" && { trailers: error.trailers, statusDetails: error.statusDetails }),
  })
}
