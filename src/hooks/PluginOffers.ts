import { Agent } from "node:http"
import { Duration, Effect, type Scope } from "effect"
import { PluginOffers } from "../generated/plugin_supervisor/v1/plugin_offers_pb.js"
import { type AddressOwner, checkAddress } from "../goplugin/AddressCheck.ts"
import * as SocketAddress from "../goplugin/SocketAddress.ts"
import { type HookError, HookPluginError } from "./HookError.ts"
import { type HookClient, hookError } from "./Hooks.ts"

/** Where a plugin serves HTTP itself, in place of `ServeHTTP`. */
export interface PluginHttpServer {
  /** The path of its unix socket. */
  readonly path: string
  /** The connections to it, kept from one request to the next; they are gone when the run has ended. */
  readonly agent: Agent
}

/** How long `Describe` may take. The plugin starts its web server for it, and an ASGI application with that. */
export const DESCRIBE_DEADLINE: Duration.Duration = Duration.seconds(10)

/**
 * How long a connection to a plugin is kept that nobody uses. The plugin's server keeps it for ten minutes (600 s): far
 * longer, so that it does not close one in the moment in which it is used again.
 */
const IDLE_LIMIT = Duration.seconds(15)

/** Connections that are kept idle: as many as a busy plugin has requests at a time. */
const MAX_IDLE = 64

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
export const connectTo = (path: string): Effect.Effect<PluginHttpServer, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(
        () => new Agent({ keepAlive: true, maxFreeSockets: MAX_IDLE, timeout: Duration.toMillis(IDLE_LIMIT) }),
      ),
      (agent) => Effect.sync(() => agent.destroy()),
    ),
    (agent) => ({ path, agent }),
  )
