import type { Duplex } from "node:stream"
import { Deferred, Duration, Effect, Option, Result, type Scope } from "effect"
import { VARIABLES } from "../command/Variables.ts"
import { LineSplitter } from "../process/LineSplitter.ts"
import type { PluginProcess } from "../process/PluginProcess.ts"
import { diagnose } from "../process/ExecutableDiagnosis.ts"
import { describeExit, type PluginSpawnError, type RunningProcess } from "../process/ProcessSpec.ts"
import type { GoPluginOptions, TtrpcOffer } from "./GoPlugin.ts"
import { environment, HandshakeError, type ProtocolVariables, START_TIMEOUT } from "./Handshake.ts"
import { type HandshakeExpectations, type HandshakeLine, isHandshake, parse } from "./HandshakeLine.ts"
import { shownLine } from "./LogLine.ts"
import type { PluginLog } from "./PluginLog.ts"
import { MAX_MESSAGE_SIZE } from "../rpc/RpcLimits.ts"
import { frameSizeFor } from "../ttrpc/TtrpcLimits.ts"
import * as TtrpcServer from "../ttrpc/TtrpcServer.ts"

/** A process that has printed its handshake. */
export interface Launched {
  readonly process: RunningProcess
  readonly line: HandshakeLine
  /** Fails with all that is known of the process. */
  readonly fail: Fail
}

type Fail = (kind: HandshakeError["kind"], detail: string) => Effect.Effect<never, HandshakeError>

/** How long after the end of a process its handshake may still turn up in the pipe. */
const LATE_LINE_LIMIT = Duration.millis(100)

/** How long after its connection the end of a process may be seen. */
const END_LIMIT = Duration.seconds(1)

/** What to do about a process that ended without a fault. */
const OTHER_COOKIE =
  "the magic cookie is not the one that it expects: it is made for another host, or for another contract"

/** What go-plugin prints, and other SDKs after it, where the cookie is not the plugin's. */
const SAYS_IS_PLUGIN = /^This binary is a plugin\b/

/** What to do about a process that ended without a fault. */
const NEVER_SERVED =
  "it ran to its end and served nothing; it has to call run_plugin (Python), plugin.Serve (Go), or the like"

/** Lines skipped before the handshake: a banner, a warning or two of a library; not a program that talks on. */
const MAX_STRAY_LINES = 1000

/** Serves what the plugin calls. */
const serveCalls = ({ serve, services = [] }: TtrpcOffer, connection: Duplex, options: GoPluginOptions) =>
  serve !== undefined
    ? serve(connection)
    : TtrpcServer.serve(connection, services, {
        client: `the plugin ${options.process.pluginId}`,
        maxFrameSize: frameSizeFor(options.maxMessageSize ?? MAX_MESSAGE_SIZE),
      })

/** Starts the process with the protocol's environment and waits for its handshake. */
export const launch = Effect.fnUntraced(function* (
  processes: PluginProcess["Service"],
  options: GoPluginOptions,
  offer: TtrpcOffer | undefined,
  variables: ProtocolVariables,
  expectations: HandshakeExpectations,
  log: PluginLog,
  stderrSink: ((chunk: Uint8Array) => void) | undefined,
): Effect.fn.Return<Launched, PluginSpawnError | HandshakeError, Scope.Scope> {
  const { handshake, process: spec, skipStrayLines = false, startTimeout = START_TIMEOUT } = options
  const { executable, pluginId } = spec
  const firstLine = Deferred.makeUnsafe<string>()
  let strayLines = 0
  const stdout = new LineSplitter((bytes, start, end) => {
    if (Deferred.isDoneUnsafe(firstLine)) return
    const line = bytes.toString("utf8", start, end)
    if (!skipStrayLines || isHandshake(line) || strayLines === MAX_STRAY_LINES) {
      Deferred.doneUnsafe(firstLine, Effect.succeed(line))
    } else {
      strayLines++
      log.line("plugin_stdout", { level: "Info", message: line, fields: {} })
    }
  })
  const stderr = log.source("plugin_stderr", "parsed")
  const process = yield* processes.spawn(
    {
      understandStderr: shownLine,
      ...spec,
      env: environment(spec.env, handshake, variables),
      ...(offer === undefined ? {} : { sockets: { variable: VARIABLES.ttrpc, count: 2 } }),
    },
    {
      // Whatever follows the handshake on the real stdout is read, so that the plugin never blocks, and dropped
      // (go-plugin 1.8 does the same).
      stdout: (chunk) => Deferred.isDoneUnsafe(firstLine) || stdout.push(chunk),
      stderr: (chunk) => {
        stderr.push(chunk)
        stderrSink?.(chunk)
      },
    },
  )
  // It may call before its handshake.
  if (offer !== undefined) yield* serveCalls(offer, process.sockets[1]!, options)
  // The last line may have no end.
  yield* Effect.forkScoped(
    process.exit.pipe(Effect.andThen(process.stderrTail), Effect.andThen(Effect.sync(stderr.flush))),
  )

  const fail: Fail = Effect.fnUntraced(function* (kind, detail) {
    const limit = kind === "unhealthy" ? END_LIMIT : LATE_LINE_LIMIT
    const exit = Option.getOrUndefined(yield* Effect.timeoutOption(process.exit, limit))
    const stderr = yield* process.stderrTail
    const ranToItsEnd = exit?.code === 0
    const isOtherCookie = kind === "exited" && stderr.some((line) => SAYS_IS_PLUGIN.test(line))
    const diagnosis = kind === "exited" && !ranToItsEnd ? yield* diagnose(executable) : undefined
    // 126 and 127 are what wrappers and shells answer for a program that can't be run. One that was built for another
    // machine may be read as a shell's script, which fails in other ways.
    const couldRun = stderr.length > 0 && exit?.code !== 126 && exit?.code !== 127 && diagnosis?.isForeign !== true
    return yield* new HandshakeError({
      executable,
      pluginId,
      kind: isOtherCookie ? "cookie" : kind,
      detail: isOtherCookie ? OTHER_COOKIE : detail,
      stderr,
      exit: exit === undefined ? undefined : describeExit(exit),
      diagnosis: isOtherCookie ? [] : ranToItsEnd ? [NEVER_SERVED] : couldRun ? [] : (diagnosis?.notes ?? []),
    })
  })
  const exited = Effect.andThen(Effect.andThen(process.exit, Effect.sleep(LATE_LINE_LIMIT)), () =>
    fail("exited", "it ended before its handshake"),
  )
  const line = yield* Effect.raceFirst(Deferred.await(firstLine), exited).pipe(
    Effect.timeoutOrElse({
      duration: startTimeout,
      orElse: () =>
        fail("timeout", `it printed no handshake within ${Duration.format(Duration.fromInputUnsafe(startTimeout))}`),
    }),
  )
  const parsed = parse(line, expectations)
  if (Result.isFailure(parsed)) return yield* fail(parsed.failure.kind, parsed.failure.detail)
  return { process, line: parsed.success, fail }
})
