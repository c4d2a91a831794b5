/** A plugin is started, reloaded and stopped, crashes, and fails to start, again and again: the host stays as it was. */
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { RuntimeDirectory } from "../../src/goplugin/SocketDirectory.ts"
import { folder } from "../support/folder.ts"
import { noPython } from "../support/host.ts"
import { rounds } from "../support/soak.ts"
import { host, nobodyHas, peer, python, sh, under } from "./support.ts"

const ROUNDS = rounds(10, 500)

/** What a host may have before it is as it will stay: pools, caches, compiled code. */
const WARM_UP = 5

/** Bytes that may be more in the end, by chance and for each round. One that leaves its run leaves a hundred times more. */
const [CHANCE, EACH] = [4 * 1024 * 1024, 4096]

setFlagsFromString("--expose-gc")
const collectGarbage = runInNewContext("gc") as () => void

/** What a process has, when nothing is going on. */
const measure = Effect.gen(function* () {
  // What was let go closes in the next ticks.
  yield* Effect.sleep("1 second")
  for (let times = 0; times < 3; times++) collectGarbage()
  return {
    heap: process.memoryUsage().heapUsed,
    descriptors: readdirSync("/proc/self/fd").length,
    resources: process.getActiveResourcesInfo().filter((kind) => kind !== "Timeout" && kind !== "Immediate").length,
  }
})

describe.skipIf(process.platform !== "linux" || noPython)("a host whose plugins come and go", () => {
  it.live(
    `is as it was after ${ROUNDS} starts that are reloaded and stopped, crash and fail`,
    () =>
      Effect.gen(function* () {
        const root = yield* folder({
          ...under("well", peer("well", { id: "well" })),
          ...under("failing", sh("exit 1", "failing")),
          ...under("python", python("from mattermost_plugin import Plugin, run_plugin\nrun_plugin(Plugin)", "python")),
          run: { folder: true },
        })
        const cycles = Effect.gen(function* () {
          const { load } = yield* PluginBundles
          const supervisor = yield* MattermostPlugins.Supervisor
          const supervise = Effect.fnUntraced(function* (name: string) {
            return yield* supervisor.supervise(yield* load(join(root, name)))
          })
          const [well, failing, inPython] = [
            yield* supervise("well"),
            yield* supervise("failing"),
            yield* supervise("python"),
          ]
          const stopped = Effect.gen(function* () {
            yield* well.start
            const { hooks } = yield* well.reload
            yield* hooks.executeCommand({})
            yield* well.stop
          })
          const crashed = Effect.gen(function* () {
            const { ended, process: running } = yield* well.start
            process.kill(running.pid, "SIGKILL")
            yield* ended
          })
          /** One in ten, since Python takes its time. */
          const sdk = Effect.andThen(inPython.start, inPython.stop)
          const cycle = (round: number) =>
            Effect.all([stopped, crashed, Effect.flip(failing.start), round % 10 === 0 ? sdk : Effect.void], {
              discard: true,
            })
          const all = (count: number) =>
            Effect.forEach(Array(count).keys(), cycle, { discard: true }).pipe(
              Effect.andThen(Effect.all([well.stop, failing.stop, inPython.stop])),
            )

          yield* all(WARM_UP)
          const before = yield* measure
          yield* all(ROUNDS)
          const after = yield* measure
          console.error(JSON.stringify({ before, after, per: (after.heap - before.heap) / ROUNDS }))
          assert.isAtMost(after.descriptors, before.descriptors)
          assert.isAtMost(after.resources, before.resources)
          assert.isBelow(after.heap - before.heap, CHANCE + ROUNDS * EACH)
          assert.deepStrictEqual(readdirSync(join(root, "run")), [])
        })
        yield* Effect.provide(Effect.scoped(cycles), host(root)).pipe(
          Effect.provideService(RuntimeDirectory, join(root, "run")),
          Effect.provide(Logger.layer([])),
        )
        yield* nobodyHas(root)
      }).pipe(Effect.scoped),
    180_000 + ROUNDS * 10_000,
  )
})
