import { type Effect, Schema } from "effect"
import type { BundleModifiedError } from "../bundle/BundleIntegrity.ts"
import type { PluginBundle } from "../bundle/PluginBundle.ts"
import type { PluginCommandError } from "../command/PluginCommand.ts"
import type { GoPlugin, GoPluginError } from "../goplugin/GoPlugin.ts"
import type { SocketDirectoryError } from "../goplugin/SocketDirectory.ts"
import type { RpcServerError } from "../rpc/RpcServer.ts"
import type { HookError } from "../hooks/HookError.ts"
import type { HookClient } from "../hooks/Hooks.ts"
import { describeExit, type ProcessExit } from "../process/ProcessSpec.ts"
import type { PluginUserError } from "../process/ProcessUser.ts"

/** What to do about sockets that somebody removes. */
export const KEEP_SOCKETS = "keep sockets where nobody clears up (--runtime-directory, RUNTIME_DIRECTORY)"

/** The plugin's process ended while the plugin was started, after its handshake. */
export class PluginExitedError extends Schema.TaggedError<PluginExitedError>()("PluginExitedError", {
  pluginId: Schema.String,
  /** What the host was about, and what became of it. */
  detail: Schema.String,
  /** How the process ended: `exit code 1`, `signal SIGSEGV`. */
  exit: Schema.String,
  /** The last lines the plugin wrote to stderr, oldest first. */
  stderr: Schema.Array(Schema.String),
}) {
  override get message(): string {
    const stderr =
      this.stderr.length === 0 ? "it wrote nothing to stderr" : `the end of its stderr:\n  ${this.stderr.join("\n  ")}`
    return `plugin ${this.pluginId} ended while it was started (${this.exit}): ${this.detail}; ${stderr}`
  }
}

/** The plugin was stopped before its start had come to its end. */
export class PluginStoppedError extends Schema.TaggedError<PluginStoppedError>()("PluginStoppedError", {
  pluginId: Schema.String,
}) {
  override get message(): string {
    return `plugin ${this.pluginId} was stopped while it was started`
  }
}

/** What can keep a plugin from becoming active. */
export type PluginStartError =
  | SocketDirectoryError
  | RpcServerError
  | PluginCommandError
  | BundleModifiedError
  | PluginUserError
  | GoPluginError
  | HookError
  | PluginExitedError
  | PluginStoppedError

/** How a run has come to its end. */
export type RunEnd =
  | { readonly _tag: "Stopped" }
  /** The process ended by itself, or for a limit (`exit.overLimit`). */
  | { readonly _tag: "Exited"; readonly exit: ProcessExit }
  /** Somebody has removed the socket of the plugin's host API, or its folder, and it could not be made again. */
  | { readonly _tag: "Lost"; readonly path: string; readonly reason: string }
  /** The process lives, but its server is gone, or over ttrpc its way to the host API. */
  | { readonly _tag: "Disconnected" }
  /** The process lives, but is stopped or deadlocked: what its host has seen of that. */
  | { readonly _tag: "Unresponsive"; readonly reason: string }

/** A run's end in words. */
export const describeEnd = (pluginId: string, end: RunEnd): string => {
  switch (end._tag) {
    case "Stopped":
      return `plugin ${pluginId} was stopped`
    case "Exited":
      if (end.exit.overLimit !== undefined) return `plugin ${pluginId} was ended, since it ${end.exit.overLimit}`
      return `plugin ${pluginId} ended unexpectedly (${describeExit(end.exit)})${isKilled(end.exit) ? KILLED : ""}`
    case "Lost":
      return `plugin ${pluginId} was stopped, since somebody has removed ${end.path}, and it can't be made again (${end.reason}); ${KEEP_SOCKETS}`
    case "Disconnected":
      return `plugin ${pluginId} was stopped, since its server does not answer any more, or the connection by which it calls its host is lost, although its process runs; see its log`
    case "Unresponsive":
      return `plugin ${pluginId} was stopped, since it ${end.reason}`
  }
}

/** Whether a process was killed by a signal that nothing can handle; a shell, or a container, says so by 128 + 9. */
const isKilled = ({ code, signal }: ProcessExit): boolean => signal === "SIGKILL" || code === 137

const KILLED = "; it was killed, by the kernel for the memory that it took, or by kill -9"

/** One start of a plugin, from its activation to its end. `H` are its hooks as methods, typed from the contract. */
export interface PluginRun<out H = object> {
  readonly bundle: PluginBundle
  /** Tells two runs of one plugin apart: a later one has a greater number. */
  readonly generation: number
  readonly hooks: H
  /** What the hooks are called by, whatever the contract. */
  readonly client: HookClient
  readonly process: GoPlugin["process"]
  /** Asks the plugin whether it serves. */
  readonly ping: GoPlugin["ping"]
  /** Ends the run; returns when nothing is left of it, also when somebody else ends it. */
  readonly stop: Effect.Effect<void>
  /** Completes as soon as the run is about to end. */
  readonly ending: Effect.Effect<RunEnd>
  /** Completes when nothing is left of the run. */
  readonly ended: Effect.Effect<RunEnd>
}
