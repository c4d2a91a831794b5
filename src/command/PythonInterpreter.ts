import { Context, Effect, FileSystem, Layer, Path, Schema } from "effect"
import { HostEnvironment } from "./HostEnvironment.ts"

/** No Python interpreter was found. */
export class PythonNotFoundError extends Schema.TaggedError<PythonNotFoundError>()("PythonNotFoundError", {
  /** The bundle's folder. */
  bundle: Schema.String,
  /** Every place that was looked at, in order. */
  tried: Schema.Array(Schema.String),
}) {
  override get message(): string {
    return `no Python interpreter for ${this.bundle}: none of ${this.tried.join(", ")} is an executable file; make a virtual environment in the bundle (python3 -m venv .venv) or install Python 3.9 or later`
  }
}

const VENVS = ["venv", ".venv"]
const NAMES = ["python3", "python"]

/** Finds the interpreter that runs a plugin. */
export class PythonInterpreter extends Context.Service<
  PythonInterpreter,
  {
    /**
     * The absolute path of the bundle's own interpreter (`venv`, then `.venv`), else of `python3`, then `python`, on the
     * host's PATH.
     */
    readonly find: (bundle: string) => Effect.Effect<string, PythonNotFoundError>
  }
>()("effect-plugin-supervisor/command/PythonInterpreter") {
  static readonly layer: Layer.Layer<PythonInterpreter, never, FileSystem.FileSystem | Path.Path> = Layer.effect(
    PythonInterpreter,
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const { platform, variables } = yield* HostEnvironment
      const isWindows = platform.platform === "win32"

      // A venv's python is a link to the interpreter it was made from, outside of the bundle by nature, so it is looked
      // up here and not by the PathSanitizer: it names no path of the manifest's.
      const inBundle = isWindows ? ["Scripts/python.exe"] : ["bin/python", "bin/python3"]
      // Windows calls it Path.
      const searchPath = Object.entries(variables).find(
        ([name]) => (isWindows ? name.toUpperCase() : name) === "PATH",
      )?.[1]
      const onPath = (isWindows ? NAMES.map((name) => `${name}.exe`) : NAMES).flatMap((name) =>
        (searchPath ?? "")
          .split(isWindows ? ";" : ":")
          // A relative entry would be taken from the current folder, which is nobody's promise.
          .filter((folder) => path.isAbsolute(folder))
          .map((folder) => path.join(folder, name)),
      )

      const isExecutable = (file: string) =>
        Effect.gen(function* () {
          const info = yield* fs.stat(file)
          return info.type === "File" && (isWindows || (info.mode & 0o111) !== 0)
        }).pipe(Effect.orElseSucceed(() => false))

      return {
        find: Effect.fn("PythonInterpreter.find")(function* (bundle: string) {
          const own = VENVS.flatMap((venv) => inBundle.map((name) => path.join(bundle, venv, name)))
          for (const file of [...own, ...onPath]) {
            if (yield* isExecutable(file)) return file
          }
          return yield* new PythonNotFoundError({ bundle, tried: [...own, ...onPath] })
        }),
      }
    }),
  )

  /** For tests: every bundle is run by `interpreter`. */
  static readonly layerTest = (interpreter: string): Layer.Layer<PythonInterpreter> =>
    Layer.succeed(PythonInterpreter, { find: () => Effect.succeed(interpreter) })
}
