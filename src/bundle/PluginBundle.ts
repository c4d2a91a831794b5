import { Context, Effect, FileSystem, Layer, Path, Result, Schema, Stream } from "effect"
import { type Manifest, MANIFEST_FILES, ManifestError, parseManifest } from "./Manifest.ts"
import { MANIFEST_LIMIT } from "./ManifestText.ts"
import { PathSanitizer } from "./PathSanitizer.ts"

/** A plugin on disk. */
export interface PluginBundle {
  /** The bundle's folder: absolute, links resolved. */
  readonly directory: string
  readonly manifest: Manifest
  /** Of an installed one: what the list of its files was then. Each start checks that it still is that (`checkIntegrity`). */
  readonly installedHash?: string | undefined
}

/** A folder that can't be read, or that holds no plugin. */
export class BundleError extends Schema.TaggedError<BundleError>()("BundleError", {
  directory: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `${this.directory}: ${this.reason}`
  }
}

/** What in a folder of plugins is no plugin, though it was perhaps meant to be one; told once for the whole folder. */
export class PassedOverError extends Schema.TaggedError<PassedOverError>()("PassedOverError", {
  /** The folder of plugins. */
  directory: Schema.String,
  /** Whether there is no plugin in it at all. */
  isWithoutPlugins: Schema.Boolean,
  /** What was passed over, and why. */
  entries: Schema.Array(Schema.Struct({ name: Schema.String, reason: Schema.String })),
}) {
  override get message(): string {
    const told = this.entries.slice(0, MAX_TOLD).map(({ name, reason }) => `${name} ${reason}`)
    const more = this.entries.length - told.length
    const list = [...told, ...(more > 0 ? [`${more} more`] : [])].join("; ")
    if (!this.isWithoutPlugins) return `passed over in ${this.directory}: ${list}`
    return `there are no plugins in ${this.directory}: ${list === "" ? "each would be a folder with a plugin.json" : list}`
  }
}

/** Entries that a message names. */
const MAX_TOLD = 10

/** Folders in a folder without a manifest that are looked into, for one that is the plugin. */
const MAX_DEEPER = 100

/** The endings of what plugins are packed into. */
const ARCHIVE = /\.(?:tar(?:\.\w+)?|tgz|tbz2?|txz|zip)$/i

/** Loaded bundles that are kept: more than a host has plugins, and in all no more memory than a plugin takes. */
const MAX_KEPT = 100

/** What {@link PluginBundles} finds in a folder of plugins. */
export type Discovered = Result.Result<PluginBundle, BundleError | ManifestError | PassedOverError>

/** Reads bundles from folders. */
export class PluginBundles extends Context.Service<
  PluginBundles,
  {
    /** Reads one bundle. What it is made of is kept: while its manifest stays the same, it costs reading the file. */
    readonly load: (directory: string) => Effect.Effect<PluginBundle, BundleError | ManifestError>
    /**
     * The bundles in a folder of plugins, by the names of their folders: each a bundle, or what is wrong with it. Of two
     * bundles with one id the second is wrong. Where other folders, links or archives were passed over, or there are no
     * plugins at all, the last is a {@link PassedOverError}. What is hidden, and plain files, count for nothing.
     */
    readonly discover: (directory: string) => Effect.Effect<ReadonlyArray<Discovered>, BundleError>
  }
>()("effect-plugin-supervisor/bundle/PluginBundles") {
  static readonly layer: Layer.Layer<PluginBundles, never, FileSystem.FileSystem | Path.Path> = Layer.effect(
    PluginBundles,
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const sanitizer = yield* PathSanitizer
      const kept = new Map<string, { readonly text: string; readonly bundle: PluginBundle }>()

      const unreadable = (directory: string) => (error: { readonly message: string }) =>
        new BundleError({ directory, reason: `it can't be read: ${error.message}` })

      /** Whether there is a link of this name, wherever it leads. */
      const isLink = (file: string) => Effect.isSuccess(fs.readLink(file))

      const manifestName = Effect.fnUntraced(function* (directory: string) {
        for (const name of MANIFEST_FILES) {
          const file = path.join(directory, name)
          if ((yield* fs.exists(file)) || (yield* isLink(file))) return name
        }
        return undefined
      })

      const readManifest = Effect.fnUntraced(function* (directory: string, name: string) {
        const file = yield* Effect.mapError(
          sanitizer.resolve(directory, name),
          ({ message }) => new BundleError({ directory, reason: message }),
        )
        const info = yield* Effect.mapError(fs.stat(file), unreadable(file))
        // Reading a pipe would wait for somebody to write into it.
        if (info.type !== "File")
          return yield* new BundleError({ directory, reason: `its manifest ${file} is no file` })
        // A file may have more than its size says.
        const bytes = yield* Effect.mapError(
          Stream.mkUint8Array(fs.stream(file, { bytesToRead: MANIFEST_LIMIT + 1 })),
          unreadable(file),
        )
        if (bytes.length > MANIFEST_LIMIT) {
          const reason = `its manifest ${file} has more than ${MANIFEST_LIMIT} bytes; keep other data in files of its own`
          return yield* new BundleError({ directory, reason })
        }
        return new TextDecoder().decode(bytes)
      })

      const load = Effect.fn("PluginBundles.load")(function* (directory: string) {
        const real = yield* Effect.mapError(fs.realPath(directory), unreadable(directory))
        const name = yield* Effect.mapError(manifestName(real), unreadable(directory))
        if (name === undefined) {
          return yield* new BundleError({ directory, reason: `it has no manifest; add a plugin.json to it` })
        }
        const text = yield* readManifest(real, name)
        const file = path.join(real, name)
        const known = kept.get(file)
        if (known?.text === text) return known.bundle
        const bundle = { directory: real, manifest: yield* parseManifest(file, text) }
        kept.delete(file)
        kept.set(file, { text, bundle })
        for (const oldest of kept.keys()) {
          if (kept.size <= MAX_KEPT) break
          kept.delete(oldest)
        }
        return bundle
      })

      /** Whether a folder has a manifest; one that can't be looked into is not passed over: loading it tells why. */
      const hasManifest = (directory: string) =>
        Effect.match(manifestName(directory), { onFailure: () => true, onSuccess: (name) => name !== undefined })

      const isFolder = (file: string) =>
        Effect.match(fs.stat(file), { onFailure: () => false, onSuccess: ({ type }) => type === "Directory" })

      /** Why an entry of a folder of plugins is no bundle; nothing for one that is, and `"file"` for what may lie about. */
      const whyNone = Effect.fnUntraced(function* (file: string) {
        if (yield* isFolder(file)) {
          if (yield* hasManifest(file)) return undefined
          const deeper = yield* Effect.orElseSucceed(fs.readDirectory(file), () => [])
          for (const name of deeper.slice(0, MAX_DEEPER)) {
            const inner = path.join(file, name)
            if ((yield* isFolder(inner)) && (yield* hasManifest(inner))) {
              return `has no manifest, but ${inner} has: the plugin is one folder too deep`
            }
          }
          return "has no manifest (plugin.json)"
        }
        if (ARCHIVE.test(file)) return "is packed: unpack it into a folder of its own"
        if ((yield* isLink(file)) && !(yield* Effect.orElseSucceed(fs.exists(file), () => false))) {
          return "is a link that leads nowhere"
        }
        return "file"
      })

      const discover = Effect.fn("PluginBundles.discover")(function* (directory: string) {
        const names = yield* Effect.mapError(fs.readDirectory(directory), unreadable(directory))
        const seen = new Map<string, string>()
        const found: Array<Discovered> = []
        const entries: Array<{ readonly name: string; readonly reason: string }> = []
        for (const name of names.filter((name) => !name.startsWith(".")).sort()) {
          const folder = path.join(directory, name)
          const reason = yield* whyNone(folder)
          if (reason !== undefined) {
            if (reason !== "file") entries.push({ name, reason })
            continue
          }
          const loaded = yield* Effect.result(load(folder))
          const id = Result.isSuccess(loaded) ? loaded.success.manifest.id : undefined
          const other = id === undefined ? undefined : seen.get(id)
          if (id !== undefined && other === undefined) seen.set(id, folder)
          found.push(
            other === undefined
              ? loaded
              : Result.fail(
                  new BundleError({
                    directory: folder,
                    reason: `its id ${id} is taken by ${other}; remove one of them`,
                  }),
                ),
          )
        }
        const isWithoutPlugins = found.length === 0
        if (isWithoutPlugins && (yield* hasManifest(directory))) {
          const parent = path.dirname(path.resolve(directory))
          // What else lies in it is its own.
          entries.splice(0, entries.length, {
            name: "it",
            reason: `is a plugin itself; give the folder that holds it, ${parent}`,
          })
        }
        return isWithoutPlugins || entries.length > 0
          ? [...found, Result.fail(new PassedOverError({ directory, isWithoutPlugins, entries }))]
          : found
      })

      return { load, discover }
    }),
  ).pipe(Layer.provide(PathSanitizer.layer))

  /** For tests: these bundles are on every disk, whatever folder is asked for. */
  static readonly layerTest = (bundles: ReadonlyArray<PluginBundle>): Layer.Layer<PluginBundles> =>
    Layer.succeed(PluginBundles, {
      load: (directory) =>
        Effect.fromNullishOr(bundles.find((bundle) => bundle.directory === directory)).pipe(
          Effect.mapError(() => new BundleError({ directory, reason: "it is none of the test's bundles" })),
        ),
      discover: () => Effect.succeed(bundles.map((bundle) => Result.succeed(bundle))),
    })
}
