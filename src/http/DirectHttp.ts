import type { IncomingMessage, ServerResponse } from "node:http"
import { Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import type { DirectAnswer } from "../hooks/Exchange.ts"
import { forward } from "../hooks/Forwarder.ts"
import type { HookError } from "../hooks/HookError.ts"
import type { HookClient } from "../hooks/Hooks.ts"
import type { PluginHttpServer } from "../hooks/PluginOffers.ts"
import { isUpgraded } from "./ClientConnection.ts"
import { asksForWebSocket, directRequest } from "./DirectRequest.ts"
import type { PluginRequest } from "./PluginRequest.ts"
import { failed, warn, type ResponseOptions, writeDirect } from "./PluginResponse.ts"
import { tunnel } from "./Tunnel.ts"

/**
 * Serves a request by a plugin's own HTTP server: an exchange of HTTP, or a WebSocket. What is added to `onEnd` has to be
 * called at its end, however it comes.
 */
export const serveDirect = (
  hooks: HookClient,
  server: PluginHttpServer,
  { incoming, outgoing }: { readonly incoming: IncomingMessage; readonly outgoing: () => ServerResponse },
  asked: PluginRequest,
  onEnd: Array<() => void>,
  options: ResponseOptions,
): Effect.Effect<HttpServerResponse.HttpServerResponse, HookError> => {
  // Any other offer is ignored, as is this one by a server that does not take it.
  const isUpgrade = isUpgraded(incoming) && asksForWebSocket(incoming)
  const answer = forward(
    hooks,
    server,
    (traceparent) => directRequest(incoming, outgoing, asked, isUpgrade, traceparent),
    (exchange) => onEnd.push(() => exchange.end(), hooks.inFlight.enter()),
  )
  return Effect.flatMap(answer, (answer) =>
    answer._tag === "Response"
      ? writeDirect(hooks.pluginId, incoming, outgoing(), answer, options)
      : upgraded(hooks.pluginId, incoming, answer, options),
  )
}

const upgraded = Effect.fnUntraced(function* (
  pluginId: string,
  incoming: IncomingMessage,
  answer: Extract<DirectAnswer, { readonly _tag: "Upgraded" }>,
  options: ResponseOptions,
): Effect.fn.Return<HttpServerResponse.HttpServerResponse> {
  const refused = yield* tunnel(incoming, answer, options)
  if (refused === undefined) return HttpServerResponse.empty({ status: 101 })
  yield* warn(pluginId, `the plugin answered with ${refused}`)
  return failed(502, "The plugin failed")
})
