/** Every result that a Python handler may return, in every form, as it arrives here; from sync and async handlers alike. */
import { join } from "node:path"
import { type DescMessage, type JsonObject, toJson } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import type { HookError } from "../../src/hooks/HookError.ts"
import { hookMethods, hookName, unaryHooks } from "../../src/hooks/HookName.ts"
import { PluginSupervisor } from "../../src/supervisor/PluginSupervisor.ts"
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
      const { hooks } = yield* (yield* PluginSupervisor).start(bundle, { variables })
      const deciding = unaryHooks.filter((hook) => hookMethods[hook].output.fields.length > 0)
      assert.sameMembers(
        [...stored.keys()],
        deciding.map((hook) => hookName(hook)),
      )
      const calls = hooks as unknown as Record<string, (request: object) => Effect.Effect<never, HookError>>
      let seen = 0
      for (const hook of deciding) {
        const output: DescMessage = hookMethods[hook].output
        for (const expected of JSON.parse(stored.get(hookName(hook))!) as ReadonlyArray<JsonObject>) {
          const result = yield* Effect.result(calls[hook]!(requests[hook] ?? {}))
          if (Result.isSuccess(result)) {
            assert.deepStrictEqual(toJson(output, result.success), expected, `${hook} ${seen}`)
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
