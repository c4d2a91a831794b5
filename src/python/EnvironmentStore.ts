import { Clock, Duration, Effect, FileSystem, Option, Path, type PlatformError, Schema } from "effect"
import { makeFolder } from "../bundle/PrivateFolder.ts"
import { PythonEnvironmentFolderError } from "../command/PythonEnvironment.ts"
import { hostIdentity, isDeadHost } from "../process/HostIdentity.ts"

/** What is known of a finished environment. */
const Finished = Schema.Struct({
  key: Schema.String,
  /** The base interpreter's version and folder when it was made. */
  version: Schema.String,
  base: Schema.String,
})
export type Finished = typeof Finished.Type

/** A finished environment, in its folder. */
export interface Environment extends Finished {
  readonly folder: string
}

/** Names the host that makes an environment; there from the beginning. */
const BUILDER = "building"
/** Tells that an environment is finished; written last, and gone first. */
const MARK = "environment.json"
/** Where tools keep what they have downloaded. */
const CACHE = ".cache"

/** After which an unfinished environment is nobody's any more, where its builder can't be asked for: longer than any limit. */
const ABANDONED_AFTER = Duration.days(1)

const WRITABLE = 0o222
const OWNER_WRITABLE = 0o200

const encode = Schema.encodeSync(Schema.fromJsonString(Finished))
const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Finished))

/**
 * The folder of environments. Each has a folder of its own, `<key>-<random>`, where it is made and stays: an environment
 * that was moved has programs that don't start. Several hosts may share the folder: none touches what it has not made, but
 * for what is finished, or was left by a host that is dead.
 */
export const makeStore = Effect.fn("EnvironmentStore.make")(function* (directory: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const root = path.resolve(directory)
  const failed = (error: { readonly message: string }) =>
    new PythonEnvironmentFolderError({ folder: root, reason: error.message })

  /** Changes the modes of a folder and of all that is in it. Links are neither changed nor followed: they may lead anywhere. */
  const changeModes = (
    entry: string,
    type: FileSystem.File.Type,
    change: (mode: number) => number,
  ): Effect.Effect<void, PlatformError.PlatformError> =>
    Effect.gen(function* () {
      const { mode } = yield* fs.stat(entry)
      // A folder has to be open to be read, and to have its entries removed.
      yield* fs.chmod(entry, change(mode & 0o7777))
      if (type !== "Directory") return
      const inside = (yield* fs.readDirectoryEntries(entry)).filter(
        ({ type }) => type === "Directory" || type === "File",
      )
      yield* Effect.forEach(inside, ({ name, type }) => changeModes(path.join(entry, name), type, change), {
        concurrency: 4,
        discard: true,
      })
    })

  /** Removes an environment's folder; the mark goes first, so that what is left of a removal is never taken for valid. */
  const remove = (folder: string) =>
    Effect.gen(function* () {
      yield* fs.remove(path.join(folder, MARK), { force: true })
      yield* changeModes(folder, "Directory", (mode) => mode | OWNER_WRITABLE)
      yield* fs.remove(folder, { recursive: true, force: true })
    }).pipe(
      Effect.catch(({ message }) => Effect.logWarning(`the Python environment ${folder} can't be removed: ${message}`)),
    )

  const readMark = (folder: string) =>
    fs
      .readFileString(path.join(folder, MARK))
      .pipe(
        Effect.option,
        Effect.map(Option.flatMap(decode)),
        Effect.map(Option.map((finished): Environment => ({ ...finished, folder }))),
      )

  const folders = Effect.map(Effect.mapError(fs.readDirectory(root), failed), (names) =>
    names.filter((name) => /^[\da-f]+-\w+$/.test(name)).map((name) => path.join(root, name)),
  )

  yield* Effect.gen(function* () {
    // What it is in may be a data folder, which is nobody else's; it has to be open to plugins that run as other users.
    yield* Effect.try({ try: () => makeFolder(path.dirname(root)), catch: (error) => error as Error })
    for (const folder of [root, path.join(root, CACHE)]) {
      // Not `recursive`: see `makeFolder`.
      yield* Effect.catchReason(fs.makeDirectory(folder), "PlatformError", "AlreadyExists", () => Effect.void)
    }
    yield* fs.chmod(path.join(root, CACHE), 0o700)
  }).pipe(Effect.mapError(failed))

  return {
    root,
    cache: path.join(root, CACHE),
    remove,
    /** A new folder, for an environment of this key. */
    begin: (key: string) =>
      Effect.gen(function* () {
        const folder = yield* fs.makeTempDirectory({ directory: root, prefix: `${key}-` })
        // Plugins of other users have to read it.
        yield* fs.chmod(folder, 0o755)
        yield* fs.writeFileString(path.join(folder, BUILDER), hostIdentity() ?? "")
        return folder
      }).pipe(Effect.mapError(failed)),
    /** Says that an environment is finished, which from now on nobody writes into by accident: other plugins use it, too. */
    finish: (folder: string, venv: string, finished: Finished) =>
      Effect.gen(function* () {
        yield* changeModes(venv, "Directory", (mode) => mode & ~WRITABLE)
        const draft = path.join(folder, `${MARK}.new`)
        yield* fs.writeFileString(draft, encode(finished), { flag: "wx" })
        yield* Effect.scoped(Effect.flatMap(fs.open(draft, { flag: "r" }), (file) => file.sync))
        yield* fs.rename(draft, path.join(folder, MARK))
        return { ...finished, folder }
      }).pipe(Effect.mapError(failed)),
    isFinished: (folder: string) => Effect.map(readMark(folder), Option.isSome),
    /** The finished environments, of a key or of any. */
    finished: (key?: string) =>
      folders.pipe(
        Effect.map((all) => all.filter((folder) => key === undefined || path.basename(folder).startsWith(`${key}-`))),
        Effect.flatMap(Effect.forEach(readMark)),
        Effect.map((found) => found.flatMap(Option.toArray).filter((one) => key === undefined || one.key === key)),
      ),
    /** Notes that an environment is in use, which keeps it from being removed as unused by other hosts. */
    use: (folder: string) =>
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        yield* fs.utimes(path.join(folder, MARK), now / 1000, now / 1000)
        // The folder may be another user's, or just gone; whoever needs it finds that out.
      }).pipe(Effect.ignore),
    /** Removes the finished environments that nobody has used for so long; answers their folders. */
    removeUnused: (limit: Duration.Duration, isKept: (folder: string) => boolean) =>
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const removed: Array<string> = []
        for (const folder of yield* folders) {
          if (isKept(folder)) continue
          const info = yield* Effect.option(fs.stat(path.join(folder, MARK)))
          const used = Option.flatMap(info, ({ mtime }) => mtime)
          if (!Option.exists(used, (time) => now - time.getTime() > Duration.toMillis(limit))) continue
          yield* remove(folder)
          removed.push(folder)
        }
        return removed
      }),
    /** Removes what was never finished, and never will be. */
    removeAbandoned: Effect.gen(function* () {
      const own = hostIdentity()
      const now = yield* Clock.currentTimeMillis
      for (const folder of yield* folders) {
        if (Option.isSome(yield* readMark(folder))) continue
        const builder = yield* Effect.orElseSucceed(fs.readFileString(path.join(folder, BUILDER)), () => "")
        const info = yield* Effect.option(fs.stat(folder))
        const changed = Option.flatMap(info, ({ mtime }) => mtime)
        const isOld = Option.exists(changed, (time) => now - time.getTime() > Duration.toMillis(ABANDONED_AFTER))
        if (isOld || (own !== undefined && isDeadHost(builder, own))) yield* remove(folder)
      }
    }),
  }
})
