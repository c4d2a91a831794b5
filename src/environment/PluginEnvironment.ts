import { Context, Effect, Fiber, Layer, Option, Record, Scope, SubscriptionRef } from "effect"
import { type PluginBundle, PluginBundles } from "../bundle/PluginBundle.ts"
import { HookDispatcher } from "../hooks/HookDispatcher.ts"
import {
  makeState,
  type PluginStateRef,
  PluginSupervisor,
  type SupervisedPlugin,
  type SupervisorOptions,
} from "../supervisor/PluginSupervisor.ts"

/** Settings of all plugins of a host. */
export interface EnvironmentOptions {
  /** The folder that holds the bundles, one folder each. */
  readonly directory: string
  /** Settings of every plugin. */
  readonly defaults?: SupervisorOptions | undefined
  /** Settings of single plugins by id, in place of the defaults of the same name. */
  readonly plugins?: { readonly [id: string]: SupervisorOptions } | undefined
}

/** One plugin of the environment. */
export interface EnvironmentPlugin {
  readonly bundle: PluginBundle
  /** The plugin's state as it changes. */
  readonly state: PluginStateRef
  /** The active plugin; `None` in every state but `Running`. */
  readonly active: Effect.Effect<Option.Option<SupervisedPlugin>>
}

/**
 * All plugins of a host. Building the layer discovers the bundles and starts their plugins in the background, all at
 * once; closing it stops them, all at once. A bundle that is wrong and a plugin that can't start are logged and keep no
 * other plugin from running.
 */
export class PluginEnvironment extends Context.Service<
  PluginEnvironment,
  {
    /** The plugins by their ids' order. */
    readonly plugins: ReadonlyArray<EnvironmentPlugin>
    /** The plugin of an id. */
    readonly find: (id: string) => Option.Option<EnvironmentPlugin>
    /** Waits until every plugin is active or has failed. */
    readonly settled: Effect.Effect<void>
  }
>()("effect-plugin-supervisor/environment/PluginEnvironment") {
  static readonly layer = (
    options: EnvironmentOptions,
  ): Layer.Layer<PluginEnvironment, never, PluginBundles | PluginSupervisor | HookDispatcher> =>
    Layer.effect(PluginEnvironment, make(options))

  /** For tests: an environment of these plugins. */
  static readonly layerTest = (plugins: ReadonlyArray<EnvironmentPlugin>): Layer.Layer<PluginEnvironment> =>
    Layer.succeed(PluginEnvironment, {
      plugins,
      find: (id) => Option.fromNullishOr(plugins.find(({ bundle }) => bundle.manifest.id === id.toLowerCase())),
      settled: Effect.void,
    })
}

const make = Effect.fn("PluginEnvironment.make")(function* (options: EnvironmentOptions) {
  const supervisor = yield* PluginSupervisor
  const bundles = yield* PluginBundles
  const dispatcher = yield* HookDispatcher
  // As in a manifest.
  const settings = Record.mapKeys(options.plugins ?? {}, (id) => id.toLowerCase())
  const optionsOf = (id: string): SupervisorOptions => ({ ...options.defaults, ...settings[id] })
  const discovered = yield* bundles
    .discover(options.directory)
    .pipe(Effect.catch((error) => Effect.as(Effect.logError(error.message), [])))
  // Before anything starts, and until everything has ended: whoever has to agree has not agreed yet, or any more.
  for (const entry of discovered) {
    if (entry._tag === "Failure") continue
    const { id } = entry.success.manifest
    yield* dispatcher.require(id, { ...optionsOf(id).hooks })
  }
  // Plugins don't depend on each other: stopping takes as long as the slowest, not as all of them.
  const scope = yield* Scope.fork(yield* Effect.scope, "parallel")
  const plugins: Array<EnvironmentPlugin> = []
  const starts: Array<Fiber.Fiber<void>> = []
  for (const entry of discovered) {
    if (entry._tag === "Failure") {
      yield* Effect.logError(entry.failure.message)
      continue
    }
    const bundle = entry.success
    const { id } = bundle.manifest
    const state = yield* makeState
    let active: SupervisedPlugin | undefined
    const starting = yield* supervisor.start(bundle, optionsOf(id), state).pipe(
      Effect.tap((plugin) =>
        Effect.sync(() => {
          active = plugin
        }),
      ),
      Effect.andThen(Effect.logInfo(`plugin ${id} is active`)),
      Effect.catch((error) => Effect.logError(error.message)),
      Effect.annotateLogs({ plugin_id: id }),
      Scope.provide(yield* Scope.fork(scope)),
      Effect.forkIn(scope),
    )
    starts.push(starting)
    plugins.push({
      bundle,
      state,
      active: Effect.sync(() =>
        SubscriptionRef.getUnsafe(state).name === "Running" ? Option.fromNullishOr(active) : Option.none(),
      ),
    })
  }
  plugins.sort((a, b) => (a.bundle.manifest.id < b.bundle.manifest.id ? -1 : 1))
  const byId = new Map(plugins.map((plugin) => [plugin.bundle.manifest.id, plugin]))
  for (const [id, { hooks }] of Object.entries(settings)) {
    if (byId.has(id)) continue
    yield* Effect.logWarning(`there are settings for a plugin ${id}, but none of this id in ${options.directory}`)
    // It may be mistyped, or its bundle broken; either way nobody has agreed.
    yield* dispatcher.require(id, { ...hooks })
  }
  return {
    plugins,
    find: (id: string) => Option.fromNullishOr(byId.get(id.toLowerCase())),
    settled: Effect.asVoid(Fiber.awaitAll(starts)),
  }
})
