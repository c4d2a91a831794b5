import { Cause, Context, Effect, Exit, Metric, Option, Tracer } from "effect"

/** Attributes that a metric is made with are looked at once; others, with each update. */
type Attributes = { readonly [name: string]: string }

/** Calls of hooks, by `plugin`, `hook` and `outcome`: `ok`, or what kept the hook from answering. */
const calls = (attributes: Attributes) =>
  Metric.counter("plugin_hook_calls", { description: "Calls of plugins' hooks", incremental: true, attributes })

/** Bounds in milliseconds: from a call that is answered from memory to the longest deadline. */
const durations = (attributes: Attributes) =>
  Metric.histogram("plugin_hook_duration_milliseconds", {
    description: "How long calls of plugins' hooks take, in milliseconds",
    boundaries: [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000],
    attributes,
  })

/** Notifications that no plugin heard of: its queue was full, or it rested when it ended. By `plugin` and `hook`. */
const overflows = Metric.counter("plugin_hook_notifications_lost", {
  description: "Notifications that were not delivered: too many waited for the plugin, or it ended while it rested",
  incremental: true,
})

/** Counts a notification that was lost. */
export const countLost = (plugin: string, hook: string): Effect.Effect<void> =>
  Metric.update(Metric.withAttributes(overflows, { plugin, hook }), 1)

/** The outcome of a call that was not made, since the circuit to the hook is open. */
const SUSPENDED = "suspended"

/** The outcome of a call that has ended. */
export const outcomeOf = (exit: Exit.Exit<unknown, { readonly _tag: string }>): string => {
  if (Exit.isSuccess(exit)) return "ok"
  return Option.match(Cause.findErrorOption(exit.cause), {
    onNone: () => INTERRUPTED,
    onSome: failedOutcome,
  })
}

/** The outcome of a call that nobody waits for any more. */
export const INTERRUPTED = "interrupted"

/** The outcome of a call that has failed: `HookDeadlineError` is `deadline`. */
export const failedOutcome = ({ _tag }: { readonly _tag: string }): string =>
  _tag.replace(/^Hook|Error$/g, "").toLowerCase()

/** Where in here a span is made says nothing, and costs as much as the span. */
const NO_STACK_TRACE = { captureStackTrace: false }

/** Counts and times the calls of one hook of a plugin's. */
export interface HookMeter {
  /** A call has ended that took so many milliseconds. Its outcome is `ok`, or what kept the hook from answering. */
  readonly count: (outcome: string, millis: number, context: Context.Context<never>) => void
  /** Makes a span of a call. */
  readonly traced: <A, E, R>(call: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>>
}

const makeMeter = (plugin: string, hook: string): HookMeter => {
  const duration = durations({ plugin, hook })
  const byOutcome = new Map<string, ReturnType<typeof calls>>()
  return {
    traced: Effect.withSpan(`hook ${hook}`, { kind: "client", attributes: { plugin_id: plugin } }, NO_STACK_TRACE),
    count: (outcome, millis, context) => {
      let bound = byOutcome.get(outcome)
      if (bound === undefined) {
        bound = calls({ plugin, hook, outcome })
        byOutcome.set(outcome, bound)
      }
      bound.updateUnsafe(1, context)
      if (outcome !== SUSPENDED) duration.updateUnsafe(millis, context)
    },
  }
}

/** By plugin and hook: as many as there are plugins and hooks. */
const meters = new Map<string, HookMeter>()

/** The meter of a hook of a plugin's; there is one of each. */
export const meterOf = (plugin: string, hook: string): HookMeter => {
  const key = `${plugin} ${hook}`
  const meter = meters.get(key) ?? makeMeter(plugin, hook)
  meters.set(key, meter)
  return meter
}
