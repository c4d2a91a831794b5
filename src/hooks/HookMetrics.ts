import { Cause, Clock, Context, Effect, Exit, Metric, Option, Tracer } from "effect"

/** Calls of hooks, by `plugin`, `hook` and `outcome`: `ok`, or what kept the hook from answering. */
const calls = Metric.counter("plugin_hook_calls", { description: "Calls of plugins' hooks", incremental: true })

/** Bounds in milliseconds: from a call that is answered from memory to the longest deadline. */
const durations = Metric.histogram("plugin_hook_duration_milliseconds", {
  description: "How long calls of plugins' hooks take, in milliseconds",
  boundaries: [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000],
})

/** Notifications that no plugin heard of: its queue was full, or it rested when it ended. By `plugin` and `hook`. */
const overflows = Metric.counter("plugin_hook_notifications_lost", {
  description: "Notifications that were not delivered: too many waited for the plugin, or it ended while it rested",
  incremental: true,
})

/** Counts a notification that was lost. */
export const countLost = (plugin: string, hook: string): Effect.Effect<void> =>
  Metric.update(Metric.withAttributes(overflows, { plugin, hook }), 1)

/** Counts a call that was not made, since its plugin rests. */
export const countSuspended = (plugin: string, hook: string): Effect.Effect<void> =>
  Metric.update(Metric.withAttributes(calls, { plugin, hook, outcome: "suspended" }), 1)

/** Names an outcome: `HookDeadlineError` is `deadline`. */
const outcomeOf = (exit: Exit.Exit<unknown, { readonly _tag: string }>): string => {
  if (Exit.isSuccess(exit)) return "ok"
  return Option.match(Cause.findErrorOption(exit.cause), {
    onNone: () => "interrupted",
    onSome: ({ _tag }) => _tag.replace(/^Hook|Error$/g, "").toLowerCase(),
  })
}

/** Where in here a span is made says nothing, and costs as much as the span. */
const NO_STACK_TRACE = { captureStackTrace: false }

/** Whether somebody listens to spans. Effect's own tracer keeps them to itself; to make some for it takes as long as all else. */
export const isTraced = (context: Context.Context<never>): boolean =>
  Context.get(context, Tracer.Tracer) !== Tracer.nativeTracer

/** What a hook's calls are counted and timed by. To bind a metric to its attributes takes longer than to update it. */
const metricsOf = (plugin: string, hook: string) => {
  const byOutcome = new Map<string, typeof calls>()
  return {
    traced: Effect.withSpan(`hook ${hook}`, { kind: "client", attributes: { plugin_id: plugin } }, NO_STACK_TRACE),
    duration: Metric.withAttributes(durations, { plugin, hook }),
    calls: (outcome: string) => {
      const bound = byOutcome.get(outcome) ?? Metric.withAttributes(calls, { plugin, hook, outcome })
      byOutcome.set(outcome, bound)
      return bound
    },
  }
}

/** By plugin and hook: as many as there are plugins and hooks. */
const bound = new Map<string, ReturnType<typeof metricsOf>>()

/** Counts and times a call, and makes a span of it. */
export const measured = <A, E extends { readonly _tag: string }, R>(
  plugin: string,
  hook: string,
  call: Effect.Effect<A, E, R>,
): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> => {
  const key = `${plugin} ${hook}`
  const metrics = bound.get(key) ?? metricsOf(plugin, hook)
  bound.set(key, metrics)
  return Effect.contextWith((context: Context.Context<R>): Effect.Effect<A, E, R> => {
    const clock = Context.get(context, Clock.Clock)
    const began = clock.currentTimeMillisUnsafe()
    const counted = Effect.onExit(call, (exit) =>
      Effect.sync(() => {
        metrics.calls(outcomeOf(exit)).updateUnsafe(1, context)
        metrics.duration.updateUnsafe(clock.currentTimeMillisUnsafe() - began, context)
      }),
    )
    return isTraced(context) ? metrics.traced(counted) : counted
  }) as Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>>
}
