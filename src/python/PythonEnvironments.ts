import { Duration, Effect, Exit, FileSystem, Layer, Option, Path, Schedule, Semaphore, SubscriptionRef } from "effect"
import { PathSanitizer } from "../bundle/PathSanitizer.ts"
import type { PluginBundle } from "../bundle/PluginBundle.ts"
import { HostEnvironment } from "../command/HostEnvironment.ts"
import { pluginVariables } from "../command/PluginVariables.ts"
import {
  type EnvironmentBuild,
  PythonEnvironment,
  PythonEnvironmentFolderError,
  PythonInstallError,
  type PythonToolError,
} from "../command/PythonEnvironment.ts"
import { PythonInterpreter } from "../command/PythonInterpreter.ts"
import { PluginProcess } from "../process/PluginProcess.ts"
import { probe } from "./BaseInterpreter.ts"
import { NETWORK_VARIABLES, type PythonEnvironmentsOptions, settingsOf } from "./EnvironmentSettings.ts"
import { type Environment, makeStore } from "./EnvironmentStore.ts"
import { makeInstaller } from "./Installer.ts"
import { makeNeeds, type Needed } from "./Needed.ts"
import { ownSdk } from "./OwnSdk.ts"
import { ToolRun } from "./ToolRun.ts"

/** Far more often than environments become unused. */
const TIDY_EVERY = Duration.days(1)

/** Environments that are made at once: tools wait for each other's locks, and not for ever. */
const AT_ONCE = 2

const make = Effect.fn("PythonEnvironments.make")(function* (options: PythonEnvironmentsOptions) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const interpreters = yield* PythonInterpreter
  const { run } = yield* ToolRun
  const { platform, variables } = yield* HostEnvironment
  const settings = settingsOf(options, yield* ownSdk)
  const store = yield* makeStore(options.directory)
  const installer = yield* makeInstaller
  const isWindows = platform.platform === "win32"
  const env = pluginVariables(variables, platform.platform, NETWORK_VARIABLES, settings.variables)
  const builds = yield* SubscriptionRef.make<ReadonlyMap<string, EnvironmentBuild>>(new Map())
  const together = Semaphore.makeUnsafe(AT_ONCE)
  const byKey = new Map<string, Semaphore.Semaphore>()
  const given = new Set<string>()

  const venvIn = (folder: string) => path.join(folder, "venv")
  const interpreterIn = (folder: string) => path.join(venvIn(folder), isWindows ? "Scripts/python.exe" : "bin/python")
  const ask = (pluginId: string, executable: string) =>
    probe(run, { pluginId, cwd: store.root, env }, executable, settings.sdk?.module)
  const neededBy = yield* makeNeeds(settings, ask)

  /**
   * A finished environment of this key that works still. Those that don't, since their Python was replaced or removed, go
   * when there is one that does: what keeps one from working may pass, and plugins may run by it.
   */
  const existing = Effect.fnUntraced(function* (pluginId: string, { base, key }: Needed) {
    const broken: Array<string> = []
    const removeBroken = Effect.suspend(() =>
      Effect.forEach(
        broken.filter((folder) => !given.has(folder)),
        store.remove,
        { discard: true },
      ),
    )
    for (const environment of yield* store.finished(key)) {
      yield* store.use(environment.folder)
      const found = yield* Effect.result(ask(pluginId, interpreterIn(environment.folder)))
      // Another host may just have taken it for unused.
      if (!(yield* store.isFinished(environment.folder))) continue
      if (
        found._tag === "Success" &&
        found.success.version === base.version &&
        found.success.base === environment.base &&
        (settings.sdk === undefined || found.success.hasSdk)
      ) {
        given.add(environment.folder)
        yield* removeBroken
        return { environment, removeBroken }
      }
      const why = found._tag === "Failure" ? found.failure.message : "its Python has changed, or its packages have"
      yield* Effect.logWarning(`the Python environment ${environment.folder} is made anew: ${why}`)
      broken.push(environment.folder)
    }
    return { environment: undefined, removeBroken }
  })

  const report = (build: EnvironmentBuild) =>
    SubscriptionRef.update(builds, (all) => new Map(all).set(build.pluginId, build))
  const reported = <A, E, R>(pluginId: string, effect: Effect.Effect<A, E, R>) =>
    Effect.ensuring(
      Effect.andThen(report({ pluginId, step: "waiting", line: "" }), effect),
      SubscriptionRef.update(builds, (all) => new Map([...all].filter(([id]) => id !== pluginId))),
    )

  const build = Effect.fn("PythonEnvironments.build")(function* (
    pluginId: string,
    { base, key, packages, requirements, sdk, tool }: Needed,
    folder: string,
  ): Effect.fn.Return<Environment, PythonInstallError | PythonToolError | PythonEnvironmentFolderError> {
    const began = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
    yield* Effect.logInfo(
      `plugin ${pluginId}: its Python environment is made, by ${tool.name}, of ${requirements.kind === "none" ? "the SDK" : requirements.kind}${packages.length === 0 ? "" : " and the host's packages"}`,
    )
    const scratch = path.join(folder, "scratch")
    const services = yield* Effect.context()
    const lines: Array<string> = []
    let now: EnvironmentBuild = { pluginId, step: "creating", line: "" }
    const at = (step: EnvironmentBuild["step"]) => Effect.suspend(() => report((now = { pluginId, step, line: "" })))
    const onLine = (line: string) => {
      lines.push(line)
      if (lines.length > MAX_LINES) lines.shift()
      Effect.runSyncWith(services)(
        Effect.andThen(report((now = { ...now, line })), Effect.logDebug(`plugin ${pluginId}: ${tool.name}: ${line}`)),
      )
    }
    const { offline, secrets, stallLimit, totalLimit } = settings
    const steps = installer(run, { pluginId, env, offline, secrets, stallLimit, onLine }, settings, {
      tool,
      python: base.executable,
      requirements,
      sdk,
      packages,
      isWindows,
      scratch,
      cache: store.cache,
      venv: venvIn(folder),
      interpreter: interpreterIn(folder),
    })
    const unusable = ({ message: reason }: { readonly message: string }) =>
      new PythonEnvironmentFolderError({ folder: store.root, reason })
    const environment = yield* Effect.gen(function* () {
      yield* at("creating")
      yield* steps.prepare
      yield* steps.create
      yield* at("installing")
      yield* steps.install
      yield* at("checking")
      yield* steps.check
      yield* fs.remove(scratch, { recursive: true })
      return yield* store.finish(folder, venvIn(folder), { key, version: base.version, base: base.base })
    }).pipe(
      Effect.catchTag("PlatformError", (error) => Effect.fail(unusable(error))),
      Effect.timeoutOrElse({
        duration: totalLimit,
        orElse: () =>
          Effect.fail(
            new PythonInstallError({
              pluginId,
              step: `making its Python environment by ${tool.name}`,
              reason: "it took too long and was ended",
              cure: "allow more time (totalLimit), or put the wheels into the bundle's folder wheels",
              output: lines,
            }),
          ),
      }),
    )
    const seconds = ((yield* Effect.clockWith((clock) => clock.currentTimeMillis)) - began) / 1000
    yield* Effect.logInfo(`plugin ${pluginId}: its Python environment is ready after ${seconds.toFixed(1)} s`)
    return environment
  })

  const lockOf = (key: string) => {
    const lock = byKey.get(key) ?? Semaphore.makeUnsafe(1)
    byKey.set(key, lock)
    return lock
  }

  /** Removes what nobody will use, and tells other hosts of the same folder what this one uses. */
  const tidy = Effect.gen(function* () {
    yield* store.removeAbandoned
    yield* Effect.forEach(given, store.use, { discard: true })
    for (const folder of yield* store.removeUnused(settings.unusedLimit, (folder) => given.has(folder))) {
      yield* Effect.logInfo(`the Python environment ${folder} is removed: no plugin has used it for long`)
    }
  }).pipe(Effect.catch(({ message }) => Effect.logWarning(message)))
  yield* Effect.forkScoped(Effect.repeat(tidy, Schedule.spaced(TIDY_EVERY)))

  return {
    builds,
    interpreter: Effect.fn("PythonEnvironment.interpreter")(function* (bundle: PluginBundle, venv?: string) {
      const pluginId = bundle.manifest.id
      const own = yield* interpreters.findOwn(bundle.directory, venv)
      if (Option.isSome(own)) return own.value
      const host = yield* interpreters.find(bundle.directory)
      const needed = yield* neededBy(bundle, host)
      if (needed === undefined) return host
      const there = yield* existing(pluginId, needed)
      if (there.environment !== undefined) return interpreterIn(there.environment.folder)
      const make = Effect.gen(function* () {
        // Another plugin may have had it made meanwhile.
        const { environment, removeBroken } = yield* existing(pluginId, needed)
        if (environment !== undefined) return environment
        const made = yield* together.withPermit(
          Effect.acquireUseRelease(
            Effect.tap(store.begin(needed.key), (folder) => Effect.sync(() => given.add(folder))),
            (folder) => build(pluginId, needed, folder),
            (folder, exit) => (Exit.isSuccess(exit) ? Effect.void : store.remove(folder)),
          ),
        )
        yield* removeBroken
        return made
      })
      const { folder } = yield* reported(pluginId, lockOf(needed.key).withPermit(make))
      return interpreterIn(folder)
    }),
  }
})

/** Lines of a tool's output that an error has. */
const MAX_LINES = 20

/**
 * Makes virtual environments for Python plugins: each of what its bundle asks for (`uv.lock`, `pylock.toml`,
 * `requirements.txt`, `pyproject.toml` or a folder `wheels`), and the SDK. Plugins that ask for the same share one, which
 * is removed when none has used it for `unusedLimit`. It is made before the plugin starts, when its start timeout has not begun yet.
 */
export const layer = (
  options: PythonEnvironmentsOptions,
): Layer.Layer<PythonEnvironment, PythonEnvironmentFolderError, FileSystem.FileSystem | Path.Path> =>
  Layer.effect(PythonEnvironment, make(options)).pipe(
    Layer.provide([
      ToolRun.layer.pipe(Layer.provide(PluginProcess.layer)),
      PythonInterpreter.layer,
      PathSanitizer.layer,
    ]),
  )

export type { PythonEnvironmentsOptions, SdkSource } from "./EnvironmentSettings.ts"
