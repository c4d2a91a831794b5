/** A plugin is reloaded and upgraded while it is used, by both ways of HTTP: nothing is dropped. */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, SubscriptionRef } from "effect"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { NotificationLimits } from "../../src/hooks/NotificationQueue.ts"
import type { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import type { SupervisorOptions } from "../../src/supervisor/SupervisorOptions.ts"
import { folder } from "../support/folder.ts"
import { eventually, fixture, isAlive, noPython } from "../support/host.ts"
import { recordLog } from "../support/log.ts"
import { baseUrl, server } from "../support/server.ts"
import { rounds } from "../support/soak.ts"
import { copyPlugin, type Way, WAYS } from "../support/ways.ts"
import { CLOSE, webSocket } from "../support/webSocket.ts"

const RELOADS = rounds(20, 200)
const BOUND = 600_000 + RELOADS * 5000

/** Whatever is in flight gets all the time it needs, on a machine that does much else. */
const patient: SupervisorOptions<MattermostContract> = { drainLimit: "10 minutes", hooks: { deadline: "10 minutes" } }

interface Tested {
  readonly way?: Way
  readonly id?: string
  readonly manifest?: object
  readonly options?: SupervisorOptions<MattermostContract>
}

/** A server with a plugin, and what a test needs of it. */
const reloading = <A, E, R>(
  { id = "reloaded", manifest, options, way = "HTTP" }: Tested,
  test: (tested: {
    readonly base: string
    readonly plugin: Effect.Success<ReturnType<typeof find>>
    readonly root: string
    readonly record: string
    readonly log: ReturnType<typeof recordLog>
  }) => Effect.Effect<A, E, R>,
) =>
  Effect.gen(function* () {
    const root = yield* folder({ plugins: { folder: true }, upgrade: { folder: true } })
    const record = join(root, "record")
    writeFileSync(record, "")
    copyPlugin(fixture(id), join(root, "plugins", id), way)
    if (manifest !== undefined) writeFileSync(join(root, "plugins", id, "plugin.json"), JSON.stringify(manifest))
    const settings = { ...patient, ...options, variables: { RECORD: record, ...options?.variables } }
    const log = recordLog()
    return yield* Effect.gen(function* () {
      const base = yield* baseUrl
      return yield* test({ base, plugin: yield* find(id), root, record, log })
    }).pipe(
      Effect.provide(server(join(root, "plugins"), {}, { [id]: settings }, { isDoor: way === "HTTP" })),
      // All that is told while the machine is at something else.
      Effect.provideService(NotificationLimits, { count: 1_000_000, bytes: 1024 * 1024 * 1024, inFlight: 32 }),
      Effect.provide(log.layer),
    )
  }).pipe(Effect.scoped)

const find = Effect.fnUntraced(function* (id: string) {
  const { find } = yield* MattermostPlugins.Environment
  return Option.getOrThrow(yield* find(id))
})

/** Uses a plugin in every way while something is done; answers how often, and the processes that have answered. */
const loaded = Effect.fnUntraced(function* <A, E, R>(base: string, record: string, meanwhile: Effect.Effect<A, E, R>) {
  const { decide, notify } = yield* MattermostPlugins
  const use = { isOver: false, requests: 0, decisions: 0, events: 0 }
  const pids = new Set<string>()
  const client = Effect.gen(function* () {
    while (!use.isOver) {
      const body = `request ${use.requests++}`
      const answer = yield* Effect.promise(async () => {
        const response = await fetch(`${base}/plugins/reloaded/x`, { method: "POST", body })
        return { status: response.status, text: await response.text() }
      })
      assert.strictEqual(answer.status, 200, answer.text)
      const [pid = "", ...rest] = answer.text.split(" ")
      assert.strictEqual(rest.join(" "), body)
      pids.add(pid)
    }
  })
  const decider = Effect.gen(function* () {
    while (!use.isOver) {
      const message = `post ${use.decisions++}`
      const { post } = yield* decide("messageWillBePosted", { post: { message } })
      assert.strictEqual(post.message, `${message}!`)
    }
  })
  const teller = Effect.gen(function* () {
    while (!use.isOver) {
      yield* notify("messageHasBeenPosted", { post: { message: String(use.events++) } })
      yield* Effect.sleep("5 millis")
    }
  })
  const using = yield* Effect.forkChild(
    Effect.all([client, client, client, decider, decider, teller], { concurrency: "unbounded", discard: true }),
  )
  yield* Effect.raceFirst(meanwhile, Effect.andThen(Fiber.join(using), Effect.die(new Error("nobody uses it"))))
  use.isOver = true
  yield* Fiber.join(using)
  const told = () => readFileSync(record, "utf8").trimEnd().split("\n")
  yield* eventually("all events are told", () => told().length >= use.events, 600_000)
  assert.deepStrictEqual(
    told(),
    Array.from({ length: use.events }, (_, index) => String(index)),
    "each once, in their order",
  )
  return { ...use, pids }
})

describe.skipIf(noPython).each(WAYS)("a plugin that is used by %s", (way) => {
  it.live(
    `loses nothing by ${RELOADS} reloads`,
    () =>
      reloading({ way }, ({ base, log, plugin, record }) =>
        Effect.gen(function* () {
          const first = Option.getOrThrow(yield* plugin.run)
          const reloads = Effect.repeat(plugin.reload, { times: RELOADS - 1 })
          const { decisions, events, pids, requests } = yield* loaded(base, record, reloads)
          console.error(JSON.stringify({ way, requests, decisions, events, processes: pids.size }))
          const last = Option.getOrThrow(yield* plugin.run)
          assert.strictEqual(last.generation, first.generation + RELOADS)
          assert.isAbove(pids.size, RELOADS / 2, "most runs were used")
          assert.deepInclude(SubscriptionRef.getUnsafe(plugin.state), { name: "Running", restarts: 0 })
          assert.deepStrictEqual([...pids].map(Number).filter(isAlive), [last.process.pid])
          assert.deepStrictEqual(
            log.entries.filter(({ level }) => level === "Error"),
            [],
          )
        }),
      ),
    BOUND,
  )

  it.live("has its server-sent events end for a reload, which clients take for an end", () =>
    reloading({ way, options: { streamLimit: "100 millis" } }, ({ base, plugin }) =>
      Effect.gen(function* () {
        const { body } = yield* Effect.promise(() => fetch(`${base}/plugins/reloaded/events`))
        const reader = body!.getReader()
        yield* Effect.promise(() => reader.read())
        // What is in flight has ten minutes; this has not.
        yield* plugin.reload
        let text = ""
        yield* Effect.promise(async () => {
          for (let part = await reader.read(); !part.done; part = await reader.read()) {
            text += Buffer.from(part.value).toString()
          }
        })
        assert.match(text, /^(?:data: tick\n\n)*$/)
      }),
    ),
  )
})

describe.skipIf(noPython)("a plugin that is reloaded", () => {
  it.live("tells its WebSockets goodbye", () =>
    reloading({ id: "asgi-cases", options: { streamLimit: "100 millis" } }, ({ base, plugin }) =>
      Effect.gen(function* () {
        const socket = yield* webSocket(Number(new URL(base).port), "/plugins/asgi-cases/echo", {})
        yield* plugin.reload
        const { opcode, payload } = yield* socket.next
        assert.deepStrictEqual([opcode, payload.readUInt16BE()], [CLOSE, 1001])
      }),
    ),
  )

  it.live(
    "goes on as it is when it does not start again, and takes another version when that does",
    () =>
      reloading({}, ({ base, log, plugin, record, root }) =>
        Effect.gen(function* () {
          const { load } = yield* PluginBundles
          const before = Option.getOrThrow(yield* plugin.run)
          const upgrade = join(root, "upgrade/reloaded")
          copyPlugin(fixture("reloaded"), upgrade, "HTTP")
          const { id, name, server } = JSON.parse(readFileSync(join(upgrade, "plugin.json"), "utf8"))
          writeFileSync(join(upgrade, "plugin.json"), JSON.stringify({ id, name, server, version: "2.0.0" }))
          const bundle = yield* load(upgrade)
          const { pids } = yield* loaded(
            base,
            record,
            Effect.gen(function* () {
              writeFileSync(`${record}.fail`, "")
              for (const attempt of [plugin.reload, plugin.replace(bundle)]) {
                assert.include((yield* Effect.flip(attempt)).message, "somebody wants this to fail")
                assert.strictEqual(Option.getOrThrow(yield* plugin.run).generation, before.generation)
                assert.strictEqual(SubscriptionRef.getUnsafe(plugin.state).name, "Running")
              }
              rmSync(`${record}.fail`)
              yield* plugin.replace(bundle)
            }),
          )
          assert.isTrue(log.messages().some((line) => line.includes("goes on as it is")))
          assert.strictEqual(plugin.bundle.directory, upgrade)
          const { process: running } = Option.getOrThrow(yield* plugin.run)
          assert.include([...pids], String(before.process.pid))
          assert.isFalse(isAlive(before.process.pid), "nothing uses the version before any more")
          assert.strictEqual(readFileSync(`/proc/${running.pid}/cwd/plugin.json`, "utf8").includes("2.0.0"), true)
        }),
      ),
    BOUND,
  )

  it.live(
    "has requests and events wait where it must not run twice",
    () => {
      const manifest = {
        id: "reloaded",
        name: "Reloaded",
        server: { runtime: "python", executable: "plugin.py", exclusive: true },
      }
      return reloading({ manifest, options: { variables: { EXCLUSIVE: "1" } } }, ({ base, plugin, record }) =>
        Effect.gen(function* () {
          const { notify } = yield* MattermostPlugins
          const pids = new Set<string>()
          for (let times = 0; times < 3; times++) {
            const reloading = yield* Effect.forkChild(plugin.reload)
            yield* eventually("it is stopped", () => SubscriptionRef.getUnsafe(plugin.state).isReloading === true)
            yield* Effect.forEach([0, 1, 2], (index) =>
              notify("messageHasBeenPosted", { post: { message: String(3 * times + index) } }),
            )
            const answers = yield* Effect.promise(() =>
              Promise.all(
                Array.from({ length: 20 }, async (_, index) => {
                  const response = await fetch(`${base}/plugins/reloaded/x`, { method: "POST", body: String(index) })
                  return { status: response.status, text: await response.text() }
                }),
              ),
            )
            for (const [index, { status, text }] of answers.entries()) {
              assert.strictEqual(status, 200, text)
              assert.match(text, new RegExp(`^\\d+ ${index}$`))
              pids.add(text.split(" ")[0]!)
            }
            // The plugin itself sees to it that there are not two.
            yield* Fiber.join(reloading)
          }
          const told = () => readFileSync(record, "utf8").trimEnd().split("\n")
          yield* eventually("all events are told", () => told().length === 9)
          assert.deepStrictEqual(told(), "012345678".split(""))
          assert.isTrue(existsSync(`${record}.active`))
          assert.strictEqual(SubscriptionRef.getUnsafe(plugin.state).name, "Running")
        }),
      )
    },
    BOUND,
  )

  it.live("is there again when what it was ends in the middle of it", () =>
    reloading({ options: { restart: { delay: "10 millis" } } }, ({ base, plugin }) =>
      Effect.gen(function* () {
        const before = Option.getOrThrow(yield* plugin.run)
        const reloading = yield* Effect.forkChild(plugin.reload)
        process.kill(before.process.pid, "SIGKILL")
        const after = yield* Fiber.join(reloading)
        assert.isTrue(isAlive(after.process.pid))
        const response = yield* Effect.promise(() => fetch(`${base}/plugins/reloaded/x`))
        assert.strictEqual(response.status, 200)
      }),
    ),
  )
})
