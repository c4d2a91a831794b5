import { Context, Effect, FileSystem, Layer, Path, Result, Schema } from "effect"

/** A path of a manifest that may not be followed. */
export class UnsafePathError extends Schema.TaggedError<UnsafePathError>()("UnsafePathError", {
  /** The bundle's folder. */
  bundle: Schema.String,
  /** The path as the manifest has it. */
  path: Schema.String,
  reason: Schema.Literals(["empty", "character", "absolute", "outside", "linkOutside", "missing"]),
}) {
  override get message(): string {
    return `the path ${JSON.stringify(this.path)} in the bundle ${this.bundle} ${REASONS[this.reason]}`
  }
}

const REASONS: { readonly [reason in UnsafePathError["reason"]]: string } = {
  empty: "names nothing; name a file in the bundle",
  character: "has a backslash or a control character; separate folders with /",
  absolute: "is absolute; write it relative to the bundle",
  outside: "leads outside of the bundle; name a file in it",
  linkOutside: "is a link, or lies behind one, that leads outside of the bundle; put the file itself into the bundle",
  missing: "doesn't exist; check its spelling, and that the bundle is complete",
}

/**
 * Cleans a path of a manifest by its text alone: the names from the bundle down, or why it may not be followed. Nothing
 * is decoded: a percent sign is a percent sign.
 */
export const cleanPath = (path: string): Result.Result<ReadonlyArray<string>, UnsafePathError["reason"]> => {
  if (path.trim() === "") return Result.fail("empty")
  // eslint-disable-next-line no-control-regex
  if (/[\\\u0000-\u001f\u007f]/.test(path)) return Result.fail("character")
  if (path.startsWith("/") || /^[A-Za-z]:/.test(path)) return Result.fail("absolute")
  const names: Array<string> = []
  for (const name of path.split("/")) {
    if (name === "" || name === ".") continue
    if (name !== "..") names.push(name)
    else if (names.pop() === undefined) return Result.fail("outside")
  }
  return names.length === 0 ? Result.fail("empty") : Result.succeed(names)
}

/** Resolves the paths of a manifest so that nothing outside of its bundle is reached. */
export class PathSanitizer extends Context.Service<
  PathSanitizer,
  {
    /**
     * The absolute, real path of a file that a manifest names by a path relative to its bundle. Links are followed and
     * must stay inside.
     */
    readonly resolve: (bundle: string, path: string) => Effect.Effect<string, UnsafePathError>
  }
>()("effect-plugin-supervisor/bundle/PathSanitizer") {
  static readonly layer: Layer.Layer<PathSanitizer, never, FileSystem.FileSystem | Path.Path> = Layer.effect(
    PathSanitizer,
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const paths = yield* Path.Path
      return {
        resolve: Effect.fn("PathSanitizer.resolve")(function* (bundle: string, path: string) {
          const unsafe = (reason: UnsafePathError["reason"]) => new UnsafePathError({ bundle, path, reason })
          const names = cleanPath(path)
          if (Result.isFailure(names)) return yield* unsafe(names.failure)
          const root = yield* Effect.mapError(fs.realPath(bundle), () => unsafe("missing"))
          const real = yield* Effect.mapError(fs.realPath(paths.join(root, ...names.success)), () => unsafe("missing"))
          return real.startsWith(root + paths.sep) ? real : yield* unsafe("linkOutside")
        }),
      }
    }),
  )

  /** For tests: joins the two, and looks at no disk. */
  static readonly layerTest: Layer.Layer<PathSanitizer> = Layer.succeed(PathSanitizer, {
    resolve: (bundle, path) => Effect.succeed(`${bundle}/${path}`),
  })
}
