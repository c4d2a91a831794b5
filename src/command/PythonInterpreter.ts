import { Context, Effect, FileSystem, Layer, Option, Path, Schema } from "effect"
import { HostEnvironment } from "./HostEnvironment.ts"

/** No Python interpreter was found. */
export class PythonNotFoundError extends Schema.TaggedError<PythonNotFoundError>()("PythonNotFoundError", {
  /** The bundle's folder. */
  bundle: Schema.String,
  /** Every place that was looked at, in order. */
  tried: Schema.Array(Schema.String),
}) {
  override get message(): string {
    return `no Python interpreter for ${this.bundle}: there is none of ${this.tried.join(", ")}; make a virtual environment in the bundle (python3 -m venv .venv) or install Python 3.9 or later`
  }
}

/** A bundle's virtual environment can't run it; no other Python has what the plugin needs. */
export class BrokenVenvError extends Schema.TaggedError<BrokenVenvError>()("BrokenVenvError", {
  /** The environment's folder. */
  venv: Schema.String,
  /** What is wrong with it, interpreter by interpreter. */
  reason: Schema.String,
}) {
  override get message(): string {
    return `the virtual environment ${this.venv} can't run the plugin: ${this.reason}; make it anew (python3 -m venv --clear) with all that the plugin needs, or remove it to have the Python on the host's PATH run the plugin`
  }
}

const VENVS = ["venv", ".venv"]
const NAMES = ["python3", "python"]

/** Finds the interpreter that runs a plugin. */
export class PythonInterpreter extends Context.Service<
  PythonInterpreter,
  {
    /**
     * The absolute path of the bundle's own interpreter, else of `python3`, then `python`, on the host's PATH. The
     * bundle's own is that of `venv`, an absolute path, where one is given, else that of its `venv` or `.venv`, the first
     * that is there: that it can't be run is an error.
     */
    readonly find: (bundle: string, venv?: string) => Effect.Effect<string, PythonNotFoundError | BrokenVenvError>
    /** The bundle's own interpreter alone, where it has one. */
    readonly findOwn: (bundle: string, venv?: string) => Effect.Effect<Option.Option<string>, BrokenVenvError>
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

      /** What keeps a file from being executed; nothing where it can be. */
      const obstacle = (file: string) =>
        Effect.match(fs.stat(file), {
          onFailure: ({ reason }) =>
            reason._tag === "NotFound" ? "doesn't exist" : `can't be reached (${reason._tag})`,
          onSuccess: (info) =>
            info.type !== "File"
              ? "is no file"
              : isWindows || (info.mode & 0o111) !== 0
                ? undefined
                : "is not executable",
        })

      /** Where a link leads, for whoever has to mend it. */
      const named = (file: string) =>
        Effect.match(fs.readLink(file), {
          onFailure: () => file,
          onSuccess: (target) => `${file} (a link to ${target})`,
        })

      const inVenv = Effect.fnUntraced(function* (venv: string) {
        const wrong: Array<string> = []
        for (const name of inBundle) {
          const file = path.join(venv, name)
          const found = yield* obstacle(file)
          if (found === undefined) return file
          wrong.push(`${yield* named(file)} ${found}`)
        }
        return yield* new BrokenVenvError({ venv: yield* named(venv), reason: wrong.join(", ") })
      })

      /** Whether there is anything but a plain file, with which some tools name an environment that is elsewhere. */
      const isVenv = (file: string) =>
        Effect.matchEffect(fs.stat(file), {
          onSuccess: ({ type }) => Effect.succeed(type !== "File"),
          onFailure: ({ reason }) =>
            reason._tag === "NotFound" ? Effect.isSuccess(fs.readLink(file)) : Effect.succeed(true),
        })

      const venvsOf = (bundle: string) => VENVS.map((name) => path.join(bundle, name))

      const findOwn = Effect.fn("PythonInterpreter.findOwn")(function* (bundle: string, venv?: string) {
        if (venv !== undefined) return Option.some(yield* inVenv(venv))
        for (const own of venvsOf(bundle)) {
          if (yield* isVenv(own)) return Option.some(yield* inVenv(own))
        }
        return Option.none()
      })

      return {
        findOwn,
        find: Effect.fn("PythonInterpreter.find")(function* (bundle: string, venv?: string) {
          const own = yield* findOwn(bundle, venv)
          if (Option.isSome(own)) return own.value
          for (const file of onPath) {
            if ((yield* obstacle(file)) === undefined) return file
          }
          return yield* new PythonNotFoundError({ bundle, tried: [...venvsOf(bundle), ...onPath] })
        }),
      }
    }),
  )

  /** For tests: every bundle is run by `interpreter`. */
  static readonly layerTest = (interpreter: string): Layer.Layer<PythonInterpreter> =>
    Layer.succeed(PythonInterpreter, {
      find: () => Effect.succeed(interpreter),
      findOwn: () => Effect.succeed(Option.none()),
    })
}
