import type { Duplex, Readable } from "node:stream"
import type { Dispatcher } from "undici"
import { MAX_RESPONSE_HEAD } from "./HeaderRules.ts"
import type { PluginHttpServer } from "./PluginHttpServer.ts"
import { RequestBody } from "./RequestBody.ts"
import { ResponseBody } from "./ResponseBody.ts"

/** A request on its way to a plugin's own HTTP server. */
export interface DirectRequest {
  readonly method: string
  readonly url: string
  /** Node's flat list, without what frames a body that comes in chunks, and without what asks for a WebSocket. */
  readonly head: Array<string>
  /** The body as it arrives; absent when the request has none. Without a `Content-Length` it is sent in chunks. */
  readonly body?: Readable | undefined
  /** Whether nobody else has the body's pieces, so that they are freed when they have been sent. */
  readonly freesBody?: boolean | undefined
  /** Called when the body begins to be read. */
  readonly onBody?: (() => void) | undefined
  /** Whether the request is for a WebSocket. */
  readonly isUpgrade?: boolean | undefined
}

/** What comes back: a head, whose body still arrives, or a connection that has been taken over. */
export type DirectAnswer =
  | {
      readonly _tag: "Response"
      readonly status: number
      /** Node's flat list. */
      readonly head: ReadonlyArray<string>
      readonly body: ResponseBody
    }
  | { readonly _tag: "Upgraded"; readonly head: ReadonlyArray<string>; readonly socket: Duplex }

/** What keeps an answer from coming. */
export type Failure =
  | { readonly _tag: "Unreachable"; readonly error: Error }
  | { readonly _tag: "Late" }
  | { readonly _tag: "Broken"; readonly reason: string; readonly statusCode: number }

export type Outcome = DirectAnswer | Failure

/** What may be asked twice, since it means the same as once (RFC 9110 §9.2.2). */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])

const ENDED = new Error("the request has been ended")

/**
 * One exchange with a plugin's own HTTP server: `onOutcome` is called once, with the first that happens. A request that
 * meets the end of a kept connection, and may be asked twice, is asked once more on a new one.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #server: PluginHttpServer
  readonly #request: DirectRequest
  readonly #deadlineMillis: number
  readonly #onOutcome: (outcome: Outcome) => void
  #controller: Dispatcher.DispatchController | undefined
  #body: ResponseBody | undefined
  #takenOver: Duplex | undefined
  #timer: NodeJS.Timeout | undefined
  #isSettled = false
  #isEnded = false
  #isFirst = true
  /** Whether anything of an answer has come. */
  #isAnswered = false

  constructor(
    server: PluginHttpServer,
    request: DirectRequest,
    deadlineMillis: number,
    onOutcome: (outcome: Outcome) => void,
  ) {
    this.#server = server
    this.#request = request
    this.#deadlineMillis = deadlineMillis
    this.#onOutcome = onOutcome
  }

  start(): void {
    const { body, freesBody = false, head, isUpgrade = false, method, url } = this.#request
    const { kept, single } = this.#server
    this.#wait()
    const options: Dispatcher.DispatchOptions = {
      method,
      path: url,
      headers: head,
      body:
        body === undefined
          ? null
          : new RequestBody(body, freesBody, { onStall: () => this.#wait(), onFlow: () => this.#stopWaiting() }),
      upgrade: isUpgrade ? "websocket" : null,
    }
    try {
      ;(this.#isFirst && !isUpgrade ? kept : single).dispatch(options, this)
    } catch (error) {
      this.#break(`the request can't be sent (${error instanceof Error ? error.message : String(error)})`)
    }
  }

  /** Ends the exchange, whatever it is at. One that is done has given its connection back, which is left alone. */
  end(): void {
    this.#isEnded = true
    this.#isSettled = true
    this.#stopWaiting()
    this.#takenOver?.destroy()
    this.#controller?.abort(ENDED)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    // It has waited for its connection.
    if (this.#isEnded) return controller.abort(ENDED)
    if (this.#request.body === undefined) return
    this.#stopWaiting()
    this.#request.onBody?.()
  }

  onRequestSent(): void {
    if (this.#request.body !== undefined) this.#wait()
  }

  onResponseStarted(): void {
    this.#isAnswered = true
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (status < 100) this.#break(`the plugin answered with status ${status}`, 500)
    if (status < 200) return
    const head = textOf(controller.rawHeaders)
    for (let index = 0; index < head.length; index += 2) {
      // The parser takes others as well, which nobody would undo.
      if (head[index]!.toLowerCase() === "transfer-encoding" && head[index + 1]!.toLowerCase() !== "chunked") {
        this.#break(`the plugin answered in the encoding ${head[index + 1]!}`)
        return controller.abort(ENDED)
      }
    }
    this.#body = new ResponseBody(controller)
    this.#settle({ _tag: "Response", status, head, body: this.#body })
  }

  onResponseData(_controller: Dispatcher.DispatchController, bytes: Uint8Array): void {
    this.#body?.push(bytes)
  }

  onResponseEnd(): void {
    this.#body?.end()
  }

  onRequestUpgrade(
    controller: Dispatcher.DispatchController,
    _status: number,
    _headers: unknown,
    socket: Duplex,
  ): void {
    socket.on("error", ignore)
    if (this.#isEnded) return void socket.destroy()
    this.#takenOver = socket
    this.#settle({ _tag: "Upgraded", head: textOf(controller.rawHeaders), socket })
  }

  onResponseError(_controller: unknown, error: Error): void {
    if (this.#body !== undefined) return this.#body.cut(error)
    if (this.#isSettled) return
    const { code = "" } = error as NodeJS.ErrnoException
    const { body, method } = this.#request
    const isRepeatable = this.#isFirst && body === undefined && IDEMPOTENT.has(method)
    if (isRepeatable && !this.#isAnswered && this.#controller !== undefined && isStale(error)) {
      this.#isFirst = false
      this.#controller = undefined
      return this.start()
    }
    if (code === "UND_ERR_HEADERS_OVERFLOW") return this.#break(`a head of more than ${MAX_RESPONSE_HEAD} bytes`, 500)
    // As by the contract, where `HeaderRules` find it.
    const isNoHttp = error.name === "HTTPParserError"
    if (code === "UND_ERR_RES_CONTENT_LENGTH_MISMATCH" || (isNoHttp && /content-length/i.test(error.message))) {
      return this.#break("the plugin answered with a Content-Length that HTTP does not allow", 500)
    }
    if (error.message === "bad upgrade") return this.#break("the plugin answered with status 101", 500)
    if (isNoHttp) return this.#break(`what the plugin answered is no HTTP (${error.message})`)
    if (this.#controller === undefined) return this.#settle({ _tag: "Unreachable", error })
    this.#break(`the plugin ended the connection before it answered (${error.message})`)
  }

  #settle(outcome: Outcome): void {
    if (this.#isSettled) return
    this.#isSettled = true
    this.#stopWaiting()
    this.#onOutcome(outcome)
  }

  #break(reason: string, statusCode = 502): void {
    this.#settle({ _tag: "Broken", reason, statusCode })
  }

  /** From here on it is the plugin that is waited for. */
  #wait(): void {
    this.#stopWaiting()
    if (!this.#isSettled) this.#timer = setTimeout(() => this.#settle({ _tag: "Late" }), this.#deadlineMillis)
  }

  #stopWaiting(): void {
    clearTimeout(this.#timer)
  }
}

/** Whether a connection may have ended by itself, since it had been used before. */
const isStale = (
  error: Error & { readonly code?: string; readonly socket?: { readonly bytesRead?: number } },
): boolean =>
  /^(?:ECONNRESET|EPIPE)$/.test(error.code ?? "") ||
  (error.code === "UND_ERR_SOCKET" && (error.socket?.bytesRead ?? 0) > 0)

/** A head as the parser has it. */
const textOf = (raw: Dispatcher.DispatchController["rawHeaders"]): ReadonlyArray<string> =>
  Array.isArray(raw) ? raw.map((piece) => (typeof piece === "string" ? piece : piece.toString("latin1"))) : []

const ignore = () => {}
