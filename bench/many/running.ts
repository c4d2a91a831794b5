/** What many plugins cost: a host as it is installed, with copies of one plugin, from its start to its end. */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import { root } from "../../scripts/python.ts"
import { variables } from "../python.ts"
import { copyPlugin } from "../copyPlugin.ts"
import { temporaryFolder } from "../folder.ts"
import { MIB, usage, type Usage } from "./usage.ts"

/** After all plugins are active, until what their starts have left to do is done; in seconds. */
const CALM = 15
/** For how long nothing is asked of them, in seconds: twice the pause between two pings. */
const IDLE = 20
/** How long a host may take to end before it is killed, in milliseconds. */
const END_LIMIT = 60_000

/** One host's life, in seconds and in bytes. */
export interface Life {
  readonly plugins: number
  /** From the start of the host's process until all plugins are active. */
  readonly start: number
  readonly started: Usage
  /** Of one processor, 1 is all of it. */
  readonly idle: { readonly host: number; readonly plugins: number }
  /** At the end of the idle time. */
  readonly rested: Usage
  readonly stop: number
}

/** A folder with so many copies of a plugin's bundle, each under an id of its own. */
const copies = Effect.fnUntraced(function* (bundle: string, count: number) {
  const folder = yield* temporaryFolder
  const manifest = JSON.parse(readFileSync(join(bundle, "plugin.json"), "utf8")) as object
  mkdirSync(join(folder, "plugins"))
  for (let index = 0; index < count; index++) {
    const copy = join(folder, "plugins", String(index))
    copyPlugin(bundle, copy)
    writeFileSync(join(copy, "plugin.json"), JSON.stringify({ ...manifest, id: `copy-${index}` }))
  }
  return folder
})

const ended = (child: ChildProcess) =>
  Effect.callback<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
  })

/** The host, with what it writes. It ends with the Scope. */
const hostOn = (folder: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const args = [
        join(root, "dist/main.js"),
        "serve",
        "--port",
        "0",
        "--plugins",
        join(folder, "plugins"),
        "--data",
        join(folder, "data"),
      ]
      const child = spawn(process.execPath, args, { env: variables, stdio: ["ignore", "pipe", "pipe"] })
      const output = { log: "" }
      child.stdout.on("data", (chunk) => (output.log += String(chunk)))
      child.stderr.on("data", (chunk) => (output.log += String(chunk)))
      return { child, output }
    }),
    ({ child }) =>
      Effect.gen(function* () {
        child.kill()
        yield* Effect.timeoutOrElse(ended(child), {
          duration: END_LIMIT,
          orElse: () => Effect.sync(() => child.kill("SIGKILL")),
        })
      }),
  )

/** Waits until the host has said that all its plugins are active; fails if one is not, or if it ends. */
const settled = (child: ChildProcess, output: { readonly log: string }, count: number) =>
  Effect.callback<void, Error>((resume) => {
    const failed = (reason: string) => resume(Effect.fail(new Error(`${reason}:\n${output.log.slice(-4000)}`)))
    child.once("exit", (code) => failed(`the host ended with ${code}`))
    const look = () => {
      // What it says once all have started, or have failed.
      if (!output.log.includes("\nTry:\n")) return
      const active = output.log.match(/plugin copy-\d+ is active/g)?.length ?? 0
      if (active === count) resume(Effect.void)
      else failed(`${active} of ${count} plugins are active`)
    }
    child.stdout!.on("data", look)
    child.stderr!.on("data", look)
  })

const seconds = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const began = performance.now()
    return Effect.map(effect, () => (performance.now() - began) / 1000)
  })

/** Runs a host with so many copies of a plugin. */
export const life = Effect.fnUntraced(function* (bundle: string, count: number): Effect.fn.Return<Life, Error> {
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const folder = yield* copies(bundle, count)
      const began = performance.now()
      const { child, output } = yield* hostOn(folder)
      yield* settled(child, output, count)
      const start = (performance.now() - began) / 1000
      const pid = child.pid!
      const started = yield* usage(pid)
      if (started.plugins !== count) return yield* Effect.fail(new Error(`/proc shows ${started.plugins} plugins`))
      yield* Effect.sleep(CALM * 1000)
      const before = yield* usage(pid)
      const elapsed = yield* seconds(Effect.sleep(IDLE * 1000))
      const rested = yield* usage(pid)
      child.kill()
      const stop = yield* seconds(ended(child))
      return {
        plugins: count,
        start,
        started,
        idle: {
          host: (rested.hostRan - before.hostRan) / elapsed,
          plugins: (rested.pluginsRan - before.pluginsRan) / elapsed,
        },
        rested,
        stop,
      }
    }),
  )
})

const percent = (share: number) => `${(share * 100).toFixed(2)} %`
const inSeconds = (value: number) => `${value.toFixed(1)} s`
const mebibytes = (bytes: number) => `${(bytes / MIB).toFixed(1)} MiB`

/** The header of {@link row}. */
export const HEADER = [
  "",
  "start",
  "CPU of host",
  "of plugins",
  "idle host",
  "idle plugins",
  "memory of host",
  "and per further",
  "per plugin",
  "stop",
]

/** A life in words; `one` is that with one plugin. */
export const row = (name: string, { idle, plugins, rested, start, started, stop }: Life, one?: Life) => [
  name,
  inSeconds(start),
  inSeconds(started.hostTime),
  plugins === 0 ? "" : inSeconds(started.pluginsTime),
  percent(idle.host),
  plugins === 0 ? "" : percent(idle.plugins),
  mebibytes(rested.hostMemory),
  one === undefined ? "" : mebibytes((rested.hostMemory - one.rested.hostMemory) / (plugins - one.plugins)),
  plugins === 0 ? "" : mebibytes(rested.pluginsMemory / plugins),
  inSeconds(stop),
]
