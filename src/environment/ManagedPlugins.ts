import type { JsonObject } from "@bufbuild/protobuf"
import { Effect, Exit, Fiber, Option, Record, Scope, Semaphore, SubscriptionRef } from "effect"
import { BundleStore } from "../bundle/BundleStore.ts"
import { refuseDowngrade } from "../bundle/BundleVersion.ts"
import type { BundleError, PluginBundles } from "../bundle/PluginBundle.ts"
import { setSettings, shownSettings } from "../bundle/PluginSettingsSchema.ts"
import { PythonEnvironment } from "../command/PythonEnvironment.ts"
import type { AnyContract } from "../contract/Contract.ts"
import type { UnaryHooks } from "../hooks/Hooks.ts"
import { PluginSettings } from "../storage/PluginSettings.ts"
import { PluginStates } from "../storage/PluginStates.ts"
import type { HostSide } from "../supervisor/HostSide.ts"
import type { PluginSupervisor, SupervisedPlugin } from "../supervisor/PluginSupervisor.ts"
import {
  AlreadyInstalledError,
  DisabledError,
  InvalidSettingsError,
  KeptByHandError,
  NotStoredError,
  UnknownPluginError,
} from "./EnvironmentError.ts"
import { bundlesInFolder, type Found, installedBundles, type LostPlugin } from "./FoundBundles.ts"
import type { EnvironmentOptions, ManagedPlugin, PluginEnvironment } from "./PluginEnvironment.ts"

/** A plugin that this host has. */
interface Entry<H> {
  plugin: SupervisedPlugin<H>
  /** Of an installed one, its bundle's place in the store. */
  path: string | undefined
  isEnabled: boolean
  /** What supervises it ends with this. */
  readonly scope: Scope.Closeable
}

/** The plugins of a folder and the installed ones, supervised. */
export const make = Effect.fn("PluginEnvironment.make")(function* <C extends AnyContract>(
  { api, require }: Pick<HostSide, "api" | "require">,
  supervisor: PluginSupervisor<C>,
  options: EnvironmentOptions<C>,
): Effect.fn.Return<PluginEnvironment<UnaryHooks<C>>, BundleError, PluginBundles | Scope.Scope> {
  const store = yield* Effect.serviceOption(BundleStore)
  const states = yield* Effect.serviceOption(PluginStates)
  const stored = yield* Effect.serviceOption(PluginSettings)
  const python = yield* Effect.serviceOption(PythonEnvironment)
  // As in a manifest.
  const settings = Record.mapKeys(options.plugins ?? {}, (id) => id.toLowerCase())
  // Plugins don't depend on each other: stopping takes as long as the slowest, not as all of them.
  const scope = yield* Scope.fork(yield* Effect.scope, "parallel")
  const entries = new Map<string, Entry<UnaryHooks<C>>>()
  const locks = new Map<string, Semaphore.Semaphore>()

  const need = <S>(service: Option.Option<S>, missing: string): Effect.Effect<S, NotStoredError> =>
    Option.match(service, { onNone: () => Effect.fail(new NotStoredError({ missing })), onSome: Effect.succeed })
  const enabledIn = (id: string) =>
    Option.match(states, {
      onNone: () => Effect.succeed(undefined),
      onSome: ({ get }) =>
        Effect.map(
          Effect.catch(get(id), (error) => Effect.as(Effect.logError(error.message), undefined)),
          (state) => state?.enabled,
        ),
    })
  const supervise = Effect.fnUntraced(function* ({ bundle, path }: Found, isEnabled: boolean) {
    const { id } = bundle.manifest
    const own = yield* Scope.fork(scope)
    const supervised = supervisor.supervise(bundle, { restart: true, ...options.defaults, ...settings[id] })
    const entry = { plugin: yield* Scope.provide(supervised, own), path, isEnabled, scope: own }
    entries.set(id, entry)
    return entry
  })
  const inFolder = yield* bundlesInFolder(options.directory, Option.isSome(store))
  const installed = yield* installedBundles(store, states)
  for (const found of [...inFolder, ...installed.found]) {
    const { id } = found.bundle.manifest
    if (entries.has(id)) {
      yield* Effect.logError(
        `plugin ${id} is installed, and in ${options.directory} as well: the one in the folder counts`,
      )
      continue
    }
    yield* supervise(found, (yield* enabledIn(id)) ?? found.path === undefined)
  }
  /** The installed ones that nothing can be done with until they are installed again. */
  const lost = new Map(installed.lost.filter(({ id }) => !entries.has(id)).map((one) => [one.id, one]))
  for (const [id, { hooks }] of Object.entries(settings)) {
    if (entries.has(id)) continue
    yield* Effect.logWarning(`there are settings for a plugin ${id}, but none of this id in ${options.directory}`)
    // It may be mistyped, or its bundle broken; either way nobody has agreed.
    yield* require(id, { ...hooks })
  }
  // All are known before the first one starts: whoever has to agree has not agreed yet.
  const starts = yield* Effect.forEach(
    [...entries.values()].filter(({ isEnabled }) => isEnabled),
    (entry) =>
      Effect.forkIn(
        Effect.catch(entry.plugin.start, (error) => Effect.logError(error.message)),
        scope,
      ),
  )

  /** Runs to its end, whoever leaves. */
  const carriedOut = <A, E>(run: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.flatMap(Effect.forkIn(run, scope), Fiber.join)

  /** Carries out a command on a plugin after those before it; who gave it may leave. */
  const command = <A, E>(id: string, run: Effect.Effect<A, E>): Effect.Effect<A, E> => {
    const lock = locks.get(id) ?? Semaphore.makeUnsafe(1)
    locks.set(id, lock)
    return carriedOut(lock.withPermit(run))
  }
  const unknown = (given: string, id: string): UnknownPluginError => {
    const gone = lost.get(id)
    return new UnknownPluginError({ pluginId: given, ...(gone !== undefined && { lost: gone.reason }) })
  }
  /** The same on one that has to be there. */
  const on = <A, E>(
    given: string,
    run: (entry: Entry<UnaryHooks<C>>, id: string) => Effect.Effect<A, E>,
  ): Effect.Effect<A, E | UnknownPluginError> => {
    const id = given.toLowerCase()
    const onEntry = Effect.suspend((): Effect.Effect<A, E | UnknownPluginError> => {
      const entry = entries.get(id)
      return entry === undefined ? Effect.fail(unknown(given, id)) : run(entry, id)
    })
    // A lock is kept for each id; those that somebody made up get none.
    return Effect.suspend(() => (locks.has(id) || entries.has(id) ? command(id, onEntry) : onEntry))
  }
  /** What is disabled stays so. */
  const ifEnabled = <A, E>(
    entry: Entry<UnaryHooks<C>>,
    run: Effect.Effect<A, E>,
  ): Effect.Effect<A, E | DisabledError> =>
    entry.isEnabled ? run : Effect.fail(new DisabledError({ pluginId: entry.plugin.bundle.manifest.id }))
  const setEnabled = Effect.fnUntraced(function* (entry: Entry<UnaryHooks<C>>, id: string, isEnabled: boolean) {
    if (Option.isSome(states)) yield* states.value.enable(id, isEnabled)
    entry.isEnabled = isEnabled
  })

  const install: PluginEnvironment["install"] = (source, { force = false } = {}) =>
    carriedOut(
      Effect.scoped(
        Effect.gen(function* () {
          const bundles = yield* need(store, "BundleStore and PluginStates")
          const rows = yield* need(states, "PluginStates")
          const staged = yield* bundles.stage(source)
          const { id, version = "" } = staged.bundle.manifest
          return yield* command(
            id,
            Effect.gen(function* () {
              const entry = entries.get(id)
              if (entry !== undefined && entry.path === undefined) {
                return yield* new KeptByHandError({ pluginId: id, directory: options.directory })
              }
              const before = (yield* rows.get(id))?.current
              yield* refuseDowngrade(id, before?.version, version, { force })
              // One whose bundle was lost is there for nobody.
              if (before !== undefined && entry !== undefined && !force) {
                return yield* new AlreadyInstalledError({ pluginId: id, version: before.version })
              }
              const committed = yield* bundles.commit(staged)
              const bundle = { ...committed.bundle, installedHash: committed.hash }
              const isAnother = committed.path !== before?.path
              const undo = isAnother ? Effect.ignore(bundles.remove(committed.path)) : Effect.void
              yield* Effect.onError(
                Effect.gen(function* () {
                  if (entry?.isEnabled === true) yield* entry.plugin.replace(bundle)
                  yield* rows.set(id, committed)
                }),
                () => undo,
              )
              if (entry?.isEnabled === true) entry.path = committed.path
              else {
                if (entry !== undefined) yield* Scope.close(entry.scope, Exit.void)
                // What was lost, and comes back, is to run if it was to.
                const isEnabled = entry === undefined && before !== undefined && (yield* enabledIn(id)) === true
                const made = yield* supervise({ bundle, path: committed.path }, isEnabled)
                lost.delete(id)
                if (isEnabled) yield* made.plugin.start
              }
              if (before !== undefined && isAnother) yield* Effect.ignore(bundles.remove(before.path))
              yield* Effect.annotateLogs(Effect.logInfo(`plugin ${id}${version && ` ${version}`} is installed`), {
                plugin_id: id,
              })
              return bundle
            }),
          )
        }),
      ),
    )

  const settingsOf = (id: string) => Effect.flatMap(need(stored, "PluginSettings"), ({ get }) => get(id))
  const configure = (given: string, wanted: JsonObject, isChange: boolean) =>
    on(given, ({ plugin }, id) =>
      Effect.gen(function* () {
        const { save } = yield* need(stored, "PluginSettings")
        const { problems, settings } = setSettings(wanted, yield* settingsOf(id), plugin.bundle.manifest, { isChange })
        if (problems.length > 0) return yield* new InvalidSettingsError({ pluginId: id, problems })
        yield* save({ [id]: settings })
        // Where the contract has all plugins told, whoever stores the settings does that.
        if (api.contract.unary.get("onConfigurationChange")?.kind === "tells") return
        const run = yield* plugin.run
        if (Option.isNone(run)) return
        yield* Effect.catch(run.value.client.call("onConfigurationChange", {}), (error) =>
          error._tag === "HookNotImplementedError" ? Effect.void : Effect.logError(error.message),
        )
      }),
    )
  /** Of one that is lost there is nothing but what is stored of it. */
  const forget = ({ id, path }: LostPlugin) =>
    command(
      id,
      Effect.gen(function* () {
        yield* (yield* need(states, "PluginStates")).remove(id)
        lost.delete(id)
        yield* (yield* need(store, "BundleStore")).remove(path)
      }),
    )
  const byId = () =>
    [...entries.values()].sort((a, b) => (a.plugin.bundle.manifest.id < b.plugin.bundle.manifest.id ? -1 : 1))

  return {
    plugins: Effect.sync(() => byId().map(({ plugin }) => plugin)),
    managed: Effect.sync(() => {
      const builds = Option.map(python, ({ builds }) => SubscriptionRef.getUnsafe(builds))
      return byId().map(({ isEnabled, path, plugin }): ManagedPlugin<UnaryHooks<C>> => ({
        plugin,
        isEnabled,
        source: path === undefined ? "folder" : "installed",
        building: Option.getOrUndefined(builds)?.get(plugin.bundle.manifest.id),
      }))
    }),
    find: (id) => Effect.sync(() => Option.fromNullishOr(entries.get(id.toLowerCase())?.plugin)),
    settled: Effect.asVoid(Fiber.awaitAll(starts)),
    enable: (given) =>
      on(given, (entry, id) => Effect.andThen(setEnabled(entry, id, true), Effect.asVoid(entry.plugin.start))),
    disable: (given) => on(given, (entry, id) => Effect.andThen(setEnabled(entry, id, false), entry.plugin.stop)),
    restart: (given) =>
      on(given, (entry) => ifEnabled(entry, Effect.andThen(entry.plugin.stop, Effect.asVoid(entry.plugin.start)))),
    reload: (given) => on(given, (entry) => ifEnabled(entry, Effect.asVoid(entry.plugin.reload))),
    install,
    lost: Effect.sync(() => [...lost.values()]),
    remove: (given) => {
      const gone = lost.get(given.toLowerCase())
      if (gone !== undefined) return forget(gone)
      return on(given, (entry, id) =>
        Effect.gen(function* () {
          const { path } = entry
          if (path === undefined) return yield* new KeptByHandError({ pluginId: id, directory: options.directory })
          const bundles = yield* need(store, "BundleStore")
          const rows = yield* need(states, "PluginStates")
          // First, since it may fail: then nothing has changed.
          yield* rows.remove(id)
          yield* entry.plugin.stop
          entries.delete(id)
          yield* Scope.close(entry.scope, Exit.void)
          yield* bundles.remove(path)
          yield* Effect.annotateLogs(Effect.logInfo(`plugin ${id} is removed`), { plugin_id: id })
        }),
      )
    },
    settings: (given) =>
      on(given, ({ plugin }, id) => Effect.map(settingsOf(id), (set) => shownSettings(set, plugin.bundle.manifest))),
    configure: (given, wanted) => configure(given, wanted, false),
    change: (given, changes) => configure(given, changes, true),
  }
})

/** An environment of these plugins, in which nothing can be changed; for tests. */
export const environmentOf = <H>(plugins: ReadonlyArray<SupervisedPlugin<H>>): PluginEnvironment<H> => {
  const fixed = Effect.fail(new NotStoredError({ missing: "an environment that is not a test's" }))
  const unknown = (id: string) => Effect.fail(new UnknownPluginError({ pluginId: id }))
  const all = [...plugins].sort((a, b) => (a.bundle.manifest.id < b.bundle.manifest.id ? -1 : 1))
  return {
    plugins: Effect.succeed(all),
    managed: Effect.succeed(all.map((plugin) => ({ plugin, source: "folder", isEnabled: true }))),
    lost: Effect.succeed([]),
    find: (id) =>
      Effect.succeed(Option.fromNullishOr(all.find(({ bundle }) => bundle.manifest.id === id.toLowerCase()))),
    settled: Effect.void,
    enable: unknown,
    disable: unknown,
    restart: unknown,
    reload: unknown,
    install: () => fixed,
    remove: unknown,
    settings: unknown,
    configure: unknown,
    change: unknown,
  }
}
