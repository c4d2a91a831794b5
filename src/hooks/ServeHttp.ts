import type { MessageInitShape } from "@bufbuild/protobuf"
import { Duration, Effect, Fiber, Option, Scope, Stream } from "effect"
import type { ServeHTTPRequestInitSchema, ServeHTTPResponse } from "../generated/plugin_supervisor/v1/plugin_http_pb.js"
import type { RpcError } from "../rpc/RpcError.ts"
import { messages } from "../rpc/RpcClient.ts"
import { brokenResponse, HookDeadlineError, type HookError, HookNotImplementedError } from "./HookError.ts"
import { type HookClient, hookError } from "./Hooks.ts"

/** Size of body chunks to a plugin: what the contract recommends. */
export const CHUNK_SIZE = 64 * 1024

/**
 * How long a plugin's handler may go on when it has ended its response, before its call is cancelled: for what it does
 * after the answer, its client being served.
 */
export const AFTER_RESPONSE_LIMIT = Duration.seconds(10)

/** An HTTP request on its way to a plugin. */
export interface PluginHttpRequest<E = never> {
  /** Everything but the body. */
  readonly init: MessageInitShape<typeof ServeHTTPRequestInitSchema>
  /** The body as it arrives; absent when the request has none. */
  readonly body?: Stream.Stream<Uint8Array, E> | undefined
}

/** A plugin's answer: its head is there, its body still arrives. */
export interface PluginHttpResponse<E = HookError> {
  /** 200–999. */
  readonly status: number
  /** In the plugin's order; a name may have several values. */
  readonly headers: ReadonlyArray<readonly [name: string, values: ReadonlyArray<string>]>
  /** The body. A failure means that it is cut off and the client must not take it for whole. */
  readonly body: Stream.Stream<Uint8Array, E>
}

/** The hook's name in errors, whatever a contract calls its rpc. */
const HOOK = "ServeHTTP"

/**
 * Sends one HTTP request to a plugin (`ServeHTTP`) and answers as soon as the head of the response is there; both
 * bodies stream with back-pressure. Closing the Scope cancels the call, which tells the plugin that the client is gone; one
 * that has ended its response has {@link AFTER_RESPONSE_LIMIT} more.
 *
 * `deadline`, by default the hook's own, bounds the plugin's silence before its response begins: from the end of the
 * request's body, and for each chunk it does not take. After that the body may take any time (server-sent events never
 * end). A plugin that answers completely before it has read the request stops the upload. Span and metrics tell of the
 * time until the head, and of what happens until then.
 */
export const serveHttp = <E>(
  hooks: HookClient,
  request: PluginHttpRequest<E>,
  deadline?: Duration.Input,
): Effect.Effect<PluginHttpResponse, HookError, Scope.Scope> =>
  hooks.calls.run("serveHTTP", (policy) => exchange(hooks, request, deadline ?? policy))

const exchange = Effect.fnUntraced(function* <E>(
  hooks: HookClient,
  request: PluginHttpRequest<E>,
  deadline: Duration.Input,
): Effect.fn.Return<PluginHttpResponse, HookError, Scope.Scope> {
  const { client, pluginId } = hooks
  if (!hooks.implemented.has("serveHTTP")) return yield* new HookNotImplementedError({ pluginId, hook: HOOK })
  // The call is the handler's life. It ends with the exchange, unless the plugin has answered as a whole: then it may go on.
  let answered = false
  const scope = yield* Scope.make()
  yield* Scope.provide(hooks.inFlight.hold, scope)
  const call = yield* Scope.provide(client.bidi(hooks.contract.lifecycle.serveHTTP), scope)
  yield* Effect.addFinalizer((exit) => {
    const cancel = Scope.close(scope, exit)
    if (!answered) return cancel
    const ended = Effect.timeoutOption(Effect.exit(Stream.runDrain(messages(call))), AFTER_RESPONSE_LIMIT)
    return Effect.forkDetach(Effect.andThen(Effect.andThen(call.end, ended), cancel))
  })
  const silent = Effect.fail(
    new HookDeadlineError({
      pluginId,
      hook: HOOK,
      deadlineMillis: Duration.toMillis(Duration.fromInputUnsafe(deadline)),
    }),
  )
  const broken = (reason: string, statusCode?: number) => Effect.fail(brokenResponse(pluginId, reason, statusCode))

  const mapError = Effect.mapError((error: RpcError) => {
    // One that could not say what it implements.
    if (error.isUnimplemented) return new HookNotImplementedError({ pluginId, hook: HOOK })
    const mapped = hookError(pluginId, HOOK, deadline, error)
    return mapped._tag === "HookPluginError" ? brokenResponse(pluginId, mapped.reason) : mapped
  })

  let started = false
  let isDeaf = false
  const notRead = Effect.suspend(() => {
    // Once the response has begun the plugin may read as slowly as its client does.
    if (started) return Effect.never
    isDeaf = true
    return silent
  })
  const send = (message: Parameters<typeof call.send>[0]) =>
    Effect.raceFirst(mapError(call.send(message)), Effect.andThen(Effect.sleep(deadline), notRead))
  const body = request.body
  yield* send({ init: request.init, bodyComplete: body === undefined })
  const upload = yield* Effect.forkScoped(
    body === undefined
      ? call.end
      : body.pipe(
          Stream.runForEach((bytes) =>
            Effect.forEach(chunksOf(bytes), (bodyChunk) => send({ bodyChunk }), { discard: true }),
          ),
          Effect.andThen(send({ bodyComplete: true })),
          Effect.andThen(call.end),
        ),
  )

  // An upload that fails for the plugin's sake is told by `receive` as well; one that fails for the client's, or ends,
  // leaves it to the plugin to answer in time. One that was not read in time is lost, and so is whatever answers it.
  const answerDue = Effect.andThen(
    Fiber.await(upload),
    Effect.suspend(() => (isDeaf ? silent : Effect.andThen(Effect.sleep(deadline), silent))),
  )
  const first = yield* Effect.raceFirst(mapError(call.receive), answerDue)
  if (isDeaf) return yield* silent
  started = true
  if (Option.isNone(first) || first.value.init === undefined) {
    return yield* broken("the plugin's first message has no head of a response")
  }
  const { headers, statusCode } = first.value.init
  const status = statusCode === 0 ? 200 : statusCode
  // 1xx can't end an HTTP/1.1 exchange, so the contract's 100–199 are as wrong for a client as what is out of range.
  if (status < 200 || status > 999) return yield* broken(`the plugin answered with status ${statusCode}`, 500)

  const next = Effect.flatMap(mapError(call.receive), (message) =>
    Option.isNone(message)
      ? broken("the response ended without body_complete")
      : message.value.init !== undefined
        ? broken("the response has a second head")
        : Effect.succeed(message.value),
  )
  return {
    status,
    headers: headers.map(({ key, values }) => [key, values] as const),
    body: Stream.unfold<ServeHTTPResponse | "next" | "end", Uint8Array, HookError, never>(first.value, (state) =>
      state === "end"
        ? Effect.undefined
        : Effect.map(state === "next" ? next : Effect.succeed(state), (message) => {
            answered = message.bodyComplete
            return [message.bodyChunk, message.bodyComplete ? "end" : "next"]
          }),
    ).pipe(Stream.filter((bytes) => bytes.length > 0)),
  }
})

const chunksOf = function* (bytes: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += CHUNK_SIZE) yield bytes.subarray(start, start + CHUNK_SIZE)
}
