import { join } from "node:path"
import { Effect, FileSystem, Layer, type LogLevel, Option, type Path, References } from "effect"
import { GlobalFlag } from "effect/cli"
import type { PluginBundles } from "../bundle/PluginBundle.ts"
import { ServerVersion } from "../command/ServerVersion.ts"
import type { AnyContract } from "../contract/Contract.ts"
import type { HostClass, Supervisor } from "../environment/PluginHost.ts"
import { MattermostPlugins } from "../mattermost/MattermostPlugins.ts"
import { PluginStorage } from "../storage/PluginStorage.ts"
import { Workspace } from "../workspace/Workspace.ts"
import { WorkspacePluginApi } from "../workspace/WorkspacePluginApi.ts"
import { SERVER_VERSION, WorkspaceSettings } from "../workspace/WorkspaceSettings.ts"
import { type CommandError, failed, told } from "./CommandError.ts"
import { type Loaded, loadBackend, type ServedBackend } from "./ContractBackend.ts"
import type { LocalFlags } from "./localFlags.ts"
import { pythonEnvironments, userEnvironments } from "./PythonLayer.ts"
import * as StderrLog from "./StderrLog.ts"

/** The supervisor of Mattermost's plugins on an embedded workspace. */
export const mattermostSupervisor = (data: string, siteUrl: Effect.Effect<string> = Effect.succeed("")) =>
  MattermostPlugins.layerSupervisor.pipe(
    Layer.provide(Layer.provide(WorkspacePluginApi.layer, MattermostPlugins.layer)),
    Layer.provideMerge(Layer.provide(Workspace.layerIn(data), MattermostPlugins.layer)),
    Layer.provide(Layer.succeed(ServerVersion, SERVER_VERSION)),
    Layer.provide(Layer.succeed(WorkspaceSettings, { siteUrl, serverVersion: SERVER_VERSION })),
  )

/** The supervisor of the plugins of a backend's own contract. */
export const backendSupervisor = ({ api, host }: ServedBackend<Loaded, AnyContract>, data: string) =>
  host.layerSupervisor.pipe(
    Layer.provide(Layer.provide(api ?? host.layerApi({}), host.layer)),
    Layer.provide(PluginStorage.layerFile(join(data, "plugins.db"))),
  )

/** A host for one command. */
export interface LocalHost {
  readonly host: HostClass<Loaded, string, AnyContract>
  /** Whether no `--backend` names another contract. */
  readonly isMattermost: boolean
  readonly supervisor: Layer.Layer<
    Loaded | Supervisor<Loaded> | PluginBundles,
    { readonly message: string },
    FileSystem.FileSystem | Path.Path
  >
}

/** The contract that `--backend` names. */
export const loadHost = (
  backend: Option.Option<string>,
): Effect.Effect<ServedBackend<Loaded, AnyContract>, ReturnType<typeof told>> =>
  Option.match(backend, {
    onNone: () => Effect.succeed({ host: MattermostPlugins as unknown as LocalHost["host"] }),
    onSome: (file) => Effect.mapError(loadBackend(file), ({ cause }) => told({ message: String(cause) })),
  })

/** Why a plugin did not start, with what may have been forgotten. */
export const startProblem = (
  error: { readonly message: string; readonly _tag?: string; readonly kind?: string },
  isMattermost: boolean,
): CommandError =>
  failed(
    error._tag === "HandshakeError" && error.kind === "cookie"
      ? `${error.message}\n${isMattermost ? "was --backend forgotten? Without it the contract is Mattermost's" : "is it made for the contract of this --backend?"}`
      : error.message,
  )

/** The folder that is given, or one that goes with the Scope. */
export const dataFolder = (given: Option.Option<string>) =>
  Option.match(given, {
    onNone: () =>
      Effect.flatMap(FileSystem.FileSystem, (fileSystem) =>
        Effect.mapError(fileSystem.makeTempDirectoryScoped({ prefix: "plugin-" }), told),
      ),
    onSome: Effect.succeed,
  })

/** Makes a host, by default with data that goes with the Scope. */
export const localHost = Effect.fnUntraced(function* (
  backend: Option.Option<string>,
  given: Option.Option<string> = Option.none(),
) {
  const data = yield* dataFolder(given)
  const loaded = yield* loadHost(backend)
  return {
    host: loaded.host,
    isMattermost: Option.isNone(backend),
    supervisor: Option.isNone(backend)
      ? (mattermostSupervisor(data) as unknown as LocalHost["supervisor"])
      : backendSupervisor(loaded, data),
  } satisfies LocalHost
})

/** Runs a command with what Python plugins ask for, and its log on stderr: from `least` on, unless `--log-level` says otherwise. */
export const locally = <A, E, R>(
  flags: LocalFlags,
  command: Effect.Effect<A, E, R>,
  least: LogLevel.LogLevel = "Warn",
) =>
  Effect.gen(function* () {
    const level = yield* GlobalFlag.LogLevel
    const { pythonPackages } = yield* loadHost(flags.backend)
    // From one time to the next, so that they are made once.
    const python = Layer.catchCause(pythonEnvironments(flags, userEnvironments(), pythonPackages), (cause) =>
      Layer.effectDiscard(Effect.mapError(Effect.failCause(cause), told)),
    )
    return yield* command.pipe(
      Effect.provide(python),
      Effect.provideService(
        References.MinimumLogLevel,
        Option.getOrElse(level, () => least),
      ),
      Effect.provide(StderrLog.layer),
      Effect.scoped,
    )
  })
