import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { lstat, mkdir, open, readdir, readFile, rm } from "node:fs/promises"
import { join } from "node:path"
import { Effect, Schema } from "effect"

/** One file of a bundle. */
export const BundleFile = Schema.Struct({
  /** From the bundle's folder, its names separated by `/`. */
  path: Schema.String,
  /** Of its content, in hexadecimal. */
  sha256: Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/)),
  /** In bytes. */
  size: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
  /** Of permissions only these two are kept: whether it can be executed. */
  mode: Schema.Literals(["0644", "0755"]),
})
export type BundleFile = typeof BundleFile.Type

/** Where an installed bundle has the list of its files. */
export const INSTALLED_LIST = ".installed.json"

/** In the order of their paths' UTF-16 units, which is the same everywhere. */
export const inOrder = <A extends { readonly path: string }>(files: ReadonlyArray<A>): ReadonlyArray<A> =>
  files.toSorted((a, b) => (a.path < b.path ? -1 : 1))

/** The mode of a file that is installed, by that of the one it comes from. */
export const modeOf = (mode: number): BundleFile["mode"] => ((mode & 0o100) === 0 ? "0644" : "0755")

/** The list of a bundle's files as text: the same for the same files. */
export const listText = (files: ReadonlyArray<BundleFile>): string =>
  `${JSON.stringify(
    inOrder(files).map(({ mode, path, sha256, size }) => ({ path, sha256, size, mode })),
    undefined,
    1,
  )}\n`

/** The sha256 of a text or of bytes, in hexadecimal. */
export const sha256 = (content: string | Uint8Array): string => createHash("sha256").update(content).digest("hex")

/** Bytes of a file that is read at once: a stream for each of thousands of small ones takes five times as long. */
export const SMALL = 1024 * 1024

/** The sha256 of a file's content, in hexadecimal; its size is known. */
export const hashFile = async (file: string, size: number, signal: AbortSignal): Promise<string> => {
  if (size <= SMALL) return sha256(await readFile(file, { signal }))
  const hash = createHash("sha256")
  for await (const chunk of createReadStream(file, { signal }) as AsyncIterable<Buffer>) hash.update(chunk)
  return hash.digest("hex")
}

/** What is in a folder: links are not followed. */
export interface Found {
  readonly path: string
  readonly kind: "file" | "folder" | "other"
  readonly mode: number
  readonly size: number
  /** When it was changed, in milliseconds since the epoch. */
  readonly changed: number
}

/** All that is in a folder, a folder before what is in it, each in the order of names; `leaveOut` is not looked into. */
export async function* walk(
  root: string,
  leaveOut: (path: string, kind: Found["kind"]) => boolean | Promise<boolean> = () => false,
): AsyncGenerator<Found> {
  const folders = [""]
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const inner: Array<string> = []
    for (const name of (await readdir(join(root, folder))).sort()) {
      const path = folder === "" ? name : `${folder}/${name}`
      const info = await lstat(join(root, path))
      const kind = info.isFile() ? "file" : info.isDirectory() ? "folder" : "other"
      if (await leaveOut(path, kind)) continue
      if (kind === "folder") inner.push(path)
      yield { path, kind, mode: info.mode, size: info.size, changed: info.mtimeMs }
    }
    folders.push(...inner.toReversed())
  }
}

/** Makes an empty folder for its user only; one that is there already has to be empty. */
export const makeEmpty = async (folder: string): Promise<void> => {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  if ((await readdir(folder)).length > 0) throw new Error(`${folder} is not empty`)
}

/** Removes a file or a folder with all that is in it, if it is there. */
export const removeAll = (path: string): Promise<void> => rm(path, { recursive: true, force: true, maxRetries: 3 })

/**
 * Has the disk keep what a file or a folder is now, whatever happens to the machine. Windows syncs no folders, nor files
 * that were opened to be read.
 */
export const sync = async (path: string): Promise<void> => {
  if (process.platform === "win32") return
  const handle = await open(path, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Files that are synced at once: file systems with a journal write it once for all who wait. */
const SYNCS = 16

/** {@link sync} of all that is in a folder: the files, then the folders, the innermost first. */
export const syncTree = async (root: string): Promise<void> => {
  const files: Array<string> = []
  const folders = [root]
  for await (const { kind, path } of walk(root)) {
    if (kind === "folder") folders.push(join(root, path))
    else if (kind === "file") files.push(join(root, path))
  }
  const next = files[Symbol.iterator]()
  await Promise.all(
    Array.from({ length: SYNCS }, async () => {
      for (const file of next) await sync(file)
    }),
  )
  for (const folder of folders.toReversed()) await sync(folder)
}

/**
 * Runs a promise that can be aborted. An interrupt aborts it and waits until it has ended, so that nothing is still being
 * written where somebody cleans up.
 */
export const abortable = <A>(run: (signal: AbortSignal) => Promise<A>): Effect.Effect<A, unknown> =>
  Effect.suspend(() => {
    const controller = new AbortController()
    const promise = run(controller.signal)
    return Effect.onInterrupt(Effect.tryPromise({ try: () => promise, catch: (error) => error }), () =>
      Effect.promise(() => {
        controller.abort()
        return promise.then(
          () => {},
          () => {},
        )
      }),
    )
  })
