import { Effect, Layer, Option } from "effect"
import { CliError } from "effect/cli"
import { FetchHttpClient } from "effect/http"
import { Otlp, OtlpSerialization } from "effect/observability"
import type { AnyContract } from "../../contract/Contract.ts"
import { pluginOptions } from "../../supervisor/PluginOptions.ts"
import { MattermostContract } from "../../mattermost/MattermostContract.ts"
import { MattermostPlugins } from "../../mattermost/MattermostPlugins.ts"
import { announce, postLine } from "../Announcement.ts"
import { contractLayer, loadBackend } from "../ContractBackend.ts"
import type { DaemonOptions } from "../DaemonLayer.ts"
import { serveLayer } from "../ServeLayer.ts"
import { signatureLayer, type SignatureFlags } from "../signatureFlags.ts"
import * as StderrLog from "../StderrLog.ts"
import { wrongFlag } from "../wrongFlag.ts"

/** Traces, metrics and logs for a collector, as far as OpenTelemetry's own variables ask for them. */
const telemetry = Otlp.layerFromConfig({ resource: { serviceName: "plugin-supervisor" } }).pipe(
  Layer.provide(OtlpSerialization.layerProtobuf),
  Layer.provide(FetchHttpClient.layer),
)

/** What the flags say, but for the file of options, which is not read yet. */
type Flags = DaemonOptions & { readonly pluginOptions: unknown }

/** The flags with that file, read for a contract. */
const read = <C extends AnyContract>(contract: C, flags: Flags) =>
  pluginOptions(contract, flags.pluginOptions).pipe(
    Effect.map((read) => ({ ...flags, pluginOptions: read })),
    Effect.mapError(wrongFlag("--plugin-options")),
  )

/** Mattermost's plugins, on the embedded workspace. */
const serveWorkspace = Effect.fnUntraced(function* (flags: Flags) {
  const options = yield* read(MattermostContract, flags)
  return yield* Effect.andThen(announce(MattermostPlugins, flags.host, postLine), Effect.never).pipe(
    Effect.provide(serveLayer(options)),
  )
})

/** The plugins of a contract that a module brings. */
const serveBackend = Effect.fnUntraced(function* (file: string, flags: Flags) {
  const backend = yield* loadBackend(file)
  const options = yield* read(backend.host.contract, flags)
  const announced = announce(backend.host, flags.host, () => Effect.succeed([]))
  return yield* Effect.andThen(announced, Effect.never).pipe(Effect.provide(contractLayer(options, backend)))
})

/** Carries out `plugin-supervisor serve`. */
export const run = ({ backend, ...options }: Flags & SignatureFlags & { readonly backend: Option.Option<string> }) =>
  Effect.gen(function* () {
    return Option.isSome(backend) ? yield* serveBackend(backend.value, options) : yield* serveWorkspace(options)
  }).pipe(
    Effect.provide(signatureLayer(options)),
    Effect.catchTag(
      [
        "AccessTokenFileError",
        "BundleStoreError",
        "PythonEnvironmentFolderError",
        "StorageError",
        "StorageVersionError",
        "WorkspaceDatabaseError",
        "WorkspaceInUseError",
        "WorkspaceVersionError",
      ],
      (error) => Effect.fail(new CliError.UserError({ cause: error.message })),
    ),
    Effect.catchTag("ServeError", ({ cause }) => {
      const reason = `can't listen on ${options.host}:${options.port} (${cause instanceof Error ? cause.message : String(cause)})`
      return Effect.fail(new CliError.UserError({ cause: `${reason}; choose another --host or --port` }))
    }),
    Effect.provide(Layer.provideMerge(telemetry, StderrLog.layer)),
  )
