import type { IncomingMessage, Server } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { type Context, type Duration, Effect, type Layer, Metric, Option, Result, SubscriptionRef } from "effect"
import { HttpRouter, HttpServer, HttpServerError, HttpServerRequest, HttpServerResponse } from "effect/http"
import { PluginEnvironment } from "../environment/PluginEnvironment.ts"
import { ActivePlugins } from "../hooks/ActivePlugins.ts"
import type { HookError } from "../hooks/HookError.ts"
import type { HookClient } from "../hooks/Hooks.ts"
import { serveHttp } from "../hooks/ServeHttp.ts"
import type { SupervisedPlugin } from "../supervisor/PluginSupervisor.ts"
import { newId } from "../workspace/Id.ts"
import { answered, RequestId, type RestError } from "./AppErrorResponse.ts"
import { CLIENT_STALL_TIMEOUT, exchangeOf, guardExchange, isUpgraded } from "./ClientConnection.ts"
import { type IsTrusted, TRUSTED_PROXIES, trustedProxies } from "./ClientOrigin.ts"
import { serveDirect } from "./DirectHttp.ts"
import { rawValuesOf } from "../hooks/HeaderRules.ts"
import { hostCheck, type HostCheckOptions } from "./HostCheck.ts"
import { isExactly, type IsToken } from "./HostTokens.ts"
import { hasBody, hasTokenInPath, isTooLarge, type PluginRequest, pluginRequest, requestInit } from "./PluginRequest.ts"
import * as PublicFiles from "./PublicFiles.ts"
import { failed, type ResponseOptions, writeResponse } from "./PluginResponse.ts"
import { openDoor } from "./NodeServer.ts"
import { refusal } from "./Refusal.ts"
import { makeRequestLimit, MAX_REQUESTS_IN_FLIGHT, type RequestLimit } from "../hooks/RequestLimit.ts"
import { isOwnRequest, requestToken } from "./RequestToken.ts"
import * as RequestTarget from "../hooks/RequestTarget.ts"

/** Tells whose token a request carries; `None` for a token nobody has. */
export type Authenticate = (token: string) => Effect.Effect<Option.Option<string>>

/** Settings of the plugins' routes. */
export interface PluginRoutesOptions extends HostCheckOptions {
  /**
   * Recognises the host's tokens wherever a client puts them, so that no plugin gets to see one. By default a token is
   * known by having been shown: the one that authenticates a request is taken from everywhere else in it.
   */
  readonly isToken?: IsToken | undefined
  /**
   * Whether a change by a request whose token is a cookie takes `X-CSRF-Token`, with the value of the cookie `MMCSRF`.
   * Default false, as in Mattermost: `X-Requested-With: XMLHttpRequest` will do.
   */
  readonly strictCsrf?: boolean | undefined
  /**
   * Headers that plugins may send although they speak for the whole origin, such as `Clear-Site-Data`; others of that kind
   * are dropped. Default: none.
   */
  readonly allowedHeaders?: ReadonlyArray<string> | undefined
  /**
   * The proxies that are believed whom they ask for (`X-Forwarded-For`, `-Proto` and `-Host`, or else `Forwarded`):
   * addresses, and ranges such as `10.0.0.0/8`. Plugins are told of clients by these headers; what others than these
   * proxies send of them is dropped. Default: this machine's own. What is no address is a defect.
   */
  readonly trustedProxies?: ReadonlyArray<string> | undefined
  /** How many requests of one plugin, WebSockets among them, may be in flight; further ones are answered 503. Default 256. */
  readonly maxRequestsInFlight?: number | undefined
  /**
   * The server that serves the routes, made by `createServer`: requests for plugins are then answered before they get to
   * the router, which is faster, and no middleware of the router's sees them. By default they go through it.
   */
  readonly server?: Server | undefined
  /** How long a client may take nothing of a response, before it counts as gone. Default: a minute. */
  readonly clientStallTimeout?: Duration.Input | undefined
}

/** Seconds after which a client may try again while a plugin starts, or has its hands full; most are ready by then. */
const RETRY_AFTER = "1"

/**
 * `/plugins/{id}/*`, to the plugin's `ServeHTTP`, by Mattermost's rules: 404 for a plugin that is unknown, not active or
 * serves no HTTP, 503 with `Retry-After` while it starts. A request without a valid token reaches the plugin too, but
 * without `Mattermost-User-Id`: what needs a user is for the plugin to say. What is below `public/` in an active plugin's
 * bundle is served to everybody, and never by the plugin.
 *
 * Under a server that listens on loopback these routes serve nobody who asks for another name (`allowedHosts`);
 * `HostCheck.layer` holds all routes to that.
 */
export const layer = (
  authenticate: Authenticate,
  options: PluginRoutesOptions = {},
): Layer.Layer<never, never, HttpRouter.HttpRouter | HttpServer.HttpServer | PluginEnvironment | ActivePlugins> =>
  HttpRouter.use((router) =>
    Effect.gen(function* () {
      const environment = yield* PluginEnvironment
      const active = yield* ActivePlugins
      const { address } = yield* HttpServer.HttpServer
      const isTrusted = yield* Effect.orDie(
        Effect.mapError(
          Effect.fromResult(trustedProxies(options.trustedProxies ?? TRUSTED_PROXIES)),
          (problem) => new Error(`trustedProxies of PluginRoutes.layer: ${problem}`),
        ),
      )
      const door = handle({
        environment,
        active,
        authenticate,
        isToken: options.isToken,
        strictCsrf: options.strictCsrf ?? false,
        isTrusted,
        refuseHost: hostCheck(address, options),
        publicFile: yield* PublicFiles.make,
        limit: makeRequestLimit(
          options.maxRequestsInFlight ?? MAX_REQUESTS_IN_FLIGHT,
          showInFlight(yield* Effect.context()),
        ),
        allowedHeaders: new Set(options.allowedHeaders?.map((name) => name.toLowerCase())),
        stallTimeout: options.clientStallTimeout ?? CLIENT_STALL_TIMEOUT,
      })
      // The router reads paths its own way, which only decides who reads this one. The wildcard takes `/plugins` as well.
      yield* router.add("*", "/plugins/*", door)
      // It can't decode some (`/caf%E9`), and knows no route for them then.
      yield* router.addGlobalMiddleware((app) =>
        Effect.catch(app, (error) =>
          Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
            isRouteNotFound(error) && isOurs(exchangeOf(request).incoming)
              ? Effect.interruptible(door)
              : Effect.fail(error),
          ),
        ),
      )
      yield* router.addGlobalMiddleware(guardExchange)
      if (options.server !== undefined) {
        const past = yield* NodeHttpServer.makeHandler(guardExchange(Effect.interruptible(door)), {
          scope: yield* Effect.scope,
        })
        yield* openDoor(options.server, (incoming, outgoing) => {
          const isTaken = isOurs(incoming)
          if (isTaken) past(incoming, outgoing)
          return isTaken
        })
      }
    }),
  )

/** Requests that a plugin is serving, by `plugin`. */
const inFlight = Metric.gauge("plugin_http_requests_in_flight", {
  description: "HTTP requests that a plugin has not answered as a whole yet",
})

/** Has the metrics tell of a plugin's requests, whenever somebody reads them. */
const showInFlight = (context: Context.Context<never>) => (plugin: string, count: () => number) => {
  const gauge = Metric.withAttributes(inFlight, { plugin })
  Metric.registerUnsafe(gauge, context, { get: () => ({ value: count() }), update: () => {}, modify: () => {} })
}

/** What the routes need for every request. */
interface Door extends ResponseOptions {
  readonly environment: PluginEnvironment["Service"]
  readonly active: ActivePlugins["Service"]
  readonly authenticate: Authenticate
  readonly isToken: IsToken | undefined
  readonly strictCsrf: boolean
  readonly isTrusted: IsTrusted
  readonly refuseHost: ReturnType<typeof hostCheck>
  readonly publicFile: Effect.Success<typeof PublicFiles.make>
  readonly limit: RequestLimit
}

const handle = (door: Door) =>
  Effect.tap(answer(door), () =>
    Effect.map(HttpServerRequest.HttpServerRequest, (request) => {
      const { incoming, outgoing } = exchangeOf(request)
      // Whoever is told something else than what it offered is told so by an answer that ends the connection.
      if (isUpgraded(incoming) && !incoming.socket.destroyed) outgoing()
    }),
  )

const answer = Effect.fnUntraced(function* (door: Door) {
  const { incoming } = exchangeOf(yield* HttpServerRequest.HttpServerRequest)
  const refused = door.refuseHost(incoming) ?? refuseHead(incoming)
  if (refused !== undefined) return refused
  const parsed = RequestTarget.parse(incoming.url ?? "/")
  if (Result.isFailure(parsed)) return refuseRequest(400, parsed.failure)
  const target = RequestTarget.pluginTarget(parsed.success)
  if (target === undefined) return refusal(404, "api.context.404.app_error", "Plugins are below /plugins/{id}/")
  const plugin = door.active.find(target.id.toLowerCase())
  if (Option.isSome(plugin)) {
    const { hooks, pluginId } = plugin.value
    const file = PublicFiles.publicPath(target)
    const served = file === undefined ? serve(hooks, target, door) : servePublic(pluginId, file, door)
    const limited = door.limit.within(
      pluginId,
      served,
      Effect.sync(() => refuseBusy(pluginId)),
    )
    return yield* Effect.annotateLogs(identified(limited), { plugin_id: pluginId })
  }
  const inactive = yield* door.environment.find(target.id)
  if (Option.isSome(inactive)) return refuseInactive(inactive.value)
  return refusal(404, "app.plugin.not_found", `There is no active plugin ${target.id}`)
}, Effect.scoped)

/** Of an active plugin's bundle, for everybody; the plugin hears nothing of it. */
const servePublic = Effect.fnUntraced(function* (id: string, path: string, door: Door) {
  const { incoming, outgoing } = exchangeOf(yield* HttpServerRequest.HttpServerRequest)
  if (!/^(?:GET|HEAD)$/.test(incoming.method ?? "")) {
    const reason = "Files of plugins can only be read"
    return refusal(405, "api.context.method_not_allowed.app_error", reason, { allow: "GET, HEAD" })
  }
  const plugin = yield* door.environment.find(id)
  const file = yield* Option.match(plugin, {
    onNone: () => Effect.succeedNone,
    onSome: ({ bundle }) => door.publicFile(bundle.directory, path),
  })
  if (Option.isNone(file)) return refusal(404, "api.context.404.app_error", `The plugin ${id} has no such file`)
  return yield* writeResponse(incoming, outgoing(), file.value, door)
})

const serve = Effect.fnUntraced(function* (hooks: HookClient, target: RequestTarget.PluginTarget, door: Door) {
  const request = yield* HttpServerRequest.HttpServerRequest
  const { incoming } = exchangeOf(request)
  const shown = requestToken(incoming, target)
  const holder = shown === undefined ? Option.none() : yield* door.authenticate(shown.token)
  // A token that is not to count here is one all the same.
  const isToken = door.isToken ?? (shown !== undefined && Option.isSome(holder) ? isExactly(shown.token) : () => false)
  if (hasTokenInPath(target, isToken))
    return refuseRequest(400, "a token belongs in Authorization: Bearer, not in a path")
  const isTheirs = shown !== undefined && isOwnRequest(incoming, target, shown, door.strictCsrf)
  const asked = pluginRequest(incoming, target, {
    userId: isTheirs ? Option.getOrUndefined(holder) : undefined,
    requestId: yield* RequestId,
    isToken,
    isTrusted: door.isTrusted,
  })
  const served =
    hooks.http === undefined
      ? serveContract(hooks, request, asked, door)
      : serveDirect(hooks, hooks.http, request, asked, door)
  return yield* Effect.catch(served, refuseFailed)
})

/** Serves a request by the contract's `ServeHTTP`. */
const serveContract = Effect.fnUntraced(function* (
  hooks: HookClient,
  request: HttpServerRequest.HttpServerRequest,
  asked: PluginRequest,
  options: ResponseOptions,
) {
  const { incoming, outgoing } = exchangeOf(request)
  const init = requestInit(incoming, asked)
  const answer = yield* serveHttp(hooks, { init, body: hasBody(incoming) ? request.stream : undefined })
  return yield* writeResponse(incoming, outgoing(), answer, options)
})

/** Gives a request an id, which its plugin is told as well, and answers whatever it fails with. */
const identified = <R>(handler: Effect.Effect<HttpServerResponse.HttpServerResponse, RestError, R>) =>
  Effect.flatMap(newId, (requestId) => Effect.provideService(answered(handler), RequestId, requestId))

const refuseRequest = (status: number, reason: string) =>
  refusal(status, "api.context.invalid_request.app_error", `The request can't be served: ${reason}`)

/** Heads that no plugin could be told of, or that others on the way may read otherwise. */
const refuseHead = (incoming: IncomingMessage) => {
  if (rawValuesOf(incoming.rawHeaders, "host").length > 1) return refuseRequest(400, "it has several Host headers")
  return isTooLarge(incoming) ? refuseRequest(413, "it announces too large a body") : undefined
}

const refuseBusy = (id: string) =>
  refusal(503, "app.plugin.busy", `The plugin ${id} has too many requests to serve`, { "retry-after": RETRY_AFTER })

const refuseInactive = ({ bundle, state }: SupervisedPlugin) => {
  const { name } = SubscriptionRef.getUnsafe(state)
  const { id } = bundle.manifest
  return name === "Starting"
    ? refusal(503, "app.plugin.starting", `The plugin ${id} is starting`, { "retry-after": RETRY_AFTER })
    : refusal(404, "app.plugin.not_found", `There is no active plugin ${id}`)
}

/** What a client is told of a plugin that fails; the rest is for the log. */
const refuseFailed = (error: HookError) => {
  const answer = (status: number, message: string, headers = {}) =>
    Effect.as(Effect.logWarning(error.message), failed(status, message, headers))
  switch (error._tag) {
    case "HookNotImplementedError":
      return Effect.succeed(refusal(404, "app.plugin.not_found", `The plugin ${error.pluginId} serves no HTTP`))
    case "HookTransportError":
      return answer(503, "The plugin can't be reached", { "retry-after": RETRY_AFTER })
    case "HookDeadlineError":
      return answer(504, "The plugin did not answer in time")
    case "HookPluginError":
      return answer(error.statusCode, "The plugin failed")
  }
}

const isRouteNotFound = (error: unknown): boolean =>
  HttpServerError.isHttpServerError(error) && error.reason._tag === "RouteNotFound"

/** Whether a target that the router knows no route for is for us: for a plugin, or for nobody. */
const isOurs = ({ url }: IncomingMessage): boolean =>
  Result.match(RequestTarget.parse(url ?? "/"), {
    onFailure: () => true,
    onSuccess: ({ path }) => path.startsWith("/plugins/"),
  })
