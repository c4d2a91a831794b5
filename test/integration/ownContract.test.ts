/** A backend with a contract of its own, and its plugins in Python and Go; and two hosts of different contracts in one program. */
import { spawnSync } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { vi } from "vitest"
import { BillingPlugins } from "../../examples/own-contract/src/Billing.ts"
import { HookNotImplementedError } from "../../src/hooks/HookError.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import * as FakePlugin from "../../src/testing/FakePlugin.ts"
import { checkout, served } from "../support/checkout.ts"
import { snippets } from "../support/documents.ts"
import { eventually, noPython } from "../support/host.ts"
import { program } from "../support/program.ts"

const noGo = spawnSync("go", ["version"]).status !== 0

describe.skipIf(noPython || noGo)("examples/own-contract", () => {
  it.live(
    "runs by the commands of its README",
    () =>
      Effect.gen(function* () {
        const [setUp = "", requests = "", byItself = ""] = snippets("examples/own-contract/README.md", "sh")
        const cwd = yield* checkout
        const script = setUp.replace("npx node", "exec node").replace(/ 3000\n/, " 0\n")
        const backend = yield* program("sh", ["-ec", script], { cwd })
        // The backend logs to stdout, and what fails before it starts to stderr.
        const printed = () => backend.output() + backend.log()
        const isUp = () =>
          backend.child.exitCode !== null || ["audit", "taxes"].every((id) => printed().includes(`${id} is active`))
        yield* eventually("both plugins are active", isUp, 590_000)
        assert.isNull(backend.child.exitCode, printed())
        const port = /Listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(printed())![1]!
        const answers: Array<string> = []
        for (const line of requests.trim().split("\n")) {
          // Events are told in the background, and the last request asks how many there were.
          if (line.endsWith("/taxes/")) yield* eventually("it is told", () => printed().includes("an invoice was sent"))
          const curl = yield* program("sh", ["-ec", line.replace("curl", "curl -s").replace(":3000", `:${port}`)], {})
          yield* eventually("it is answered", () => curl.child.exitCode !== null)
          answers.push(curl.output())
        }
        assert.match(answers[0]!, /"note":"Thank you, Alice!"/)
        assert.deepStrictEqual(JSON.parse(answers[1]!), { reason: "Bob gets no more invoices" })
        assert.deepStrictEqual(JSON.parse(answers[2]!), { reason: "too much for Alice without a second look" })
        assert.deepStrictEqual(JSON.parse(answers[3]!), [{ pluginId: "taxes", name: "TVA", percent: 20 }])
        assert.strictEqual(answers[4], "1 invoices were sent")

        const { authorization, base } = yield* served(byItself, cwd, /\/plugins\/taxes\/\n/)
        const get = (path: string) =>
          Effect.promise(() => fetch(base + path, { headers: { authorization } }).then((response) => response.text()))
        assert.strictEqual(yield* get("/plugins/taxes/"), "1 invoices were sent", "it is on the same store")
        const statuses = JSON.parse(yield* get("/api/v4/plugins/statuses")) as ReadonlyArray<{
          readonly hooks: ReadonlyArray<string>
          readonly hooks_told: boolean
          readonly plugin_id: string
          readonly state: number
        }>
        // The one in Go serves no Implemented: what it has is not known.
        assert.deepStrictEqual(
          statuses.map(({ hooks, hooks_told, plugin_id, state }) => [plugin_id, state, hooks_told, hooks.toSorted()]),
          [
            ["audit", 2, false, []],
            ["taxes", 2, true, ["InvoiceWasSent", "InvoiceWillBeSent", "ServeHTTP", "TaxRules"]],
          ],
        )
        // What operators do is the same for every contract.
        const put = yield* Effect.promise(() =>
          fetch(`${base}/api/v4/plugins/taxes/config`, {
            method: "PUT",
            headers: { authorization },
            body: '{"country":"FR"}',
          }).then((response) => response.text()),
        )
        assert.strictEqual(put, '{"country":"FR"}')
        const health = JSON.parse(yield* get("/api/v4/plugins/taxes/health")) as { readonly ping: object }
        assert.deepInclude(health.ping, { answered: true })
        assert.include(yield* get("/api/v4/plugins/taxes/logs"), "plugin taxes is active")
      }).pipe(Effect.scoped),
    600_000,
  )
})

/** A plugin's folder, of which nothing is read. */
const bundle = (id: string) => ({ directory: `/plugins/${id}`, manifest: { id, name: id } })

describe("hosts of two contracts in one program", () => {
  it.live("call their own plugins, and are called by them", () => {
    const sent: Array<string> = []
    const billing = FakePlugin.supervisor(BillingPlugins, {
      onActivate: () => Effect.succeed({}),
      invoiceWillBeSent: ({ invoice }) =>
        Effect.succeed(
          invoice?.customerId === "bob" ? { refusal: "not Bob" } : { invoice: { ...invoice!, note: "thanks" } },
        ),
      invoiceWasSent: ({ invoice }) => Effect.sync(() => (sent.push(invoice?.note ?? ""), {})),
      taxRules: ({ country }) => Effect.succeed({ rules: [{ name: country, percent: 20 }] }),
    }).pipe(Layer.provide(BillingPlugins.layerApi({})))
    const chat = FakePlugin.supervisor(MattermostPlugins, {
      messageWillBePosted: () => Effect.succeed({ rejectionReason: "not today" }),
    }).pipe(Layer.provide(MattermostPlugins.layerApi({})))

    return Effect.gen(function* () {
      const run = yield* (yield* BillingPlugins.Supervisor).start(bundle("taxes"))
      yield* (yield* MattermostPlugins.Supervisor).start(bundle("chat"))
      const [invoices, posts] = [yield* BillingPlugins, yield* MattermostPlugins]
      assert.deepStrictEqual(
        [invoices.active.all(), posts.active.all()].map((all) => all.map(({ pluginId }) => pluginId)),
        [["taxes"], ["chat"]],
      )

      const { invoice } = yield* invoices.decide("invoiceWillBeSent", { invoice: { customerId: "alice" } })
      assert.strictEqual(invoice.note, "thanks")
      const refused = yield* Effect.flip(invoices.decide("invoiceWillBeSent", { invoice: { customerId: "bob" } }))
      assert.strictEqual(refused.message, "InvoiceWillBeSent rejected by plugin. not Bob")
      yield* invoices.notify("invoiceWasSent", { invoice })
      yield* Effect.promise(() => vi.waitUntil(() => sent.length > 0))
      const [taxes] = yield* invoices.collect("taxRules", { country: "FR" })
      assert.strictEqual(taxes?.response.rules[0]?.name, "FR")
      assert.strictEqual((yield* run.hooks.taxRules({ country: "DE" })).rules[0]?.name, "DE")
      // A hook of its life cycle that it does not have.
      assert.instanceOf(yield* Effect.flip(run.client.call("onDeactivate", {})), HookNotImplementedError)

      const post = yield* Effect.flip(posts.decide("messageWillBePosted", {}))
      assert.strictEqual(post.message, "Post rejected by plugin. not today")
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(billing, chat)))
  })
})
