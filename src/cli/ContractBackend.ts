import { dirname, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { Effect, type FileSystem, Layer, Option, type Path } from "effect"
import { CliError } from "effect/cli"
import type { AnyContract } from "../contract/Contract.ts"
import type { Api, HostClass } from "../environment/PluginHost.ts"
import type { PluginOptions } from "../supervisor/PluginOptions.ts"
import { AccessToken } from "../http/AccessToken.ts"
import type { KeyValues } from "../storage/KeyValues.ts"
import { isBusy, lockFile } from "../storage/NodeSqlite.ts"
import { isPath } from "../python/RequirementContent.ts"
import type { PluginSettings } from "../storage/PluginSettings.ts"
import { PluginStorage } from "../storage/PluginStorage.ts"
import { bundleStore, daemonLayer, type DaemonOptions, optionsOfPlugins } from "./DaemonLayer.ts"

/**
 * What a module exports as its default for `plugin-supervisor serve --backend FILE`: the host of a contract's plugins, and what
 * is behind their API. The daemon provides the plugins' store, files and paths.
 */
export interface ServedBackend<Self, C extends AnyContract, E = never> {
  readonly host: HostClass<Self, string, C>
  /** Default: every method answers "not implemented". */
  readonly api?:
    | Layer.Layer<Api<Self>, E, KeyValues | PluginSettings | FileSystem.FileSystem | Path.Path | NoInfer<Self>>
    | undefined
  /**
   * Python packages that the contract's plugins need, above all the contract's own: requirements as pip reads them, or the
   * paths of wheels or of projects' folders (`./package`), from the module's folder on. Every environment that is made has them.
   */
  readonly pythonPackages?: ReadonlyArray<string> | undefined
}

/** Whoever a module's host is. */
export interface Loaded {
  readonly loaded: unique symbol
}

/** The file in the data folder in which plugins' keys, values and settings are. */
const DATABASE = "plugins.db"

/** Locked by whoever works in the data folder. */
const LOCK = "plugins.lock"

/** Whose requests to plugins are that carry the daemon's token. */
export const OPERATOR = "operator"

const refuse = (cause: string) => Effect.fail(new CliError.UserError({ cause }))

/** Loads the module of a backend. */
export const loadBackend = Effect.fnUntraced(function* (
  file: string,
): Effect.fn.Return<ServedBackend<Loaded, AnyContract>, CliError.UserError> {
  const path = resolve(file)
  const module = yield* Effect.tryPromise({
    try: () =>
      import(pathToFileURL(path).href) as Promise<{ readonly default?: Partial<ServedBackend<Loaded, AnyContract>> }>,
    catch: (error) => `--backend: ${path} can't be loaded: ${error instanceof Error ? error.message : String(error)}`,
  }).pipe(Effect.catch(refuse))
  const { api, host, pythonPackages = [] } = module.default ?? {}
  if (typeof host?.layerFolder !== "function") {
    return yield* refuse(
      `--backend: ${path} has to export the host of its plugins, a class made by PluginHost.Service: export default { host: MyPlugins, api: MyPlugins.layerApi({ … }) }`,
    )
  }
  if (api !== undefined && !Layer.isLayer(api)) {
    return yield* refuse(`--backend: the api that ${path} exports is no Layer; make it by layerApi`)
  }
  if (!Array.isArray(pythonPackages) || !pythonPackages.every((one) => typeof one === "string")) {
    return yield* refuse(`--backend: the pythonPackages that ${path} exports are no list of requirements and paths`)
  }
  const fromModule = (one: string) => (isPath(one) ? resolve(dirname(path), one) : one)
  return { host, api, pythonPackages: pythonPackages.map(fromModule) }
})

/** Makes this process the only one that works in the data folder: two would each remove the other's bundles. */
const holdFolder = (data: string) =>
  Effect.catch(lockFile(resolve(data, LOCK)), (error) =>
    refuse(
      isBusy(error)
        ? `the data folder ${data} is in use by another process; end it, or use another folder (--data)`
        : `the data folder ${data} can't be used: ${error.message}`,
    ),
  )

/** A daemon with the plugins of a backend's own contract. */
export const contractLayer = (
  options: DaemonOptions & { readonly pluginOptions: PluginOptions<AnyContract> },
  { api, host, pythonPackages }: ServedBackend<Loaded, AnyContract>,
) =>
  daemonLayer(options, {
    host,
    pythonPackages,
    authenticate: Effect.map(
      AccessToken,
      (accessToken) => (token: string) =>
        Effect.succeed(accessToken.matches(token) ? Option.some(OPERATOR) : Option.none()),
    ),
    routes: Layer.empty,
    environment: () =>
      host
        .layerFolder({
          directory: options.plugins,
          ...optionsOfPlugins(options),
        })
        .pipe(
          Layer.provide(Layer.provide(api ?? host.layerApi({}), host.layer)),
          Layer.provide([PluginStorage.layerFile(resolve(options.data, DATABASE)), bundleStore(options)]),
          Layer.provide(Layer.effectDiscard(holdFolder(options.data))),
        ),
  })
