import { Effect, Option, Stream } from "effect"
import { type CallOptions, type ClientCall, messages, type RpcClient } from "./RpcClient.ts"
import { RpcError, statusCode } from "./RpcError.ts"
import { type ClientStreaming, path, type RequestInit, type Response, type ServerStreaming } from "./RpcMethod.ts"

/** How an error that ends a call is told: as it is, unless more is known of it. */
export type Fail = (error: RpcError) => Effect.Effect<never, RpcError>

/** A call that could not even begin: whatever is done with it fails. */
export const failedCall = (error: RpcError): ClientCall<unknown, never> => {
  const failure = Effect.fail(error)
  return { send: () => failure, end: Effect.void, receive: failure, headers: failure, trailers: failure }
}

/** Opens a call that streams. */
export type Open = RpcClient["bidi"]

/** The one message of an answer. */
export const onlyMessage: <A>(method: string, call: ClientCall<never, A>) => Effect.Effect<A, RpcError> =
  Effect.fnUntraced(function* <A>(method: string, call: ClientCall<never, A>) {
    const wrong = (what: string) =>
      new RpcError({ method, code: statusCode.INTERNAL, details: `the call ended with ${what}` })
    const message = yield* call.receive
    if (Option.isNone(message)) return yield* wrong("no message")
    if (Option.isSome(yield* call.receive)) return yield* wrong("more than one message")
    return message.value
  })

/** The answers to one request, over a call that streams both ways. */
export const serverStream = <M extends ServerStreaming>(
  open: Open,
  method: M,
  request: RequestInit<M>,
  options?: CallOptions,
): Stream.Stream<Response<M>, RpcError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const call = yield* open(method, options)
      // What keeps it from being sent ends the call, and is the stream's own error.
      yield* Effect.ignore(call.send(request))
      yield* call.end
      return messages(call)
    }),
  )

/** The answer to a stream of requests, over a call that streams both ways. */
export const clientStream = <M extends ClientStreaming, E, R>(
  open: Open,
  method: M,
  requests: Stream.Stream<RequestInit<M>, E, R>,
  options?: CallOptions,
): Effect.Effect<Response<M>, RpcError | E, R> =>
  Effect.scoped(
    Effect.gen(function* () {
      const call = yield* open(method, options)
      // A server may answer before it has taken everything; what is left then is not sent, and the answer counts.
      const send = (message: RequestInit<M>) => Effect.catch(call.send(message), () => Effect.never)
      const sending = Stream.runForEach(requests, send).pipe(Effect.andThen(call.end), Effect.andThen(Effect.never))
      return yield* Effect.raceFirst(onlyMessage(path(method), call), sending)
    }),
  )
