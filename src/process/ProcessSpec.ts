import type { Duplex } from "node:stream"
import { type Duration, type Effect, Schema, type Scope } from "effect"
import type { HeldLimit, ProcessLimits } from "./ProcessLimits.ts"
import type { ProcessUser } from "./ProcessUser.ts"

/** What to run, as a plugin's process. */
export interface ProcessSpec {
  /** The plugin's id; names the process in errors and logs. */
  readonly pluginId: string
  /** Absolute path of the executable. */
  readonly executable: string
  readonly args: ReadonlyArray<string>
  /** Working directory. */
  readonly cwd: string
  /** The whole environment; nothing is inherited beside it. */
  readonly env: { readonly [name: string]: string | undefined }
  /** How long the process group may take to end after SIGTERM before it gets SIGKILL. Default `WAIT_DELAY`. */
  readonly waitDelay?: Duration.Input | undefined
  /**
   * The signal the kernel sends the process when the host dies: on Linux with util-linux' `setpriv`, and unless the
   * executable changes its user or has capabilities of its own. Default SIGKILL, which nothing can ignore. The host's
   * death is that of the thread that spawns: a host in a `Worker` may want `false`, none.
   */
  readonly parentDeathSignal?: "SIGTERM" | "SIGKILL" | false | undefined
  /**
   * Whether the process reads the host's stdin. Default false: its stdin is the life line, which otherwise is the file
   * descriptor 3. A process of a group of its own that reads from a terminal is stopped by the kernel (SIGTTIN).
   */
  readonly inheritStdin?: boolean | undefined
  /** What a line of stderr has to tell people, for {@link RunningProcess.stderrTail}; nothing to leave it out. Default: the line. */
  readonly understandStderr?: ((line: string) => ReadonlyArray<string>) | undefined
  /** What only the process itself is to know. Not on Windows, where `secretTaken` is false then. */
  readonly secret?: ProcessSecret | undefined
  /**
   * Connections that the process inherits, each a socketpair: nobody else can connect to them, and none of them leaves anything
   * behind. Not on Windows.
   */
  readonly sockets?: ProcessSockets | undefined
  /** What it may take of the machine, as far as this machine can hold it to that. Default: no limits. */
  readonly limits?: ProcessLimits | undefined
  /**
   * Who it runs as, without further groups and without ways to new privileges; see `findUser`. It is not started where that
   * can't be done. Default: the host's user.
   */
  readonly user?: ProcessUser | undefined
}

/**
 * A value that is handed over by a pipe of its own, so that it is neither in the environment nor among the arguments,
 * which other processes of the user can read. Once read to the end, the pipe has nothing more to give.
 */
export interface ProcessSecret {
  /** The variable that holds the pipe's file descriptor. */
  readonly variable: string
  readonly value: string
}

/** Connections that a process inherits. */
export interface ProcessSockets {
  /** The variable that holds their file descriptors, separated by commas. */
  readonly variable: string
  readonly count: number
}

/**
 * Where a process' output goes. Both are called as chunks arrive, at no more than `READ_RATE`; the pipes are drained
 * whatever the sinks do.
 */
export interface ProcessOutput {
  readonly stdout: (chunk: Uint8Array) => void
  readonly stderr: (chunk: Uint8Array) => void
}

/** How a process ended: one of the two is set. */
export interface ProcessExit {
  readonly code: number | null
  readonly signal: string | null
  /** The limit that it was ended for, as what it did: `used more than 256 MiB of memory`. Absent where it was for none. */
  readonly overLimit?: string | undefined
}

/** A process' end in words, for example `exit code 1` or `signal SIGSEGV`. */
export const describeExit = (exit: ProcessExit): string => {
  const how = exit.signal === null ? `exit code ${exit.code}` : `signal ${exit.signal}`
  return exit.overLimit === undefined ? how : `${how}, since it ${exit.overLimit}`
}

/** A running process; its Scope owns it and all its descendants. */
export interface RunningProcess {
  readonly pid: number
  /** Waits for the process' own end, not for its pipes: a descendant may hold those open. */
  readonly exit: Effect.Effect<ProcessExit>
  /** The last lines of stderr, oldest first; bounded. */
  readonly stderrTail: Effect.Effect<ReadonlyArray<string>>
  /**
   * Waits until the process has taken its secret, which it says by writing a byte back; false if it never will, as when
   * it has closed the pipe or ended, or there is none.
   */
  readonly secretTaken: Effect.Effect<boolean>
  /** The host's ends of the connections that it has inherited; none where there are none. They end with the process. */
  readonly sockets: ReadonlyArray<Duplex>
  /** What became of the limits that it was started with. */
  readonly limits: ReadonlyArray<HeldLimit>
}

/** What to do about a refusal, by the system's own word for it. */
const cureOf = (reason: string): string => {
  if (/\b(EMFILE|ENFILE)\b/.test(reason)) return "no file descriptor is left: raise the limit (LimitNOFILE=, ulimit -n)"
  if (/\b(EAGAIN|ENOMEM)\b/.test(reason))
    return "no room for another process is left: raise the limits of processes and memory"
  return "check that the file exists, is executable and was built for this machine"
}

/** The process can't be started: the operating system refused, or it can't be held to what its specification says. */
export class PluginSpawnError extends Schema.TaggedError<PluginSpawnError>()("PluginSpawnError", {
  pluginId: Schema.String,
  executable: Schema.String,
  reason: Schema.String,
  /** What is known of the executable: where it is, who may run it, which machine it was built for. */
  diagnosis: Schema.Array(Schema.String),
  /** What to do about it, where it was not the operating system. */
  cure: Schema.optionalKey(Schema.String),
}) {
  override get message(): string {
    const { cure = cureOf(this.reason), executable, pluginId, reason } = this
    const diagnosis = this.diagnosis.map((note) => `\n  ${note}`).join("")
    return `plugin ${pluginId}: can't start ${executable}: ${reason}; ${cure}${diagnosis}`
  }
}

/** Starts a process that its Scope owns. */
export type Spawn = (
  spec: ProcessSpec,
  output: ProcessOutput,
) => Effect.Effect<RunningProcess, PluginSpawnError, Scope.Scope>
