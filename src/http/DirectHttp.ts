import type { IncomingMessage, ServerResponse } from "node:http"
import { type Context, Effect, type Scope } from "effect"
import { HttpServerResponse } from "effect/http"
import { forward, forwarded, isHookError } from "../hooks/Forwarder.ts"
import { fieldsOf } from "../hooks/HeaderRules.ts"
import { brokenResponse, type HookError } from "../hooks/HookError.ts"
import type { HookClient } from "../hooks/Hooks.ts"
import type { PluginHttpServer } from "../hooks/PluginOffers.ts"
import { directRequest } from "./DirectRequest.ts"
import type { PluginRequest } from "./PluginRequest.ts"
import {
  failed,
  isEventStream,
  type ResponseOptions,
  streamsEnded,
  warn,
  type Written,
  writeDirect,
  written,
} from "./PluginResponse.ts"
import { tunnel } from "./Tunnel.ts"

/** A request of a client's for a plugin's own HTTP server. */
export interface Direct {
  readonly hooks: HookClient
  readonly server: PluginHttpServer
  readonly asked: PluginRequest
  readonly incoming: IncomingMessage
  readonly outgoing: () => ServerResponse
  readonly options: ResponseOptions
}

/** How a request to a plugin's own HTTP server has ended. */
export type Ended = Written | HookError

/**
 * Serves a request by a plugin's own HTTP server, without a fiber; `done` is told once how it ends. Answers how to end it
 * earlier, of which nobody is told.
 */
export const serveDirect = (
  { asked, hooks, incoming, options, outgoing, server }: Direct,
  context: Context.Context<never>,
  done: (ended: Ended) => void,
): (() => void) => {
  const leave = hooks.inFlight.enter()
  let isOver = false
  let stopWriting: (() => void) | undefined
  let leaveStreams: (() => void) | undefined
  let stopForwarding: (() => void) | undefined
  const over = () => {
    isOver = true
    stopWriting?.()
    stopForwarding?.()
    leaveStreams?.()
    leave()
  }
  const finish = (ended: Ended) => {
    if (isOver) return
    over()
    done(ended)
  }
  const { end } = forward(
    hooks,
    server,
    context,
    (traceparent) => directRequest(incoming, outgoing, asked, false, traceparent),
    (answer) => {
      if (isHookError(answer)) return finish(answer)
      if (answer._tag !== "Response") return finish(brokenResponse(hooks.pluginId, "it answered with status 101", 500))
      try {
        stopWriting = writeDirect(incoming, outgoing(), answer, options, finish)
        if (!isOver && isEventStream(fieldsOf(answer.head))) {
          leaveStreams = hooks.inFlight.stream(() => answer.body.end())
        }
      } catch (error) {
        finish({ _tag: "Cut", status: answer.status, error: error as Error })
      }
    },
  )
  stopForwarding = end
  // It may be over by now.
  if (isOver) end()
  return () => {
    if (!isOver) over()
  }
}

/** {@link serveDirect} as an effect, which ends the request when it is interrupted. */
export const directly = (direct: Direct): Effect.Effect<HttpServerResponse.HttpServerResponse, HookError> =>
  Effect.contextWith((context: Context.Context<never>) =>
    Effect.callback((resume) => {
      const end = serveDirect(direct, context, (ended) => resume(afterwards(direct, ended)))
      return Effect.sync(end)
    }),
  )

/** What is left to do when a request has ended. */
export const afterwards = (
  { hooks, outgoing }: Direct,
  ended: Ended,
): Effect.Effect<HttpServerResponse.HttpServerResponse, HookError> =>
  isHookError(ended) ? Effect.fail(ended) : written(hooks.pluginId, outgoing, ended)

/** Serves a request for a WebSocket by a plugin's own HTTP server, which may answer it otherwise. */
export const serveWebSocket = Effect.fnUntraced(function* (
  direct: Direct,
): Effect.fn.Return<HttpServerResponse.HttpServerResponse, HookError, Scope.Scope> {
  const { asked, hooks, incoming, options, outgoing, server } = direct
  const answer = yield* forwarded(hooks, server, (traceparent) =>
    directRequest(incoming, outgoing, asked, true, traceparent),
  )
  if (answer._tag === "Response") {
    const ended = yield* Effect.callback<Written>((resume) =>
      Effect.sync(writeDirect(incoming, outgoing(), answer, options, (how) => resume(Effect.succeed(how)))),
    )
    return yield* written(hooks.pluginId, outgoing, ended)
  }
  const refused = yield* Effect.raceFirst(tunnel(incoming, answer, options), streamsEnded(hooks))
  if (refused === undefined) return HttpServerResponse.empty({ status: 101 })
  yield* warn(hooks.pluginId, `the plugin answered with ${refused}`)
  return failed(502, "The plugin failed")
}, Effect.scoped)
