import { Effect, type Scope } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import type { HookError } from "../hooks/HookError.ts"
import type { HookClient } from "../hooks/Hooks.ts"
import type { PluginHttpServer } from "../hooks/PluginOffers.ts"
import { exchangeOf, isUpgraded } from "./ClientConnection.ts"
import { asksForWebSocket, directHead } from "./DirectRequest.ts"
import { forward } from "../hooks/Forwarder.ts"
import { hasBody, type PluginRequest } from "./PluginRequest.ts"
import { failed, type ResponseOptions, writeDirect } from "./PluginResponse.ts"
import { tunnel } from "./Tunnel.ts"

/** Serves a request by a plugin's own HTTP server: an exchange of HTTP, or a WebSocket. */
export const serveDirect = Effect.fnUntraced(function* (
  hooks: HookClient,
  server: PluginHttpServer,
  request: HttpServerRequest.HttpServerRequest,
  asked: PluginRequest,
  options: ResponseOptions,
): Effect.fn.Return<HttpServerResponse.HttpServerResponse, HookError, Scope.Scope> {
  const { incoming, outgoing } = exchangeOf(request)
  // Any other offer is ignored, as is this one by a server that does not take it.
  const isUpgrade = isUpgraded(incoming) && asksForWebSocket(incoming)
  const isExpectant = /(?:^|\W)100-continue(?:$|\W)/i.test(incoming.headers.expect ?? "")
  const answer = yield* forward(
    hooks,
    server,
    Effect.map(directHead(incoming, asked), (head) => ({
      method: asked.method,
      url: asked.url,
      head,
      body: hasBody(incoming) ? incoming : undefined,
      onBody: () => {
        if (isExpectant && !outgoing().headersSent) outgoing().writeContinue()
      },
      isUpgrade,
    })),
  )
  if (answer._tag === "Response") return yield* writeDirect(incoming, outgoing(), answer, options)
  const refused = yield* tunnel(incoming, answer, options)
  if (refused === undefined) return HttpServerResponse.empty({ status: 101 })
  yield* Effect.logWarning(`the plugin answered with ${refused}`)
  return failed(502, "The plugin failed")
})
