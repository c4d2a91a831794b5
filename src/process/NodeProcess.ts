import { type ChildProcess, spawn } from "node:child_process"
import { writeFile } from "node:fs/promises"
import type { Duplex, Readable } from "node:stream"
import { Deferred, Effect, Exit, type Scope } from "effect"
import { VARIABLES } from "../command/Variables.ts"
import { type Child, DRAIN_LIMIT } from "./Child.ts"
import { type Containment, make as makeContainment } from "./Containment.ts"
import { diagnose } from "./ExecutableDiagnosis.ts"
import { type LimitPlan, planLimits } from "./LimitPlan.ts"
import { type HeldLimit, limitProblem, overLimit } from "./ProcessLimits.ts"
import { ProcessGroup } from "./ProcessGroup.ts"
import {
  PluginSpawnError,
  type ProcessExit,
  type ProcessOutput,
  type ProcessSecret,
  type ProcessSpec,
  type RunningProcess,
  type Spawn,
} from "./ProcessSpec.ts"
import { stop } from "./ProcessStop.ts"
import { ReadPace } from "./ReadPace.ts"
import { StderrTail } from "./StderrTail.ts"
import { canWrap, type CommandLine, refusal, wrap } from "./Wrapper.ts"

/** Makes the `spawn` of `PluginProcess` on `node:child_process`. */
export const makeSpawn: Effect.Effect<Spawn, never, Scope.Scope> = Effect.map(makeContainment(), (containment) =>
  Effect.fn("PluginProcess.spawn")(function* (spec, output) {
    const held = yield* containment
    const { running } = yield* Effect.acquireRelease(start(spec, output, held), (child) => stop(child, held))
    return running
  }),
)

const start = Effect.fnUntraced(function* (spec: ProcessSpec, output: ProcessOutput, held: Containment) {
  const { limits = {}, user } = spec
  const isWrapped = held.platform !== "win32" && canWrap(spec.env)
  const problem = limitProblem(limits)
  if (problem !== undefined) return yield* notAsSpecified(spec, problem, "set another limit")
  if (user !== undefined && (!isWrapped || held.setpriv === undefined)) return yield* notAsSpecified(spec, ...NO_USER)
  const refused = isWrapped ? yield* refusal(spec) : undefined
  if (refused !== undefined) return yield* spawnError(spec, refused)
  const marker = held.marker()
  const controlGroup = yield* held.controlGroups?.make(marker.slice(marker.lastIndexOf(":") + 1)) ?? Effect.undefined
  const members = controlGroup?.members
  const { canSearch: canWatch, platform, prlimit, setpriv } = held
  const plan = planLimits(limits, user, { platform, isWrapped, prlimit, canWatch, controlGroup })
  yield* tell(spec.pluginId, plan.held)
  const resources =
    prlimit === undefined || plan.resources.length === 0 ? undefined : ([prlimit, plan.resources] as const)
  const command = isWrapped
    ? wrap(spec, { setpriv, prlimit: resources, members, oomScore: plan.oomScore })
    : ([spec.executable, spec.args] as const)
  return yield* Effect.callback<Child, Error>((resume) => {
    let node: ChildProcess
    try {
      node = spawnNode(spec, command, { ...pipesOf(spec, held.platform), marker })
    } catch (error) {
      return resume(Effect.fail(error as Error))
    }
    node.on("error", (error) => resume(Effect.fail(error)))
    if (node.pid === undefined) return
    if (!isWrapped && members !== undefined) moveInto(members, node.pid)
    const child = attach(spec, output, held, { node, marker, controlGroup, plan })
    node.on("spawn", () => resume(Effect.succeed(child)))
  }).pipe(
    Effect.tapError(() => controlGroup?.end ?? Effect.void),
    Effect.catch((error) => spawnError(spec, error)),
  )
})

/** Programs of the system would load the plugin's libraries as the host's user. */
const NO_USER = [
  "it is to run as another user, which takes util-linux' setpriv, and an environment without LD_* and names that no shell has",
  "install util-linux, or take those variables away",
] as const

/** What is not left out, since whoever asks for it relies on it. */
const notAsSpecified = ({ executable, pluginId }: ProcessSpec, reason: string, cure: string) =>
  new PluginSpawnError({ pluginId, executable, reason, diagnosis: [], cure })

/** How limits are held, once a start. */
const tell = Effect.fnUntraced(function* (pluginId: string, held: ReadonlyArray<HeldLimit>) {
  const listed = (of: ReadonlyArray<HeldLimit>) =>
    of.map(({ mode, note, value }) => `${value} (${[mode, note].filter(Boolean).join(": ")})`).join(", ")
  const [lost, kept] = [true, false].map((isLost) => held.filter(({ mode }) => (mode === "unavailable") === isLost))
  if (kept!.length > 0) yield* Effect.logInfo(`plugin ${pluginId} is limited to ${listed(kept!)}`)
  if (lost!.length > 0) yield* Effect.logWarning(`plugin ${pluginId} is not limited to ${listed(lost!)}`)
})

const spawnError = ({ executable, pluginId }: ProcessSpec, { message: reason }: Error) =>
  Effect.flatMap(diagnose(executable), ({ notes: diagnosis }) =>
    Effect.fail(new PluginSpawnError({ pluginId, executable, reason, diagnosis })),
  )

/** The file descriptors of the process' pipes beside its output. */
interface Pipes {
  readonly lifeline: number
  readonly secret: number | undefined
  readonly sockets: ReadonlyArray<number>
}

const pipesOf = ({ inheritStdin, secret, sockets }: ProcessSpec, platform: NodeJS.Platform): Pipes => {
  const lifeline = inheritStdin === true ? 3 : 0
  // Beyond the life line there is no pipe on Windows.
  const isAble = platform !== "win32"
  const first = lifeline === 0 ? 3 : 4
  const hasSecret = isAble && secret !== undefined
  const next = hasSecret ? first + 1 : first
  return {
    lifeline,
    secret: hasSecret ? first : undefined,
    sockets: Array.from({ length: isAble ? (sockets?.count ?? 0) : 0 }, (_, index) => next + index),
  }
}

const spawnNode = (
  { cwd, env, secret, sockets }: ProcessSpec,
  [executable, args]: CommandLine,
  pipes: Pipes & { readonly marker: string },
): ChildProcess =>
  spawn(executable, args, {
    cwd,
    env: {
      ...env,
      [VARIABLES.lifeline]: String(pipes.lifeline),
      [VARIABLES.marker]: pipes.marker,
      ...(secret === undefined || pipes.secret === undefined ? {} : { [secret.variable]: String(pipes.secret) }),
      ...(sockets === undefined || pipes.sockets.length === 0 ? {} : { [sockets.variable]: pipes.sockets.join(",") }),
    },
    // A group of its own: one signal reaches the plugin and what it started, and a Ctrl-C meant for the host does not
    // reach the plugin.
    detached: true,
    // The life line: the host never writes to it, and the kernel closes it when the host dies.
    stdio: [
      ...((pipes.lifeline === 0 ? ["pipe", "pipe", "pipe"] : ["inherit", "pipe", "pipe", "pipe"]) as Array<"pipe">),
      ...(pipes.secret === undefined ? [] : (["pipe"] as const)),
      ...pipes.sockets.map(() => "pipe" as const),
    ],
    windowsHide: true,
  })

/** Where a wrapper could not do it: after the start, when the process may have started another already. */
const moveInto = (members: string, pid: number): void => {
  // It takes the kernel a while. What goes wrong means that it has ended, or is found by its marker.
  writeFile(members, String(pid)).catch(() => {})
}

/** Listens to a process, from its first moment on. */
const attach = (
  spec: ProcessSpec,
  output: ProcessOutput,
  { limitWatch, platform, watchdog }: Containment,
  { controlGroup, marker, node, plan }: Pick<Child, "node" | "marker" | "controlGroup"> & { readonly plan: LimitPlan },
): Child => {
  const pid = node.pid!
  watchdog?.watch(pid)
  const group = new ProcessGroup(pid, () => watchdog?.forget(pid))
  const exit = Deferred.makeUnsafe<ProcessExit>()
  const closed = Deferred.makeUnsafe<void>()
  const tail = new StderrTail(spec.understandStderr)
  const ended: Child["ended"] = { overLimit: undefined }
  node.on("exit", (code, signal) => {
    group.leaderWasReaped()
    limitWatch.forget(child)
    const over = ended.overLimit ?? overLimitOf(spec, controlGroup, signal)
    Deferred.doneUnsafe(exit, Exit.succeed({ code, signal, ...(over === undefined ? {} : { overLimit: over }) }))
  })
  node.on("close", () => Deferred.doneUnsafe(closed, Exit.void))
  // A pipe that breaks tells nothing that the exit does not.
  for (const pipe of node.stdio) pipe?.on("error", () => {})
  read(node.stdout!, output.stdout)
  read(node.stderr!, (chunk) => {
    tail.push(chunk)
    output.stderr(chunk)
  })
  const { secret, sockets } = pipesOf(spec, platform)
  const neverTaken = Deferred.await(exit).pipe(Effect.andThen(Effect.sleep(DRAIN_LIMIT)), Effect.as(false))
  const running: RunningProcess = {
    pid,
    exit: Deferred.await(exit),
    // After the end, what was written last may still be in the pipe.
    stderrTail: Effect.gen(function* () {
      if (yield* Deferred.isDone(exit)) yield* Effect.timeoutOption(Deferred.await(closed), DRAIN_LIMIT)
      return tail.lines()
    }),
    secretTaken:
      secret === undefined || spec.secret === undefined
        ? Effect.succeed(false)
        : Effect.raceFirst(handOver(node.stdio[secret] as Duplex, spec.secret), neverTaken),
    sockets: sockets.map((descriptor) => node.stdio[descriptor] as Duplex),
    limits: plan.held,
  }
  const child: Child = { node, spec, marker, group, controlGroup, ended, exit, closed, running }
  if (plan.watched.length > 0) limitWatch.watch(child, plan.watched)
  return child
}

/** The limit for which the kernel has ended a process, if it has. */
const overLimitOf = (
  { limits }: ProcessSpec,
  controlGroup: Child["controlGroup"],
  signal: string | null,
): string | undefined => {
  if (limits?.cpuSeconds !== undefined && signal === "SIGXCPU") return overLimit("cpuSeconds", limits.cpuSeconds)
  if (limits?.memory === undefined || controlGroup === undefined || controlGroup.memoryKills() === 0) return undefined
  return `${overLimit("memory", limits.memory)}, and was ended by the kernel`
}

/** Reads a pipe to its end, at its pace. */
const read = (pipe: Readable, sink: (chunk: Uint8Array) => void): void => {
  const pace = new ReadPace()
  pipe.on("data", (chunk: Uint8Array) => {
    sink(chunk)
    const rest = pace.take(chunk.length)
    if (rest === 0) return
    pipe.pause()
    setTimeout(() => pipe.resume(), rest)
  })
}

/** Writes the secret, and waits for the byte that says that it was read. */
const handOver = (pipe: Duplex, { value }: ProcessSecret): Effect.Effect<boolean> => {
  const taken = Deferred.makeUnsafe<boolean>()
  pipe.once("data", () => {
    Deferred.doneUnsafe(taken, Exit.succeed(true))
    pipe.destroy()
  })
  // A socketpair, as Node's pipes are: it is read to its end, and answered all the same.
  pipe.once("close", () => Deferred.doneUnsafe(taken, Exit.succeed(false)))
  pipe.end(value)
  return Deferred.await(taken)
}
