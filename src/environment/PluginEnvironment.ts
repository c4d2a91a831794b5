import { Effect, Fiber, Option, Record, Scope } from "effect"
import { PluginBundles } from "../bundle/PluginBundle.ts"
import type { AnyContract } from "../contract/Contract.ts"
import type { UnaryHooks } from "../hooks/Hooks.ts"
import type { HostSide } from "../supervisor/HostSide.ts"
import type { SupervisorOptions } from "../supervisor/SupervisorOptions.ts"
import type { PluginSupervisor, SupervisedPlugin } from "../supervisor/PluginSupervisor.ts"

/** Settings of all plugins of a host. */
export interface EnvironmentOptions<C extends AnyContract> {
  /** The folder that holds the bundles, one folder each. */
  readonly directory: string
  /** Settings of every plugin. They are restarted unless these say otherwise. */
  readonly defaults?: SupervisorOptions<C> | undefined
  /** Settings of single plugins by id, in place of the defaults of the same name. */
  readonly plugins?: { readonly [id: string]: SupervisorOptions<C> } | undefined
}

/**
 * All plugins of a host. Making it discovers the bundles and starts their plugins in the background, all at once; the end of
 * its Scope stops them, all at once. A bundle that is wrong and a plugin that can't start are logged and keep no other plugin
 * from running.
 */
export interface PluginEnvironment<out H = object> {
  /** The plugins there are now, in the order of their ids. */
  readonly plugins: Effect.Effect<ReadonlyArray<SupervisedPlugin<H>>>
  /** The plugin of an id, in any case of its letters. */
  readonly find: (id: string) => Effect.Effect<Option.Option<SupervisedPlugin<H>>>
  /** Waits until every plugin that was found at the start is active or has failed. */
  readonly settled: Effect.Effect<void>
}

/** An environment of these plugins. */
export const environment = <H>(
  plugins: Iterable<SupervisedPlugin<H>>,
  settled: Effect.Effect<void>,
): PluginEnvironment<H> => {
  const all = Effect.sync(() => [...plugins].sort((a, b) => (a.bundle.manifest.id < b.bundle.manifest.id ? -1 : 1)))
  return {
    plugins: all,
    find: (id) =>
      Effect.map(all, (found) =>
        Option.fromNullishOr(found.find(({ bundle }) => bundle.manifest.id === id.toLowerCase())),
      ),
    settled,
  }
}

/** The plugins of a folder, supervised. */
export const make = Effect.fn("PluginEnvironment.make")(function* <C extends AnyContract>(
  { require }: Pick<HostSide, "require">,
  supervisor: PluginSupervisor<C>,
  options: EnvironmentOptions<C>,
): Effect.fn.Return<PluginEnvironment<UnaryHooks<C>>, never, PluginBundles | Scope.Scope> {
  const bundles = yield* PluginBundles
  // As in a manifest.
  const settings = Record.mapKeys(options.plugins ?? {}, (id) => id.toLowerCase())
  const discovered = yield* bundles
    .discover(options.directory)
    .pipe(Effect.catch((error) => Effect.as(Effect.logError(error.message), [])))
  // Plugins don't depend on each other: stopping takes as long as the slowest, not as all of them.
  const scope = yield* Scope.fork(yield* Effect.scope, "parallel")
  const plugins = new Map<string, SupervisedPlugin<UnaryHooks<C>>>()
  for (const entry of discovered) {
    if (entry._tag === "Failure") {
      const { failure } = entry
      const isHarmless = failure._tag === "PassedOverError" && !failure.isWithoutPlugins
      yield* isHarmless ? Effect.logInfo(failure.message) : Effect.logError(failure.message)
      continue
    }
    const bundle = entry.success
    const { id } = bundle.manifest
    const own = yield* Scope.fork(scope)
    plugins.set(
      id,
      yield* Scope.provide(supervisor.supervise(bundle, { restart: true, ...options.defaults, ...settings[id] }), own),
    )
  }
  for (const [id, { hooks }] of Object.entries(settings)) {
    if (plugins.has(id)) continue
    yield* Effect.logWarning(`there are settings for a plugin ${id}, but none of this id in ${options.directory}`)
    // It may be mistyped, or its bundle broken; either way nobody has agreed.
    yield* require(id, { ...hooks })
  }
  // All are known before the first one starts: whoever has to agree has not agreed yet.
  const starts = yield* Effect.forEach(plugins, ([id, { start }]) =>
    start.pipe(
      Effect.andThen(Effect.logInfo(`plugin ${id} is active`)),
      Effect.catch((error) => Effect.logError(error.message)),
      Effect.annotateLogs({ plugin_id: id }),
      Effect.forkIn(scope),
    ),
  )
  return environment({ [Symbol.iterator]: () => plugins.values() }, Effect.asVoid(Fiber.awaitAll(starts)))
})
