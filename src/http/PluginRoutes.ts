import type { Server } from "node:http"
import { Context, type Duration, Effect, type Layer, Metric, Option, Redacted } from "effect"
import { HttpRouter, HttpServer, HttpServerError, HttpServerRequest } from "effect/http"
import type { AnyHost, Environment } from "../environment/PluginHost.ts"
import { makeRequestLimit, MAX_REQUESTS_IN_FLIGHT } from "../hooks/RequestLimit.ts"
import { AccessToken } from "./AccessToken.ts"
import { CLIENT_STALL_TIMEOUT, exchangeOf, guardExchange } from "./ClientConnection.ts"
import { TRUSTED_PROXIES, trustedProxies } from "./ClientOrigin.ts"
import { directDoor } from "./DirectDoor.ts"
import { hostCheck, type HostCheckOptions } from "./HostCheck.ts"
import { isExactly, type IsToken } from "./HostTokens.ts"
import { PLUGINS_PATH } from "../hooks/RequestTarget.ts"
import { openDoor } from "./NodeServer.ts"
import { answer, type Authenticate, isOurs, type PluginDoor } from "./PluginDoor.ts"
import * as PublicFiles from "./PublicFiles.ts"
import { claimPaths, servePluginsAt } from "./ServedPaths.ts"

export type { Authenticate } from "./PluginDoor.ts"

/** Settings of the plugins' routes. */
export interface PluginRoutesOptions extends HostCheckOptions {
  /**
   * Where the plugins are: a plugin's URLs begin with this and its id. Default `/plugins`. Each host of a server has a place of
   * its own, which is not below that of another; a second one at the same place is a defect.
   */
  readonly path?: string | undefined
  /**
   * Recognises the host's tokens wherever a client puts them, so that no plugin gets to see one. By default a token is
   * known by having been shown: the one that authenticates a request is taken from everywhere else in it. The
   * `AccessToken` that these routes are provided with, by which `AdminRoutes` obey, is recognised in any case.
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

/**
 * `/plugins/{id}/*` (or another `path`), to the plugins of a host, by Mattermost's rules: 404 for a plugin that is unknown,
 * not active or serves no HTTP, 503 with `Retry-After` while it starts. A request without a valid token reaches the plugin
 * too, but without the header that names a user (`Mattermost-User-Id`): what needs one is for the plugin to say. What is below
 * `public/` in an active plugin's bundle is served to everybody, and never by the plugin.
 *
 * Under a server that listens on loopback these routes serve nobody who asks for another name (`allowedHosts`);
 * `HostCheck.layer` holds all routes to that.
 */
export const layer = <Self, E = never, R = never>(
  host: AnyHost<Self>,
  authenticate: Authenticate<E, R>,
  options: PluginRoutesOptions = {},
): Layer.Layer<never, never, HttpRouter.HttpRouter | HttpServer.HttpServer | Self | Environment<Self> | R> =>
  HttpRouter.use((router) =>
    Effect.gen(function* () {
      const { path = PLUGINS_PATH } = options
      yield* claimPaths(router, "PluginRoutes.layer", path, [path])
      yield* servePluginsAt(path)
      const environment = yield* host.Environment
      const { active } = yield* host
      const { address } = yield* HttpServer.HttpServer
      const isTrusted = yield* Effect.orDie(
        Effect.mapError(
          Effect.fromResult(trustedProxies(options.trustedProxies ?? TRUSTED_PROXIES)),
          (problem) => new Error(`trustedProxies of PluginRoutes.layer: ${problem}`),
        ),
      )
      const context = yield* Effect.context<R>()
      active.path = path
      const settings: PluginDoor = {
        path,
        environment,
        active,
        authenticate: (token) =>
          Effect.updateContext(Effect.orDie(authenticate(token)), (own: Context.Context<never>) =>
            // What the request brings along, its span among it, stays.
            Context.merge(context, own),
          ),
        isToken: options.isToken,
        isAccessToken: Option.match(yield* Effect.serviceOption(AccessToken), {
          onNone: () => () => false,
          onSome: ({ value }) => isExactly(Redacted.value(value)),
        }),
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
      }
      const door = answer(settings)
      // The router reads paths its own way, which only decides who reads this one. The wildcard takes the path itself as well.
      yield* router.add("*", `${path as "/plugins"}/*`, door)
      // It can't decode some (`/caf%E9`), and knows no route for them then.
      yield* router.addGlobalMiddleware((app) =>
        Effect.catch(app, (error) =>
          Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
            isRouteNotFound(error) && isOurs(settings, exchangeOf(request).incoming)
              ? Effect.interruptible(door)
              : Effect.fail(error),
          ),
        ),
      )
      yield* router.addGlobalMiddleware(guardExchange)
      if (options.server !== undefined) yield* openDoor(options.server, yield* directDoor(settings))
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

const isRouteNotFound = (error: unknown): boolean =>
  HttpServerError.isHttpServerError(error) && error.reason._tag === "RouteNotFound"
