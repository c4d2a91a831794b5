/** The example backend with a real Python plugin: its own services call hooks, and the plugin calls it back. */
import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { backend } from "../../examples/embedded-backend/src/backend.ts"
import { MattermostPlugins } from "effect-plugin-supervisor"
import { examples, hostEnvironment, noPython } from "../support/host.ts"
import { address } from "../support/server.ts"

const live = backend(examples).pipe(
  Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0, gracefulShutdownTimeout: 500 })),
  Layer.provide(hostEnvironment),
  Layer.provide(NodeServices.layer),
)

describe.skipIf(noPython)("the embedded backend", () => {
  layer(live, { timeout: "180 seconds", excludeTestServices: true })((it) => {
    it.effect("is vetoed, answered and reached by hello-python", () =>
      Effect.gen(function* () {
        yield* (yield* MattermostPlugins.Environment).settled
        const base = yield* address
        const send = (text: string) =>
          Effect.promise(() => fetch(`${base}/comments`, { method: "POST", body: JSON.stringify({ text }) }))
        const json = (response: Response) => Effect.promise(() => response.json() as Promise<any>)

        const refused = yield* send("forbidden")
        assert.strictEqual(refused.status, 400)
        assert.include((yield* json(refused)).error, "not allowed")

        assert.strictEqual((yield* send("hello python :wave:")).status, 201)
        const texts = Effect.gen(function* () {
          const comments = yield* json(yield* Effect.promise(() => fetch(`${base}/comments`)))
          return comments.map(({ text }: { text: string }) => text)
        })
        const answered = yield* Effect.repeat(Effect.delay(texts, "20 millis"), {
          until: (all) => all.length > 1,
        }).pipe(Effect.timeout("60 seconds"))
        assert.deepStrictEqual(answered, ["hello python 👋", "Hello from Python!"])

        const page = yield* Effect.promise(() => fetch(`${base}/plugins/hello-python/hello`))
        assert.strictEqual((yield* json(page)).posts, 1)
      }),
    )
  })
})
