import { openAsBlob } from "node:fs"
import { basename, join } from "node:path"
import { Effect, FileSystem, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { HttpBody, HttpClientRequest } from "effect/http"
import { packBundle } from "../bundle/BundlePack.ts"
import { PluginBundles } from "../bundle/PluginBundle.ts"
import { failed, told } from "./CommandError.ts"
import { type Daemon, daemonFlags, START_LIMIT, withDaemon } from "./Daemon.ts"
import { enabledPlugins } from "./enabledPlugins.ts"
import { printJson, printLine, working } from "./Output.ts"
import { provisioning } from "./provisioning.ts"

const Installed = Schema.Struct({ id: Schema.String, version: Schema.optionalKey(Schema.String) })

/** `plugin-supervisor install FILE|FOLDER|URL`. */
export const install = Command.make(
  "install",
  {
    source: Argument.String("source").pipe(
      Argument.withDescription("Bundle (.tar.gz), a plugin's folder, which is packed first, or the URL of a bundle"),
    ),
    force: Flag.Boolean("force").pipe(
      Flag.withDescription("Take the place of what is installed, of a newer version too"),
      Flag.withDefault(false),
    ),
    ...daemonFlags,
  },
  ({ force, source, ...flags }) =>
    withDaemon(
      flags,
      Effect.fnUntraced(function* (daemon) {
        const sent = /^https?:\/\//i.test(source) ? fromUrl(daemon, source, force) : fromDisk(daemon, source, force)
        const manifest = yield* working(`install ${source}`, sent, provisioning(daemon))
        if (flags.json) return yield* printJson(manifest)
        const installed = yield* Effect.mapError(Schema.decodeUnknownEffect(Installed)(manifest), () =>
          failed(`${daemon.url} does not say what it has installed`),
        )
        const isEnabled = (yield* enabledPlugins(daemon)).get(installed.id) === true
        yield* printLine(
          [installed.id, installed.version ?? ""].join(" ").trim(),
          { text: "is installed", paint: "green" },
          isEnabled ? "and runs" : `and not enabled: plugin-supervisor enable ${installed.id} starts it`,
        )
      }),
    ),
).pipe(Command.withDescription("Install a plugin, or another version of it"))

const fromUrl = ({ ask }: Daemon, url: string, force: boolean) =>
  ask(
    HttpClientRequest.post("/api/v4/plugins/install_from_url", {
      urlParams: { plugin_download_url: url, ...(force ? { force: "true" } : {}) },
    }),
    START_LIMIT,
  )

const fromDisk = Effect.fnUntraced(function* (daemon: Daemon, source: string, force: boolean) {
  const fileSystem = yield* FileSystem.FileSystem
  const { type } = yield* Effect.mapError(fileSystem.stat(source), () =>
    failed(`there is no file or folder ${source} to install`),
  )
  if (type !== "Directory") return yield* upload(daemon, source, force)
  const folder = yield* Effect.mapError(fileSystem.makeTempDirectoryScoped(), told)
  const packed = yield* packBundle(source, join(folder, "plugin.tar.gz")).pipe(
    Effect.mapError(told),
    Effect.provide(PluginBundles.layer),
  )
  return yield* upload(daemon, packed.file, force)
}, Effect.scoped)

const upload = Effect.fnUntraced(function* ({ ask }: Daemon, file: string, force: boolean) {
  const bundle = yield* Effect.tryPromise({
    try: () => openAsBlob(file),
    catch: (error) => failed(`${file} can't be read: ${(error as Error).message}`),
  })
  const form = new FormData()
  // First: who reads the form knows it before the bundle comes.
  if (force) form.append("force", "true")
  form.append("plugin", bundle, basename(file))
  const request = HttpClientRequest.post("/api/v4/plugins", { body: HttpBody.formData(form) })
  return yield* ask(request, START_LIMIT)
})
