import { type JsonValue, toJson } from "@bufbuild/protobuf"
import { type Value, ValueSchema } from "@bufbuild/protobuf/wkt"
import { Effect } from "effect"
import type { PluginCaller } from "../api/PluginApi.ts"
import type { KeyValuePair } from "../generated/mattermost/pluginapi/v1/api_log_pb.js"

/** The longest text of a line that a plugin logs, and of a value beside it, in characters; what is longer is cut. */
const MAX_TEXT = 16_384

/** The most values beside a line. */
const MAX_PAIRS = 100

const cut = (text: string): string => (text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text)

const loggable = (value: Value | undefined): JsonValue => {
  if (value?.kind.case === undefined) return null
  const json = toJson(ValueSchema, value)
  if (typeof json === "string") return cut(json)
  const text = JSON.stringify(json)
  return text.length > MAX_TEXT ? cut(text) : json
}

const log =
  (write: (message: string) => Effect.Effect<void>) =>
  (
    { keyValuePairs, msg }: { readonly msg: string; readonly keyValuePairs: ReadonlyArray<KeyValuePair> },
    { pluginId }: PluginCaller,
  ) =>
    Effect.as(
      Effect.annotateLogs(write(cut(msg)), {
        ...Object.fromEntries(keyValuePairs.slice(0, MAX_PAIRS).map(({ key, value }) => [cut(key), loggable(value)])),
        // Last, so that no plugin speaks in another's name.
        plugin_id: pluginId,
      }),
      {},
    )

/** The methods of the host API by which plugins write to the host's log, each in its own name. */
export const pluginLog = {
  logDebug: log(Effect.logDebug),
  logInfo: log(Effect.logInfo),
  logWarn: log(Effect.logWarning),
  logError: log(Effect.logError),
}
