import { Duration, Effect, type Scope } from "effect"
import type { Pool } from "undici"
import { PluginOffers } from "../generated/plugin_supervisor/v1/plugin_offers_pb.js"
import { type AddressOwner, checkAddress } from "../goplugin/AddressCheck.ts"
import * as SocketAddress from "../goplugin/SocketAddress.ts"
import { MAX_RESPONSE_HEAD } from "./HeaderRules.ts"
import { type HookError, HookPluginError } from "./HookError.ts"
import { type HookClient, hookError } from "./Hooks.ts"

/** Where a plugin serves HTTP itself, in place of `ServeHTTP`. */
export interface PluginHttpServer {
  /** The path of its unix socket. */
  readonly path: string
  /** The connections to it, kept from one request to the next; they are gone when the run has ended. */
  readonly kept: Pool
  /** Connections for one request each. */
  readonly single: Pool
}

/** How long `Describe` may take. The plugin starts its web server for it, and an ASGI application with that. */
export const DESCRIBE_DEADLINE: Duration.Duration = Duration.seconds(10)

/**
 * How long a connection to a plugin is kept that nobody uses. The plugin's server keeps it for ten minutes (600 s): far
 * longer, so that it does not close one in the moment in which it is used again.
 */
const IDLE_LIMIT = Duration.seconds(15)

/** What the parser takes of a head. More than `HeaderRules` do, which say what is wrong. */
const MAX_PARSED_HEAD = 2 * MAX_RESPONSE_HEAD

const { describe: method } = PluginOffers.method

/**
 * Asks a plugin that implements `ServeHTTP` what it offers beside its contract; answers its hooks with that. A plugin that
 * does not know the question offers nothing. An address has to be a socket of the plugin's own, by the handshake's rules.
 * Connections are closed with the Scope.
 */
export const withOffers = Effect.fn("PluginOffers.describe")(function* (
  hooks: HookClient,
  owner: AddressOwner,
): Effect.fn.Return<HookClient, HookError, Scope.Scope> {
  const { client, implemented, pluginId } = hooks
  if (!implemented.has("serveHTTP")) return hooks
  const { http } = yield* client
    .unary(method, {}, { deadline: DESCRIBE_DEADLINE })
    .pipe(
      Effect.catch((error) =>
        error.isUnimplemented
          ? Effect.succeed({ http: undefined })
          : Effect.fail(hookError(pluginId, method.name, DESCRIBE_DEADLINE, error)),
      ),
    )
  if (http === undefined || http.address === "") return hooks
  const refused = (reason: string) =>
    new HookPluginError({
      pluginId,
      hook: method.name,
      id: "plugin.offers.address",
      reason: `it says that it serves HTTP at ${reason}`,
      statusCode: 500,
      isAnswer: false,
    })
  const address = /^unix:(?<path>.*)$/s.exec(http.address)
  const parsed = address === null ? undefined : SocketAddress.parse("unix", address[1]!)
  if (parsed === undefined || typeof parsed === "string" || !("path" in parsed)) {
    return yield* refused(`${JSON.stringify(http.address.slice(0, 200))}, which is not unix: and a socket's path`)
  }
  const foreign = yield* checkAddress(parsed, owner)
  if (foreign !== undefined) return yield* refused(foreign)
  return { ...hooks, http: yield* connectTo(parsed.path) }
})

/** Keeps connections to a plugin's HTTP server, until the Scope closes. */
export const connectTo = Effect.fnUntraced(function* (
  path: string,
): Effect.fn.Return<PluginHttpServer, never, Scope.Scope> {
  // Loaded for the first plugin that serves HTTP: hosts without one start sooner.
  const { Pool } = yield* Effect.promise(() => import("undici"))
  const pool = (options: Pool.Options) =>
    Effect.acquireRelease(
      // The deadline of `Exchange` is the one that counts. The name of the host is said by each request.
      Effect.sync(
        () =>
          new Pool("http://plugin", {
            socketPath: path,
            maxHeaderSize: MAX_PARSED_HEAD,
            headersTimeout: 0,
            bodyTimeout: 0,
            ...options,
          }),
      ),
      (pool) => Effect.promise(() => pool.destroy()),
    )
  return {
    path,
    kept: yield* pool({ keepAliveTimeout: Duration.toMillis(IDLE_LIMIT) }),
    single: yield* pool({ pipelining: 0 }),
  }
})
