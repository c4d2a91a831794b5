/** The contract between this backend and its plugins, and their host. */
import { Contract, PluginHost } from "effect-plugin-supervisor"
import { BillingApi, BillingHooks } from "../generated/billing/v1/billing_pb.js"

export const Billing = Contract.make({
  hooks: BillingHooks,
  api: BillingApi,
  handshake: { magicCookieKey: "BILLING_PLUGIN", magicCookieValue: "invoices for everybody" },
  // The others are seen by their messages: an empty answer tells, any other asks.
  deciding: {
    invoiceWillBeSent: { replaces: { invoice: "invoice" }, refusal: "refusal" },
  },
})

export class BillingPlugins extends PluginHost.Service<BillingPlugins>()("billing/BillingPlugins", Billing) {}
