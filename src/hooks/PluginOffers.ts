import { Duration, Effect, type Scope } from "effect"
import { PluginOffers } from "../generated/plugin_supervisor/v1/plugin_offers_pb.js"
import { type AddressOwner, checkAddress } from "../goplugin/AddressCheck.ts"
import * as SocketAddress from "../goplugin/SocketAddress.ts"
import { type HookError, HookPluginError } from "./HookError.ts"
import { type HookClient, hookError } from "./Hooks.ts"
import { connectTo } from "./PluginHttpServer.ts"

/** How long `Describe` may take. The plugin listens for HTTP before it answers. */
export const DESCRIBE_DEADLINE: Duration.Duration = Duration.seconds(10)

const { describe: method } = PluginOffers.method

/**
 * Asks a plugin what it offers beside its contract; answers its hooks with that. A plugin that does not know the question
 * offers nothing, and one that does not implement `ServeHTTP` no web server. An address has to be a socket of the plugin's own,
 * by the handshake's rules. Connections are closed with the Scope.
 */
export const withOffers = Effect.fn("PluginOffers.describe")(function* (
  hooks: HookClient,
  owner: AddressOwner,
): Effect.fn.Return<HookClient, HookError, Scope.Scope> {
  const { client, implemented, pluginId } = hooks
  const offered = yield* client
    .unary(method, {}, { deadline: DESCRIBE_DEADLINE })
    .pipe(
      Effect.catch((error) =>
        error.isUnimplemented
          ? Effect.undefined
          : Effect.fail(hookError(pluginId, method.name, DESCRIBE_DEADLINE, error)),
      ),
    )
  if (offered === undefined) return hooks
  const ordered = { ...hooks, keepsOrder: offered.beginsCallsInOrder }
  const { http } = offered
  if (http === undefined || http.address === "" || !implemented.has("serveHTTP")) return ordered
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
  return { ...ordered, http: yield* connectTo(parsed.path) }
})
