import type { IncomingMessage } from "node:http"
import { type Cause, Duration, Effect, identity, Option, Result, Stream, SubscriptionRef } from "effect"
import { type HttpServerError, HttpServerRequest, type HttpServerResponse } from "effect/http"
import type { PluginEnvironment } from "../environment/PluginEnvironment.ts"
import type { ActivePlugins } from "../hooks/ActivePlugins.ts"
import { rawValuesOf } from "../hooks/HeaderRules.ts"
import type { HookError } from "../hooks/HookError.ts"
import type { HookClient } from "../hooks/Hooks.ts"
import type { RequestLimit } from "../hooks/RequestLimit.ts"
import * as RequestTarget from "../hooks/RequestTarget.ts"
import { serveHttp } from "../hooks/ServeHttp.ts"
import type { PluginState } from "../supervisor/PluginLife.ts"
import { makeId } from "../workspace/Id.ts"
import { answered, RequestId } from "./AppErrorResponse.ts"
import { exchangeOf, isUpgraded } from "./ClientConnection.ts"
import type { IsTrusted } from "./ClientOrigin.ts"
import { type Direct, directly, serveWebSocket } from "./DirectHttp.ts"
import { asksForWebSocket } from "./DirectRequest.ts"
import type { hostCheck } from "./HostCheck.ts"
import { isExactly, type IsToken } from "./HostTokens.ts"
import { hasBody, hasTokenInPath, isTooLarge, type PluginRequest, pluginRequest, requestInit } from "./PluginRequest.ts"
import { failed, isEventStream, type ResponseOptions, streamsEnded, writeResponse } from "./PluginResponse.ts"
import * as PublicFiles from "./PublicFiles.ts"
import { refusal } from "./Refusal.ts"
import { isOwnRequest, type RequestToken, requestToken } from "./RequestToken.ts"

/**
 * Tells whose token a request carries; `None` for a token nobody has. What it fails with is logged, and the request answered
 * with 500: no plugin takes it for one of nobody's.
 */
export type Authenticate<E = never, R = never> = (token: string) => Effect.Effect<Option.Option<string>, E, R>

/** What requests for plugins are answered by. */
export interface PluginDoor extends ResponseOptions {
  /** Below which path the plugins are: `/plugins`. */
  readonly path: string
  readonly environment: PluginEnvironment
  readonly active: ActivePlugins
  readonly authenticate: Authenticate
  readonly isToken: IsToken | undefined
  readonly isAccessToken: IsToken
  readonly strictCsrf: boolean
  readonly isTrusted: IsTrusted
  readonly refuseHost: ReturnType<typeof hostCheck>
  readonly publicFile: Effect.Success<typeof PublicFiles.make>
  readonly limit: RequestLimit
}

/** Seconds after which a client may try again while a plugin starts, or has its hands full; most are ready by then. */
const RETRY_AFTER = "1"

/** One request of a client's. */
export interface Asked {
  readonly door: PluginDoor
  readonly exchange: ReturnType<typeof exchangeOf>
  /** Made for each request; its plugin is told as well. */
  readonly requestId: string
  /** The plugin that it is for, once that is known to be active. */
  pluginId: string | undefined
  /** What is called when the request has ended, however it does. */
  readonly onEnd: Array<() => void>
}

/** How a request is answered by an effect. */
export type Answer = Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  HookError | HttpServerError.HttpServerError,
  HttpServerRequest.HttpServerRequest
>

/** How a request is answered: by an effect, by a plugin's own server, or it is to be found whose token it shows. */
export type Route =
  | { readonly _tag: "Answer"; readonly answer: Answer }
  | { readonly _tag: "Direct"; readonly direct: Direct }
  | { readonly _tag: "Token"; readonly token: string; readonly route: (holder: Option.Option<string>) => Route }

const answerWith = (response: HttpServerResponse.HttpServerResponse): Route => ({
  _tag: "Answer",
  answer: Effect.succeed(response),
})

export const begin = (door: PluginDoor, exchange: ReturnType<typeof exchangeOf>): Asked => ({
  door,
  exchange,
  requestId: makeId(),
  pluginId: undefined,
  onEnd: [],
})

export const finish = ({ onEnd }: Asked): void => {
  for (const end of onEnd.splice(0)) end()
}

/** Answers a request for a plugin. */
export const answer = (
  door: PluginDoor,
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.HttpServerRequest> =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => answerRouted(begin(door, exchangeOf(request))))

/** Finds how a request is answered, and answers it. */
export const answerRouted = (
  asked: Asked,
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.HttpServerRequest> =>
  answerAsked(
    asked,
    Effect.suspend(() => follow(asked, route(asked))),
  )

/** A route as an effect. */
const follow = (asked: Asked, found: Route): Answer => {
  switch (found._tag) {
    case "Answer":
      return found.answer
    case "Direct":
      return directly(found.direct)
    case "Token":
      return Effect.flatMap(asked.door.authenticate(found.token), (holder) => follow(asked, found.route(holder)))
  }
}

/** Whatever fails becomes an answer with the request's id. */
export const answerAsked = (
  asked: Asked,
  answer: Answer,
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.HttpServerRequest> => {
  const { exchange } = asked
  const ended = Effect.ensuring(
    answer,
    Effect.sync(() => finish(asked)),
  )
  const answered = Effect.catchCause(ended, (cause) => answerFailed(asked, cause))
  return isUpgraded(exchange.incoming) ? Effect.tap(answered, () => refuseUpgrade(exchange)) : answered
}

const answerFailed = (
  { pluginId, requestId }: Asked,
  cause: Cause.Cause<HookError | HttpServerError.HttpServerError>,
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.HttpServerRequest> =>
  answered(refuseFailed(Effect.failCause(cause))).pipe(
    Effect.provideService(RequestId, requestId),
    pluginId === undefined ? identity : Effect.annotateLogs({ plugin_id: pluginId }),
  )

/** Whoever is told something else than what it offered is told so by an answer that ends the connection. */
const refuseUpgrade = ({ incoming, outgoing }: ReturnType<typeof exchangeOf>) =>
  Effect.sync(() => {
    if (!incoming.socket.destroyed) outgoing()
  })

/** Finds how a request is answered, and counts it for its plugin. */
export const route = (asked: Asked): Route => {
  const {
    door,
    exchange: { incoming },
  } = asked
  const refused = door.refuseHost(incoming) ?? refuseHead(incoming)
  if (refused !== undefined) return answerWith(refused)
  const parsed = RequestTarget.parse(incoming.url ?? "/")
  if (Result.isFailure(parsed)) return answerWith(refuseRequest(400, parsed.failure))
  const target = RequestTarget.pluginTarget(parsed.success, door.path)
  if (target === undefined) return answerWith(notFound(`Plugins are below ${door.path}/{id}/`))
  const plugin = door.active.find(target.id.toLowerCase())
  if (Option.isNone(plugin)) return { _tag: "Answer", answer: answerInactive(asked, target.id) }
  const { hooks, pluginId } = plugin.value
  asked.pluginId = pluginId
  const leave = door.limit.enter(pluginId)
  if (leave === undefined) return answerWith(refuseBusy(pluginId))
  asked.onEnd.push(leave)
  const file = PublicFiles.publicPath(target)
  if (file !== undefined) return { _tag: "Answer", answer: servePublic(asked, pluginId, file) }
  const shown = requestToken(incoming, target)
  if (shown === undefined) return serve(asked, hooks, target)
  return {
    _tag: "Token",
    token: shown.token,
    route: (holder) => {
      // Meanwhile another run may have taken its place; the one before waits for nothing that has not begun.
      const current = door.active.find(pluginId)
      return Option.isNone(current)
        ? { _tag: "Answer", answer: refuseInactive(door, pluginId) }
        : serve(asked, current.value.hooks, target, { ...shown, holder: Option.getOrUndefined(holder) })
    },
  }
}

/** Of an active plugin's bundle, for everybody; the plugin hears nothing of it. */
const servePublic = Effect.fnUntraced(function* ({ door, exchange }: Asked, id: string, path: string) {
  const { incoming, outgoing } = exchange
  if (!/^(?:GET|HEAD)$/.test(incoming.method ?? "")) {
    const reason = "Files of plugins can only be read"
    return refusal(405, "api.context.method_not_allowed.app_error", reason, { allow: "GET, HEAD" })
  }
  const plugin = yield* door.environment.find(id)
  const file = yield* Option.match(plugin, {
    onNone: () => Effect.succeedNone,
    onSome: ({ bundle }) => door.publicFile(bundle.directory, path),
  })
  if (Option.isNone(file)) return notFound(`The plugin ${id} has no such file`)
  return yield* writeResponse(id, incoming, outgoing(), file.value, door)
}, Effect.scoped)

/** A token that a client has shown, and the user whose it is. */
interface ShownToken extends RequestToken {
  readonly holder: string | undefined
}

const serve = (
  { door, exchange, requestId }: Asked,
  hooks: HookClient,
  target: RequestTarget.PluginTarget,
  shown?: ShownToken,
): Route => {
  const { incoming, outgoing } = exchange
  // A token that is not to count here is one all the same.
  const isShown = door.isToken ?? (shown?.holder === undefined ? () => false : isExactly(shown.token))
  const isToken: IsToken = (candidate) => door.isAccessToken(candidate) || isShown(candidate)
  if (hasTokenInPath(target, isToken)) {
    return answerWith(refuseRequest(400, "a token belongs in Authorization: Bearer, not in a path"))
  }
  const isTheirs = shown !== undefined && isOwnRequest(incoming, target, shown, door.strictCsrf)
  const asked = pluginRequest(incoming, target, {
    userId: isTheirs ? shown.holder : undefined,
    userHeader: hooks.contract.userHeader,
    requestId,
    isToken,
    isTrusted: door.isTrusted,
  })
  if (hooks.http === undefined) return { _tag: "Answer", answer: serveContract(hooks, asked, door) }
  const direct: Direct = { hooks, server: hooks.http, asked, incoming, outgoing, options: door }
  // Any other offer is ignored, as is this one by a server that does not take it.
  return isUpgraded(incoming) && asksForWebSocket(incoming)
    ? { _tag: "Answer", answer: serveWebSocket(direct) }
    : { _tag: "Direct", direct }
}

/** Serves a request by the contract's `ServeHTTP`. */
const serveContract = Effect.fnUntraced(function* (hooks: HookClient, asked: PluginRequest, options: ResponseOptions) {
  const request = yield* HttpServerRequest.HttpServerRequest
  const { incoming, outgoing } = exchangeOf(request)
  const init = requestInit(incoming, asked)
  const answer = yield* serveHttp(hooks, { init, body: hasBody(incoming) ? request.stream : undefined })
  const fields = answer.headers.flatMap(([name, values]) => values.map((value) => [name, value] as const))
  const body = isEventStream(fields) ? Stream.interruptWhen(answer.body, streamsEnded(hooks)) : answer.body
  return yield* writeResponse(hooks.pluginId, incoming, outgoing(), { ...answer, body }, options)
}, Effect.scoped)

const notFound = (reason: string) => refusal(404, "api.context.404.app_error", reason)

const refuseRequest = (status: number, reason: string) =>
  refusal(status, "api.context.invalid_request.app_error", `The request can't be served: ${reason}`)

/** Heads that no plugin could be told of, or that others on the way may read otherwise. */
const refuseHead = (incoming: IncomingMessage) => {
  if (rawValuesOf(incoming.rawHeaders, "host").length > 1) return refuseRequest(400, "it has several Host headers")
  return isTooLarge(incoming) ? refuseRequest(413, "it announces too large a body") : undefined
}

const refuseBusy = (id: string) =>
  refusal(503, "app.plugin.busy", `The plugin ${id} has too many requests to serve`, { "retry-after": RETRY_AFTER })

/** How long a request waits for a plugin that is stopped and started by a reload. */
const RELOAD_LIMIT = Duration.seconds(30)

/** Has a request wait for a plugin that a reload has stopped; others are told that it is not there. */
const answerInactive = (asked: Asked, id: string): Answer => {
  const { door } = asked
  return Effect.flatMap(door.environment.find(id), (plugin) => {
    if (Option.isNone(plugin) || SubscriptionRef.getUnsafe(plugin.value.state).isReloading !== true) {
      return refuseInactive(door, id)
    }
    const reloaded = SubscriptionRef.changes(plugin.value.state).pipe(
      Stream.filter(({ isReloading }) => isReloading !== true),
      Stream.runHead,
      Effect.timeoutOption(RELOAD_LIMIT),
    )
    return Effect.flatMap(
      door.limit.within(id.toLowerCase(), Effect.as(reloaded, undefined), Effect.succeed(refuseBusy(id))),
      (busy) =>
        busy !== undefined
          ? Effect.succeed(busy)
          : Option.isSome(door.active.find(id.toLowerCase()))
            ? follow(asked, route(asked))
            : refuseInactive(door, id),
    )
  })
}

const refuseInactive = ({ environment }: PluginDoor, id: string) =>
  Effect.flatMap(environment.find(id), (plugin) =>
    Effect.clockWith((clock) => {
      const state = Option.isSome(plugin) ? SubscriptionRef.getUnsafe(plugin.value.state) : undefined
      const retryAfter = state === undefined ? undefined : secondsUntilNextTry(state, clock.currentTimeMillisUnsafe())
      return Effect.succeed(
        retryAfter === undefined
          ? refusal(404, "app.plugin.not_found", `There is no active plugin ${id}`)
          : refusal(503, "app.plugin.starting", `The plugin ${id} is starting`, { "retry-after": retryAfter }),
      )
    }),
  )

/** Seconds after which a client may find a plugin started; undefined where nobody starts it. */
const secondsUntilNextTry = ({ isReloading, name, nextTry }: PluginState, now: number): string | undefined =>
  nextTry !== undefined
    ? String(Math.max(Number(RETRY_AFTER), Math.ceil((nextTry - now) / 1000)))
    : name === "Starting" || isReloading === true
      ? RETRY_AFTER
      : undefined

/** What a client is told of a plugin that fails; the rest is for the log. */
const refuseFailed = (
  served: Effect.Effect<HttpServerResponse.HttpServerResponse, HookError | HttpServerError.HttpServerError>,
) => {
  const answer = ({ message: reason }: HookError, status: number, message: string, headers = {}) =>
    Effect.as(Effect.logWarning(reason), failed(status, message, headers))
  return Effect.catchTags(served, {
    HookNotImplementedError: ({ pluginId }) =>
      Effect.succeed(refusal(404, "app.plugin.not_found", `The plugin ${pluginId} serves no HTTP`)),
    HookSuspendedError: (error) => answer(error, 503, "The plugin keeps not answering", { "retry-after": RETRY_AFTER }),
    HookTransportError: (error) => answer(error, 503, "The plugin can't be reached", { "retry-after": RETRY_AFTER }),
    HookDeadlineError: (error) => answer(error, 504, "The plugin did not answer in time"),
    HookPluginError: (error) => answer(error, error.statusCode, "The plugin failed"),
  })
}

/** Whether a target that the router knows no route for is for us: for a plugin, or for nobody. */
export const isOurs = ({ path: ours }: PluginDoor, { url }: IncomingMessage): boolean =>
  Result.match(RequestTarget.parse(url ?? "/"), {
    onFailure: () => true,
    onSuccess: ({ path }) => path.startsWith(`${ours}/`),
  })
