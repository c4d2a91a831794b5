/** Requests for plugins that are answered before they get to the router: the same answers, and no middleware. */
import { createServer as createPlainServer } from "node:http"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { createServer } from "../../src/http/NodeServer.ts"
import { asked, direct, isStatus, nodePlugin, parts } from "../support/direct.ts"
import { eventually } from "../support/host.ts"
import { head } from "../support/rawHttp.ts"

const closing = ["Connection: close"]

/** A host whose router counts what it sees. */
const counting = (isBefore: boolean, plugin = nodePlugin((_, response) => response.end("the plugin's"))) =>
  Effect.gen(function* () {
    let seen = 0
    const middleware = HttpRouter.middleware(
      (app) =>
        Effect.andThen(
          Effect.sync(() => seen++),
          app,
        ),
      { global: true },
    )
    const server = createServer()
    const host = yield* direct({
      plugin,
      server: () => server,
      routes: isBefore ? { server } : {},
      others: Layer.merge(HttpRouter.add("GET", "/mine", Effect.succeed(HttpServerResponse.text("mine"))), middleware),
    })
    return { host, seen: () => seen }
  })

describe("a server with plugins before its router", () => {
  it.live("answers for plugins without it, as it does with it", () =>
    Effect.gen(function* () {
      const targets = [
        "/plugins/fake/a",
        "/plugins/none/a",
        "/plugins/fake/caf%E9",
        "/plugins/..%2f",
        "/plugins/fake/../a",
      ]
      const answers = (isBefore: boolean) =>
        Effect.gen(function* () {
          const { host, seen } = yield* counting(isBefore)
          const found = yield* Effect.forEach(targets, (target) =>
            Effect.map(asked(host, head("GET", target, closing)), ({ body, status }) => ({
              status,
              body: body.replace(/"request_id":"\w+"/, ""),
            })),
          )
          assert.strictEqual(seen(), isBefore ? 0 : targets.length)
          const mine = yield* isStatus(host, head("GET", "/mine", closing), 200)
          assert.strictEqual(mine.body, "mine")
          assert.strictEqual(seen(), isBefore ? 1 : targets.length + 1)
          return found
        })
      const before = yield* answers(true)
      assert.deepStrictEqual(before, yield* answers(false))
      assert.deepStrictEqual(
        before.map(({ status }) => status),
        [200, 404, 200, 404, 400],
      )
    }),
  )

  it.live("ends a plugin's request whose client leaves, and waits for those that don't when it stops", () =>
    Effect.gen(function* () {
      let began = 0
      let left = 0
      const plugin = nodePlugin((request, response) => {
        began++
        response.on("close", () => left++)
        if (request.url !== "/slow") return
        response.write("first, ")
        setTimeout(() => response.end("last"), 300)
      })
      const { host } = yield* counting(true, plugin)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const leaving = yield* host.connect
          leaving.write(Buffer.from(head("GET", "/plugins/fake/never", [])))
          yield* eventually("it has begun", () => began === 1, 20_000)
        }),
      )
      yield* eventually("the plugin is told", () => left === 1, 20_000)
      yield* host.idle
      const staying = yield* host.connect
      staying.write(Buffer.from(head("GET", "/plugins/fake/slow", closing)))
      yield* eventually("it has begun as well", () => began === 2, 20_000)
      yield* host.stop
      assert.include(parts(yield* staying.untilClosed).body, "last")
    }),
  )

  it.live("has to be made by createServer", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(direct({ routes: { server: createPlainServer() } }))
      assert.isTrue(Exit.hasDies(exit))
      assert.include(String(exit), "createServer")
    }),
  )
})
