/** The supervisor as its operator starts it: a process, flags, and files. */
import { execFileSync } from "node:child_process"
import { chmodSync, cpSync, readFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { join, resolve } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { inject } from "vitest"
import { snippets } from "../support/documents.ts"
import { folder } from "../support/folder.ts"
import { eventually, fixture, noPython } from "../support/host.ts"
import { program } from "../support/program.ts"

const main = resolve(import.meta.dirname, "../../src/main.ts")
const TOKEN = "token-of-the-test"

/** Starts `plugin-supervisor serve`, which ends with the Scope. */
const serve = (args: ReadonlyArray<string>, variables: { readonly [name: string]: string | undefined }) => {
  const python = inject("python")
  const path = `${"bin" in python ? python.bin : ""}:${process.env["PATH"]}`
  return program(process.execPath, [main, "serve", "--port", "0", ...args], {
    env: { ...process.env, PATH: path, PLUGIN_SUPERVISOR_TOKEN: TOKEN, ...variables },
  })
}

/** A supervisor that has started the plugin of `test/fixtures/plugins/dispatch`, which is called `a` here. */
const serveDispatch = Effect.fnUntraced(function* (
  files: { readonly [name: string]: string },
  flags: (root: string) => ReadonlyArray<string>,
  variables: { readonly [name: string]: string } = {},
) {
  const root = yield* folder({ plugins: { folder: true }, ...files })
  cpSync(fixture("dispatch"), join(root, "plugins/dispatch"), { recursive: true })
  const { child, log, output } = yield* serve(
    ["--plugins", join(root, "plugins"), "--data", join(root, "data"), "--allow-env", "NAME", ...flags(root)],
    { NAME: "a", ...variables },
  )
  yield* eventually("the plugin has started", () => child.exitCode !== null || output().includes("Try:"))
  assert.isNull(child.exitCode, log())
  const base = /listens on (\S+)/.exec(output())![1]!
  const channel = /"channel_id":"(\w+)"/.exec(output())![1]!
  const get = (path: string, options: RequestInit = {}) =>
    Effect.promise(async () => {
      const response = await fetch(base + path, { ...options, headers: { Authorization: `Bearer ${TOKEN}` } })
      return { status: response.status, text: await response.text() }
    })
  const post = (message: string, props: object = {}) =>
    Effect.map(
      get("/api/v4/posts", { method: "POST", body: JSON.stringify({ channel_id: channel, message, props }) }),
      ({ text }) => JSON.parse(text) as { readonly [field: string]: unknown },
    )
  return { base, channel, get, log, post }
})

/** Tells where the host says that people reach it: when the plugin is activated, and now. */
const SITE_PLUGIN = `
from mattermost_plugin import HookName, Plugin, hook, run_plugin


class Site(Plugin):
    @hook(HookName.OnActivate)
    def activate(self):
        self.first = self.api.get_config().json()["ServiceSettings"]["SiteURL"]

    @hook(HookName.ServeHTTP)
    def serve(self, ctx, writer, request):
        writer.write(self.first + " " + self.api.get_config().json()["ServiceSettings"]["SiteURL"])


if __name__ == "__main__":
    run_plugin(Site)
`

describe("the addresses and the token of serve", () => {
  it.live.skipIf(noPython)("are told to plugins and people as they can be used, and the data folder is its own", () =>
    Effect.gen(function* () {
      const root = yield* folder({
        "plugins/site/plugin.json": JSON.stringify({ id: "site", name: "Site", server: { executable: "plugin.py" } }),
        "plugins/site/plugin.py": SITE_PLUGIN,
      })
      const tokenFile = join(root, "it's a token")
      const flags = ["--plugins", join(root, "plugins"), "--data", join(root, "data"), "--token-file", tokenFile]
      const start = Effect.fnUntraced(function* (more: ReadonlyArray<string>) {
        const started = yield* serve([...flags, ...more], { PLUGIN_SUPERVISOR_TOKEN: undefined })
        const isSettled = () => started.child.exitCode !== null || /\/plugins\/site\/\n/.test(started.output())
        yield* eventually("it has started", isSettled, 60_000)
        assert.isNull(started.child.exitCode, started.log())
        return started
      })
      const answers = (output: string) =>
        [...output.matchAll(/^ {2}(curl .*)$/gm)].map(([, line]) =>
          String(execFileSync("sh", ["-c", `${line} --silent --fail-with-body --max-time 10`])),
        )

      yield* Effect.scoped(
        Effect.gen(function* () {
          const { child, log, output } = yield* start([])
          const base = /listens on (\S+)/.exec(output())![1]!
          assert.match(base, /^http:\/\/127\.0\.0\.1:[1-9]\d+$/)
          const token = readFileSync(tokenFile, "utf8").trim()
          assert.include(output(), `Its token is in the file ${tokenFile}\n`)
          assert.notInclude(output() + log(), token)
          if (process.platform === "linux") {
            assert.notInclude(readFileSync(`/proc/${child.pid}/environ`, "utf8"), token)
          }
          const [statuses, post, page] = answers(output())
          assert.include(statuses, '"state_name":"Running"')
          assert.include(post, '"message":"hello python"')
          assert.strictEqual(page, `${base} ${base}`)

          // Another one on the same data says who is there, and hurts nobody.
          const second = yield* serve(flags, { PLUGIN_SUPERVISOR_TOKEN: undefined })
          yield* eventually("it has ended", () => second.child.exitCode !== null, 30_000)
          assert.strictEqual(second.child.exitCode, 1)
          assert.include(second.log(), `is in use by the process ${child.pid}; end it, or use another folder (--data)`)
          assert.notInclude(second.log(), "plugin site")
          assert.strictEqual(answers(output())[2], page)
        }),
      )

      const { log, output } = yield* start(["--site-url", "https://chat.example.com/sub/", "--host", "0.0.0.0"])
      assert.match(output(), /listens on http:\/\/localhost:[1-9]/)
      assert.strictEqual(answers(output())[2], "https://chat.example.com/sub https://chat.example.com/sub")
      assert.notInclude(log(), "--site-url")
    }).pipe(Effect.scoped),
  )

  it.live("that can't be used keep it from starting, and are named", () =>
    Effect.gen(function* () {
      const root = yield* folder({ plugins: { folder: true }, token: "s3cret" })
      chmodSync(join(root, "token"), 0o644)
      const plugins = ["--plugins", join(root, "plugins")]
      const data = ["--data", join(root, "data")]
      const cases: ReadonlyArray<readonly [flags: ReadonlyArray<string>, message: RegExp, code: number]> = [
        [
          [...data, "--token-file", join(root, "token")],
          /others may read it, or write to it; close it with chmod 600/,
          1,
        ],
        [[...data, "--site-url", "chat.example.com"], /chat\.example\.com is no http or https URL/, 2],
        [[...data, "--trusted-proxies", "::1,10.0.0.0/33"], /trusted proxies: "10\.0\.0\.0\/33" is no IP address/, 2],
        [["--data", join(root, "token")], /the data folder .*token can't be made: /, 1],
      ]
      const started = yield* Effect.forEach(cases, ([flags]) => serve([...plugins, ...flags], {}))
      for (const [index, { child, log }] of started.entries()) {
        yield* eventually("it has ended", () => child.exitCode !== null, 60_000)
        const [, message, code] = cases[index]!
        assert.strictEqual(child.exitCode, code)
        assert.match(log(), message)
        assert.notInclude(log(), "s3cret")
      }
    }).pipe(Effect.scoped),
  )
})

describe("the hook policies of serve", () => {
  it.live("that are wrong keep it from starting, and each is named", () =>
    Effect.gen(function* () {
      const root = yield* folder({
        plugins: { folder: true },
        "policies.yaml": "guard:\n  hooks:\n    policies:\n      MessageWilBePosted: { onFailure: refuse }\n",
      })
      const files = ["--plugins", join(root, "plugins"), "--data", join(root, "data")]
      const { child, log } = yield* serve([...files, "--plugin-options", join(root, "policies.yaml")], {})
      yield* eventually("it has ended", () => child.exitCode !== null)
      assert.strictEqual(child.exitCode, 1)
      assert.include(log(), "guard.hooks.policies.MessageWilBePosted: there is no such hook")
    }).pipe(Effect.scoped),
  )

  it.live.skipIf(noPython)("refuse posts for a plugin that raises, hangs, or has crashed", () =>
    Effect.gen(function* () {
      const policies = {
        Dispatch: { hooks: { policies: { MessageWillBePosted: { onFailure: "refuse", deadline: "5 seconds" } } } },
      }
      const { channel, get, log, post } = yield* serveDispatch(
        { "policies.json": JSON.stringify(policies) },
        (root) => ["--plugin-options", join(root, "policies.json")],
      )

      assert.deepInclude(yield* post("hello"), { message: "hello a" })
      const refused = yield* post("a:refuse")
      assert.deepInclude(refused, { status_code: 400, message: "Post rejected by plugin. a says no" })
      // It is asked about the deepest post that is taken, and about no deeper one.
      let deepest: object = { a: "x" }
      for (let level = 1; level < 28; level++) deepest = { a: deepest }
      assert.deepInclude(yield* post("a:refuse", deepest), { message: "Post rejected by plugin. a says no" })
      for (const deeper of [{ a: { a: deepest } }, { a: { a: { a: { a: { a: { a: { a: { a: deepest } } } } } } } }]) {
        assert.deepInclude(yield* post("a:refuse", deeper), { id: "api.context.invalid_body_param.app_error" })
      }
      const unasked = {
        status_code: 503,
        id: "app.plugin.guard_hook_failed",
        message: "Post rejected by plugin. the plugin that has to agree could not be asked",
      }
      assert.deepInclude(yield* post("a:raise"), unasked)
      assert.deepInclude(yield* post("a:hang"), unasked)
      assert.deepInclude(yield* post("a:crash"), unasked)
      yield* eventually("its end is seen", () => log().includes("ended unexpectedly"))
      assert.deepInclude(yield* post("into the void"), unasked)

      const { text } = yield* get(`/api/v4/channels/${channel}/posts`)
      assert.deepStrictEqual(
        Object.values<any>(JSON.parse(text).posts).map(({ message }) => message),
        ["hello a"],
      )
    }).pipe(Effect.scoped),
  )
})

describe("what can be watched of serve", () => {
  it.live.skipIf(noPython)("is at /metrics for who has the token, and goes to a collector of OpenTelemetry's", () =>
    Effect.gen(function* () {
      const received: { [path: string]: string } = {}
      const collector = createServer((request, response) => {
        request.setEncoding("latin1")
        request.on("data", (chunk) => (received[request.url!] = (received[request.url!] ?? "") + chunk))
        request.on("end", () => response.end())
      })
      yield* Effect.acquireRelease(
        Effect.promise(() => new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve))),
        () => Effect.sync(() => collector.close()),
      )
      const [variables = ""] = snippets("docs/hooks.md", "sh")
      const { base, get, post } = yield* serveDispatch({}, () => [], {
        ...Object.fromEntries(variables.split("\n").map((line) => line.split("="))),
        OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(collector.address() as AddressInfo).port}`,
        OTEL_BSP_SCHEDULE_DELAY: "100",
        OTEL_BLRP_SCHEDULE_DELAY: "100",
        OTEL_METRIC_EXPORT_INTERVAL: "100",
      })
      yield* post("hello")
      yield* post("a:raise")

      assert.strictEqual((yield* Effect.promise(() => fetch(`${base}/metrics`))).status, 401)
      const { text } = yield* get("/metrics")
      for (const outcome of ["ok", "plugin"]) {
        assert.include(text, `plugin_hook_calls{plugin="dispatch",hook="MessageWillBePosted",outcome="${outcome}"} 1\n`)
      }
      assert.include(text, 'plugin_hook_duration_milliseconds_count{plugin="dispatch",hook="MessageWillBePosted"} 2\n')
      yield* eventually(
        "all of it has arrived",
        () =>
          !!received["/v1/traces"]?.includes("hook MessageWillBePosted") &&
          !!received["/v1/metrics"]?.includes("plugin_hook_calls") &&
          !!received["/v1/logs"]?.includes("plugin dispatch is active"),
      )
      assert.notInclude(Object.values(received).join(), TOKEN)
    }).pipe(Effect.scoped),
  )
})
