/** What the host logs, for tests. */
import { Layer, Logger, References } from "effect"

/** An entry of the log. */
export interface Entry {
  readonly level: string
  readonly message: string
  readonly fields: { readonly [name: string]: unknown }
}

/** Levels of what a test that fails shows. */
const SHOWN = new Set(["Warn", "Error", "Fatal"])

/** Collects what is logged under `layer`. */
export const recordLog = () => {
  const entries: Array<Entry> = []
  const logger = Logger.make<unknown, void>(({ fiber, logLevel, message }) => {
    const fields = fiber.getRef(References.CurrentLogAnnotations)
    const entry = { level: logLevel, message: String(Array.isArray(message) ? message[0] : message), fields }
    entries.push(entry)
    if (SHOWN.has(logLevel)) console.error(`${logLevel}: ${entry.message}`)
  })
  const layer = Layer.mergeAll(Logger.layer([logger]), Layer.succeed(References.MinimumLogLevel, "Trace"))
  return { entries, layer, messages: () => entries.map(({ message }) => message) }
}
