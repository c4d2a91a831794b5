import { randomUUID } from "node:crypto"
import { realpathSync } from "node:fs"
import { chmod, mkdir, readdir, readFile, rename, rmdir, writeFile } from "node:fs/promises"
import { join, resolve } from "node:path"
import { Context, Effect, Layer, Schema, type Scope, Semaphore } from "effect"
import { type ArchiveSource, unpackArchive, type UnpackedBundle } from "./BundleArchive.ts"
import {
  abortable,
  type BundleFile,
  INSTALLED_LIST,
  listText,
  makeEmpty,
  removeAll,
  sha256,
  sync,
  syncTree,
} from "./BundleFiles.ts"
import { copyFolder } from "./BundleFolder.ts"
import { checkIntegrity, decodeList } from "./BundleIntegrity.ts"
import { BundleLimits } from "./BundleLimits.ts"
import { BundleRefusedError, refused } from "./BundleRefusedError.ts"
import {
  type BundleSignature,
  type BundleSignatureError,
  requireSignature,
  SignaturePolicy,
} from "./BundleSignature.ts"
import { storedAt } from "./HeldStorage.ts"
import { ManifestError } from "./Manifest.ts"
import { makeFolder } from "./PrivateFolder.ts"
import { type BundleError, type PluginBundle, PluginBundles } from "./PluginBundle.ts"

/** The store of installed bundles can't be used. */
export class BundleStoreError extends Schema.TaggedError<BundleStoreError>()("BundleStoreError", {
  /** The store's folder. */
  store: Schema.String,
  /** What was to be done, for example `installing hello/1.0.0-2bb80d537b1da3e3`. */
  operation: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `the store of plugins in ${this.store} has failed at ${this.operation}: ${this.reason}`
  }
}

/** What a plugin is installed from. */
export type BundleSource<E = never, R = never> =
  | { readonly archive: ArchiveSource<E, R> }
  /** Copied as it would be packed (see `packBundle`). */
  | { readonly folder: string }

/** A bundle in the store's staging, which goes with the Scope unless it is committed. */
export interface StagedBundle {
  /** The manifest, and the folder in the staging. */
  readonly bundle: PluginBundle
  readonly files: ReadonlyArray<BundleFile>
  /** Stands for the list of all files: names, contents, modes. */
  readonly hash: string
  readonly signature: BundleSignature
}

/** A bundle in its place. It can be handed to `PluginStates.set` as it is. */
export interface InstalledBundle {
  readonly bundle: PluginBundle
  /** Its folder, from the store's: `<id>/<version>-<start of the hash>`. */
  readonly path: string
  /** Empty when the manifest has none. */
  readonly version: string
  readonly hash: string
  /** The id of the trusted key that it is signed by. */
  readonly signedBy: string | undefined
}

/** Why nothing is staged. */
export type StageError = BundleRefusedError | ManifestError | BundleError | BundleSignatureError | BundleStoreError

/** What a {@link BundleStore.sweep} has found. */
export interface Swept {
  /** What was removed, from the store's folder. */
  readonly removed: ReadonlyArray<string>
  /** Of those that are current, the ones that are not there: their plugins have to be installed again. */
  readonly missing: ReadonlyArray<string>
}

/**
 * The bundles that a host has installed, each in a folder of its own that is made whole and never changed. One host has a
 * store, and nobody else writes into its folder; another host of the same program is refused.
 *
 * What a plugin's current bundle is, says a row of `PluginStates`, which is written last: a host that dies before has
 * installed nothing, and one that dies after has installed it. The next one's {@link sweep} removes what no row names.
 *
 * ```ts
 * // At start, before anything else:
 * const { missing } = yield* store.sweep(yield* states.paths)
 *
 * // Install or upgrade:
 * yield* Effect.scoped(Effect.gen(function* () {
 *   const staged = yield* store.stage({ archive: "hello-1.1.0.tar.gz" })
 *   const { id, version } = staged.bundle.manifest
 *   const before = (yield* states.get(id))?.current
 *   yield* refuseDowngrade(id, before?.version, version, { force: false })
 *   const installed = yield* store.commit(staged)
 *   // Here the new bundle is tried: its environment, its handshake. When that fails, it is removed, as below.
 *   yield* states.set(id, installed)
 *   // Once the processes of the old one have ended:
 *   if (before !== undefined && before.path !== installed.path) yield* store.remove(before.path)
 * }))
 *
 * // Remove:
 * yield* states.remove(id)
 * yield* store.remove(before.path)
 * ```
 */
export class BundleStore extends Context.Service<
  BundleStore,
  {
    /** Takes an archive or a folder apart, and looks at all of it: files, manifest, signature. Nothing of it is run. */
    readonly stage: <E = never, R = never>(
      source: BundleSource<E, R>,
    ) => Effect.Effect<StagedBundle, StageError, R | Scope.Scope>
    /**
     * Moves a staged bundle to its place, at one go. When it has returned, the bundle survives a loss of power. A
     * bundle that is there already with the same content is taken as it is, or replaced if it was tampered with.
     */
    readonly commit: (
      staged: StagedBundle,
    ) => Effect.Effect<InstalledBundle, BundleError | ManifestError | BundleStoreError>
    /**
     * The bundle in a place, as {@link InstalledBundle.path} names it, if its signature suffices still: keys may have been revoked.
     * See `checkIntegrity` for whether it is unchanged.
     */
    readonly open: (
      path: string,
    ) => Effect.Effect<PluginBundle, BundleError | ManifestError | BundleStoreError | BundleSignatureError>
    /** Removes a bundle, at one go; one that is not there is fine. Its processes should have ended. */
    readonly remove: (path: string) => Effect.Effect<void, BundleStoreError>
    /** Removes what a host that died has left: stagings, half removed bundles, and all but the current ones. */
    readonly sweep: (current: Iterable<string>) => Effect.Effect<Swept, BundleStoreError>
  }
>()("effect-plugin-supervisor/bundle/BundleStore") {
  /**
   * A store in a folder, which is made for its user only (0700) when it is missing; bundles in it are as open as the umask
   * lets them be, so that to open that one folder is enough for plugins that run as other users. What is asked of signatures, and the
   * bounds, are the `SignaturePolicy` and the `BundleLimits` that this Layer is provided with, whoever installs.
   */
  static readonly layer = (directory: string): Layer.Layer<BundleStore, BundleStoreError, PluginBundles> =>
    Layer.effect(BundleStore, make(resolve(directory)))
}

/** Folders of the store's own: on its disk, so that a bundle is moved from one to the other at one go. */
const STAGING = ".staging"
const TRASH = ".trash"

/** What guards bundles is the store's own folder: who opens that, for plugins that run as other users, opens all. */
const OPEN = 0o755

/** Digits of the hash, and characters of the version, in the name of a folder. */
const HASH_DIGITS = 16
const VERSION_LENGTH = 100

const make = Effect.fnUntraced(function* (store: string) {
  const bundles = yield* PluginBundles
  // Those of whoever happens to install could be anything.
  const policy = yield* SignaturePolicy
  const limits = yield* BundleLimits
  const staging = join(store, STAGING)
  const trash = join(store, TRASH)
  /** Of two commits of the same content the second finds what the first has made. */
  const commits = yield* Semaphore.make(1)
  /** Stagings of this host, by their names. */
  const active = new Set<string>()

  /** Work on the disk that is not left half done because somebody does not wait for it any more. */
  const storing = <A>(operation: string, run: () => Promise<A>): Effect.Effect<A, BundleStoreError> =>
    Effect.uninterruptible(
      Effect.tryPromise({
        try: run,
        catch: (error) => new BundleStoreError({ store, operation, reason: (error as Error).message }),
      }),
    )

  const prepare = async () => {
    for (const folder of [store, staging, trash]) makeFolder(folder)
  }
  yield* storing("opening it", prepare)

  /** A path of a bundle as two names; a database may be older than these rules, or not ours. */
  const namesOf = (path: string): Effect.Effect<readonly [string, string], BundleStoreError> => {
    const [id = "", name = "", ...more] = path.split("/")
    return more.length === 0 && NAME.test(id) && NAME.test(name)
      ? Effect.succeed([id, name])
      : Effect.fail(
          new BundleStoreError({
            store,
            operation: `looking for ${JSON.stringify(path)}`,
            reason: "it is no bundle's path",
          }),
        )
  }

  /** Away with it at one go; what is then in the trash may take its time, or another start. */
  const discard = async (path: string) => {
    const target = join(trash, randomUUID())
    try {
      await rename(path, target)
    } catch (error) {
      if (codeOf(error) === "ENOENT") return
      throw error
    }
    await removeAll(target).catch(() => {})
  }

  const stagingFolder = Effect.acquireRelease(
    Effect.sync(() => {
      const name = randomUUID()
      active.add(name)
      return name
    }),
    (name) =>
      Effect.promise(async () => {
        // What is left is for the next start's sweep.
        await removeAll(join(staging, name)).catch(() => {})
        active.delete(name)
      }),
  ).pipe(Effect.map((name) => join(staging, name)))

  const fromFolder = (folder: string, target: string): Effect.Effect<UnpackedBundle, BundleRefusedError> =>
    abortable(async (signal) => {
      await makeEmpty(target)
      return { directory: target, files: await copyFolder(folder, target, limits, signal) }
    }).pipe(Effect.mapError((error) => refused(folder, error)))

  const stage = Effect.fn("BundleStore.stage")(function* <E, R>(source: BundleSource<E, R>) {
    const target = yield* stagingFolder
    const { directory, files } = yield* "archive" in source
      ? Effect.provideService(unpackArchive(source.archive, target), BundleLimits, limits)
      : fromFolder(source.folder, target)
    // The folder's name says nothing to whoever has sent it.
    const bundle = yield* Effect.mapError(bundles.load(directory), (error) =>
      error._tag === "ManifestError"
        ? new ManifestError({ file: error.file.slice(error.file.lastIndexOf("/") + 1), problems: error.problems })
        : error,
    )
    const { id } = bundle.manifest
    if (id.startsWith(".")) {
      const problems = [{ path: "id", message: "expected an id that does not begin with a dot" }]
      return yield* new ManifestError({ file: "the manifest", problems })
    }
    const signature = yield* Effect.provideService(
      requireSignature(directory, bundle.manifest, files),
      SignaturePolicy,
      policy,
    )
    return { bundle, files, hash: sha256(listText(files)), signature }
  })

  const commit = Effect.fn("BundleStore.commit")(
    function* ({ bundle, files, hash, signature }: StagedBundle) {
      const { id, version = "" } = bundle.manifest
      const name = `${(version || "unversioned").slice(0, VERSION_LENGTH)}-${hash.slice(0, HASH_DIGITS)}`
      const path = `${id}/${name}`
      const target = join(store, path)
      const operation = `installing ${path}`
      const isThere = yield* Effect.isSuccess(checkIntegrity(target, hash))
      if (!isThere) {
        yield* storing(operation, async () => {
          await writeFile(join(bundle.directory, INSTALLED_LIST), listText(files), { mode: 0o644 })
          await chmod(bundle.directory, OPEN)
          await syncTree(bundle.directory)
          await mkdir(join(store, id), { recursive: true, mode: OPEN })
          await sync(store)
          // Not what it should be, or it would have been taken.
          await discard(target)
          await rename(bundle.directory, target)
          await sync(join(store, id))
        })
      }
      const signedBy = signature._tag === "Signed" ? signature.keyId : undefined
      return { bundle: yield* bundles.load(target), path, version, hash, signedBy }
    },
    (commit) => commits.withPermit(commit),
  )

  const open = Effect.fn("BundleStore.open")(function* (path: string) {
    const directory = join(store, ...(yield* namesOf(path)))
    const bundle = yield* bundles.load(directory)
    if (policy.mode !== "off") {
      // Whether they are these files still is for `checkIntegrity`, before each start.
      const list = yield* storing(`reading the list of ${path}`, () =>
        readFile(join(directory, INSTALLED_LIST), "utf8"),
      )
      const files = yield* Effect.mapError(
        decodeList(list),
        () => new BundleStoreError({ store, operation: `reading the list of ${path}`, reason: "it is none" }),
      )
      yield* Effect.provideService(requireSignature(directory, bundle.manifest, files), SignaturePolicy, policy)
    }
    return bundle
  })

  const remove = Effect.fn("BundleStore.remove")(function* (path: string) {
    const [id, name] = yield* namesOf(path)
    yield* storing(`removing ${path}`, async () => {
      await discard(join(store, id, name))
      await removeIfEmpty(join(store, id))
    })
  })

  const sweep = Effect.fn("BundleStore.sweep")(function* (current: Iterable<string>) {
    const kept = new Set(current)
    return yield* storing("removing what is left over", async () => {
      await prepare()
      for (const name of await readdir(trash)) await removeAll(join(trash, name))
      for (const name of await readdir(staging)) if (!active.has(name)) await removeAll(join(staging, name))
      const found = new Set<string>()
      const removed: Array<string> = []
      for (const id of (await readdir(store, { withFileTypes: true })).filter((entry) => entry.isDirectory())) {
        if (id.name.startsWith(".")) continue
        for (const name of await readdir(join(store, id.name))) {
          const path = `${id.name}/${name}`
          if (kept.has(path)) found.add(path)
          else {
            await discard(join(store, path))
            removed.push(path)
          }
        }
        await removeIfEmpty(join(store, id.name))
      }
      return { removed, missing: [...kept].filter((path) => !found.has(path)) }
    })
  })

  return storedAt(BundleStore.of({ stage, commit, open, remove, sweep }), realpathSync(store))
})

/** A name of a folder in the store: none of its own, and none that leads elsewhere. */
const NAME = /^[^./\\\0][^/\\\0]*$/

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code

/** The folder of a plugin that has no bundle. */
const removeIfEmpty = (folder: string): Promise<void> =>
  rmdir(folder).catch((error: unknown) => {
    const code = codeOf(error)
    if (code !== "ENOTEMPTY" && code !== "EEXIST" && code !== "ENOENT") throw error
  })
