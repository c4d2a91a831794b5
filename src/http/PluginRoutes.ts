import { randomUUID } from "node:crypto"
import { type IncomingMessage, type ServerResponse, validateHeaderName, validateHeaderValue } from "node:http"
import { NodeHttpServerRequest } from "@effect/platform-node"
import { Effect, type Layer, Option, Stream, SubscriptionRef } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { PluginEnvironment } from "../environment/PluginEnvironment.ts"
import { ActivePlugins } from "../hooks/ActivePlugins.ts"
import type { HookError } from "../hooks/HookError.ts"
import type { HookClient } from "../hooks/Hooks.ts"
import { type PluginHttpResponse, serveHttp } from "../hooks/ServeHttp.ts"
import type { SupervisedPlugin } from "../supervisor/PluginSupervisor.ts"
import { bearerToken } from "./BearerToken.ts"
import { hasBody, HOP_BY_HOP, pluginRequestInit } from "./PluginRequest.ts"

/** Tells whose token a request carries; `None` for a token nobody has. */
export type Authenticate = (token: string) => Effect.Effect<Option.Option<string>>

/** Seconds after which a client may try again while a plugin starts; most are active by then. */
const RETRY_AFTER = "1"

/**
 * `/plugins/{id}/*`, to the plugin's `ServeHTTP`, by Mattermost's rules: 404 for a plugin that is unknown, not active or
 * serves no HTTP, 503 with `Retry-After` while it starts. A request without a valid token reaches the plugin too, but
 * without `Mattermost-User-Id`: what needs a user is for the plugin to say.
 */
export const layer = (
  authenticate: Authenticate,
): Layer.Layer<never, never, HttpRouter.HttpRouter | PluginEnvironment | ActivePlugins> =>
  HttpRouter.use((router) =>
    Effect.gen(function* () {
      const environment = yield* PluginEnvironment
      const active = yield* ActivePlugins
      // The wildcard takes `/plugins/{id}` as well.
      yield* router.add("*", "/plugins/:id/*", Effect.scoped(handle(environment, active, authenticate)))
    }),
  )

const handle = Effect.fn("PluginRoutes.handle")(function* (
  environment: PluginEnvironment["Service"],
  active: ActivePlugins["Service"],
  authenticate: Authenticate,
) {
  const { id = "" } = yield* HttpRouter.params
  const plugin = active.find(id.toLowerCase())
  if (Option.isSome(plugin)) {
    const { hooks, pluginId } = plugin.value
    yield* hooks.inFlight.hold
    return yield* Effect.annotateLogs(serve(hooks, authenticate), { plugin_id: pluginId })
  }
  const inactive = yield* environment.find(id)
  if (Option.isSome(inactive)) return refuseInactive(inactive.value)
  return refuse(404, "app.plugin.not_found", `There is no active plugin ${id}`)
})

const serve = Effect.fnUntraced(function* (hooks: HookClient, authenticate: Authenticate) {
  const request = yield* HttpServerRequest.HttpServerRequest
  // These routes are served over HTTP/1.1; the HTTP/2 twins of the two have no part here.
  const incoming = NodeHttpServerRequest.toIncomingMessage(request) as IncomingMessage
  const outgoing = NodeHttpServerRequest.toServerResponse(request) as ServerResponse
  const token = bearerToken(incoming.headers.authorization)
  const userId = token === undefined ? Option.none() : yield* authenticate(token)
  const init = pluginRequestInit(incoming, {
    userId: Option.getOrUndefined(userId),
    requestId: randomUUID(),
  })
  const answer = yield* Effect.result(serveHttp(hooks, { init, body: hasBody(incoming) ? request.stream : undefined }))
  if (answer._tag === "Failure") return yield* refuseFailed(answer.failure)
  return yield* write(outgoing, answer.success, request.method)
})

/** An error as Mattermost's REST API words it. */
const refuse = (status: number, id: string, message: string, headers: { readonly [name: string]: string } = {}) =>
  HttpServerResponse.jsonUnsafe({ id, message, status_code: status }, { status, headers })

const refuseInactive = ({ bundle, state }: SupervisedPlugin) => {
  const { name } = SubscriptionRef.getUnsafe(state)
  const { id } = bundle.manifest
  return name === "Starting"
    ? refuse(503, "app.plugin.starting", `The plugin ${id} is starting`, { "retry-after": RETRY_AFTER })
    : refuse(404, "app.plugin.not_found", `There is no active plugin ${id}`)
}

/** What a client is told of a plugin that fails; the rest is for the log. */
const refuseFailed = (error: HookError) => {
  const answer = (status: number, message: string, headers = {}) =>
    Effect.as(Effect.logWarning(error.message), refuse(status, "app.plugin.serve_http", message, headers))
  switch (error._tag) {
    case "HookNotImplementedError":
      return Effect.succeed(refuse(404, "app.plugin.not_found", `The plugin ${error.pluginId} serves no HTTP`))
    case "HookTransportError":
      return answer(503, "The plugin can't be reached", { "retry-after": RETRY_AFTER })
    case "HookDeadlineError":
      return answer(504, "The plugin did not answer in time")
    case "HookPluginError":
      return answer(error.statusCode, "The plugin failed")
  }
}

/**
 * Writes a plugin's response to the client. Not by way of `HttpServerResponse`, whose headers have one value each, and
 * which holds the head back until there is a body: a plugin's server-sent events may begin late.
 */
const write = Effect.fnUntraced(function* (
  outgoing: ServerResponse,
  response: PluginHttpResponse,
  method: string,
): Effect.fn.Return<HttpServerResponse.HttpServerResponse> {
  const headers = response.headers
    .filter(([name]) => !HOP_BY_HOP.has(name.toLowerCase()))
    .flatMap(([name, values]) => values.flatMap((value) => [name, value]))
  const invalid = firstInvalid(headers)
  if (invalid !== undefined) {
    yield* Effect.logWarning(
      `the plugin answered with the header ${JSON.stringify(invalid)}, which HTTP does not allow`,
    )
    return refuse(500, "app.plugin.serve_http", "The plugin failed")
  }
  // A body shorter than its announced length must not look complete.
  outgoing.strictContentLength = true
  outgoing.writeHead(response.status, headers)
  outgoing.flushHeaders()
  const hasNoBody = method === "HEAD" || response.status === 204 || response.status === 304
  yield* response.body.pipe(
    Stream.runForEach((bytes) => (hasNoBody ? Effect.void : writeChunk(outgoing, bytes))),
    Effect.andThen(end(outgoing)),
    Effect.catch((error: HookError | Error) =>
      Effect.andThen(
        Effect.logWarning(`the plugin's response was cut off: ${error.message}`),
        Effect.sync(() => outgoing.destroy()),
      ),
    ),
  )
  // It has been sent; this tells middlewares what was.
  return HttpServerResponse.empty({ status: response.status })
})

const firstInvalid = (headers: ReadonlyArray<string>): string | undefined => {
  for (let index = 0; index < headers.length; index += 2) {
    try {
      validateHeaderName(headers[index]!)
      validateHeaderValue(headers[index]!, headers[index + 1]!)
    } catch {
      return headers[index]
    }
  }
  return undefined
}

/** Writes with the client's back-pressure; a client that goes interrupts the request's fiber, and so this wait. */
const writeChunk = (outgoing: ServerResponse, bytes: Uint8Array): Effect.Effect<void, Error> =>
  Effect.callback<void, Error>((resume) => {
    try {
      if (outgoing.write(bytes)) return resume(Effect.void)
    } catch (error) {
      return resume(Effect.fail(error as Error))
    }
    const onDrain = () => resume(Effect.void)
    outgoing.once("drain", onDrain)
    return Effect.sync(() => outgoing.off("drain", onDrain))
  })

const end = (outgoing: ServerResponse): Effect.Effect<void, Error> =>
  Effect.try({ try: () => void outgoing.end(), catch: (error) => error as Error })
