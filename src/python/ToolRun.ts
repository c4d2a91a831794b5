import { Clock, Duration, Effect, Layer, Context } from "effect"
import { PythonInstallError, PythonToolError } from "../command/PythonEnvironment.ts"
import { LineSplitter } from "../process/LineSplitter.ts"
import { PluginProcess } from "../process/PluginProcess.ts"
import { describeExit, type RunningProcess } from "../process/ProcessSpec.ts"
import { StderrTail } from "../process/StderrTail.ts"
import { makeActivity } from "./GroupActivity.ts"

/** What is to be run. */
export interface ToolCommand {
  readonly pluginId: string
  /** What is done, for people. */
  readonly step: string
  readonly executable: string
  readonly args: ReadonlyArray<string>
  readonly cwd: string
  readonly env: { readonly [name: string]: string }
  /** How long it may do nothing. */
  readonly stallLimit: Duration.Duration
  /** Texts that nobody may read. */
  readonly secrets: ReadonlyArray<string>
  /** Whether it may fetch nothing. */
  readonly offline: boolean
  /** Is told each line that it prints. */
  readonly onLine: (line: string) => void
}

/** Installers obey SIGTERM at once; what they leave half done is thrown away. */
const WAIT_DELAY = Duration.seconds(1)

/** The longest that is kept of a tool's stdout, which is asked for by probes, whose answers are short. */
const STDOUT_LIMIT = 64 * 1024

/** Replaces secrets, and whatever stands before the host in a URL. */
export const masked = (text: string, secrets: ReadonlyArray<string>): string =>
  secrets
    .filter((secret) => secret !== "")
    .reduce((rest, secret) => rest.replaceAll(secret, "***"), text)
    .replaceAll(/(:\/\/)[^\s/]+@/g, "$1***@")

const CHECK_NAMES = "check the names and the versions that the plugin asks for"

/** The cures, by what tools print. The first that applies is told. */
const CURES: ReadonlyArray<readonly [RegExp, string]> = [
  [/no space left|disk quota/i, "make room on the disk, and start the plugin again"],
  [
    /hash(es)? (mismatch|.*do not match)|mismatch.*hash|--require-hashes/i,
    "what the index has is not what was locked: lock again, or find out who changed it",
  ],
  [
    /connection refused|failed to (connect|establish)|connect error|dns error|name resolution|timed? ?out|connection (reset|broken)|max retries|unreachable|request failed/i,
    "check the network, the proxy and the index's URL, or put the wheels into the bundle's folder wheels",
  ],
  [/401|403|unauthori[sz]ed|forbidden/i, "check the user and the password in the index's URL"],
  [
    /building source distributions is disabled|--no-build|only-binary/i,
    "there is no wheel for this machine, and builds are off: allow builds, or put a wheel into the bundle's folder wheels",
  ],
  [
    /no matching distribution|no solution found|not found in the (package registry|provided)|no version|conflicting dependencies|resolutionimpossible/i,
    CHECK_NAMES,
  ],
]

const OFFLINE =
  "the host is offline: put the wheels into the bundle's folder wheels, or into a folder of --find-links (findLinks)"

const cureOf = (output: ReadonlyArray<string>, offline: boolean): string => {
  const text = output.join("\n")
  const cure = CURES.find(([pattern]) => pattern.test(text))?.[1] ?? "see what it has printed"
  return offline && cure === CHECK_NAMES ? `${OFFLINE}; or ${cure}` : cure
}

/** Runs tools: each in a process group of its own that ends with its Scope, or with the host. */
export class ToolRun extends Context.Service<
  ToolRun,
  {
    /** Runs a tool to its end; answers its stdout. It fails where the tool does, or does nothing for too long. */
    readonly run: (command: ToolCommand) => Effect.Effect<string, PythonInstallError | PythonToolError>
  }
>()("effect-plugin-supervisor/python/ToolRun") {
  static readonly layer: Layer.Layer<ToolRun, never, PluginProcess> = Layer.effect(
    ToolRun,
    Effect.map(PluginProcess, ({ spawn }) => ({
      run: Effect.fn("ToolRun.run")(function* (command: ToolCommand) {
        const { pluginId, secrets, stallLimit, step } = command
        const tail = new StderrTail()
        let stdout = ""
        let active = yield* Clock.currentTimeMillis
        const clock = yield* Clock.Clock
        const listener = () => {
          const lines = new LineSplitter((bytes, start, end) => {
            const line = bytes.toString("utf8", start, end).trim()
            if (line !== "") command.onLine(masked(line, secrets))
          })
          return (chunk: Uint8Array) => {
            active = clock.currentTimeMillisUnsafe()
            tail.push(chunk)
            lines.push(chunk)
          }
        }
        const failed = (reason: string, cure?: string) => {
          const output = tail.lines().map((line) => masked(line, secrets))
          return new PythonInstallError({
            pluginId,
            step,
            reason,
            cure: cure ?? cureOf(output, command.offline),
            output,
          })
        }
        const onStdout = listener()
        const output = {
          stdout: (chunk: Uint8Array) => {
            if (stdout.length < STDOUT_LIMIT) stdout += Buffer.from(chunk).toString()
            onStdout(chunk)
          },
          stderr: listener(),
        }

        /** Ends when nothing has happened for the limit. */
        const stalled = Effect.fnUntraced(function* ({ pid }: RunningProcess) {
          const activity = makeActivity(pid)
          const interval = Duration.max(Duration.millis(100), Duration.divideUnsafe(stallLimit, 10))
          while (true) {
            yield* Effect.sleep(interval)
            const seen = yield* activity
            const now = yield* Clock.currentTimeMillis
            if (seen !== false) active = now
            if (now - active >= Duration.toMillis(stallLimit)) return
          }
        })

        return yield* Effect.scoped(
          Effect.gen(function* () {
            const running = yield* Effect.mapError(
              spawn({ ...command, waitDelay: WAIT_DELAY }, output),
              ({ message }) => new PythonToolError({ pluginId, reason: message }),
            )
            const ended = yield* Effect.raceFirst(running.exit, stalled(running))
            if (ended === undefined) {
              const limit = Duration.format(stallLimit)
              return yield* failed(
                `it was ended after doing nothing for ${limit}`,
                "check that the index answers, or allow more time (stallLimit)",
              )
            }
            // What it has printed last may still be in the pipe.
            yield* running.stderrTail
            if (ended.code !== 0) return yield* failed(`it ended with ${describeExit(ended)}`)
            return stdout
          }),
        )
      }),
    })),
  )
}
