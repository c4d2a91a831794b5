import type { KeyObject } from "node:crypto"
import { join } from "node:path"
import { Effect, FileSystem } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { unpackArchive } from "../bundle/BundleArchive.ts"
import { packBundle } from "../bundle/BundlePack.ts"
import { signBundle } from "../bundle/BundleSignature.ts"
import { PluginBundles } from "../bundle/PluginBundle.ts"
import { readPrivateKey } from "../bundle/SigningKey.ts"
import { told } from "./CommandError.ts"
import * as Output from "./Output.ts"

/** `plugin-supervisor sign FILE|FOLDER`. */
export const sign = Command.make(
  "sign",
  {
    bundle: Argument.Path("bundle", { mustExist: true }).pipe(
      Argument.withDescription("Folder of the plugin, or a packed one (.tar.gz), which is packed again"),
    ),
    key: Flag.File("key", { mustExist: true }).pipe(
      Flag.withDescription("File with the private key (PEM, ed25519); plugin-supervisor keygen makes one"),
    ),
    json: Output.json,
  },
  ({ bundle, json, key }) =>
    Effect.gen(function* () {
      const fileSystem = yield* FileSystem.FileSystem
      const privateKey = yield* readPrivateKey(key)
      const { type } = yield* fileSystem.stat(bundle)
      const keyId = yield* type === "Directory" ? signBundle(bundle, privateKey) : signArchive(bundle, privateKey)
      if (json) return yield* Output.printJson({ bundle, key_id: keyId })
      yield* Output.printLine(bundle, { text: "is signed", paint: "green" }, `by the key ${keyId}`)
    }).pipe(Effect.mapError(told), Effect.scoped, Effect.provide(PluginBundles.layer)),
).pipe(Command.withDescription("Sign a plugin's bundle; again after each change"))

/** Unpacks a bundle as an install would, signs it, and packs it again in its place. */
const signArchive = Effect.fnUntraced(function* (file: string, key: KeyObject) {
  const fileSystem = yield* FileSystem.FileSystem
  const folder = join(yield* fileSystem.makeTempDirectoryScoped(), "bundle")
  const { directory } = yield* unpackArchive(file, folder)
  const keyId = yield* signBundle(directory, key)
  yield* packBundle(directory, file)
  return keyId
})
