import { ByteSize, Effect, Schema } from "effect"
import { BundleLimits } from "../bundle/BundleLimits.ts"
import { mendThese, Problem, problemsOf } from "../bundle/Problem.ts"
import { PluginLogRate } from "../goplugin/LogBudget.ts"
import { NotificationLimits } from "../hooks/NotificationQueue.ts"
import { MAX_REQUESTS_IN_FLIGHT } from "../hooks/RequestLimit.ts"
import { WorkspaceLimits, type WorkspaceLimitsValues } from "../workspace/WorkspaceLimits.ts"
import { sizeText } from "../supervisor/SizeText.ts"

/** The bounds that an operator may set, whichever part of the supervisor keeps them. */
export interface Limits {
  /** The largest message of a plugin's, in bytes; none for the default. */
  readonly message: number | undefined
  /** HTTP requests of one plugin that may be in flight. */
  readonly requests: number
  /** The largest archive of a plugin, in bytes: uploaded, or downloaded. */
  readonly upload: number
  /** Lines a second that are logged of what one plugin prints. */
  readonly logLines: number
  /** Events that may wait for one plugin, their size in bytes, and how many it may be at work on at once. */
  readonly notifications: number
  readonly notificationsInFlight: number
  readonly notificationBytes: number
  readonly workspace: WorkspaceLimitsValues
}

const Count = Schema.NumberFromString.check(
  Schema.makeFilter((count: number) => (Number.isSafeInteger(count) && count > 0) || "expected a whole number, from 1"),
)

const Size = sizeText("8 MiB")

/** By the names of the flag. */
const Given = Schema.Struct({
  message: Schema.optionalKey(Size),
  "http-requests": Schema.optionalKey(Count),
  "upload-bytes": Schema.optionalKey(Size),
  "log-lines": Schema.optionalKey(Count),
  notifications: Schema.optionalKey(Count),
  "notifications-in-flight": Schema.optionalKey(Count),
  "notification-bytes": Schema.optionalKey(Size),
  "post-props": Schema.optionalKey(Count),
  "key-value": Schema.optionalKey(Size),
  "plugin-settings": Schema.optionalKey(Size),
  "page-items": Schema.optionalKey(Count),
  commands: Schema.optionalKey(Count),
})

/** The names of the bounds that can be set. */
export const LIMIT_NAMES: ReadonlyArray<string> = Object.keys(Given.fields)

/** Bounds that can't be set so. All that is wrong is told at once. */
export class LimitsError extends Schema.TaggedError<LimitsError>()("LimitsError", {
  problems: Schema.Array(Problem),
}) {
  override get message(): string {
    return `These limits can't be set; ${mendThese(this.problems)}`
  }
}

const decode = Schema.decodeUnknownEffect(
  Given.annotate({ messageUnexpectedKey: `there is no such limit; there are ${LIMIT_NAMES.join(", ")}` }),
  { errors: "all", onExcessProperty: "error" },
)

/** Reads bounds as an operator writes them (`{ "key-value": "16 MiB" }`); the others have their defaults. */
export const limitsOf = Effect.fnUntraced(function* (given: {
  readonly [name: string]: string
}): Effect.fn.Return<Limits, LimitsError> {
  const set = yield* Effect.mapError(decode(given), ({ issue }) => new LimitsError({ problems: problemsOf(issue) }))
  const bytes = (size: ByteSize.ByteSize | undefined, otherwise: number) =>
    size === undefined ? otherwise : ByteSize.toNumberUnsafe(size)
  const notifications = yield* NotificationLimits
  const workspace = yield* WorkspaceLimits
  return {
    message: set.message === undefined ? undefined : ByteSize.toNumberUnsafe(set.message),
    requests: set["http-requests"] ?? MAX_REQUESTS_IN_FLIGHT,
    upload: bytes(set["upload-bytes"], (yield* BundleLimits).archive),
    logLines: set["log-lines"] ?? (yield* PluginLogRate),
    notifications: set.notifications ?? notifications.count,
    notificationsInFlight: set["notifications-in-flight"] ?? notifications.inFlight,
    notificationBytes: bytes(set["notification-bytes"], notifications.bytes),
    workspace: {
      postProps: set["post-props"] ?? workspace.postProps,
      keyValue: bytes(set["key-value"], workspace.keyValue),
      pluginSettings: bytes(set["plugin-settings"], workspace.pluginSettings),
      pageItems: set["page-items"] ?? workspace.pageItems,
      commands: set.commands ?? workspace.commands,
    },
  }
})
