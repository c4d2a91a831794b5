import { Context, Effect, Layer, Schema, SubscriptionRef } from "effect"
import type { PluginBundle } from "../bundle/PluginBundle.ts"
import type { BrokenVenvError, PythonNotFoundError } from "./PythonInterpreter.ts"

/** What is said of a tool's output in an error: its last lines, without secrets. */
const outputOf = (lines: ReadonlyArray<string>): string => lines.map((line) => `\n  ${line}`).join("")

/** No environment can be made on this machine. */
export class PythonToolError extends Schema.TaggedError<PythonToolError>()("PythonToolError", {
  pluginId: Schema.String,
  /** What was looked for, and why it won't do. */
  reason: Schema.String,
}) {
  override get message(): string {
    return `plugin ${this.pluginId}: no Python environment can be made: ${this.reason}`
  }
}

/** What a bundle says that it needs can't be used. */
export class PythonRequirementsError extends Schema.TaggedError<PythonRequirementsError>()("PythonRequirementsError", {
  pluginId: Schema.String,
  /** The file, relative to the bundle. */
  file: Schema.String,
  /** What is wrong, and the cure. */
  reason: Schema.String,
}) {
  override get message(): string {
    return `plugin ${this.pluginId}: ${this.file} ${this.reason}`
  }
}

/** A step of making an environment failed, or took too long. */
export class PythonInstallError extends Schema.TaggedError<PythonInstallError>()("PythonInstallError", {
  pluginId: Schema.String,
  /** What was done, for example `uv pip install -r requirements.txt`. */
  step: Schema.String,
  /** How it ended. */
  reason: Schema.String,
  cure: Schema.String,
  /** The last lines of the tool's output, without secrets. */
  output: Schema.Array(Schema.String),
}) {
  override get message(): string {
    return `plugin ${this.pluginId}: ${this.step}: ${this.reason}; ${this.cure}${outputOf(this.output)}`
  }
}

/** The folder of the environments can't be used. */
export class PythonEnvironmentFolderError extends Schema.TaggedError<PythonEnvironmentFolderError>()(
  "PythonEnvironmentFolderError",
  { folder: Schema.String, reason: Schema.String },
) {
  override get message(): string {
    return `the folder of Python environments ${this.folder} can't be used: ${this.reason}; make it writable for the host, with room for the packages, or choose another`
  }
}

/** Why a plugin has no environment. */
export type PythonEnvironmentError =
  | PythonToolError
  | PythonRequirementsError
  | PythonInstallError
  | PythonEnvironmentFolderError

/** An environment that is being made. */
export interface EnvironmentBuild {
  readonly pluginId: string
  /** `waiting` is for others that are made, this very one perhaps, for another plugin. */
  readonly step: "waiting" | "creating" | "installing" | "checking"
  /** What the tool has printed last, without secrets; empty at first. */
  readonly line: string
}

/**
 * Gives Python plugins the packages that they ask for. A host without this service runs each plugin by the bundle's own
 * virtual environment, or by the Python on its PATH.
 */
export class PythonEnvironment extends Context.Service<
  PythonEnvironment,
  {
    /**
     * The absolute path of the interpreter that runs a plugin. A virtual environment in the bundle is used as it is: that at
     * `venv`, an absolute path, where one is given. Otherwise one is made of what the bundle asks for, unless there is one
     * already; that may take minutes.
     */
    readonly interpreter: (
      bundle: PluginBundle,
      venv?: string,
    ) => Effect.Effect<string, PythonNotFoundError | BrokenVenvError | PythonEnvironmentError>
    /** The environments that are being made now, by their plugins' ids. */
    readonly builds: SubscriptionRef.SubscriptionRef<ReadonlyMap<string, EnvironmentBuild>>
  }
>()("effect-plugin-supervisor/command/PythonEnvironment") {
  /** For tests: every plugin gets `interpreter`, and nothing is made. */
  static readonly layerTest = (interpreter: string): Layer.Layer<PythonEnvironment> =>
    Layer.effect(
      PythonEnvironment,
      Effect.map(SubscriptionRef.make<ReadonlyMap<string, EnvironmentBuild>>(new Map()), (builds) => ({
        interpreter: () => Effect.succeed(interpreter),
        builds,
      })),
    )
}
