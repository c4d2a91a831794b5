import { Duration, Effect, Schema } from "effect"
import { mendThese, Problem, problemsOf, unknownKey } from "../bundle/Problem.ts"
import type { AnyContract } from "../contract/Contract.ts"
import { hooksOptions, writtenHooks } from "../hooks/HookPolicies.ts"
import type { SupervisorOptions } from "./SupervisorOptions.ts"
import { pluginLimits, WrittenLimits } from "./WrittenLimits.ts"

/** What operators have written of their plugins can't be used. All that is wrong with it is told at once. */
export class PluginOptionsError extends Schema.TaggedError<PluginOptionsError>()("PluginOptionsError", {
  problems: Schema.Array(Problem),
}) {
  override get message(): string {
    return `These options of plugins can't be used; ${mendThese(this.problems)}`
  }
}

/** What operators have written of their plugins, as `layerFolder` takes it. */
export interface PluginOptions<C extends AnyContract> {
  /** For every plugin. */
  readonly defaults: SupervisorOptions<C>
  /** For single ones, by their ids in lower case. */
  readonly plugins: { readonly [pluginId: string]: SupervisorOptions<C> }
}

/** The key of what counts for every plugin. No plugin has such an id. */
const EVERY = "*"

const time = (least: Duration.Duration) =>
  Schema.DurationFromString.check(
    Schema.makeFilter(
      (duration: Duration.Duration) =>
        (Duration.isFinite(duration) && Duration.isGreaterThanOrEqualTo(duration, least)) ||
        `expected ${Duration.format(least)} or more, such as "5 seconds"`,
    ),
  )
const Time = time(Duration.millis(100))
const aTime = Schema.optionalKey(Time)
/** Of waits that may be left out. */
const aWait = Schema.optionalKey(time(Duration.zero))

const count = (least: number) =>
  Schema.optionalKey(Schema.Int.check(Schema.makeFilter((given) => given >= least || `expected ${least} or more`)))

const RESTART = {
  delay: aTime,
  maxDelay: aTime,
  budget: count(0),
  stableAfter: aTime,
  retryEvery: Schema.optionalKey(Schema.Union([Schema.Literal(false), Time])),
}
const HEALTH = { interval: aTime, deadline: aTime, misses: count(1) }
const PLAIN = {
  startTimeout: aTime,
  shutdownLimit: aWait,
  drainLimit: aWait,
  streamLimit: aWait,
  deactivateLimit: aTime,
  waitDelay: aWait,
  restart: Schema.optionalKey(
    Schema.Union([Schema.Boolean, Schema.Struct(RESTART).annotate(unknownKey(Object.keys(RESTART)))]),
  ),
  health: Schema.optionalKey(
    Schema.Union([Schema.Literal(false), Schema.Struct(HEALTH).annotate(unknownKey(Object.keys(HEALTH)))]),
  ),
  limits: Schema.optionalKey(WrittenLimits),
  transport: Schema.optionalKey(Schema.Literals(["auto", "ttrpc", "grpc"])),
  logLevel: Schema.optionalKey(Schema.Literals(["DEBUG", "INFO", "WARNING", "ERROR"])),
  allowVariables: Schema.optionalKey(Schema.Array(Schema.NonEmptyString)),
  variables: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
}

const written = (contract: AnyContract) =>
  Schema.Struct({ hooks: Schema.optionalKey(writtenHooks(contract)), ...PLAIN }).annotate(
    unknownKey(["hooks", ...Object.keys(PLAIN)]),
  )

/**
 * Reads what an operator has written of a contract's plugins, by their ids, and for all of them by `*`:
 * `{ "*": { "restart": { "budget": 3 } }, "guard": { "limits": { "memory": "256 MiB" }, "health": false } }`. The names are
 * those of {@link SupervisorOptions}, but for hooks, which are called as their contract calls them; durations and sizes are
 * text with a unit.
 */
export const pluginOptions = Effect.fnUntraced(function* <C extends AnyContract>(
  contract: C,
  given: unknown,
): Effect.fn.Return<PluginOptions<C>, PluginOptionsError> {
  const schema = Schema.Record(Schema.String, written(contract))
  const decoded = yield* Effect.mapError(
    Schema.decodeUnknownEffect(schema, { errors: "all", onExcessProperty: "error" })(given),
    ({ issue }) => new PluginOptionsError({ problems: problemsOf(issue) }),
  )
  const ids = Object.keys(decoded).map((id) => id.toLowerCase())
  const twice = Object.keys(decoded).filter((id, index) => ids.indexOf(id.toLowerCase()) !== index)
  if (twice.length > 0) {
    return yield* new PluginOptionsError({
      problems: twice.map((path) => ({ path, message: "the plugin has settings already; ids are in lower case" })),
    })
  }
  const all = Object.entries(decoded).map(([id, { hooks, limits, ...plain }]): [string, SupervisorOptions<C>] => [
    // As in a manifest.
    id.toLowerCase(),
    {
      ...plain,
      ...(hooks === undefined ? {} : { hooks: hooksOptions(contract, hooks) }),
      ...(limits === undefined ? {} : { limits: pluginLimits(limits) }),
    },
  ])
  const { [EVERY]: defaults = {}, ...plugins } = Object.fromEntries(all)
  return { defaults, plugins }
})
