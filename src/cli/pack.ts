import { resolve } from "node:path"
import { Console, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { packBundle } from "../bundle/BundlePack.ts"
import { staleSignature } from "../bundle/BundleSignature.ts"
import { PluginBundles } from "../bundle/PluginBundle.ts"
import { told } from "./CommandError.ts"
import * as Output from "./Output.ts"
import { shown } from "./StderrLog.ts"

/** A plugin's folder. */
export const folder = Argument.Directory("folder", { mustExist: true }).pipe(
  Argument.withDescription("Folder of the plugin, with its manifest"),
)

/** `plugin-supervisor pack FOLDER`. */
export const pack = Command.make(
  "pack",
  {
    folder,
    output: Flag.String("output").pipe(
      Flag.withAlias("o"),
      Flag.withDescription("The bundle's file; one that is there is replaced. Default ID-VERSION.tar.gz, here"),
      Flag.optional,
    ),
    json: Output.json,
  },
  ({ folder, json, output }) =>
    Effect.gen(function* () {
      const bundle = yield* (yield* PluginBundles).load(folder)
      const { manifest } = bundle
      const stale = yield* staleSignature(bundle)
      if (stale !== undefined) {
        yield* Console.error(
          shown(
            `the signature in ${folder} is not for what is packed: ${stale}; sign it again (plugin-supervisor sign)`,
          ),
        )
      }
      const file = resolve(
        Option.getOrElse(output, () => `${[manifest.id, manifest.version].filter(Boolean).join("-")}.tar.gz`),
      )
      const { files } = yield* Output.working(`pack ${folder}`, packBundle(folder, file))
      if (json) return yield* Output.printJson({ file, id: manifest.id, version: manifest.version ?? "", files })
      yield* Output.printLine(manifest.id, { text: "is packed", paint: "green" }, `into ${file}: ${files.length} files`)
    }).pipe(Effect.mapError(told), Effect.provide(PluginBundles.layer)),
).pipe(Command.withDescription("Pack a plugin's folder into a bundle to install"))
