import { randomUUID } from "node:crypto"
import { open, rename } from "node:fs/promises"
import { dirname } from "node:path"
import { pipeline } from "node:stream/promises"
import { createGzip } from "node:zlib"
import { Effect } from "effect"
import { pack } from "tar-stream"
import { listFolder, readSource, type SourceFile } from "./BundleFolder.ts"
import { abortable, removeAll, sync } from "./BundleFiles.ts"
import { BundleLimits } from "./BundleLimits.ts"
import { type BundleRefusedError, refused } from "./BundleRefusedError.ts"
import type { ManifestError } from "./Manifest.ts"
import { type BundleError, type PluginBundle, PluginBundles } from "./PluginBundle.ts"

/** What was packed. */
export interface PackedBundle {
  readonly bundle: PluginBundle
  /** The archive. */
  readonly file: string
  /** The files in it, by their paths in the bundle. */
  readonly files: ReadonlyArray<SourceFile>
}

/** Times and owners are not the bundle's: the same files make the same archive. */
const FIXED = { mtime: new Date(0), uid: 0, gid: 0, uname: "", gname: "" } as const

/**
 * Packs a plugin's folder into a `.tar.gz`, which has one folder, named by the plugin's id. The same files make the same
 * archive. What does not belong into a bundle is left out (docs/bundles.md has the list); what no host would install
 * is an error. A file that is there is replaced once the new one is whole.
 *
 * ```ts
 * const { files } = yield* packBundle("plugins/hello", "hello-1.0.0.tar.gz")
 * ```
 */
export const packBundle = Effect.fn("packBundle")(function* (
  folder: string,
  file: string,
): Effect.fn.Return<PackedBundle, BundleRefusedError | BundleError | ManifestError, PluginBundles> {
  const bundle = yield* (yield* PluginBundles).load(folder)
  const limits = yield* BundleLimits
  const unfinished = `${file}.${randomUUID()}.unfinished`
  const files = yield* abortable(async (signal) => {
    try {
      const files = await listFolder(bundle.directory, limits)
      const handle = await open(unfinished, "wx", 0o644)
      await pipeline(
        write(bundle, files, signal),
        // The level is set: another default of another version would make another archive.
        createGzip({ level: 9 }),
        handle.createWriteStream(),
        { signal },
      )
      await sync(unfinished)
      await rename(unfinished, file)
      await sync(dirname(file))
      return files
    } catch (error) {
      await removeAll(unfinished)
      throw error
    }
  }).pipe(Effect.mapError((error) => refused(folder, error)))
  return { bundle, file, files }
})

/** The archive's bytes. */
const write = (bundle: PluginBundle, files: ReadonlyArray<SourceFile>, signal: AbortSignal): AsyncIterable<Buffer> => {
  const tar = pack()
  const top = bundle.manifest.id
  const add = async () => {
    const made = new Set<string>()
    for (const file of files) {
      const names = [top, ...file.path.split("/")]
      for (let depth = 1; depth < names.length; depth++) {
        const folder = names.slice(0, depth).join("/")
        if (made.has(folder)) continue
        made.add(folder)
        tar.entry({ ...FIXED, name: `${folder}/`, type: "directory", mode: 0o755 })
      }
      await new Promise<void>((resolve, reject) => {
        const mode = Number.parseInt(file.mode, 8)
        const entry = tar.entry({ ...FIXED, name: names.join("/"), type: "file", mode, size: file.size }, (error) =>
          error == null ? resolve() : reject(error),
        )
        const take = (chunk: Buffer) =>
          entry.write(chunk)
            ? Promise.resolve()
            : new Promise((drained) => entry.once("drain", () => drained(undefined)))
        readSource(bundle.directory, file, take, signal).then(() => entry.end(undefined), reject)
      })
    }
    tar.finalize()
  }
  add().catch((error: Error) => tar.destroy(error))
  return tar as AsyncIterable<Buffer>
}
