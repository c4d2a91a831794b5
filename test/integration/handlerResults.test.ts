/** Every result that a Python handler may return, in every form, as it arrives here; from sync and async handlers alike. */
import { join } from "node:path"
import { type DescMessage, type JsonObject, toJson } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { fixture, host, noPython } from "../support/host.ts"

const sdk = join(import.meta.dirname, "../../python-sdk")

/** What the SDK's own tests ask about, too. */
const requests: { readonly [hook: string]: object } = { messagesWillBeConsumed: { posts: [{ id: "1" }, { id: "2" }] } }

describe.skipIf(noPython)("results of Python handlers", () => {
  it.live.each(["sync", "async"])("arrive from %s handlers", (handlers) => {
    const stored = new Map<string, string>()
    const api = {
      kVSet: ({ key, value }: { readonly key: string; readonly value: Uint8Array }) =>
        Effect.sync(() => (stored.set(key, new TextDecoder().decode(value)), {})),
      getServerVersion: () => Effect.succeed({ version: "1" }),
    }
    return Effect.gen(function* () {
      const bundle = yield* (yield* PluginBundles).load(fixture("results"))
      const variables = { HANDLERS: handlers, PYTHONPATH: sdk }
      const { client } = yield* (yield* MattermostPlugins.Supervisor).start(bundle, { variables })
      const deciding = [...MattermostContract.unary.values()].filter(({ method }) => method.output.fields.length > 0)
      assert.sameMembers(
        [...stored.keys()],
        deciding.map(({ name }) => name),
      )
      let seen = 0
      for (const { method, name } of deciding) {
        const output: DescMessage = method.output
        const hook = method.localName
        for (const expected of JSON.parse(stored.get(name)!) as ReadonlyArray<JsonObject>) {
          const result = yield* Effect.result(client.call(hook, requests[hook] ?? {}))
          if (Result.isSuccess(result)) {
            assert.deepStrictEqual(toJson(output, result.success as never), expected, `${hook} ${seen}`)
          } else {
            const { id, message: reason, statusCode } = expected["error"] as JsonObject
            assert.deepInclude<object>(result.failure, {
              _tag: "HookPluginError",
              id,
              reason,
              statusCode,
              isAnswer: true,
            })
          }
          seen += 1
        }
      }
      assert.isAbove(seen, 400)
    }).pipe(Effect.scoped, Effect.provide(host(api)))
  })
})
