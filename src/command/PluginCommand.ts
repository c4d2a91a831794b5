import { Context, type Duration, Effect, FileSystem, Layer, Option, Path, Result, Schema } from "effect"
import { PathSanitizer, type UnsafePathError } from "../bundle/PathSanitizer.ts"
import type { PluginBundle } from "../bundle/PluginBundle.ts"
import { type Checksum, type ChecksumError, verify } from "./Checksum.ts"
import { HostEnvironment } from "./HostEnvironment.ts"
import { detectRuntime, type NoExecutableError } from "./PluginRuntime.ts"
import { pluginVariables } from "./PluginVariables.ts"
import { WAIT_DELAY } from "./WaitDelay.ts"
import { PythonEnvironment, type PythonEnvironmentError } from "./PythonEnvironment.ts"
import { type BrokenVenvError, PythonInterpreter, type PythonNotFoundError } from "./PythonInterpreter.ts"
import { checkServerVersion, ServerVersion, type ServerVersionError } from "./ServerVersion.ts"

/** What will be executed. */
export interface Command {
  readonly pluginId: string
  readonly kind: "python" | "native"
  /** Absolute path. */
  readonly executable: string
  readonly args: ReadonlyArray<string>
  /** The bundle's folder. */
  readonly cwd: string
  /** The whole environment, but for what the protocol adds. */
  readonly env: { readonly [name: string]: string }
  readonly waitDelay: Duration.Input
  /** Checked before each start. */
  readonly checksums: ReadonlyArray<Checksum>
  /** The file of a Python plugin's requirements that nobody has installed, since this host makes no environments. */
  readonly notInstalled?: string | undefined
}

/** Why a module is missing that a plugin's requirements name; nothing where that is not why. */
export const whyMissing = ({ notInstalled }: Command, stderr: ReadonlyArray<string>): ReadonlyArray<string> =>
  notInstalled !== undefined && stderr.some((line) => line.startsWith("ModuleNotFoundError"))
    ? [`${notInstalled} was not installed: this host makes no Python environments (--no-provision)`]
    : []

/** Where plugins say what they need, as far as others than the tools for it look. */
const REQUIREMENTS = ["requirements.txt", "pyproject.toml", "pylock.toml", "uv.lock"]

/** What an operator may set for a plugin's process. */
export interface PluginCommandOptions {
  /** Variables of the host that the plugin may see: `NAME` or `PREFIX_*`. Default: none. */
  readonly allowVariables?: ReadonlyArray<string> | undefined
  /** Variables with values of the operator's own. */
  readonly variables?: { readonly [name: string]: string } | undefined
  /** Variables that are the host's alone to set, in upper case: those of the plugin's contract. Neither of the above sets them. */
  readonly reservedVariables?: ReadonlyArray<string> | undefined
  /** SHA-256 by file, relative to the bundle or absolute (the interpreter, say); checked before each start. */
  readonly checksums?: { readonly [file: string]: string } | undefined
  /** Default {@link WAIT_DELAY}. */
  readonly waitDelay?: Duration.Input | undefined
}

/** An executable to run as a plugin, without a manifest. */
export interface NativeOptions extends PluginCommandOptions {
  readonly pluginId: string
  /** Absolute path of the executable. */
  readonly executable: string
  readonly args?: ReadonlyArray<string> | undefined
  /** Default: the executable's folder. */
  readonly cwd?: string | undefined
}

/** A plugin's file can't be executed. */
export class NotExecutableError extends Schema.TaggedError<NotExecutableError>()("NotExecutableError", {
  pluginId: Schema.String,
  file: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `plugin ${this.pluginId}: ${this.file} ${this.reason}`
  }
}

const notExecutable = (pluginId: string, file: string, reason: string) =>
  new NotExecutableError({ pluginId, file, reason })

/** Why no command can be made of a bundle. */
export type PluginCommandError =
  | ServerVersionError
  | NoExecutableError
  | PythonNotFoundError
  | BrokenVenvError
  | PythonEnvironmentError
  | UnsafePathError
  | NotExecutableError
  | ChecksumError

/** Builds the commands that start plugins. */
export class PluginCommand extends Context.Service<
  PluginCommand,
  {
    /**
     * The command of a bundle, Python or native as its manifest says, if the host is recent enough for it. Where there is a
     * {@link PythonEnvironment}, a Python plugin's environment is made first if it has to be.
     */
    readonly fromManifest: (
      bundle: PluginBundle,
      options?: PluginCommandOptions,
    ) => Effect.Effect<Command, PluginCommandError>
    /** The command of an executable; its SHA-256 is taken now, unless one is given, and checked before each start. */
    readonly native: (options: NativeOptions) => Effect.Effect<Command, PluginCommandError>
    /** Checks every file of a command that has a checksum; done right before each start. */
    readonly verifyChecksums: (command: Command) => Effect.Effect<void, ChecksumError>
  }
>()("effect-plugin-supervisor/command/PluginCommand") {
  static readonly layer: Layer.Layer<
    PluginCommand,
    never,
    FileSystem.FileSystem | Path.Path | PathSanitizer | PythonInterpreter
  > = Layer.effect(
    PluginCommand,
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const sanitizer = yield* PathSanitizer
      const interpreters = yield* PythonInterpreter
      const environments = Option.getOrUndefined(yield* Effect.serviceOption(PythonEnvironment))
      const host = yield* HostEnvironment
      const serverVersion = yield* ServerVersion

      const command = (
        parts: Pick<Command, "pluginId" | "kind" | "executable" | "args" | "cwd">,
        options: PluginCommandOptions,
      ): Command => ({
        ...parts,
        env: pluginVariables(
          host.variables,
          host.platform.platform,
          options.allowVariables,
          options.variables,
          options.reservedVariables,
        ),
        waitDelay: options.waitDelay ?? WAIT_DELAY,
        checksums: Object.entries(options.checksums ?? {}).map(([file, sha256]) => ({
          file: path.resolve(parts.cwd, file),
          sha256,
        })),
      })

      const checkExecutable = Effect.fnUntraced(function* (pluginId: string, file: string) {
        const refuse = (reason: string) => notExecutable(pluginId, file, reason)
        const info = yield* Effect.mapError(fs.stat(file), () => refuse("doesn't exist"))
        if (info.type !== "File") return yield* refuse("is no file")
        if (host.platform.platform !== "win32" && (info.mode & 0o111) === 0) {
          return yield* refuse(`is not executable; run chmod +x on it`)
        }
      })

      const native = Effect.fn("PluginCommand.native")(function* (options: NativeOptions) {
        const { executable, pluginId } = options
        yield* checkExecutable(pluginId, executable)
        return command(
          {
            pluginId,
            kind: "native",
            executable,
            args: options.args ?? [],
            cwd: options.cwd ?? path.dirname(executable),
          },
          options,
        )
      })

      return {
        native,
        fromManifest: Effect.fn("PluginCommand.fromManifest")(function* (bundle, options = {}) {
          const pluginId = bundle.manifest.id
          const cwd = bundle.directory
          yield* checkServerVersion(bundle.manifest, serverVersion)
          const runtime = detectRuntime(bundle.manifest, host.platform)
          if (Result.isFailure(runtime)) return yield* runtime.failure
          const file = yield* sanitizer.resolve(cwd, runtime.success.executable)
          if (runtime.success.kind === "native") {
            return yield* native({ ...options, pluginId, executable: file, cwd })
          }
          // A folder or an archive with a __main__.py is a script, too. Python would wait for ever to read a pipe.
          const { type } = yield* Effect.mapError(fs.stat(file), () => notExecutable(pluginId, file, "can't be read"))
          if (type !== "File" && type !== "Directory") return yield* notExecutable(pluginId, file, "is no file")
          const named = bundle.manifest.server?.python?.venv_path
          const venv = named === undefined || named === "" ? undefined : yield* sanitizer.resolve(cwd, named)
          const executable = yield* environments === undefined
            ? interpreters.find(cwd, venv)
            : environments.interpreter(bundle, venv)
          const made = command({ pluginId, kind: "python", executable, args: [file], cwd }, options)
          if (environments !== undefined) return made
          const isThere = (name: string) => Effect.orElseSucceed(fs.exists(path.join(cwd, name)), () => false)
          const [notInstalled] = yield* Effect.filter(REQUIREMENTS, isThere)
          return notInstalled === undefined ? made : { ...made, notInstalled }
        }),
        verifyChecksums: (command) =>
          Effect.forEach(command.checksums, (checksum) => verify(fs, command.pluginId, checksum), { discard: true }),
      }
    }),
  )

  /** For tests: a command for every bundle, of an executable that is nowhere. */
  static readonly layerTest: Layer.Layer<PluginCommand> = Layer.succeed(PluginCommand, {
    fromManifest: ({ directory, manifest }) => Effect.succeed(testCommand(manifest.id, directory)),
    native: ({ executable, pluginId }) => Effect.succeed({ ...testCommand(pluginId, "/"), executable }),
    verifyChecksums: () => Effect.void,
  })
}

const testCommand = (pluginId: string, cwd: string): Command => ({
  pluginId,
  kind: "native",
  executable: "/nowhere/plugin",
  args: [],
  cwd,
  env: {},
  waitDelay: WAIT_DELAY,
  checksums: [],
})
