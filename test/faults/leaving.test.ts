/** Clients that ask for something proper and leave at any moment, thousands of them: host and plugins keep nothing of them. */
import { randomInt } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { folder } from "../support/folder.ts"
import { eventually, fixture, noPython } from "../support/host.ts"
import { head, wire } from "../support/rawHttp.ts"
import { rounds } from "../support/soak.ts"
import { supervising, TOKEN } from "../support/supervisor.ts"
import { copyPlugin, type Way, WAYS } from "../support/ways.ts"
import { asking, BINARY, frame, goodbye } from "../support/webSocket.ts"

const REQUESTS = rounds(1000, 10_000)
const CLIENTS = 24

/** Those that show what is kept anyway: pools, caches, threads. */
const WARM_UP = 300

/** Kilobytes by which a process may grow meanwhile: allocators keep some of what they had. */
const GROWTH = 48 * 1024

/** How often they come again where a process has grown by more: what leaks does so each time, what allocators keep does not. */
const MORE_ROUNDS = 2

/** Descriptors that may be there for another reason. */
const OTHERS = 3

const body = "x".repeat(200_000)
const posted = (path: string) => head("POST", path, [`Content-Length: ${body.length}`]) + body
const inChunks = (path: string) => `${head("POST", path, ["Transfer-Encoding: chunked"])}5\r\nhello\r\n0\r\n\r\n`
const message = frame(BINARY, Buffer.alloc(50_000))

/** What clients ask for, of a handler on threads and of an ASGI application. */
const requests = (way: Way): ReadonlyArray<Buffer> => [
  ...["/echo", "/early", "/ticks", "/status?200"].flatMap((path) => {
    const target = `/plugins/http-cases${path}`
    return [head("GET", target), posted(target), inChunks(target)].map((text) => Buffer.from(text))
  }),
  Buffer.from(head("GET", "/plugins/http-cases/flood")),
  ...["/state", "/stream"].flatMap((path) => {
    const target = `/plugins/asgi-cases${path}`
    return [head("GET", target), posted(target), inChunks(target)].map((text) => Buffer.from(text))
  }),
  ...(way === "HTTP"
    ? ["/echo", "/flood", "/who", "/refuse", "/fail"].map((path) =>
        Buffer.concat([Buffer.from(asking(`/plugins/asgi-cases${path}`)), message, message, goodbye(1000)]),
      )
    : []),
]

const oneOf = <A>(all: ReadonlyArray<A>): A => all[randomInt(all.length)]!

/** Asks, waits a moment or for an answer's beginning, sends the rest or not, and goes in some way. */
const visit = (port: number, asked: ReadonlyArray<Buffer>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { received, socket, write } = yield* wire(port)
      const bytes = oneOf(asked)
      const cut = oneOf([bytes.length, bytes.length, randomInt(bytes.length)])
      write(bytes.subarray(0, cut))
      if (randomInt(2) === 0) yield* Effect.sleep(randomInt(30))
      else {
        const begun = () => cut < bytes.length || received() !== "" || socket.destroyed || socket.readableEnded
        yield* eventually("an answer", begun)
      }
      if (randomInt(3) === 0) write(bytes.subarray(cut))
      oneOf([() => socket.resetAndDestroy(), () => socket.destroy(), () => socket.end()])()
    }),
  )

interface Process {
  readonly descriptors: number
  readonly threads: number
  /** Kilobytes. */
  readonly memory: number
}

const processOf = (pid: number): Process => ({
  descriptors: readdirSync(`/proc/${pid}/fd`).length,
  threads: readdirSync(`/proc/${pid}/task`).length,
  memory: Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]),
})

const childrenOf = (pid: number, text: string): number =>
  Number(
    readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
      .trim()
      .split(" ")
      .find((child) => readFileSync(`/proc/${child}/cmdline`, "utf8").includes(text)),
  )

describe.skipIf(process.platform !== "linux" || noPython).each(WAYS)("HTTP, by %s", (way) => {
  it.live(
    `${REQUESTS} clients that leave at any moment leave nothing behind`,
    () =>
      Effect.gen(function* () {
        const root = yield* folder({ plugins: { folder: true } })
        for (const name of ["http-cases", "asgi-cases"]) copyPlugin(fixture(name), join(root, "plugins", name), way)
        const { child, log, port } = yield* supervising(root)
        const ask = (path: string) =>
          Effect.promise(async () => {
            const headers = { connection: "close", authorization: `Bearer ${TOKEN}` }
            return (await fetch(`http://127.0.0.1:${port}${path}`, { headers })).text()
          })
        const tasks = Effect.map(ask("/plugins/asgi-cases/state"), (text) => Number(JSON.parse(text).tasks))
        const inFlight = Effect.map(ask("/metrics"), (text) =>
          [...text.matchAll(/^plugin_http_requests_in_flight\{.*\} (\d+)$/gm)].reduce(
            (sum, [, n]) => sum + Number(n),
            0,
          ),
        )
        const pids = {
          host: child.pid!,
          handler: childrenOf(child.pid!, "http-cases"),
          application: childrenOf(child.pid!, "asgi-cases"),
        }
        const names = ["host", "handler", "application"] as const
        const descriptors = () => names.map((name) => processOf(pids[name]).descriptors)
        const asked = requests(way)
        const visits = (count: number) =>
          Effect.forEach(Array.from({ length: count }), () => visit(port, asked), {
            concurrency: CLIENTS,
            discard: true,
          })

        // Before there are connections that are kept between host and plugins.
        const empty = descriptors()
        yield* visits(WARM_UP)
        const memory = () => names.map((name) => processOf(pids[name]).memory)
        const before = yield* tasks
        const growing = Effect.gen(function* () {
          const then = memory()
          yield* visits(REQUESTS)
          return memory().map((now, index) => now - then[index]!)
        })
        let growth = yield* growing
        yield* Effect.timeout(
          Effect.repeat(Effect.delay(inFlight, "50 millis"), { until: (count) => count === 0 }),
          "60 seconds",
        )
        yield* Effect.timeout(
          Effect.repeat(Effect.delay(tasks, "50 millis"), { until: (count) => count <= before + OTHERS }),
          "60 seconds",
        )
        // Kept connections are closed after a while.
        const kept = () => descriptors().map((count, index) => count - empty[index]!)
        yield* Effect.mapError(
          eventually("all descriptors are closed", () => kept().every((count) => count <= OTHERS)),
          (cause) => new Error(`${JSON.stringify(kept())} descriptors more in ${names.join()}`, { cause }),
        )
        for (let more = 0; more < MORE_ROUNDS && growth.some((grown) => grown >= GROWTH); more++)
          growth = yield* growing
        for (const [index, name] of names.entries()) assert.isBelow(growth[index]!, GROWTH, name)
        // Every thread has come back: as many as there are can be at work again.
        assert.strictEqual(yield* ask("/plugins/http-cases/status?200"), "")
        assert.notInclude(log(), "threads are at work")
        assert.isNull(child.exitCode)
      }).pipe(Effect.scoped),
    180_000 + REQUESTS * 60,
  )
})
