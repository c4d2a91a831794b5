import { Context, type Duration, Effect, Option, type Scope } from "effect"
import { type AnyContract, hookName } from "../contract/Contract.ts"
import { type HookError, HookTransportError } from "./HookError.ts"
import { failedOutcome, meterOf } from "./HookMetrics.ts"
import type { HookClient } from "./Hooks.ts"
import * as NotificationQueue from "./NotificationQueue.ts"

/** One run of a plugin, from where it is active to where it is about to end. */
export interface ActivePlugin {
  readonly pluginId: string
  /** Tells two runs of one plugin apart: a later one has a greater number. */
  readonly generation: number
  readonly hooks: HookClient
  /** Asks the plugin, unless it keeps not answering this hook. */
  readonly ask: (hook: string, request: object) => Effect.Effect<object, HookError>
  /** Tells the plugin of an event, after those that wait for it already. */
  readonly tell: (event: NotificationQueue.Event) => Effect.Effect<void>
}

/** A run as it is held by whoever registered it. */
export interface Registration extends ActivePlugin {
  /**
   * Takes the plugin out of every dispatch and waits, within `limit`, until what it is at work on has ended and the events
   * that wait for it are delivered. Answers whether nothing was left.
   */
  readonly withdraw: (limit: Duration.Input) => Effect.Effect<boolean>
}

/**
 * All runs of a host's plugins that hooks and HTTP requests reach now. Two runs of one plugin may overlap: the later one is
 * reached, and when it ends first, the earlier one again.
 */
export interface ActivePlugins {
  /** Makes a plugin's hooks part of every dispatch, until it is withdrawn or the Scope closes, whichever is first. */
  readonly register: (hooks: HookClient) => Effect.Effect<Registration, never, Scope.Scope>
  /** The active plugins in the order of their ids: of each its latest run. */
  readonly all: () => ReadonlyArray<ActivePlugin>
  /** The latest run of a plugin. */
  readonly find: (pluginId: string) => Option.Option<ActivePlugin>
}

/** Makes a registry in which nobody is yet. */
export const make = (): ActivePlugins => {
  /** By id, each plugin's runs in the order in which they were registered. */
  const runs = new Map<string, ReadonlyArray<ActivePlugin>>()
  let generation = 0
  let sorted: ReadonlyArray<ActivePlugin> | undefined
  const change = (id: string, changed: ReadonlyArray<ActivePlugin>) => {
    if (changed.length === 0) runs.delete(id)
    else runs.set(id, changed)
    sorted = undefined
  }
  const of = (id: string) => runs.get(id) ?? []
  return {
    register: Effect.fnUntraced(function* (hooks: HookClient) {
      const { pluginId } = hooks
      yield* warnOfAbsentHooks(hooks)
      let isWithdrawn = false
      // What waits in the queue is told all the same when the plugin is withdrawn.
      const queue = yield* NotificationQueue.make(hooks)
      const run: ActivePlugin = {
        pluginId,
        generation: ++generation,
        hooks,
        // It may have been stopped while others were asked; if another run has taken its place, that one is asked.
        ask: (hook, request) =>
          Effect.suspend(() =>
            isWithdrawn
              ? (of(pluginId).at(-1)?.ask(hook, request) ?? notActive(hooks.contract, pluginId, hook))
              : hooks.call(hook, request),
          ),
        tell: queue.offer,
      }
      const leave = Effect.sync(() => {
        isWithdrawn = true
        change(
          pluginId,
          of(pluginId).filter((other) => other !== run),
        )
      })
      yield* Effect.acquireRelease(
        Effect.sync(() => change(pluginId, [...of(pluginId), run])),
        () => leave,
      )
      return {
        ...run,
        withdraw: (limit: Duration.Input) =>
          Effect.andThen(leave, Effect.andThen(queue.drain, hooks.inFlight.idle)).pipe(
            Effect.as(true),
            Effect.timeoutOrElse({ duration: limit, orElse: () => Effect.succeed(false) }),
          ),
      }
    }),
    all: () =>
      (sorted ??= [...runs.values()].map((ofOne) => ofOne.at(-1)!).sort((a, b) => (a.pluginId < b.pluginId ? -1 : 1))),
    find: (id) => Option.fromNullishOr(of(id).at(-1)),
  }
}

/** Who has no hook has nothing against anything: that is not what an operator wants who waits for its word. */
const warnOfAbsentHooks = ({ contract, implemented, pluginId, policy }: HookClient) =>
  Effect.forEach(
    contract.unary,
    ([hook, { kind, name }]) =>
      kind === "decides" && policy(hook).mustAgree && !implemented.has(hook)
        ? Effect.logWarning(`plugin ${pluginId} has to agree in ${name} and does not implement it`)
        : Effect.void,
    { discard: true },
  )

/** The failure of a hook whose plugin is not there. */
export const notActive = (
  contract: AnyContract,
  pluginId: string,
  hook: string,
): Effect.Effect<never, HookTransportError> =>
  Effect.contextWith((context: Context.Context<never>) => {
    const name = hookName(contract, hook)
    const details = "the plugin is not active"
    const error = new HookTransportError({ pluginId, hook: name, status: "UNAVAILABLE", details })
    meterOf(pluginId, name).begin(context)(failedOutcome(error))
    return Effect.fail(error)
  })
