/** The operator's story over REST: the daemon, real plugins, and Mattermost's own client. */
import { readdirSync, readFileSync, rmSync } from "node:fs"
import { chmod, cp } from "node:fs/promises"
import { join, resolve } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import mattermost from "@mattermost/client"
import { Effect, Layer, Option, Schedule } from "effect"
import { limitsOf } from "../../src/cli/Limits.ts"
import { archive } from "../support/archives.ts"
import { cliEnvironment } from "../support/cli.ts"
import { folder, temporaryFolder } from "../support/folder.ts"
import { eventually, fixture, hostEnvironment, isAlive, noPython } from "../support/host.ts"
import { program } from "../support/program.ts"
import { address } from "../support/server.ts"
import { served } from "../support/served.ts"

/** Serves a page, logs, and has a say in settings. */
const plugin = (version: string) => `
from mattermost_plugin import HookName, Plugin, hook, run_plugin


class Hello(Plugin):
    @hook(HookName.OnConfigurationChange)
    def configured(self):
        self.greeting = self.api.load_plugin_configuration().json().get("greeting")
        self.logger.info(f"the greeting is {self.greeting}")

    @hook(HookName.ConfigurationWillBeSaved)
    def saving(self, new_config):
        settings = new_config.config_json.json()["PluginSettings"]["Plugins"].get("hello", {})
        return "be polite" if settings.get("Greeting") == "rude" else None

    @hook(HookName.ServeHTTP)
    def serve(self, ctx, writer, request):
        writer.write(f"{self.greeting} from ${version}")


run_plugin(Hello)
`
const hello = (version: string, text = plugin(version)) =>
  archive(
    {
      id: "hello",
      name: "Hello",
      version,
      webapp: { bundle_path: "main.js" },
      settings_schema: {
        settings: [
          { key: "Greeting", type: "text", default: "hi" },
          { key: "Key", type: "text", secret: true },
        ],
      },
    },
    { "plugin.py": text, "main.js": "" },
  )

const TOKEN = "token-of-an-operator"

/** The daemon on a folder, in this process. */
const daemon = (root: string, options: Parameters<typeof served>[2] = {}) =>
  Effect.map(served(root, `${root}/token`, options), (layer) =>
    layer.pipe(Layer.provide(hostEnvironment), Layer.provideMerge(NodeServices.layer)),
  )

const root = Effect.tap(folder({ plugins: { folder: true }, token: TOKEN }), (made) =>
  Effect.promise(() => chmod(`${made}/token`, 0o600)),
)

const client = Effect.map(
  address,
  (base) => (method: string, path: string, body?: string | FormData) =>
    Effect.promise(async () => {
      const init = { method, headers: { authorization: `Bearer ${TOKEN}` } }
      const response = await fetch(base + path, body === undefined ? init : { ...init, body })
      const text = await response.text()
      return { status: response.status, text, json: (): any => JSON.parse(text) }
    }),
)

const upload = (file: string, force = false) => {
  const form = new FormData()
  form.append("plugin", new File([readFileSync(file)], "hello.tar.gz"))
  if (force) form.append("force", "true")
  return form
}

const PLUGINS = "/api/v4/plugins"

describe.skipIf(noPython)("an operator", () => {
  it.live("has what the supervisor was started with hold for plugins that are started later as well", () =>
    Effect.gen(function* () {
      const place = yield* root
      const runtime = yield* temporaryFolder
      const limits = yield* limitsOf({ "log-lines": "5", notifications: "7" })
      const chatty = yield* hello(
        "1.0.0",
        plugin("1.0.0").replace("self.logger.info(f", "[print('x') for _ in range(500)]; self.logger.info(f"),
      )
      yield* Effect.gen(function* () {
        const send = yield* client
        yield* send("POST", PLUGINS, upload(chatty))
        for (const [command, status] of [
          ["restart", 409],
          ["reload", 409],
          ["enable", 200],
          ["restart", 200],
          ["reload", 200],
        ] as const) {
          assert.strictEqual((yield* send("POST", `${PLUGINS}/hello/${command}`)).status, status, command)
          if (status === 409) continue
          assert.isNotEmpty(readdirSync(runtime), "its sockets are where they are to be")
        }
        const lines: ReadonlyArray<{ readonly message: string }> = (yield* send(
          "GET",
          `${PLUGINS}/hello/logs?count=1000`,
        )).json()
        // A burst is ten times a second's share.
        assert.isBelow(lines.filter(({ message }) => message === "x").length, 4 * 60)
        yield* send("POST", `${PLUGINS}/hello/disable`)
        assert.strictEqual((yield* send("POST", `${PLUGINS}/hello/restart`)).status, 409)
      }).pipe(Effect.provide(yield* daemon(place, { limits, runtimeDirectory: Option.some(runtime) })))
    }).pipe(Effect.scoped),
  )

  it.live("installs, enables, watches, sets, upgrades, disables and removes a plugin, over restarts of the host", () =>
    Effect.gen(function* () {
      const place = yield* root
      const [first, second, broken] = [
        yield* hello("1.0.0"),
        yield* hello("1.1.0"),
        yield* hello("1.2.0", "raise SystemExit('no license')"),
      ]
      yield* Effect.gen(function* () {
        const send = yield* client
        const status = Effect.map(send("GET", `${PLUGINS}/statuses`), ({ json }) => json()[0])
        assert.strictEqual((yield* send("POST", PLUGINS, upload(first))).status, 201)
        assert.deepInclude(yield* status, { state: 0, version: "1.0.0", is_enabled: false, source: "installed" })
        assert.strictEqual((yield* send("GET", "/plugins/hello/")).status, 404)
        assert.deepStrictEqual((yield* send("POST", `${PLUGINS}/hello/enable`)).json(), { status: "OK" })
        assert.deepInclude(yield* status, { state: 2, state_name: "Running", is_enabled: true, restarts: 0 })
        assert.include((yield* status).hooks, "ServeHTTP")
        assert.strictEqual((yield* send("GET", "/plugins/hello/")).text, "hi from 1.0.0")
        const lists = (yield* send("GET", PLUGINS)).json()
        assert.deepStrictEqual([lists.active[0].id, lists.inactive], ["hello", []])
        const [webapp] = (yield* send("GET", `${PLUGINS}/webapp`)).json()
        assert.hasAllKeys(webapp, ["id", "name", "version", "webapp"])

        // A plugin may have something against settings; what is saved it is told.
        const rude = yield* send("PUT", `${PLUGINS}/hello/config`, '{"Greeting":"rude"}')
        assert.strictEqual(rude.status, 400, rude.text)
        assert.include(rude.json().message, "be polite")
        const set = yield* send("PUT", `${PLUGINS}/hello/config`, '{"greeting":"bonjour","Key":"s3cret"}')
        assert.strictEqual(set.status, 200, set.text)
        assert.strictEqual(set.json().Greeting, "bonjour")
        const logs = Effect.map(send("GET", `${PLUGINS}/hello/logs`), ({ text }) => text)
        const told = yield* Effect.repeat(logs, {
          until: (text) => text.includes("the greeting is bonjour"),
          schedule: Schedule.spaced("20 millis"),
        }).pipe(Effect.timeout("60 seconds"))
        assert.include(told, "plugin hello is active")
        assert.notInclude(told + set.text, "s3cret")

        const health = (yield* send("GET", `${PLUGINS}/hello/health`)).json()
        assert.deepInclude(health, { state_name: "Running", in_flight: 0 })
        assert.deepInclude(health.ping, { answered: true, error: "" })
        assert.isTrue(isAlive(health.pid))
        assert.isAbove(
          health.metrics.find(
            ({ attributes, name }: any) =>
              name === "plugin_hook_calls" &&
              attributes.hook === "ConfigurationWillBeSaved" &&
              attributes.outcome === "ok",
          ).value,
          0,
        )

        // An upgrade takes the place of what runs; one that does not start changes nothing.
        assert.strictEqual((yield* send("POST", PLUGINS, upload(second, true))).status, 201)
        assert.strictEqual((yield* send("GET", "/plugins/hello/")).text, "bonjour from 1.1.0")
        const failed = yield* send("POST", PLUGINS, upload(broken, true))
        assert.strictEqual(failed.status, 500)
        assert.deepInclude(failed.json(), { id: "app.plugin.start.app_error" })
        assert.include(failed.json().message + failed.json().detailed_error, "no license")
        assert.deepInclude(yield* status, { state: 2, version: "1.1.0", is_enabled: true })
        for (const command of ["reload", "restart"]) {
          assert.strictEqual((yield* send("POST", `${PLUGINS}/hello/${command}`)).status, 200)
          assert.strictEqual((yield* send("GET", "/plugins/hello/")).text, "bonjour from 1.1.0")
        }
      }).pipe(Effect.provide(yield* daemon(place)))

      // The next host has it all.
      yield* Effect.gen(function* () {
        const send = yield* client
        const page = yield* Effect.repeat(send("GET", "/plugins/hello/"), {
          until: ({ status }) => status === 200,
          schedule: Schedule.spaced("20 millis"),
        }).pipe(Effect.timeout("60 seconds"))
        assert.strictEqual(page.text, "bonjour from 1.1.0")
        assert.strictEqual((yield* send("POST", `${PLUGINS}/hello/disable`)).status, 200)
        assert.strictEqual((yield* send("GET", "/plugins/hello/")).status, 404)
      }).pipe(Effect.provide(yield* daemon(place)))

      yield* Effect.gen(function* () {
        const send = yield* client
        const [status] = (yield* send("GET", `${PLUGINS}/statuses`)).json()
        assert.deepInclude(status, { state: 0, is_enabled: false, version: "1.1.0" })
        assert.deepStrictEqual((yield* send("DELETE", `${PLUGINS}/hello`)).json(), { status: "OK" })
        assert.deepStrictEqual((yield* send("GET", `${PLUGINS}/statuses`)).json(), [])
      }).pipe(Effect.provide(yield* daemon(place)))
    }).pipe(Effect.scoped),
  )
})

describe("a plugin whose bundle is lost", () => {
  it.live("is listed with what to do, and can be removed", () =>
    Effect.gen(function* () {
      const place = yield* root
      const file = yield* hello("1.0.0")
      yield* Effect.gen(function* () {
        const send = yield* client
        assert.strictEqual((yield* send("POST", PLUGINS, upload(file))).status, 201)
      }).pipe(Effect.provide(yield* daemon(place)))
      rmSync(join(place, "data/bundles/hello"), { recursive: true })
      yield* Effect.gen(function* () {
        const send = yield* client
        const error = "its bundle is gone from the store; install it again"
        assert.deepStrictEqual((yield* send("GET", PLUGINS)).json(), {
          active: [],
          inactive: [{ id: "hello", name: "hello", version: "1.0.0" }],
        })
        const [status] = (yield* send("GET", `${PLUGINS}/statuses`)).json()
        assert.deepInclude(status, { plugin_id: "hello", state_name: "FailedToStart", is_enabled: false, error })
        for (const [method, path] of [
          ["POST", "/hello/enable"],
          ["GET", "/Hello/health"],
        ] as const) {
          const answer = yield* send(method, PLUGINS + path)
          assert.strictEqual(answer.status, 404)
          assert.include(answer.json().message, error)
        }
        assert.deepStrictEqual((yield* send("DELETE", `${PLUGINS}/Hello`)).json(), { status: "OK" })
        assert.deepStrictEqual((yield* send("GET", `${PLUGINS}/statuses`)).json(), [])
      }).pipe(Effect.provide(yield* daemon(place)))
    }).pipe(Effect.scoped),
  )
})

describe("serve", () => {
  const main = resolve(import.meta.dirname, "../../src/main.ts")
  const serve = Effect.fnUntraced(function* (flags: ReadonlyArray<string>) {
    const place = yield* root
    yield* Effect.promise(() => cp(fixture("dispatch"), join(place, "plugins/dispatch"), { recursive: true }))
    const folders = ["--plugins", join(place, "plugins"), "--data", join(place, "data")]
    const args = [main, "serve", "--port", "0", "--token-file", join(place, "token"), ...folders, ...flags]
    const { child, log, output } = yield* program(process.execPath, args, { env: cliEnvironment() })
    yield* eventually("it serves", () => child.exitCode !== null || output().includes("Try:"))
    assert.isNull(child.exitCode, log())
    return { child, log, base: /listens on (\S+)/.exec(output())![1]! + PLUGINS }
  })
  const headers = { authorization: `Bearer ${TOKEN}` }
  const post = (base: string, body: FormData) =>
    Effect.promise(() => fetch(base, { method: "POST", headers, body }).then(({ status }) => status))

  it.live("has its bounds, and ends the logs that are followed when it is told to stop", () =>
    Effect.gen(function* () {
      const { base, child, log } = yield* serve(["--limit", "upload-bytes=1KiB"])
      const large = new FormData()
      large.append("plugin", new File([new Uint8Array(2000)], "large"))
      assert.strictEqual(yield* post(base, large), 413)
      const followed = yield* Effect.promise(() => fetch(`${base}/dispatch/logs/follow`, { headers }))
      const reader = followed.body!.getReader()
      yield* Effect.promise(() => reader.read())
      child.kill("SIGTERM")
      // It comes to its end, and is not cut off.
      yield* Effect.promise(async () => {
        for (;;) if ((await reader.read()).done) return
      })
      yield* eventually("it has stopped", () => child.exitCode !== null)
      assert.strictEqual(child.exitCode, 0, log())
    }).pipe(Effect.scoped),
  )

  it.live("installs nothing where its operator does not want that", () =>
    Effect.gen(function* () {
      const { base } = yield* serve(["--no-install"])
      assert.strictEqual(yield* post(base, new FormData()), 501)
    }).pipe(Effect.scoped),
  )
})

describe.skipIf(noPython)("Mattermost's client", () => {
  it.live("uploads, enables, lists, disables and removes a plugin, and knows its errors", () =>
    Effect.gen(function* () {
      const [first, second] = [yield* hello("1.0.0"), yield* hello("1.1.0")]
      yield* Effect.gen(function* () {
        const client = new mattermost.Client4()
        client.setUrl(yield* address)
        client.setToken(TOKEN)
        const file = (path: string) => new File([readFileSync(path)], "hello.tar.gz")
        const call = <A>(run: () => Promise<A>) => Effect.promise(run)
        const failing = (run: () => Promise<unknown>) =>
          Effect.promise(() =>
            run().then(
              () => assert.fail("it has not failed"),
              (error: mattermost.ClientError) => ({ id: error.server_error_id, status: error.status_code }),
            ),
          )
        assert.deepInclude(yield* call(() => client.uploadPlugin(file(first))), { id: "hello", version: "1.0.0" })
        assert.deepStrictEqual(yield* failing(() => client.uploadPlugin(file(second))), {
          id: "app.plugin.install_id.app_error",
          status: 400,
        })
        assert.deepInclude(yield* call(() => client.uploadPlugin(file(second), true)), { version: "1.1.0" })
        assert.deepStrictEqual(yield* call(() => client.enablePlugin("hello")), { status: "OK" })
        const { active } = yield* call(() => client.getPlugins())
        assert.deepStrictEqual(
          active.map(({ id, version }) => [id, version]),
          [["hello", "1.1.0"]],
        )
        const [status] = yield* call(() => client.getPluginStatuses())
        assert.deepInclude(status, { plugin_id: "hello", state: 2, cluster_id: "" })
        assert.deepStrictEqual(
          (yield* call(() => client.getWebappPlugins())).map(({ id }) => id),
          ["hello"],
        )
        yield* call(() => client.disablePlugin("hello"))
        assert.strictEqual((yield* call(() => client.getPlugins())).inactive.length, 1)
        assert.deepStrictEqual(yield* call(() => client.removePlugin("hello")), { status: "OK" })
        assert.deepStrictEqual(yield* failing(() => client.enablePlugin("hello")), {
          id: "app.plugin.not_installed.app_error",
          status: 404,
        })
        assert.deepStrictEqual(yield* failing(() => client.installPluginFromUrl("http://example.com/x")), {
          id: "api.plugin.install.download_failed.app_error",
          status: 400,
        })
      }).pipe(Effect.provide(yield* daemon(yield* root)))
    }).pipe(Effect.scoped),
  )
})
