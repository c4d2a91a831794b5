import { type ChildProcess, execFile, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { Deferred, Duration, Effect, Exit } from "effect"
import {
  LIFELINE_VARIABLE,
  PluginSpawnError,
  type ProcessExit,
  type ProcessOutput,
  type ProcessSpec,
  type RunningProcess,
  type Spawn,
} from "./ProcessSpec.ts"
import { WAIT_DELAY } from "../command/WaitDelay.ts"
import { diagnose } from "./ExecutableDiagnosis.ts"
import { awaitGroupEnd, groupExists, killMarked, signalGroup } from "./ProcessGroup.ts"
import { StderrTail } from "./StderrTail.ts"

/** Marks every process that descends from one plugin start; see {@link killMarked}. */
const MARKER_VARIABLE = "PLUGIN_SUPERVISOR_PROCESS"

/** How long a group may take to vanish after SIGKILL; more means that the kernel holds it (a stuck disk, say). */
const KILL_LIMIT = Duration.seconds(1)

/**
 * How long the pipes may stay open after the process is gone. What it wrote last is there at once; only a survivor
 * that left the group and can't be found holds them longer.
 */
const DRAIN_LIMIT = Duration.millis(500)

/**
 * The path of `setpriv`, if it is there and has `--pdeathsig`, as busybox' has not. Asked once per host; a plugin's own
 * PATH may lead elsewhere.
 */
const probeSetpriv: Effect.Effect<string | undefined> =
  process.platform !== "linux"
    ? Effect.undefined
    : Effect.callback((resume) => {
        const probe = "command -v setpriv && setpriv --pdeathsig TERM true"
        execFile("sh", ["-c", probe], { timeout: 2000 }, (error, stdout) =>
          resume(Effect.succeed(error === null ? stdout.trim() : undefined)),
        )
      })

/** Makes the `spawn` of `PluginProcess` on `node:child_process`. */
export const makeSpawn: Effect.Effect<Spawn> = Effect.map(Effect.cached(probeSetpriv), (probed) =>
  Effect.fn("PluginProcess.spawn")(function* (spec, output) {
    const setpriv = spec.parentDeathSignal === undefined ? undefined : yield* probed
    const child = yield* Effect.acquireRelease(start(spec, output, setpriv), stop)
    return child.running
  }),
)

interface Child {
  readonly node: ChildProcess
  readonly marker: string
  readonly spec: ProcessSpec
  readonly group: { isGone: boolean }
  readonly exit: Deferred.Deferred<ProcessExit>
  readonly closed: Deferred.Deferred<void>
  readonly running: RunningProcess
}

const start = (spec: ProcessSpec, output: ProcessOutput, setpriv: string | undefined) =>
  Effect.callback<Child, PluginSpawnError>((resume) => {
    const marker = randomUUID()
    const lifeline = spec.inheritStdin === true ? 3 : 0
    const [executable, args] =
      setpriv === undefined || spec.parentDeathSignal === undefined
        ? [spec.executable, spec.args]
        : [setpriv, ["--pdeathsig", spec.parentDeathSignal.slice(3), "--", spec.executable, ...spec.args]]
    const fail = ({ message: reason }: Error) =>
      resume(
        Effect.flatMap(diagnose(spec.executable), ({ notes: diagnosis }) =>
          Effect.fail(
            new PluginSpawnError({ pluginId: spec.pluginId, executable: spec.executable, reason, diagnosis }),
          ),
        ),
      )
    let node: ChildProcess
    try {
      node = spawn(executable, args, {
        cwd: spec.cwd,
        env: { ...spec.env, [LIFELINE_VARIABLE]: String(lifeline), [MARKER_VARIABLE]: marker },
        // A group of its own: one signal reaches the plugin and what it started, and a Ctrl-C meant for the host
        // does not reach the plugin.
        detached: true,
        // The life line: the host never writes to it, and the kernel closes it when the host dies.
        stdio: lifeline === 0 ? ["pipe", "pipe", "pipe"] : ["inherit", "pipe", "pipe", "pipe"],
        windowsHide: true,
      })
    } catch (error) {
      return fail(error as Error)
    }
    node.on("error", fail)
    node.on("spawn", () => {
      const exit = Deferred.makeUnsafe<ProcessExit>()
      const closed = Deferred.makeUnsafe<void>()
      const tail = new StderrTail()
      const group = { isGone: false }
      node.on("exit", (code, signal) => {
        // Once nobody is left, the group's id may become a stranger's: it is never signalled again.
        if (!groupExists(node.pid!)) group.isGone = true
        Deferred.doneUnsafe(exit, Exit.succeed({ code, signal }))
      })
      node.on("close", () => Deferred.doneUnsafe(closed, Exit.void))
      // A pipe that breaks tells nothing that the exit does not.
      for (const pipe of node.stdio) pipe?.on("error", () => {})
      node.stdout!.on("data", output.stdout)
      node.stderr!.on("data", (chunk: Uint8Array) => {
        tail.push(chunk)
        output.stderr(chunk)
      })
      const running: RunningProcess = {
        pid: node.pid!,
        exit: Deferred.await(exit),
        // After the end, what was written last may still be in the pipe.
        stderrTail: Effect.gen(function* () {
          if (yield* Deferred.isDone(exit)) yield* bounded(Deferred.await(closed), DRAIN_LIMIT)
          return tail.lines()
        }),
      }
      resume(Effect.succeed({ node, marker, spec, group, exit, closed, running }))
    })
  })

const stop = Effect.fn("PluginProcess.stop")(function* (child: Child) {
  yield* stopGroup(child)
  yield* killMarked(MARKER_VARIABLE, child.marker)
  yield* bounded(Deferred.await(child.exit), KILL_LIMIT)
  yield* bounded(Deferred.await(child.closed), DRAIN_LIMIT)
  for (const pipe of child.node.stdio) pipe?.destroy()
})

/** Ends the process and all of its group. The leader may be gone already; what it left is asked all the same. */
const stopGroup = Effect.fnUntraced(function* ({ group, running, spec }: Child) {
  if (group.isGone) return
  yield* signalGroup(running.pid, "SIGTERM")
  if (yield* awaitGroupEnd(running.pid, spec.waitDelay ?? WAIT_DELAY)) return
  yield* Effect.logWarning(
    `plugin ${spec.pluginId} did not end within its wait delay after SIGTERM; its process group is killed`,
  )
  yield* signalGroup(running.pid, "SIGKILL")
  yield* awaitGroupEnd(running.pid, KILL_LIMIT)
})

const bounded = (wait: Effect.Effect<unknown>, limit: Duration.Duration): Effect.Effect<void> =>
  Effect.asVoid(Effect.timeoutOrElse(wait, { duration: limit, orElse: () => Effect.void }))
