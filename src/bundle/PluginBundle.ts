import { Context, Effect, FileSystem, Layer, Path, Result, Schema } from "effect"
import { type Manifest, MANIFEST_FILES, ManifestError, parseManifest } from "./Manifest.ts"

/** A plugin on disk. */
export interface PluginBundle {
  /** The bundle's folder: absolute, links resolved. */
  readonly directory: string
  readonly manifest: Manifest
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

/** Reads bundles from folders. */
export class PluginBundles extends Context.Service<
  PluginBundles,
  {
    /** Reads one bundle. */
    readonly load: (directory: string) => Effect.Effect<PluginBundle, BundleError | ManifestError>
    /**
     * The bundles in a folder of plugins, by the names of their folders: each a bundle, or what is wrong with it.
     * Hidden folders and those without a manifest are passed over; of two bundles with one id the second is wrong.
     */
    readonly discover: (
      directory: string,
    ) => Effect.Effect<ReadonlyArray<Result.Result<PluginBundle, BundleError | ManifestError>>, BundleError>
  }
>()("effect-plugin-supervisor/bundle/PluginBundles") {
  static readonly layer: Layer.Layer<PluginBundles, never, FileSystem.FileSystem | Path.Path> = Layer.effect(
    PluginBundles,
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path

      const unreadable = (directory: string) => (error: { readonly message: string }) =>
        new BundleError({ directory, reason: `it can't be read: ${error.message}` })

      const manifestFile = Effect.fnUntraced(function* (directory: string) {
        for (const name of MANIFEST_FILES) {
          if (yield* fs.exists(path.join(directory, name))) return path.join(directory, name)
        }
        return undefined
      })

      const load = Effect.fn("PluginBundles.load")(function* (directory: string) {
        const real = yield* Effect.mapError(fs.realPath(directory), unreadable(directory))
        const file = yield* Effect.mapError(manifestFile(real), unreadable(directory))
        if (file === undefined) {
          return yield* new BundleError({ directory, reason: `it has no manifest; add a plugin.json to it` })
        }
        const info = yield* Effect.mapError(fs.stat(file), unreadable(file))
        // Reading a pipe would wait for somebody to write into it.
        if (info.type !== "File")
          return yield* new BundleError({ directory, reason: `its manifest ${file} is no file` })
        const text = yield* Effect.mapError(fs.readFileString(file), unreadable(file))
        return { directory: real, manifest: yield* parseManifest(file, text) }
      })

      const isBundle = Effect.fnUntraced(function* (directory: string) {
        const info = yield* fs.stat(directory)
        if (info.type !== "Directory") return false
        // A folder that can't be looked into is not passed over: loading it tells why.
        return yield* Effect.match(manifestFile(directory), {
          onFailure: () => true,
          onSuccess: (file) => file !== undefined,
        })
      })

      const discover = Effect.fn("PluginBundles.discover")(function* (directory: string) {
        const names = yield* Effect.mapError(fs.readDirectory(directory), unreadable(directory))
        const seen = new Map<string, string>()
        const found: Array<Result.Result<PluginBundle, BundleError | ManifestError>> = []
        for (const name of names.filter((name) => !name.startsWith(".")).sort()) {
          const folder = path.join(directory, name)
          if (!(yield* Effect.orElseSucceed(isBundle(folder), () => false))) continue
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
        return found
      })

      return { load, discover }
    }),
  )

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
