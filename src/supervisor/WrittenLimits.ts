import { ByteSize, Effect, Schema } from "effect"
import { mendThese, Problem, problemsOf, unknownKey } from "../bundle/Problem.ts"
import { LIMIT_VALUES, type LimitName } from "../process/ProcessLimits.ts"
import type { PluginLimits } from "./SupervisorOptions.ts"
import { sizeText } from "./SizeText.ts"

/** A number that the limit's own part of the supervisor takes. */
const number = (name: LimitName) =>
  Schema.optionalKey(
    Schema.Number.check(
      Schema.makeFilter((value) => LIMIT_VALUES[name].test(value) || `expected ${LIMIT_VALUES[name].expected}`),
    ),
  )

const Size = sizeText("256 MiB")

const Account = Schema.Union([Schema.NonEmptyString, Schema.Int])

const FIELDS = {
  memory: Schema.optionalKey(Size),
  openFiles: number("openFiles"),
  cpus: number("cpus"),
  cpuSeconds: number("cpuSeconds"),
  processes: number("processes"),
  oomScoreAdjust: number("oomScoreAdjust"),
  user: Schema.optionalKey(Account),
  group: Schema.optionalKey(Account),
}

/** What operators write of what a plugin may take of the machine: `{ "memory": "256 MiB", "openFiles": 256 }`. */
export const WrittenLimits = Schema.Struct(FIELDS)
  .annotate(unknownKey(Object.keys(FIELDS)))
  .check(
    Schema.makeFilter(({ group, user }) =>
      group !== undefined && user === undefined
        ? { path: ["group"], issue: "a group needs a user as well" }
        : undefined,
    ),
  )

/** What was written, as the supervisor takes it. */
export const pluginLimits = ({ memory, ...limits }: typeof WrittenLimits.Type): PluginLimits => ({
  ...limits,
  ...(memory === undefined ? {} : { memory: ByteSize.toNumberUnsafe(memory) }),
})

/** By the names of the flag: `open-files`. */
const kebab = (name: string) => name.replace(/[A-Z]/g, (capital) => `-${capital.toLowerCase()}`)
const BY_FLAG = new Map(Object.keys(FIELDS).map((name) => [kebab(name), name]))

/** The names of what can be set by `--plugin-limit`. */
export const PLUGIN_LIMIT_NAMES: ReadonlyArray<string> = [...BY_FLAG.keys()]

/** Limits of plugins that can't be set so. All that is wrong is told at once. */
export class PluginLimitsError extends Schema.TaggedError<PluginLimitsError>()("PluginLimitsError", {
  problems: Schema.Array(Problem),
}) {
  override get message(): string {
    return `These limits of plugins can't be set; ${mendThese(this.problems)}`
  }
}

const decode = Schema.decodeUnknownEffect(WrittenLimits, { errors: "all", onExcessProperty: "error" })

/** A flag's value as a file would have it. */
const valueOf = (given: string) => (/^-?\d+(\.\d+)?$/.test(given) ? Number(given) : given)

/** Reads what each plugin may take of the machine from a flag's pairs: `{ memory: "256 MiB", "open-files": "256" }`. */
export const pluginLimitsOf = Effect.fnUntraced(function* (given: {
  readonly [name: string]: string
}): Effect.fn.Return<PluginLimits, PluginLimitsError> {
  const unknown = Object.keys(given).filter((name) => !BY_FLAG.has(name))
  const known = Object.entries(given).filter(([name]) => BY_FLAG.has(name))
  const written = Object.fromEntries(known.map(([name, value]) => [BY_FLAG.get(name), valueOf(value)]))
  const decoded = yield* Effect.result(decode(written))
  const problems = [
    ...unknown.map((path) => ({
      path,
      message: `there is no such limit; there are ${PLUGIN_LIMIT_NAMES.join(", ")}`,
    })),
    ...(decoded._tag === "Success"
      ? []
      : problemsOf(decoded.failure.issue).map(({ message, path }) => ({ path: kebab(path), message }))),
  ]
  if (decoded._tag === "Failure" || problems.length > 0) return yield* new PluginLimitsError({ problems })
  return pluginLimits(decoded.success)
})
