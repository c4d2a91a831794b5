/** Two hosts of different contracts in one program, behind one server: what each of them has is its own. */
import { spawnSync } from "node:child_process"
import { globSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Redacted } from "effect"
import { HttpRouter } from "effect/http"
import { BillingApi, BillingHooks } from "../../examples/own-contract/generated/billing/v1/billing_pb.js"
import { BundleStore } from "../../src/bundle/BundleStore.ts"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { ServerVersion } from "../../src/command/ServerVersion.ts"
import * as Contract from "../../src/contract/Contract.ts"
import * as PluginHost from "../../src/environment/PluginHost.ts"
import { AccessToken } from "../../src/http/AccessToken.ts"
import * as AdminRoutes from "../../src/http/AdminRoutes.ts"
import { HttpFailures } from "../../src/http/HttpFailures.ts"
import { createServer } from "../../src/http/NodeServer.ts"
import * as PluginRoutes from "../../src/http/PluginRoutes.ts"
import { PluginStorage } from "../../src/storage/PluginStorage.ts"
import { archive } from "../support/archives.ts"
import { cliEnvironment } from "../support/cli.ts"
import { root as project } from "../support/documents.ts"
import { folder } from "../support/folder.ts"
import { hostEnvironment, noPython } from "../support/host.ts"
import { address } from "../support/server.ts"

const TOKEN = "token-of-an-operator"

const contract = (name: string) =>
  Contract.make({
    hooks: BillingHooks,
    api: BillingApi,
    handshake: { magicCookieKey: `${name.toUpperCase()}_PLUGIN`, magicCookieValue: name },
    deciding: { invoiceWillBeSent: { replaces: { invoice: "invoice" }, refusal: "refusal" } },
  })
class Billing extends PluginHost.Service<Billing>()("test/Billing", contract("billing")) {}
class Alarm extends PluginHost.Service<Alarm>()("test/Alarm", contract("alarm")) {}

/** A plugin that counts its pages in its store, and says who asks. */
const plugin = (name: string) => `
from ${name}_plugin import HookName, Plugin, hook, run_plugin


class Counter(Plugin):
    @hook(HookName.InvoiceWillBeSent)
    def check(self, invoice):
        return "${name} refuses"

    @hook(HookName.ServeHTTP)
    def page(self, ctx, writer, request):
        who = request.headers.get("Plugin-Supervisor-User-Id", ["nobody"])
        writer.write(f"{request.root_path} {self.kv.update('count', lambda n: n + 1, default=0)} {who[0]}")


run_plugin(Counter)
`
const inFolder = (name: string) => ({
  [`${name}/plugins/counter/plugin.json`]: JSON.stringify({
    id: "counter",
    name: "Counter",
    server: { runtime: "python", executable: "plugin.py" },
  }),
  [`${name}/plugins/counter/plugin.py`]: plugin(name),
})

/** Makes the Python package of a contract; answers the folder that has it. */
const generate = (root: string, name: string) => {
  const flags = {
    proto: join(project, "examples/own-contract/proto"),
    hooks: "billing.v1.BillingHooks",
    api: "billing.v1.BillingApi",
    cookie: `${name.toUpperCase()}_PLUGIN=${name}`,
    package: `${name}_plugin`,
    output: `made-${name}`,
  }
  const made = spawnSync(
    "python3",
    ["-m", "effect_plugin.generate", ...Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value])],
    { cwd: root, env: cliEnvironment(), encoding: "utf8" },
  )
  assert.strictEqual(made.status, 0, made.stderr)
  return join(root, dirname(globSync(`made-${name}/**/${name}_plugin`, { cwd: root })[0]!))
}

/** One of the hosts, its routes, and what it stores. */
const hosted = <Self, Id extends string, C extends ReturnType<typeof contract>>(
  host: PluginHost.HostClass<Self, Id, C>,
  name: string,
  root: string,
  packages: string,
  version: string,
) =>
  Layer.mergeAll(
    PluginRoutes.layer(
      host,
      (token) => Effect.succeed(token === name ? Option.some(`user of ${name}`) : Option.none()),
      {
        path: `/${name}/plugins`,
      },
    ),
    AdminRoutes.layer(host, { path: `/${name}/api` }),
  ).pipe(
    Layer.provideMerge(
      host.layerFolder({
        directory: join(root, name, "plugins"),
        defaults: { variables: { PYTHONPATH: packages }, restart: false },
      }),
    ),
    Layer.provide(host.layerApi({} as never)),
    Layer.provide([
      PluginStorage.layerFile(join(root, name, "plugins.db")),
      BundleStore.layer(join(root, name, "bundles")).pipe(Layer.provide(PluginBundles.layer)),
      Layer.succeed(ServerVersion, version),
    ]),
  )

/** A run of the program. */
const program = (root: string, packages: { readonly billing: string; readonly alarm: string }) =>
  HttpRouter.serve(
    Layer.mergeAll(
      hosted(Billing, "billing", root, packages.billing, "1.0.0"),
      hosted(Alarm, "alarm", root, packages.alarm, "2.0.0"),
      HttpFailures,
    ),
    { disableLogger: true, disableListenLog: true },
  ).pipe(
    Layer.provideMerge(
      NodeHttpServer.layer(() => createServer(), { host: "127.0.0.1", port: 0, gracefulShutdownTimeout: 500 }),
    ),
    Layer.provide(Layer.succeed(AccessToken, AccessToken.make(Redacted.make(TOKEN)))),
    Layer.provide(hostEnvironment),
    Layer.provideMerge(NodeServices.layer),
    Layer.fresh,
  )

const asking = Effect.map(
  address,
  (base) =>
    (path: string, { token = TOKEN, ...init }: RequestInit & { readonly token?: string } = {}) =>
      Effect.promise(async () => {
        const response = await fetch(base + path, { ...init, headers: { authorization: `Bearer ${token}` } })
        return { status: response.status, text: await response.text() }
      }),
)

describe.skipIf(noPython)("two hosts in one program", () => {
  it.live("have their own routes, plugins, keys, settings and installs, over restarts", () =>
    Effect.gen(function* () {
      const root = yield* folder({ ...inFolder("billing"), ...inFolder("alarm") })
      const packages = { billing: generate(root, "billing"), alarm: generate(root, "alarm") }
      // Of what only the second host is new enough for.
      const late = yield* archive({ id: "late", min_server_version: "1.5.0" }, { "plugin.py": plugin("alarm") })

      yield* Effect.gen(function* () {
        const ask = yield* asking
        yield* (yield* Billing.Environment).settled
        yield* (yield* Alarm.Environment).settled
        // The same id on both.
        assert.strictEqual(
          (yield* ask("/billing/plugins/counter/", { token: "billing" })).text,
          "/billing/plugins/counter 1 user of billing",
        )
        assert.strictEqual(
          (yield* ask("/billing/plugins/counter/", { token: "alarm" })).text,
          "/billing/plugins/counter 2 nobody",
        )
        assert.strictEqual(
          (yield* ask("/alarm/plugins/counter/", { token: "alarm" })).text,
          "/alarm/plugins/counter 1 user of alarm",
        )
        assert.strictEqual((yield* ask("/plugins/counter/")).status, 404)
        for (const host of [Billing, Alarm]) {
          const name = host === Billing ? "billing" : "alarm"
          const { reason } = yield* Effect.flip((yield* host).decide("invoiceWillBeSent", {}))
          assert.strictEqual(reason, `${name} refuses`)
        }
        const put = { method: "PUT", body: '{"loud":true}' }
        assert.strictEqual((yield* ask("/billing/api/plugins/counter/config", put)).text, put.body)
        assert.strictEqual((yield* ask("/alarm/api/plugins/counter/config")).text, "{}")
        // The second host's version counts for its plugins.
        const form = new FormData()
        form.append("plugin", new File([readFileSync(late)], "late.tar.gz"))
        const installed = yield* ask("/alarm/api/plugins", { method: "POST", body: form })
        assert.strictEqual(installed.status, 201, installed.text)
        const enabled = yield* ask("/alarm/api/plugins/late/enable", { method: "POST" })
        assert.strictEqual(enabled.status, 200, enabled.text)
        const document = JSON.parse((yield* ask("/alarm/api/openapi.json")).text) as { readonly paths: object }
        assert.include(Object.keys(document.paths), "/alarm/api/plugins")
      }).pipe(Effect.provide(program(root, packages)))

      yield* Effect.gen(function* () {
        const ask = yield* asking
        yield* (yield* Billing.Environment).settled
        yield* (yield* Alarm.Environment).settled
        const ids = (name: string) =>
          Effect.map(ask(`/${name}/api/plugins/statuses`), ({ text }) =>
            (JSON.parse(text) as ReadonlyArray<{ readonly plugin_id: string; readonly state_name: string }>).map(
              ({ plugin_id, state_name }) => `${plugin_id} ${state_name}`,
            ),
          )
        assert.deepStrictEqual(yield* ids("billing"), ["counter Running"])
        assert.deepStrictEqual(yield* ids("alarm"), ["counter Running", "late Running"])
        assert.strictEqual((yield* ask("/billing/plugins/counter/")).text, "/billing/plugins/counter 3 nobody")
        assert.strictEqual((yield* ask("/alarm/plugins/late/")).text, "/alarm/plugins/late 1 nobody")
        assert.strictEqual((yield* ask("/billing/plugins/late/")).status, 404)
        assert.strictEqual((yield* ask("/billing/api/plugins/counter/config")).text, '{"loud":true}')
      }).pipe(Effect.provide(program(root, packages)))
    }).pipe(Effect.scoped),
  )
})
