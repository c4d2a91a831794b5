/** What an editor offers to whoever writes a backend: the names of a contract. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { completions } from "../support/languageServer.ts"

const SERVICES = 'hooks: BillingHooks, api: BillingApi, handshake: { magicCookieKey: "", magicCookieValue: "" }'

const PROGRAM = `
import { Contract } from "effect-plugin-supervisor"
import { BillingPlugins } from "../../examples/own-contract/src/Billing.ts"
import { BillingApi, BillingHooks } from "../../examples/own-contract/generated/billing/v1/billing_pb.js"
declare const plugins: BillingPlugins["Service"]
plugins.decide("‸")
plugins.notify("‸")
plugins.collect("‸")
plugins.decide("invoiceWillBeSent", { invoice: { ‸ } })
BillingPlugins.layerApi({ ‸ })
Contract.make({ ${SERVICES}, deciding: { ‸ } })
Contract.make({ ${SERVICES}, deciding: { invoiceWillBeSent: { refusal: "‸" } } })
Contract.make({ ${SERVICES}, notifying: ["‸"] })
`

describe("an editor", () => {
  it.live("completes hooks, fields and methods of a contract", () =>
    Effect.gen(function* () {
      const [decide, notify, collect, fields, api, deciding, refusal, notifying] = yield* completions(
        import.meta.dirname,
        PROGRAM,
      ).pipe(Effect.timeout("60 seconds"))
      const hooks = ["invoiceWasSent", "invoiceWillBeSent", "taxRules"]
      assert.deepStrictEqual(decide, ["invoiceWillBeSent"])
      assert.deepStrictEqual(notify, ["invoiceWasSent"])
      assert.deepStrictEqual(collect, ["taxRules"])
      assert.includeMembers([...fields!], ["amountCents?", "customerId?"])
      assert.deepStrictEqual(api, ["getCustomer?"])
      assert.sameMembers(
        [...deciding!],
        hooks.map((hook) => `${hook}?`),
      )
      assert.deepStrictEqual(refusal, ["refusal"])
      assert.sameMembers([...notifying!], hooks)
    }),
  )
})
