import { ByteSize, Effect, Schema } from "effect"
import { mendThese, Problem, problemsOf } from "../bundle/Problem.ts"
import { LIMIT_VALUES, type LimitName } from "../process/ProcessLimits.ts"
import type { PluginLimits } from "../supervisor/SupervisorOptions.ts"

/** Whether the limit's own part of the supervisor takes a number. */
const allowed = (name: LimitName) =>
  Schema.makeFilter((value: number) => LIMIT_VALUES[name].test(value) || `expected ${LIMIT_VALUES[name].expected}`)

const number = (name: LimitName) => Schema.optionalKey(Schema.NumberFromString.check(allowed(name)))

const Size = Schema.ByteSizeFromString.check(
  Schema.makeFilter(
    (size: ByteSize.ByteSize) =>
      (size > 0n && size <= BigInt(Number.MAX_SAFE_INTEGER)) || 'expected a size such as "256 MiB"',
  ),
)

/** By the names of the flag. */
const Given = Schema.Struct({
  memory: Schema.optionalKey(Size),
  "open-files": number("openFiles"),
  cpus: number("cpus"),
  "cpu-seconds": number("cpuSeconds"),
  processes: number("processes"),
  "oom-score-adjust": number("oomScoreAdjust"),
  user: Schema.optionalKey(Schema.NonEmptyString),
  group: Schema.optionalKey(Schema.NonEmptyString),
})

/** The names of what can be set. */
export const PLUGIN_LIMIT_NAMES: ReadonlyArray<string> = Object.keys(Given.fields)

/** Limits of plugins that can't be set so. All that is wrong is told at once. */
export class PluginLimitsError extends Schema.TaggedError<PluginLimitsError>()("PluginLimitsError", {
  problems: Schema.Array(Problem),
}) {
  override get message(): string {
    return `These limits of plugins can't be set; ${mendThese(this.problems)}`
  }
}

const decode = Schema.decodeUnknownEffect(
  Given.annotate({ messageUnexpectedKey: `there is no such limit; there are ${PLUGIN_LIMIT_NAMES.join(", ")}` }),
  { errors: "all", onExcessProperty: "error" },
)

/** Reads what each plugin may take of the machine as an operator writes it (`{ memory: "256 MiB" }`). */
export const pluginLimitsOf = Effect.fnUntraced(function* (given: {
  readonly [name: string]: string
}): Effect.fn.Return<PluginLimits, PluginLimitsError> {
  const set = yield* Effect.mapError(
    decode(given),
    ({ issue }) => new PluginLimitsError({ problems: problemsOf(issue) }),
  )
  if (set.group !== undefined && set.user === undefined) {
    const problem = { path: "group", message: "expected a user as well" }
    return yield* new PluginLimitsError({ problems: [problem] })
  }
  return {
    memory: set.memory === undefined ? undefined : ByteSize.toNumberUnsafe(set.memory),
    openFiles: set["open-files"],
    cpus: set.cpus,
    cpuSeconds: set["cpu-seconds"],
    processes: set.processes,
    oomScoreAdjust: set["oom-score-adjust"],
    user: set.user,
    group: set.group,
  }
})
