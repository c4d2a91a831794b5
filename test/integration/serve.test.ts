/** The supervisor as its operator starts it: a process, flags, and files. */
import { cpSync } from "node:fs"
import { join, resolve } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { inject } from "vitest"
import { folder } from "../support/folder.ts"
import { eventually, fixture, noPython } from "../support/host.ts"
import { program } from "../support/program.ts"

const main = resolve(import.meta.dirname, "../../src/main.ts")
const TOKEN = "token-of-the-test"

/** Starts `plugin-supervisor serve`, which ends with the Scope. */
const serve = (args: ReadonlyArray<string>, variables: { readonly [name: string]: string }) => {
  const python = inject("python")
  const path = `${"bin" in python ? python.bin : ""}:${process.env["PATH"]}`
  return program(process.execPath, [main, "serve", "--port", "0", ...args], {
    env: { ...process.env, PATH: path, PLUGIN_SUPERVISOR_TOKEN: TOKEN, ...variables },
  })
}

describe("the hook policies of serve", () => {
  it.live("that are wrong keep it from starting, and each is named", () =>
    Effect.gen(function* () {
      const root = yield* folder({
        plugins: { folder: true },
        "policies.yaml": "guard:\n  policies:\n    MessageWilBePosted: { onFailure: refuse }\n",
      })
      const files = ["--plugins", join(root, "plugins"), "--data", join(root, "data")]
      const { child, log } = yield* serve([...files, "--hook-policies", join(root, "policies.yaml")], {})
      yield* eventually("it has ended", () => child.exitCode !== null)
      assert.strictEqual(child.exitCode, 1)
      assert.include(log(), "guard.policies.MessageWilBePosted: there is no such hook")
    }).pipe(Effect.scoped),
  )

  it.live.skipIf(noPython)("refuse posts for a plugin that raises, hangs, or has crashed", () =>
    Effect.gen(function* () {
      const root = yield* folder({
        plugins: { folder: true },
        "policies.json": JSON.stringify({
          Dispatch: { policies: { MessageWillBePosted: { onFailure: "refuse", deadline: "700 millis" } } },
        }),
      })
      cpSync(fixture("dispatch"), join(root, "plugins/dispatch"), { recursive: true })
      const files = ["--plugins", join(root, "plugins"), "--data", join(root, "data")]
      const { child, log, output } = yield* serve(
        [...files, "--hook-policies", join(root, "policies.json"), "--allow-env", "NAME"],
        { NAME: "a" },
      )
      yield* eventually("the plugin has started", () => child.exitCode !== null || output().includes("Try:"), 60_000)
      assert.isNull(child.exitCode, log())
      const base = /listens on (\S+)/.exec(output())![1]!
      const channel = /"channel_id":"(\w+)"/.exec(output())![1]!
      const api = (path: string, body?: object) =>
        Effect.promise(async () => {
          const response = await fetch(`${base}/api/v4${path}`, {
            headers: { Authorization: `Bearer ${TOKEN}` },
            ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
          })
          return { status: response.status, json: (await response.json()) as any }
        })
      const post = (message: string) => api("/posts", { channel_id: channel, message })

      assert.deepInclude((yield* post("hello")).json, { message: "hello a" })
      const refused = yield* post("a:refuse")
      assert.deepInclude(refused.json, { status_code: 400, message: "Post rejected by plugin. a says no" })
      const unasked = {
        status_code: 503,
        id: "app.plugin.guard_hook_failed",
        message: "Post rejected by plugin. the plugin that has to agree could not be asked",
      }
      assert.deepInclude((yield* post("a:raise")).json, unasked)
      const began = Date.now()
      assert.deepInclude((yield* post("a:hang")).json, unasked)
      assert.isBelow(Date.now() - began, 5000)
      assert.deepInclude((yield* post("a:crash")).json, unasked)
      yield* eventually("its end is seen", () => log().includes("ended unexpectedly"))
      assert.deepInclude((yield* post("into the void")).json, unasked)

      const { json } = yield* api(`/channels/${channel}/posts`)
      assert.deepStrictEqual(
        Object.values<any>(json.posts).map(({ message }) => message),
        ["hello a"],
      )
    }).pipe(Effect.scoped),
  )
})
