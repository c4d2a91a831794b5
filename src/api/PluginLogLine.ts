import type { JsonValue } from "@bufbuild/protobuf"
import { Effect } from "effect"
import type { PluginCaller } from "./PluginApi.ts"

/** The longest text of a line that a plugin logs, and of a value beside it, in characters; what is longer is cut. */
const MAX_TEXT = 16_384

/** The most values beside a line. */
const MAX_PAIRS = 100

const cut = (text: string): string => (text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text)

const bounded = (value: JsonValue): JsonValue => {
  if (typeof value === "string") return cut(value)
  const text = JSON.stringify(value)
  return text.length > MAX_TEXT ? cut(text) : value
}

/** Writes a line of a plugin's to the host's log, within bounds and in the plugin's own name. */
export const logPluginLine = (
  write: (message: string) => Effect.Effect<void>,
  { pluginId }: PluginCaller,
  message: string,
  values: ReadonlyArray<readonly [key: string, value: JsonValue]>,
): Effect.Effect<void> =>
  Effect.annotateLogs(write(cut(message)), {
    ...Object.fromEntries(values.slice(0, MAX_PAIRS).map(([key, value]) => [cut(key), bounded(value)])),
    // Last, so that no plugin speaks in another's name.
    plugin_id: pluginId,
  })
