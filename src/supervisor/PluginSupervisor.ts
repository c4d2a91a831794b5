import { Effect, type Option, Scope, type SubscriptionRef } from "effect"
import type { PluginBundle } from "../bundle/PluginBundle.ts"
import type { AnyContract } from "../contract/Contract.ts"
import type { UnaryHooks } from "../hooks/Hooks.ts"
import type { HostSide } from "./HostSide.ts"
import * as PluginActor from "./PluginActor.ts"
import type { PluginState } from "./PluginLife.ts"
import type { PluginRun, PluginStartError } from "./PluginRun.ts"
import { PluginRuns } from "./PluginRuns.ts"
import type { SupervisorOptions } from "./SupervisorOptions.ts"

/**
 * A plugin under supervision. Its commands are carried out one after the other, whoever gives them; a stop ends a start
 * that has not come to its end. `H` are its hooks as methods.
 */
export interface SupervisedPlugin<out H = object> {
  /** What it was started from last, or is to be. */
  readonly bundle: PluginBundle
  /** The plugin's state, for everybody who wants to see it change. */
  readonly state: SubscriptionRef.SubscriptionRef<PluginState>
  /** The run there is; `None` in every state but `Running`. */
  readonly run: Effect.Effect<Option.Option<PluginRun<H>>>
  /** Starts the plugin, and answers its run when it is active, or when it is so already. */
  readonly start: Effect.Effect<PluginRun<H>, PluginStartError>
  /** Stops the plugin; returns when nothing is left of it. A plugin that does not run is no error. */
  readonly stop: Effect.Effect<void>
  /**
   * Puts another run in the place of the one there is, and drops nothing: the new one is started beside it; once that is active
   * and well, hooks and requests go to it, the one before ends what it is at work on and is stopped, and this returns. When
   * the new one does not start, the one before stays, and this fails with the reason. A plugin whose manifest says
   * `server.exclusive` is stopped before it is started; requests and events wait meanwhile. One that does not run is started.
   */
  readonly reload: Effect.Effect<PluginRun<H>, PluginStartError>
  /**
   * The same with another bundle of the plugin, which counts from then on. Where it does not start, the one before counts, and
   * an exclusive plugin goes back to it. A plugin that does not run takes the bundle in any case. Another plugin's is a defect.
   */
  readonly replace: (bundle: PluginBundle) => Effect.Effect<PluginRun<H>, PluginStartError>
}

/** The lives of a host's plugins, each in one place: who may start and stop it, and what state it is in. */
export interface PluginSupervisor<C extends AnyContract> {
  /** Takes a plugin under supervision, and starts nothing yet. It is stopped when the Scope closes. */
  readonly supervise: (
    bundle: PluginBundle,
    options?: SupervisorOptions<C>,
  ) => Effect.Effect<SupervisedPlugin<UnaryHooks<C>>, never, Scope.Scope>
  /** Takes a plugin under supervision and starts it; it is active when this returns, and part of every dispatch. */
  readonly start: (
    bundle: PluginBundle,
    options?: SupervisorOptions<C>,
  ) => Effect.Effect<PluginRun<UnaryHooks<C>>, PluginStartError, Scope.Scope>
}

/** The supervisor of a host's plugins. */
export const make = <C extends AnyContract>(host: HostSide): Effect.Effect<PluginSupervisor<C>, never, PluginRuns> =>
  Effect.map(PluginRuns, (runs) => {
    const supervise = Effect.fnUntraced(function* (first: PluginBundle, options: SupervisorOptions<C> = {}) {
      const { id } = first.manifest
      // Outlives what is started: a plugin that has to agree and failed has not agreed.
      yield* host.require(id, { ...options.hooks })
      const { restart = false } = options
      const supervised = yield* PluginActor.make(first, {
        begin: (bundle, scope) => Scope.provide(runs.start(host, bundle, options), scope),
        expect: (isExpected) => host.active.expect(id, isExpected),
        restart: restart === true ? {} : restart === false ? undefined : restart,
      })
      // Its hooks are those of the host's contract.
      return supervised as SupervisedPlugin<UnaryHooks<C>>
    })
    return {
      supervise,
      start: Effect.fnUntraced(function* (bundle, options) {
        return yield* (yield* supervise(bundle, options)).start
      }),
    }
  })
