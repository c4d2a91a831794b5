import { randomUUID } from "node:crypto"
import { ByteSize, Duration, Effect, Option, Result, type Scope, Stream } from "effect"
import type { PluginHTTPRequest } from "../generated/mattermost/pluginapi/v1/api_plugin_pb.js"
import type { PluginAPI } from "../generated/mattermost/pluginapi/v1/plugin_api_pb.js"
import type { ResponseInit } from "../rpc/RpcMethod.ts"
import { askPlugin, type WholeRequest } from "../hooks/AskPlugin.ts"
import { type Field, hasNoBody, isField, keyOf, requestFields, responseFields, TOKEN } from "../hooks/HeaderRules.ts"
import type { HookError } from "../hooks/HookError.ts"
import { makeRequestLimit } from "../hooks/RequestLimit.ts"
import * as RequestTarget from "../hooks/RequestTarget.ts"
import { type ApiMethods, PluginApiError, type PluginCaller } from "../api/PluginApi.ts"
import type { MattermostContract } from "./MattermostContract.ts"
import { MattermostPlugins } from "./MattermostPlugins.ts"

/**
 * How long a request to another plugin may take as a whole: less than the 30 s after which callers on our SDK give up, so
 * that they hear whose fault it was.
 */
export const PLUGIN_HTTP_LIMIT = Duration.seconds(28)

/** The largest answer of another plugin: it is held as a whole, once for every request in flight. */
export const MAX_PLUGIN_HTTP_ANSWER = ByteSize.mebibytes(8)

/**
 * How many requests one plugin may have in flight to others, and to itself. It ends a circle of plugins that ask each other
 * for the same thing, which nothing in a request could tell of: a plugin makes a new one for each that it is asked.
 */
export const MAX_PLUGIN_HTTP_IN_FLIGHT = 64

/** Bounds of requests between plugins. */
export interface PluginHttpOptions {
  /** Default {@link PLUGIN_HTTP_LIMIT}. Until the answer's head the other plugin's deadline for `ServeHTTP` counts too. */
  readonly limit?: Duration.Input | undefined
  /** In bytes. Default {@link MAX_PLUGIN_HTTP_ANSWER}. */
  readonly maxAnswer?: number | undefined
  /** Default {@link MAX_PLUGIN_HTTP_IN_FLIGHT}. */
  readonly maxInFlight?: number | undefined
}

type Answer = ResponseInit<(typeof PluginAPI)["method"]["pluginHTTP"]>

/**
 * `PluginHTTP` of the host API, by Mattermost's rules: a plugin asks another one, or itself, for `/{id}/{path}`. The other
 * is told who asks (`Mattermost-Plugin-ID`), and of no user, whatever the caller sends. A URL without a path behind the id is
 * answered 400, a plugin that is not active, or serves no HTTP, 404; neither is an error. Errors are what kept the plugin
 * from answering: 503 (unreachable, or too many requests of the caller's in flight), 504 (too slow), 502 and 500 (what it
 * answered can't be passed on).
 *
 * A backend spreads it into its host API; `WorkspacePluginApi` has it.
 */
export const pluginHttp = ({
  limit: duration = PLUGIN_HTTP_LIMIT,
  maxAnswer = Number(MAX_PLUGIN_HTTP_ANSWER),
  maxInFlight = MAX_PLUGIN_HTTP_IN_FLIGHT,
}: PluginHttpOptions = {}): Effect.Effect<
  Pick<ApiMethods<MattermostContract>, "pluginHTTP">,
  never,
  MattermostPlugins
> =>
  Effect.map(MattermostPlugins, ({ active }) => {
    const limit = makeRequestLimit(maxInFlight)
    const ask = Effect.fnUntraced(function* (
      request: PluginHTTPRequest,
      caller: PluginCaller,
    ): Effect.fn.Return<Answer, PluginApiError, Scope.Scope> {
      const read = readRequest(request, caller, active.path)
      if (Result.isFailure(read)) return textAnswer(400, read.failure)
      const { asked, id } = read.success
      const plugin = active.find(id.toLowerCase())
      if (Option.isNone(plugin)) return textAnswer(404, `There is no active plugin ${id}`)
      const { hooks } = plugin.value
      if (!hooks.implemented.has("serveHTTP")) return textAnswer(404, `The plugin ${id} serves no HTTP`)
      const late = failure(504, `The plugin ${id} did not answer in time`)
      const exchange = Effect.gen(function* () {
        const { body: chunks, headers, status } = yield* askPlugin(hooks, asked)
        const fields = responseFields(
          headers.flatMap(([name, values]) => values.map((value): Field => [name, value])),
          { allowed: new Set(), status },
        )
        if (Result.isFailure(fields)) return yield* failure(500, `The plugin ${id} answered with ${fields.failure}`)
        const received: Array<Uint8Array> = []
        let size = 0
        const keep = (bytes: Uint8Array) => {
          size += bytes.length
          if (size > maxAnswer) return failure(502, `The plugin ${id} answered with more than ${maxAnswer} bytes`)
          received.push(bytes)
          return Effect.void
        }
        const isBodiless = hasNoBody(asked.method, status)
        yield* Stream.runForEach(chunks, (bytes) => (isBodiless ? Effect.void : keep(bytes)))
        return { statusCode: status, headers: oneValueEach(fields.success), body: Buffer.concat(received) }
      })
      const bounded = exchange.pipe(
        Effect.timeoutOrElse({ duration, orElse: () => late }),
        Effect.catchTags({
          HookDeadlineError: (error) => logged(error, late),
          HookTransportError: (error) => logged(error, failure(503, `The plugin ${id} can't be reached`)),
          HookPluginError: (error) => logged(error, failure(error.statusCode, `The plugin ${id} failed`)),
          HookSuspendedError: (error) => logged(error, failure(503, `The plugin ${id} keeps not answering`)),
          HookNotImplementedError: () => Effect.succeed(textAnswer(404, `The plugin ${id} serves no HTTP`)),
        }),
      )
      const busy = new PluginApiError({
        id: "app.plugin.busy",
        message: `The plugin ${caller.pluginId} has ${maxInFlight} requests to plugins in flight; it may be asking itself in a circle`,
        statusCode: 503,
      })
      return yield* limit.within(caller.pluginId, bounded, busy)
    })
    return { pluginHTTP: (request, caller) => Effect.scoped(ask(request, caller)) }
  })

/** What can't stand in a request's first line. */
const NOT_PRINTABLE = /[^\x21-\x7e]/

/** Fields that say how a request is sent, which the host knows; with dashes. */
const SENDING: ReadonlySet<string> = new Set(["content-length", "host"])

interface ReadRequest {
  /** Of the plugin that is asked, in the caller's letters. */
  readonly id: string
  readonly asked: WholeRequest
}

/** Reads a request, or tells what is wrong with it. */
const readRequest = (
  { body, headers, method: given, url }: PluginHTTPRequest,
  { pluginId }: PluginCaller,
  pluginsPath: string,
): Result.Result<ReadRequest, string> => {
  const method = given === "" ? "GET" : given
  if (!TOKEN.test(method) || method === "CONNECT") return Result.fail("The method can't be sent")
  if (!url.startsWith("/") || NOT_PRINTABLE.test(url))
    return Result.fail("The URL is no path; write /{plugin id}/{path}")
  const parsed = RequestTarget.parse(url)
  if (Result.isFailure(parsed)) return Result.fail(`The request can't be made: ${parsed.failure}`)
  const { path, query } = parsed.success
  const target = RequestTarget.pluginTarget({ ...parsed.success, path: `${pluginsPath}${path}` }, pluginsPath)
  if (target === undefined || !path.slice(1).includes("/")) {
    return Result.fail("The URL names no plugin, or no path of it; write /{plugin id}/{path}")
  }
  const fields = Object.entries(headers)
  const wrong = fields.find((field) => !isField(field))
  if (wrong !== undefined) return Result.fail(`HTTP does not allow the header ${JSON.stringify(wrong[0].slice(0, 80))}`)
  const kept = requestFields(fields, () => false).filter(
    ([name]) => !SENDING.has(name.toLowerCase().replaceAll("_", "-")),
  )
  const search = query === undefined ? "" : `?${query}`
  return Result.succeed({
    id: target.id,
    asked: {
      method,
      url: target.below + search,
      requestUri: target.path + search,
      fields: [...kept, ["Content-Length", `${body.length}`], ["Mattermost-Plugin-ID", pluginId]],
      // There is no client that has asked for a host by its name.
      host: fields.find(([name]) => keyOf(name) === "host")?.[1] ?? "localhost",
      body,
      requestId: randomUUID(),
    },
  })
}

/** An answer of the host's own. */
const textAnswer = (statusCode: number, text: string): Answer => ({
  statusCode,
  headers: { "Content-Type": "text/plain; charset=utf-8" },
  body: Buffer.from(text),
})

/** The contract has one value for each name: several are one list (RFC 9110 §5.3), and a name is spelled as it was first. */
const oneValueEach = (fields: ReadonlyArray<Field>): { [name: string]: string } => {
  const found = new Map<string, Field>()
  for (const [name, value] of fields) {
    const key = keyOf(name)
    const first = found.get(key)
    found.set(key, first === undefined ? [name, value] : [first[0], `${first[1]}, ${value}`])
  }
  return Object.fromEntries(found.values())
}

const failure = (statusCode: number, message: string) =>
  Effect.fail(new PluginApiError({ id: "app.plugin.serve_http", message, statusCode }))

/** Callers are told that a plugin failed; with what is for the log. */
const logged = <A>(error: HookError, answer: Effect.Effect<A, PluginApiError>) =>
  Effect.andThen(Effect.logWarning(error.message), answer)
