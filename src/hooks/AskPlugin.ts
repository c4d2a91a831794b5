import { Readable } from "node:stream"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Effect, type Scope, Stream } from "effect"
import { forwarded } from "./Forwarder.ts"
import { type Field, fieldsOf } from "./HeaderRules.ts"
import { readableOf } from "./ResponseBody.ts"
import { brokenResponse, type HookError } from "./HookError.ts"
import type { HookClient } from "./Hooks.ts"
import { directHead } from "./HostFields.ts"
import type { PluginHttpServer } from "./PluginHttpServer.ts"
import { type PluginHttpResponse, serveHttp } from "./ServeHttp.ts"

/** A request of the host's own making, as a whole. */
export interface WholeRequest {
  readonly method: string
  /** The path below `/plugins/{id}`, and the query. */
  readonly url: string
  /** The same with what is before it. */
  readonly requestUri: string
  /** The head, `Content-Length` included; without `Host`. */
  readonly fields: ReadonlyArray<Field>
  /** Whom the request asks for. */
  readonly host: string
  readonly body: Uint8Array
  readonly requestId: string
}

/** Whoever asks is a program of this machine, and has no port. */
const PEER = "127.0.0.1:0"
const PROTOCOL = "HTTP/1.1"

/**
 * Asks a plugin over HTTP, by the way that clients' requests go: its own server where it has one, else the contract's
 * `ServeHTTP`. Answers as soon as the head of the response is there. Closing the Scope ends the request.
 */
export const askPlugin = (
  hooks: HookClient,
  request: WholeRequest,
): Effect.Effect<PluginHttpResponse, HookError, Scope.Scope> =>
  hooks.http === undefined ? askByContract(hooks, request) : askDirectly(hooks, hooks.http, request)

const askByContract = (hooks: HookClient, request: WholeRequest) => {
  const { body, fields, host, method, requestId, requestUri, url } = request
  const valueOf = (name: string) => fields.find(([key]) => key.toLowerCase() === name)?.[1] ?? ""
  return serveHttp(hooks, {
    init: {
      method,
      url,
      requestUri,
      proto: PROTOCOL,
      protoMajor: 1,
      protoMinor: 1,
      headers: fields.map(([key, value]) => ({ key, values: [value] })),
      host,
      remoteAddr: PEER,
      contentLength: BigInt(body.length),
      pluginContext: {
        requestId,
        userAgent: valueOf("user-agent"),
        acceptLanguage: valueOf("accept-language"),
      },
    },
    body: body.length === 0 ? undefined : Stream.succeed(body),
  })
}

const askDirectly = Effect.fnUntraced(function* (
  hooks: HookClient,
  server: PluginHttpServer,
  { body, fields, host, method, requestId, requestUri, url }: WholeRequest,
): Effect.fn.Return<PluginHttpResponse, HookError, Scope.Scope> {
  const facts = { requestId, requestUri, peer: PEER, protocol: PROTOCOL }
  const answer = yield* forwarded(hooks, server, (traceparent) => ({
    method,
    url,
    head: directHead(host, fields, facts, traceparent),
    body: body.length === 0 ? undefined : Readable.from([body]),
  }))
  if (answer._tag !== "Response") return yield* Effect.die(new Error("nobody has asked for a WebSocket"))
  const answered = readableOf(answer.body)
  return {
    status: answer.status,
    headers: fieldsOf(answer.head).map(([name, value]) => [name, [value]]),
    body: NodeStream.fromReadable<Uint8Array, HookError>({
      evaluate: () => answered,
      onError: (error) => brokenResponse(hooks.pluginId, `the response was cut off (${String(error)})`),
    }),
  }
})
