import { Readable } from "node:stream"
import { pass } from "./SpentBytes.ts"

/** Who watches a body on its way to a plugin. */
interface Watch {
  /** The plugin takes no more for now. */
  readonly onStall: () => void
  /** It takes more again. */
  readonly onFlow: () => void
}

/**
 * A client's body for the connection to a plugin, which pauses, resumes and destroys what it sends: what becomes of the
 * client's own stream is not for it to say. That is read as fast as the plugin takes it.
 */
export class RequestBody extends Readable {
  readonly #from: Readable
  readonly #isFreed: boolean
  readonly #watch: Watch

  constructor(from: Readable, isFreed: boolean, watch: Watch) {
    super()
    this.#from = from
    this.#isFreed = isFreed
    this.#watch = watch
    from.on("data", this.#onData)
    from.on("end", this.#onEnd)
    from.on("close", this.#onClose)
    from.on("error", ignore)
    from.pause()
  }

  readonly #onData = (bytes: Uint8Array) => {
    if (!this.push(this.#isFreed ? pass(bytes) : bytes)) this.#from.pause()
  }
  readonly #onEnd = () => void this.push(null)
  readonly #onClose = () => {
    if (!this.#from.readableEnded) this.destroy(new Error("the client has gone"))
  }

  override pause(): this {
    this.#watch.onStall()
    return super.pause()
  }

  override resume(): this {
    this.#watch.onFlow()
    return super.resume()
  }

  override _read(): void {
    this.#from.resume()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#from.off("data", this.#onData)
    this.#from.off("end", this.#onEnd)
    this.#from.off("close", this.#onClose)
    callback(error)
  }
}

const ignore = () => {}
