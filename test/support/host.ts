/** A real host for tests: every layer as in production, with a Python that has the SDK first on its PATH. */
import { readdirSync, readFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Layer, Schedule } from "effect"
import { inject } from "vitest"
import { currentPlatform } from "../../src/command/PluginRuntime.ts"
import { type MattermostApiMethods, MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { HostEnvironment } from "../../src/command/HostEnvironment.ts"

const python = inject("python")

/** For `describe.skipIf`: the global setup has printed the reason. */
export const noPython = "missing" in python

/** Python plugins find the interpreter with the SDK in place of the machine's. */
export const hostEnvironment = Layer.succeed(HostEnvironment, {
  platform: currentPlatform,
  variables: {
    ...process.env,
    PATH: "missing" in python ? process.env["PATH"] : `${python.bin}:${process.env["PATH"]}`,
  },
})

/** The supervisor with everything below it, on a host API of `methods`. */
export const host = (methods: MattermostApiMethods = {}) =>
  MattermostPlugins.layerSupervisor.pipe(
    Layer.provide(MattermostPlugins.layerApi(methods)),
    Layer.provide(hostEnvironment),
    Layer.provideMerge(NodeServices.layer),
  )

export const fixture = (name: string): string => join(import.meta.dirname, "../fixtures/plugins", name)

/** The example plugins in a folder of this run's own. */
export const examples = inject("examples")

/** Whether a process runs; a zombie doesn't. */
export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  if (process.platform !== "linux") return true
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"))
  } catch {
    return false
  }
}

/** Waits until `check` holds, with a bound that a busy machine keeps: for what another process does and nobody tells us of. */
export const eventually = (what: string, check: () => boolean, millis = 60_000) =>
  Effect.suspend(() => (check() ? Effect.void : Effect.fail(new Error(`not within ${millis} ms: ${what}`)))).pipe(
    Effect.retry(Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: millis }))),
  )

/** What has nothing to wait for takes less, in milliseconds, on a machine that does much else; tests' waits are longer. */
export const BUSY = 30_000

/** The folders of plugins' sockets that exist now. */
export const socketFolders = (): ReadonlyArray<string> =>
  readdirSync(tmpdir()).filter((name) => /^plugin-host-\w{6}$/.test(name))
