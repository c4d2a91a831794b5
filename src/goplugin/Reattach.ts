import { connect } from "node:net"
import { Duration, Effect, Schedule, Schema } from "effect"
import { identify } from "../process/ProcessTable.ts"
import type { ProcessExit } from "../process/ProcessSpec.ts"
import * as SocketAddress from "./SocketAddress.ts"
import { socketOwner } from "./SocketOwner.ts"

/** Where a plugin that runs already is found, in the shape that go-plugin's programs exchange it. */
export const ReattachConfig = Schema.Struct({
  /** Only `grpc` can be reattached to. */
  Protocol: Schema.String,
  ProtocolVersion: Schema.optionalKey(Schema.Int),
  Pid: Schema.Int,
  /** The plugin was started for a test or in a debugger: whoever reattaches never ends it. */
  Test: Schema.optionalKey(Schema.Boolean),
  Addr: Schema.Struct({ Network: Schema.String, String: Schema.String }),
})
export type ReattachConfig = typeof ReattachConfig.Type

/**
 * Plugins to reattach to by name, as JSON: the value of Terraform's `TF_REATTACH_PROVIDERS` and of whatever imitates it.
 * `Schema.decodeUnknownEffect(ReattachConfigs)` reads it.
 */
export const ReattachConfigs = Schema.fromJsonString(Schema.Record(Schema.String, ReattachConfig))

/** There is no plugin to reattach to. */
export class ReattachError extends Schema.TaggedError<ReattachError>()("ReattachError", {
  pluginId: Schema.String,
  /** `notFound`: nobody is there; `config`: it can't be reattached to; `unhealthy`: it fails its health check. */
  kind: Schema.Literals(["notFound", "config", "unhealthy"]),
  detail: Schema.String,
}) {
  override get message(): string {
    return `plugin ${this.pluginId}: can't reattach: ${this.detail}`
  }
}

/** How often a process that is not our child is looked at; go-plugin (1.8, `pidWait`) does once a second. */
const POLL_INTERVAL = Duration.millis(100)

/** How long a plugin may take to accept the connection that shows that it is there. */
const CONNECT_LIMIT = Duration.seconds(5)

/** A process that somebody else started. */
export interface AttachedProcess {
  readonly pid: number
  /** How it ended may not be known: then neither code nor signal is set. */
  readonly exit: Effect.Effect<ProcessExit>
  /** Ends it by force, if it still runs. */
  readonly kill: Effect.Effect<void>
}

const attach = Effect.fnUntraced(function* (pid: number): Effect.fn.Return<AttachedProcess | undefined> {
  const identity = yield* identify(pid)
  if (identity === undefined) return undefined
  const runs = Effect.map(identify(pid), (now) => now === identity)
  return {
    pid,
    exit: runs.pipe(
      Effect.repeat({ schedule: Schedule.spaced(POLL_INTERVAL), while: (runs) => runs }),
      Effect.as({ code: null, signal: null }),
    ),
    // The id may be a stranger's by now, who is left alone.
    kill: Effect.flatMap(runs, (runs) =>
      runs ? Effect.ignore(Effect.try(() => process.kill(pid, "SIGKILL"))) : Effect.void,
    ),
  }
})

/** A plugin that was found. */
export interface Found {
  readonly address: SocketAddress.SocketAddress
  readonly process: AttachedProcess
  /** Whether the process may be killed. */
  readonly mayKill: boolean
}

/**
 * Finds a plugin: its process, unless `given`, and somebody who accepts connections. On Linux it must be the process
 * itself that listens there: otherwise its id is a stranger's by now. Where that can't be told, as with another user's
 * process, nobody is killed; on other systems, where nothing can be, the process is taken for the plugin.
 */
export const find = Effect.fnUntraced(function* (
  pluginId: string,
  { Addr, Pid, Protocol, Test }: ReattachConfig,
  given: AttachedProcess | undefined,
): Effect.fn.Return<Found, ReattachError> {
  const refuse = (kind: ReattachError["kind"], detail: string) => new ReattachError({ pluginId, kind, detail })
  if (Protocol !== "grpc") {
    return yield* refuse("config", `it speaks ${Protocol || "netrpc"}, this host speaks grpc only`)
  }
  const address = SocketAddress.parse(Addr.Network, Addr.String)
  if (typeof address === "string") return yield* refuse("config", address)
  // Signalling 0 or a negative number would reach whole groups of processes.
  if (given === undefined && Pid <= 0) return yield* refuse("config", `${Pid} is no process id`)
  const process = given ?? (yield* attach(Pid))
  if (process === undefined) return yield* refuse("notFound", `no process ${Pid} runs any more`)
  yield* Effect.mapError(isListening(address), (error) =>
    refuse("notFound", `nobody listens at ${Addr.String}: ${error.message}`),
  )
  if (given !== undefined) return { address, process, mayKill: true }
  const owner = yield* socketOwner(address, Pid, { group: false })
  if (owner === "foreign" && Test !== true) {
    return yield* refuse(
      "notFound",
      `process ${Pid} is not the one that listens at ${Addr.String}: its id is another's`,
    )
  }
  return { address, process, mayKill: owner === "own" || globalThis.process.platform !== "linux" }
})

const isListening = (address: SocketAddress.SocketAddress): Effect.Effect<void, Error> =>
  Effect.callback<void, Error>((resume) => {
    const socket = connect(address)
    socket.once("error", (error) => resume(Effect.fail(error)))
    socket.once("connect", () => {
      socket.destroy()
      resume(Effect.void)
    })
    return Effect.sync(() => socket.destroy())
  }).pipe(
    Effect.timeoutOrElse({ duration: CONNECT_LIMIT, orElse: () => Effect.fail(new Error("no connection in time")) }),
  )
