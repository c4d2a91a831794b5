/** The supervisor as its operator starts it, with the plugin `http-cases`, for clients that break HTTP. */
import type { ChildProcess } from "node:child_process"
import { join, resolve } from "node:path"
import { assert } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { inject } from "vitest"
import { folder } from "./folder.ts"
import { eventually, fixture } from "./host.ts"
import { program } from "./program.ts"
import { wire } from "./rawHttp.ts"
import { copyPlugin, type Way } from "./ways.ts"

/** The supervisor's token; such that it has to be escaped in a URL. */
export const TOKEN = "token/of+the-test=="

/** Requests that may be in flight: few, so that they can be filled. */
export const MAX_REQUESTS = 32

/** Where the plugin is. */
export const PLUGIN = "/plugins/http-cases"

export class Supervisor extends Context.Service<
  Supervisor,
  { readonly port: number; readonly log: () => string; readonly child: ChildProcess }
>()("test/Supervisor") {}

/** `plugin-supervisor serve` with the plugins that a folder has in `plugins`; it listens, and they have started. */
export const supervising = Effect.fnUntraced(function* (root: string, options: ReadonlyArray<string> = []) {
  const python = inject("python")
  const main = resolve(import.meta.dirname, "../../src/main.ts")
  const folders = ["--plugins", join(root, "plugins"), "--data", join(root, "data")]
  const { child, log, output } = yield* program(
    process.execPath,
    [main, "serve", "--port", "0", ...folders, ...options],
    {
      env: {
        ...process.env,
        PATH: `${"bin" in python ? python.bin : ""}:${process.env["PATH"]}`,
        PLUGIN_SUPERVISOR_TOKEN: TOKEN,
      },
    },
  )
  yield* eventually("it serves", () => child.exitCode !== null || output().includes("Try:"), 60_000)
  assert.isNull(child.exitCode, log())
  return { port: Number(/listens on http:\/\/127\.0\.0\.1:(\d+)/.exec(output())![1]), log, child }
})

/** A supervisor with one plugin, to which requests go in one way. */
export const supervisor = (way: Way) =>
  Layer.effect(
    Supervisor,
    Effect.gen(function* () {
      const root = yield* folder({ plugins: { folder: true } })
      copyPlugin(fixture("http-cases"), join(root, "plugins/http-cases"), way)
      const limits = ["--limit", `http-requests=${MAX_REQUESTS}`, "--allow-host", "allowed.example"]
      return yield* supervising(root, limits)
    }).pipe(Effect.orDie),
  )

/** Asks over a connection of its own. */
export const request = (path: string, headers: { readonly [name: string]: string } = {}) =>
  Effect.flatMap(Supervisor, ({ log, port }) =>
    Effect.tryPromise({
      try: async () => {
        const response = await fetch(`http://127.0.0.1:${port}${path}`, {
          headers: { connection: "close", ...headers },
        })
        return { status: response.status, headers: response.headers, text: await response.text() }
      },
      catch: (cause) => new Error(`the supervisor is not well; its last words: ${log().slice(-2000)}`, { cause }),
    }),
  )

/** It serves others, and holds nothing of those who were there. */
export const isUnharmed = Effect.gen(function* () {
  const authorization = `Bearer ${TOKEN}`
  const inFlight = Effect.map(request("/metrics", { authorization }), ({ text }) =>
    Number(/plugin_http_requests_in_flight\{plugin="http-cases"\} (\d+)/.exec(text)?.[1] ?? 0),
  )
  for (let tries = 0; (yield* inFlight) !== 0; tries++) {
    assert.isBelow(tries, 200, "requests stay in flight")
    yield* Effect.sleep("100 millis")
  }
  assert.strictEqual((yield* request(`${PLUGIN}/status?200`)).status, 200)
})

/** A connection to it. */
export const connected = Effect.flatMap(Supervisor, ({ port }) => wire(port))
