/** What a contract says of its hooks, and which contracts are refused when they are made. */
import { create } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Billing } from "../../examples/own-contract/src/Billing.ts"
import {
  BillingApi,
  BillingHooks,
  InvoiceWillBeSentRequestSchema,
} from "../../examples/own-contract/generated/billing/v1/billing_pb.js"
import * as Contract from "../../src/contract/Contract.ts"
import { ContractError } from "../../src/contract/ContractCheck.ts"
import { changes } from "../../src/contract/Decision.ts"
import { GRPCBroker } from "../../src/generated/plugin/grpc_broker_pb.js"
import { PluginLifecycle } from "../../src/generated/plugin_supervisor/v1/plugin_lifecycle_pb.js"
import { MattermostContract } from "../../src/mattermost/MattermostContract.ts"

const handshake = { magicCookieKey: "P", magicCookieValue: "x" }

/** What is wrong with a contract, as its maker is told. */
const problems = (options: object): ReadonlyArray<readonly [path: string, message: string]> => {
  try {
    // What types refuse has to be refused at run time, too: not every backend is compiled.
    Contract.make({ hooks: BillingHooks, api: BillingApi, handshake, ...options })
    return []
  } catch (error) {
    assert.instanceOf(error, ContractError)
    assert.include(error.message, error.contract)
    return error.problems.map(({ message, path }) => [path, message])
  }
}

describe("Contract.make", () => {
  it("sees from its messages what a hook is for", () => {
    const kinds = [...Billing.unary].map(([hook, { kind, name }]) => [hook, name, kind])
    assert.deepStrictEqual(kinds, [
      ["invoiceWillBeSent", "InvoiceWillBeSent", "decides"],
      ["invoiceWasSent", "InvoiceWasSent", "tells"],
      ["taxRules", "TaxRules", "asks"],
      ["onActivate", "OnActivate", "asks"],
      ["onConfigurationChange", "OnConfigurationChange", "asks"],
      ["onDeactivate", "OnDeactivate", "asks"],
    ])
    assert.deepStrictEqual(Billing.handshake.protocolVersions, [1])
    // By which the SDK tells plugins who has asked.
    assert.strictEqual(Billing.userHeader, "Plugin-Supervisor-User-Id")
    assert.strictEqual(Billing.lifecycle.onActivate, PluginLifecycle.method.onActivate)
    assert.strictEqual(Contract.hookName(Billing, "serveHTTP"), "ServeHTTP")
  })

  it("takes a contract's own life cycle in place of the standard one", () => {
    assert.strictEqual(MattermostContract.lifecycle.onActivate, MattermostContract.hooks.method.onActivate)
    assert.strictEqual(MattermostContract.unary.get("onPluginClusterEvent")?.kind, "asks")
    assert.strictEqual(MattermostContract.unary.get("onConfigurationChange")?.kind, "tells")
  })

  it("refuses hooks that do not exist, with the name that may have been meant", () => {
    assert.deepStrictEqual(problems({ deciding: { InvoiceWillBeSent: { refusal: false } } }), [
      ["deciding.InvoiceWillBeSent", "there is no InvoiceWillBeSent; it is called invoiceWillBeSent"],
    ])
    assert.deepStrictEqual(problems({ notifying: ["nothing"] }), [
      ["notifying", "there is no nothing; there are invoiceWillBeSent, invoiceWasSent, taxRules"],
    ])
    assert.deepStrictEqual(problems({ lifecycle: { onActivate: "activate" } }), [
      ["lifecycle.onActivate", "there is no activate; there are invoiceWillBeSent, invoiceWasSent, taxRules"],
    ])
    assert.deepStrictEqual(problems({ lifecycle: { onactivate: "taxRules" } }), [
      ["lifecycle.onactivate", "there is no onactivate; it is called onActivate"],
    ])
  })

  it("refuses a hook that decides and can't refuse, with the cure", () => {
    const [[path, message] = []] = problems({ deciding: { invoiceWillBeSent: {} } })
    assert.strictEqual(path, "deciding.invoiceWillBeSent.refusal")
    assert.include(message, "name one of refusal, or say false")
    const [[, cure] = []] = problems({ deciding: { taxRules: { refusal: "rules" } } })
    assert.include(cure, "add a field to TaxRulesResponse (string refusal = 1), or say false")
  })

  it("refuses a decision that decides nothing", () => {
    const decidingNothing = { deciding: { taxRules: { refusal: false } } }
    assert.deepStrictEqual(problems(decidingNothing), [
      [
        "deciding.taxRules",
        "plugins can't refuse and change nothing; name what refuses, or what they may replace, or leave it out",
      ],
    ])
    for (const decision of [{ replaces: { invoice: "invoice" } }, { apply: () => ({}) }]) {
      assert.deepStrictEqual(problems({ deciding: { invoiceWillBeSent: { refusal: false, ...decision } } }), [])
    }
    // What plugins answer as an error refuses then.
    const errors = { ofHook: () => undefined, isRefusal: () => true, ofApi: () => undefined }
    assert.deepStrictEqual(problems({ ...decidingNothing, errors }), [])
  })

  it("refuses to put a field in the place of another kind of field", () => {
    const replacing = (replaces: object) =>
      problems({ deciding: { invoiceWillBeSent: { refusal: "refusal", replaces } } })
    assert.deepStrictEqual(replacing({ invoice: "refusal" }), [
      [
        "deciding.invoiceWillBeSent.replaces",
        "InvoiceWillBeSentResponse.refusal is scalar string, and can't replace InvoiceWillBeSentRequest.invoice, which is message billing.v1.Invoice",
      ],
    ])
    assert.include(replacing({ invoic: "invoice" })[0]?.[1], "InvoiceWillBeSentRequest has no field invoic")
    assert.include(replacing({ invoice: "invoic" })[0]?.[1], "InvoiceWillBeSentResponse has no field invoic")
  })

  it("refuses streams, names that every contract has, and a handshake that says nothing", () => {
    const streams = problems({ hooks: GRPCBroker, api: GRPCBroker })
    assert.deepStrictEqual(
      streams.map(([path]) => path),
      ["hooks.startStream", "api.startStream"],
    )
    const own = problems({ hooks: PluginLifecycle })
    assert.include(own[0]?.[1], "name this one in lifecycle")
    assert.lengthOf(own, 4)
    assert.lengthOf(problems({ handshake: { magicCookieKey: "a b", magicCookieValue: "", protocolVersions: [] } }), 3)
    const [[, shape] = []] = problems({ lifecycle: { implemented: "taxRules" } })
    assert.include(shape, "TaxRulesResponse needs a field hooks as plugin_supervisor.v1.ImplementedResponse has it")
  })
})

describe("a decision", () => {
  const { decision, method } = Billing.unary.get("invoiceWillBeSent")!
  const request = create(InvoiceWillBeSentRequestSchema, { invoice: { id: "1", note: "before" } })

  it("puts what a response has in the place of the request's, and leaves what is empty", () => {
    const invoice = create(method.output, { invoice: { id: "1", note: "after" } }) as unknown as {
      invoice: object
    }
    assert.deepStrictEqual(changes(decision!, method, request, invoice), { invoice: invoice.invoice })
    assert.deepStrictEqual(changes(decision!, method, request, create(method.output)), {})
  })
})
