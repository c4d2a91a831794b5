import { type ClientRequest, type IncomingMessage, request as httpRequest } from "node:http"
import type { Socket } from "node:net"
import type { Duplex, Readable } from "node:stream"
import { Duration, Effect, Scope } from "effect"
import { brokenResponse, HookDeadlineError, type HookError, HookTransportError } from "./HookError.ts"
import { measured } from "./HookMetrics.ts"
import { hookName } from "./HookName.ts"
import type { HookClient } from "./Hooks.ts"
import type { PluginHttpServer } from "./PluginOffers.ts"
import { MAX_RESPONSE_HEAD } from "./HeaderRules.ts"

/** A request on its way to a plugin's own HTTP server. */
export interface DirectRequest {
  readonly method: string
  readonly url: string
  /** Node's flat list; says how the body is framed, if there is one. */
  readonly head: ReadonlyArray<string>
  /** The body as it arrives; absent when the request has none. */
  readonly body?: Readable | undefined
  /** Called when the body begins to be read. */
  readonly onBody?: (() => void) | undefined
  /** Whether the plugin may take the connection over. */
  readonly isUpgrade?: boolean | undefined
}

/** What comes back: a head, whose body still arrives, or a connection that has been taken over. */
export type DirectAnswer =
  | { readonly _tag: "Response"; readonly response: IncomingMessage }
  | {
      readonly _tag: "Upgraded"
      readonly response: IncomingMessage
      readonly socket: Duplex
      /** What has come behind the head. */
      readonly first: Uint8Array
    }

/** What keeps an answer from coming. */
type Failure =
  | { readonly _tag: "Unreachable"; readonly error: Error }
  | { readonly _tag: "Late" }
  | { readonly _tag: "Broken"; readonly reason: string; readonly statusCode: number }

type Outcome = DirectAnswer | Failure

const HOOK = hookName("serveHTTP")

/** What Node's parser takes of a head. More than `HeaderRules` do, which say what is wrong. */
const MAX_PARSED_HEAD = 2 * MAX_RESPONSE_HEAD

/** What may be asked twice, since it means the same as once (RFC 9110 §9.2.2). */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])

/**
 * Sends one request to a plugin's own HTTP server and answers as soon as the head of the response is there; both bodies
 * stream with back-pressure. Closing the Scope ends the request, unless both bodies have been sent as a whole, which tells
 * the plugin that the client is gone.
 *
 * The hook's deadline bounds the plugin's silence before its head: from the end of the request's body, and for what it
 * does not take of that. After the head there is none. Span and metrics are those of the hook, until the head.
 */
export const forward = (
  hooks: HookClient,
  server: PluginHttpServer,
  request: Effect.Effect<DirectRequest>,
): Effect.Effect<DirectAnswer, HookError, Scope.Scope> =>
  measured(hooks.pluginId, HOOK, exchange(hooks, server, request))

const exchange = Effect.fnUntraced(function* (
  hooks: HookClient,
  server: PluginHttpServer,
  request: Effect.Effect<DirectRequest>,
): Effect.fn.Return<DirectAnswer, HookError, Scope.Scope> {
  yield* hooks.inFlight.hold
  const { pluginId } = hooks
  const deadlineMillis = Duration.toMillis(hooks.policy("serveHTTP").deadline)
  const asked = yield* request
  let end = () => {}
  yield* Scope.addFinalizer(
    yield* Effect.scope,
    Effect.sync(() => end()),
  )
  const outcome = yield* Effect.callback<Outcome>((resume) => {
    end = send(server, asked, deadlineMillis, (outcome) => resume(Effect.succeed(outcome)))
  })
  switch (outcome._tag) {
    case "Response":
    case "Upgraded":
      return outcome
    case "Unreachable":
      return yield* new HookTransportError({
        pluginId,
        hook: HOOK,
        status: (outcome.error as NodeJS.ErrnoException).code ?? "UNAVAILABLE",
        details: outcome.error.message,
      })
    case "Late":
      return yield* new HookDeadlineError({ pluginId, hook: HOOK, deadlineMillis })
    case "Broken":
      return yield* brokenResponse(pluginId, outcome.reason, outcome.statusCode)
  }
})

/**
 * The exchange itself: `onOutcome` is called once, with the first that happens. A request that meets the end of a kept
 * connection, and may be asked twice, is asked once more on a new one. Answers how to end it, at any time.
 */
const send = (
  server: PluginHttpServer,
  request: DirectRequest,
  deadlineMillis: number,
  onOutcome: (outcome: Outcome) => void,
): (() => void) => {
  const { body, head, isUpgrade = false, method, url } = request
  let upstream: ClientRequest | undefined
  let response: IncomingMessage | undefined
  let takenOver: Duplex | undefined
  let stopUpload = () => {}
  let isSettled = false
  let timer: NodeJS.Timeout | undefined
  const stopWaiting = () => clearTimeout(timer)
  const settle = (outcome: Outcome) => {
    if (isSettled) return
    isSettled = true
    stopWaiting()
    onOutcome(outcome)
  }
  const broken = (reason: string, statusCode = 502) => settle({ _tag: "Broken", reason, statusCode })
  /** From here on it is the plugin that is waited for. */
  const wait = () => {
    stopWaiting()
    if (!isSettled) timer = setTimeout(() => settle({ _tag: "Late" }), deadlineMillis)
  }

  const start = (isFirst: boolean) => {
    const agent = isFirst && !isUpgrade ? server.agent : false
    // Without a name Node would read one from the head each time, for TLS, which there is none of.
    const options = { agent, socketPath: server.path, method, path: url, headers: head, setHost: false, servername: "" }
    const up = attempt(() => httpRequest({ ...options, maxHeaderSize: MAX_PARSED_HEAD }))
    if (up instanceof Error) return broken(`the request can't be sent (${up.message})`)
    upstream = up
    // All that the parser takes: what is beyond a count would be left out without a word.
    up.maxHeadersCount = 0
    let connection: { readonly socket: Socket; readonly bytesBefore: number } | undefined
    const fail = (error: NodeJS.ErrnoException) => {
      if (isSettled || up !== upstream) return
      stopUpload()
      const { code = "" } = error
      const isStale =
        up.reusedSocket &&
        /^(?:ECONNRESET|EPIPE)$/.test(code) &&
        connection?.socket.bytesRead === connection?.bytesBefore
      if (isFirst && isStale && body === undefined && IDEMPOTENT.has(method)) return start(false)
      if (code === "HPE_HEADER_OVERFLOW") return broken(`a head of more than ${MAX_RESPONSE_HEAD} bytes`, 500)
      // As by the contract, where `HeaderRules` find it.
      if (/^HPE_(?:INVALID|UNEXPECTED)_CONTENT_LENGTH$/.test(code)) {
        return broken("the plugin answered with a Content-Length that is none, or with several", 500)
      }
      if (code.startsWith("HPE_")) return broken(`what the plugin answered is no HTTP (${error.message})`)
      if (connection === undefined) return settle({ _tag: "Unreachable", error })
      broken(`the plugin ended the connection before it answered (${error.message})`)
    }
    up.on("error", fail)
    // The last that happens: also where the plugin answers what nobody here listens to.
    up.on("close", () => {
      if (!isSettled) fail(new Error("it was closed"))
    })
    up.on("socket", (socket) => {
      const connected = () => {
        connection = { socket, bytesBefore: socket.bytesRead }
        if (body === undefined || up.destroyed) return
        stopWaiting()
        stopUpload = upload(body, up, { wait, stopWaiting })
        request.onBody?.()
      }
      if (socket.connecting) socket.once("connect", connected)
      else connected()
    })
    up.on("response", (answer) => {
      answer.on("error", ignore)
      response = answer
      const { "transfer-encoding": encoding = "chunked" } = answer.headers
      const status = answer.statusCode ?? 0
      // The parser takes others as well, whose rules are not these.
      if (answer.httpVersionMajor !== 1) return broken(`the plugin answered in HTTP ${answer.httpVersion}`)
      if (encoding.toLowerCase() !== "chunked") return broken(`the plugin answered in the encoding ${encoding}`)
      if (status < 200) return broken(`the plugin answered with status ${status}`, 500)
      settle({ _tag: "Response", response: answer })
    })
    up.on("upgrade", (answer, socket, first) => {
      socket.on("error", ignore)
      takenOver = socket
      if (!isUpgrade || isSettled) socket.destroy()
      if (!isUpgrade) return broken("the plugin answered with status 101", 500)
      settle({ _tag: "Upgraded", response: answer, socket, first })
    })
    wait()
    if (body === undefined) up.end()
  }
  start(true)

  return () => {
    isSettled = true
    stopWaiting()
    stopUpload()
    takenOver?.destroy()
    // One that is done has given its connection back: that may be another's by now.
    if (!(upstream?.writableFinished && response?.readableEnded)) upstream?.destroy()
  }
}

/** Sends a body as fast as it is taken; what is not taken, and its end, is waited for. Answers how to stop. */
const upload = (
  body: Readable,
  up: ClientRequest,
  { stopWaiting, wait }: { readonly wait: () => void; readonly stopWaiting: () => void },
): (() => void) => {
  const onData = (bytes: Uint8Array) => {
    if (up.write(bytes)) return
    body.pause()
    wait()
  }
  const onDrain = () => {
    if (body.readableEnded) return
    stopWaiting()
    body.resume()
  }
  const onEnd = () => {
    up.once("finish", wait)
    up.end()
    wait()
  }
  const onClose = () => {
    if (!body.readableEnded) up.destroy()
  }
  body.on("error", ignore)
  body.on("data", onData)
  body.once("end", onEnd)
  body.once("close", onClose)
  up.on("drain", onDrain)
  return () => {
    body.off("data", onData)
    body.off("end", onEnd)
    body.off("close", onClose)
    up.off("drain", onDrain)
  }
}

const attempt = <A>(run: () => A): A | Error => {
  try {
    return run()
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

const ignore = () => {}
