/** Flask and FastAPI as plugins, from a browser's point of view. */
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { create } from "@bufbuild/protobuf"
import { Effect, Layer } from "effect"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { PostSchema } from "../../src/generated/mattermost/pluginapi/v1/post_pb.js"
import { folder } from "../support/folder.ts"
import { examples, noPython } from "../support/host.ts"
import { baseUrl, server } from "../support/server.ts"
import { copyPlugin, type Way, WAYS } from "../support/ways.ts"

const api = (stored = new Map<string, Uint8Array>()) => ({
  kVGet: ({ key }: { readonly key: string }) => Effect.succeed({ value: stored.get(key) ?? new Uint8Array() }),
  kVSet: ({ key, value }: { readonly key: string; readonly value: Uint8Array }) =>
    Effect.sync(() => (stored.set(key, value), {})),
})

const json = (url: string) => Effect.promise(() => fetch(url).then((response) => response.json()))

/** Both examples, reached in one way. */
const serverOf = (way: Way) =>
  Layer.unwrap(
    Effect.map(folder({}), (directory) => {
      for (const app of ["flask-app", "fastapi-sse"]) {
        copyPlugin(join(examples, "web-apps", app), join(directory, app), way)
      }
      return server(directory, api())
    }),
  )

describe.skipIf(noPython).each(WAYS)("web applications as plugins, by %s", (way) => {
  it.live("Flask answers, and reaches the host API; FastAPI streams events, and hears when a browser goes", () =>
    Effect.gen(function* () {
      yield* (yield* MattermostPlugins.Environment).settled
      const base = yield* baseUrl
      assert.deepStrictEqual(yield* json(`${base}/plugins/flask-app/`), { visits: 1, hello: "stranger" })
      assert.deepStrictEqual(yield* json(`${base}/plugins/flask-app/`), { visits: 2, hello: "stranger" })

      // Where an application is, it knows: its links lead to itself.
      const openApi = "/plugins/fastapi-sse/openapi.json"
      const docs = yield* Effect.promise(() => fetch(`${base}/plugins/fastapi-sse/docs`).then((page) => page.text()))
      assert.include(docs, openApi)
      assert.nestedProperty(yield* json(base + openApi), "paths./listeners")

      const browser = new AbortController()
      const events = yield* Effect.promise(() =>
        fetch(`${base}/plugins/fastapi-sse/events`, { signal: browser.signal }),
      )
      assert.include(events.headers.get("content-type"), "text/event-stream")
      const reader = events.body!.pipeThrough(new TextDecoderStream()).getReader()
      const next = Effect.promise(() => reader.read().then(({ value }) => value))
      assert.strictEqual(yield* next, ": welcome\n\n")
      const { notify } = yield* MattermostPlugins
      yield* notify("messageHasBeenPosted", { post: create(PostSchema, { message: "news" }) })
      assert.strictEqual(yield* next, 'data: {"message": "news"}\n\n')

      const listeners = json(`${base}/plugins/fastapi-sse/listeners`)
      assert.deepStrictEqual(yield* listeners, { listeners: 1 })
      browser.abort()
      const gone = Effect.repeat(Effect.delay(listeners, "20 millis"), {
        until: (answer) => (answer as { readonly listeners: number }).listeners === 0,
      })
      yield* Effect.timeout(gone, "60 seconds")
    }).pipe(Effect.provide(serverOf(way))),
  )
})
