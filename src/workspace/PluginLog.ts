import { type JsonValue, toJson } from "@bufbuild/protobuf"
import { type Value, ValueSchema } from "@bufbuild/protobuf/wkt"
import { Effect } from "effect"
import type { PluginCaller } from "../api/PluginApi.ts"
import { logPluginLine } from "../api/PluginLogLine.ts"
import type { KeyValuePair } from "../generated/mattermost/pluginapi/v1/api_log_pb.js"

const jsonOf = (value: Value | undefined): JsonValue =>
  value?.kind.case === undefined ? null : toJson(ValueSchema, value)

const log =
  (write: (message: string) => Effect.Effect<void>) =>
  (
    { keyValuePairs, msg }: { readonly msg: string; readonly keyValuePairs: ReadonlyArray<KeyValuePair> },
    caller: PluginCaller,
  ) =>
    Effect.as(
      logPluginLine(
        write,
        caller,
        msg,
        keyValuePairs.map(({ key, value }) => [key, jsonOf(value)]),
      ),
      {},
    )

/** The methods of the host API by which plugins write to the host's log, each in its own name. */
export const pluginLog = {
  logDebug: log(Effect.logDebug),
  logInfo: log(Effect.logInfo),
  logWarn: log(Effect.logWarning),
  logError: log(Effect.logError),
}
