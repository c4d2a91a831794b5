/**
 * What compiles and what does not, for backends of a contract. The compiler checks it: each mistake is marked, and a mark
 * where there is none is an error, too.
 */
import { type Effect, Layer, Option } from "effect"
import { Context, Effect as Effects } from "effect"
import { Billing, BillingPlugins } from "../../examples/own-contract/src/Billing.ts"
import {
  BillingApi,
  BillingHooks,
  type Invoice,
  type TaxRule,
} from "../../examples/own-contract/generated/billing/v1/billing_pb.js"
import * as Contract from "../../src/contract/Contract.ts"
import * as PluginHost from "../../src/environment/PluginHost.ts"
import type { HookRejectedError } from "../../src/hooks/HookRejectedError.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"

// eslint-disable-next-line typescript/no-unnecessary-type-parameters -- whoever calls it says what has to fit
declare const is: <T>(value: T) => void
declare const invoice: Invoice
const handshake = { magicCookieKey: "P", magicCookieValue: "x" }
const services = { hooks: BillingHooks, api: BillingApi, handshake }

/** A service of the backend's own. */
class Customers extends Context.Service<Customers, { readonly name: string }>()("test/Customers") {}
class Rates extends Context.Service<Rates, { readonly rate: number }>()("test/Rates") {}

export const hooks = Effects.gen(function* () {
  const plugins = yield* BillingPlugins
  const decided = yield* plugins.decide("invoiceWillBeSent", { invoice })
  // What was there in the beginning is there in the end.
  is<Invoice>(decided.invoice)
  is<Effect.Effect<unknown, HookRejectedError>>(plugins.decide("invoiceWillBeSent", {}))
  // @ts-expect-error -- no such hook
  yield* plugins.decide("invoiceWillBeSend", { invoice })
  // @ts-expect-error -- it tells, and decides nothing
  yield* plugins.decide("invoiceWasSent", { invoice })
  // @ts-expect-error -- no such field
  yield* plugins.decide("invoiceWillBeSent", { invoic: invoice })
  // @ts-expect-error -- another message
  yield* plugins.decide("invoiceWillBeSent", { invoice: { country: "FR" } })

  is<Effect.Effect<void>>(plugins.notify("invoiceWasSent", { invoice: { id: "1" } }))
  // @ts-expect-error -- it asks
  yield* plugins.notify("taxRules", {})
  // @ts-expect-error -- it decides
  yield* plugins.notify("invoiceWillBeSent", {})

  const [taxes] = yield* plugins.collect("taxRules", { country: "FR" })
  is<ReadonlyArray<TaxRule> | undefined>(taxes?.response.rules)
  // @ts-expect-error -- it tells
  yield* plugins.collect("invoiceWasSent", {})
  const one = yield* plugins.call("taxes", "taxRules", {})
  is<number>(Option.getOrThrow(one).rules.length)
  // @ts-expect-error -- no such hook
  yield* plugins.call("taxes", "taxRule", {})

  const run = yield* (yield* BillingPlugins.Supervisor).start(
    { directory: "", manifest: { id: "", name: "" } },
    { hooks: { policies: { invoiceWillBeSent: { onFailure: "refuse" }, serveHTTP: { deadline: "1 second" } } } },
  )
  is<ReadonlyArray<TaxRule>>((yield* run.hooks.taxRules({ country: "FR" })).rules)
  // @ts-expect-error -- no such hook
  yield* run.hooks.taxRule({})
  // @ts-expect-error -- what tells can't refuse
  yield* plugins.require("p", { policies: { invoiceWasSent: { onFailure: "refuse" } } })

  // Another host, with other hooks.
  yield* (yield* MattermostPlugins).notify("messageHasBeenPosted", {})
  // @ts-expect-error -- the other host's
  yield* plugins.notify("messageHasBeenPosted", {})
})

export const api = {
  plain: BillingPlugins.layerApi({ getCustomer: ({ id }) => Effects.succeed({ customer: { id } }) }),
  // What it needs, handler by handler.
  needs: BillingPlugins.layerApi({
    getCustomer: () => Effects.map(Customers, ({ name }) => ({ customer: { name } })),
  }) satisfies Layer.Layer<PluginHost.Api<BillingPlugins>, never, Customers>,
  both: MattermostPlugins.layerApi({
    getServerVersion: () => Effects.map(Customers, ({ name }) => ({ version: name })),
    getSystemInstallDate: () => Effects.map(Rates, ({ rate }) => ({ installDate: BigInt(rate) })),
  }) satisfies Layer.Layer<PluginHost.Api<MattermostPlugins>, never, Customers | Rates>,
  // @ts-expect-error -- no such method
  unknown: BillingPlugins.layerApi({ getCustomers: () => Effects.succeed({}) }),
  // @ts-expect-error -- no such field
  answer: BillingPlugins.layerApi({ getCustomer: () => Effects.succeed({ customer: { nam: "x" } }) }),
  // @ts-expect-error -- no such field of the request
  request: BillingPlugins.layerApi({ getCustomer: ({ ids }) => Effects.succeed({ customer: { id: ids } }) }),
  // @ts-expect-error -- errors are PluginApiErrors
  error: BillingPlugins.layerApi({ getCustomer: () => Effects.fail(new Error("x")) }),
}

// @ts-expect-error -- the API is the other host's
export const others: Layer.Layer<BillingPlugins> = Layer.provide(BillingPlugins.layerSupervisor, api.both)

export const contracts = {
  unary: Contract.make({ ...services, deciding: { taxRules: { refusal: false } } }),
  // @ts-expect-error -- no such hook
  hook: Contract.make({ ...services, deciding: { taxRule: { refusal: false } } }),
  // @ts-expect-error -- no such field of the response
  refusal: Contract.make({ ...services, deciding: { invoiceWillBeSent: { refusal: "reason" } } }),
  // @ts-expect-error -- no text
  text: Contract.make({ ...services, deciding: { invoiceWillBeSent: { refusal: "invoice" } } }),
  // @ts-expect-error -- no word of whether it can refuse
  silent: Contract.make({ ...services, deciding: { invoiceWillBeSent: {} } }),
  asked: Contract.make({
    ...services,
    // @ts-expect-error -- no such field of the request
    deciding: { invoiceWillBeSent: { refusal: false, replaces: { invoic: "invoice" } } },
  }),
  kind: Contract.make({
    ...services,
    // @ts-expect-error -- a text is no invoice
    deciding: { invoiceWillBeSent: { refusal: false, replaces: { invoice: "refusal" } } },
  }),
  // @ts-expect-error -- no such hook
  notifying: Contract.make({ ...services, notifying: ["taxRule"] }),
  // @ts-expect-error -- no such rpc
  lifecycle: Contract.make({ ...services, lifecycle: { onActivate: "activate" } }),
  // @ts-expect-error -- it is not a stream
  http: Contract.make({ ...services, lifecycle: { serveHTTP: "taxRules" } }),
}

export const told: BillingHook = "invoiceWasSent"
type BillingHook = Parameters<BillingPlugins["Service"]["notify"]>[0]
is<typeof Billing>(BillingPlugins.contract)
