import { Readable } from "node:stream"

/** What takes a response's body as it arrives. */
export interface BodySink {
  /** Answers whether it takes more at once; if not, it calls `resume` of the body when it does. */
  readonly onData: (bytes: Uint8Array) => boolean
  readonly onEnd: () => void
  /** The body breaks off. */
  readonly onCut: (error: Error) => void
}

/** How the connection behind a body is told to wait, and to go on. */
interface Flow {
  pause(): void
  resume(): void
}

/**
 * The body of a plugin's response while it arrives. It waits for whoever takes it: what has come with the head is kept,
 * and no more is read until then.
 */
export class ResponseBody {
  readonly #flow: Flow
  #early: Array<Uint8Array> = []
  #sink: BodySink | undefined
  #state: "open" | "ended" | Error = "open"

  constructor(flow: Flow) {
    this.#flow = flow
  }

  /** Has the rest, and what is kept, go to `sink`; once. */
  readTo(sink: BodySink): void {
    let isReady = true
    for (const bytes of this.#early) isReady = sink.onData(bytes)
    this.#early = []
    this.#sink = sink
    if (this.#state === "ended") sink.onEnd()
    else if (this.#state !== "open") sink.onCut(this.#state)
    else if (isReady) this.#flow.resume()
  }

  /** Reads on, after `onData` has answered false. */
  resume(): void {
    if (this.#state === "open") this.#flow.resume()
  }

  /** For the connection: bytes have come. */
  push(bytes: Uint8Array): void {
    if (this.#sink === undefined) this.#early.push(bytes)
    if (this.#sink?.onData(bytes) !== true) this.#flow.pause()
  }

  /** For the connection: all bytes have come. */
  end(): void {
    this.#state = "ended"
    this.#sink?.onEnd()
  }

  /** For the connection: no more will come, though not all has. */
  cut(error: Error): void {
    if (this.#state !== "open") return
    this.#state = error
    this.#sink?.onCut(error)
  }
}

/** A body as a stream of Node's; it fails where the body breaks off. */
export const readableOf = (body: ResponseBody): Readable => {
  const readable = new Readable({ read: () => body.resume() })
  body.readTo({
    onData: (bytes) => readable.push(bytes),
    onEnd: () => readable.push(null),
    onCut: (error) => readable.destroy(error),
  })
  return readable
}
