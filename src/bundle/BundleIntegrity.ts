import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { Effect, Schema } from "effect"
import { abortable, BundleFile, hashFile, INSTALLED_LIST, modeOf, sha256, walk } from "./BundleFiles.ts"
import { printable } from "./EntryName.ts"

/** What has become of a file since its plugin was installed. */
export const FileChange = Schema.Struct({
  /** From the bundle's folder. */
  path: Schema.String,
  change: Schema.Literals(["changed", "missing", "added"]),
})
export type FileChange = typeof FileChange.Type

/** An installed bundle is not what was installed. */
export class BundleModifiedError extends Schema.TaggedError<BundleModifiedError>()("BundleModifiedError", {
  directory: Schema.String,
  changes: Schema.Array(FileChange),
}) {
  override get message(): string {
    const told = this.changes.slice(0, MAX_TOLD).map(({ change, path }) => `${printable(path)} is ${WORDS[change]}`)
    const more = this.changes.length - told.length
    const list = [...told, ...(more > 0 ? [`and ${more} more`] : [])].join(", ")
    return `the bundle in ${this.directory} is not what was installed: ${list}; install the plugin again`
  }
}

const WORDS = { changed: "changed", missing: "missing", added: "new" } as const

/** Files that a message names. */
const MAX_TOLD = 10

/** Reads the list of an installed bundle's files. */
export const decodeList = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Array(BundleFile)))

/**
 * Compares an installed bundle with the list of its files from when it was installed, which `hash` stands for; it comes
 * from the database, where nobody who can write into the folder has changed it. Contents and whether they can be executed
 * count; links and whatever else is no file count as added. All is read: ten thousand small files take about a second, and
 * so do 250 MB.
 *
 * ```ts
 * yield* checkIntegrity(bundle.directory, current.hash)
 * ```
 */
export const checkIntegrity = Effect.fn("checkIntegrity")(function* (
  directory: string,
  hash: string,
): Effect.fn.Return<void, BundleModifiedError> {
  const failed = (changes: ReadonlyArray<FileChange>) => new BundleModifiedError({ directory, changes })
  const text = yield* Effect.mapError(
    Effect.tryPromise(() => readFile(join(directory, INSTALLED_LIST), "utf8")),
    () => failed([{ path: INSTALLED_LIST, change: "missing" }]),
  )
  if (sha256(text) !== hash) return yield* failed([{ path: INSTALLED_LIST, change: "changed" }])
  const files = yield* Effect.orDie(decodeList(text))
  const changes = yield* Effect.mapError(
    abortable((signal) => compare(directory, files, signal)),
    // A folder in it that can't be looked into.
    () => failed([{ path: ".", change: "changed" }]),
  )
  if (changes.length > 0) yield* failed(changes)
})

const compare = async (directory: string, files: ReadonlyArray<BundleFile>, signal: AbortSignal) => {
  const changes: Array<FileChange> = []
  const rest = new Map(files.map((file) => [file.path, file]))
  for await (const { kind, mode, path, size } of walk(directory)) {
    if (kind === "folder" || path === INSTALLED_LIST) continue
    const file = rest.get(path)
    rest.delete(path)
    if (file === undefined) changes.push({ path, change: "added" })
    else if (
      kind !== "file" ||
      size !== file.size ||
      modeOf(mode) !== file.mode ||
      // What can't be read can't be what it was.
      (await hashFile(join(directory, path), size, signal).catch(() => undefined)) !== file.sha256
    ) {
      changes.push({ path, change: "changed" })
    }
  }
  for (const path of rest.keys()) changes.push({ path, change: "missing" })
  return changes
}
