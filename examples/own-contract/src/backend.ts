/** A backend of its own domain, which its plugins extend. */
import { create } from "@bufbuild/protobuf"
import { Effect, Layer, Option, Schema } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { PluginApiError, PluginRoutes, PluginStorage } from "effect-plugin-supervisor"
import { InvoiceSchema } from "../generated/billing/v1/billing_pb.js"
import { BillingPlugins } from "./Billing.ts"

const customers = [
  { id: "alice", name: "Alice", country: "FR" },
  { id: "bob", name: "Bob", country: "US", blocked: true },
]

/** What plugins may call. */
export const api = BillingPlugins.layerApi({
  getCustomer: ({ id }) =>
    Effect.fromNullishOr(customers.find((customer) => customer.id === id)).pipe(
      Effect.map((customer) => ({ customer })),
      Effect.mapError(
        () => new PluginApiError({ id: "no_customer", message: `There is no customer ${id}`, statusCode: 404 }),
      ),
    ),
})

const NewInvoice = Schema.Struct({ customerId: Schema.String, amountCents: Schema.BigInt })

/** Where the backend asks its plugins. */
const routes = HttpRouter.use((router) =>
  Effect.gen(function* () {
    const plugins = yield* BillingPlugins
    const send = Effect.gen(function* () {
      const wanted = yield* HttpServerRequest.schemaBodyJson(NewInvoice)
      const draft = create(InvoiceSchema, { id: crypto.randomUUID(), ...wanted })
      const { invoice } = yield* plugins.decide("invoiceWillBeSent", { invoice: draft })
      yield* plugins.notify("invoiceWasSent", { invoice })
      return HttpServerResponse.jsonUnsafe({ id: invoice.id, note: invoice.note })
    })
    const refused = Effect.catchTag(send, "HookRejectedError", ({ reason }) =>
      Effect.succeed(HttpServerResponse.jsonUnsafe({ reason }, { status: 400 })),
    )
    yield* router.add("POST", "/invoices", refused)
    const taxes = Effect.map(plugins.collect("taxRules", { country: "FR" }), (answers) =>
      HttpServerResponse.jsonUnsafe(
        answers.flatMap(({ pluginId, response }) =>
          response.rules.map(({ name, percent }) => ({ pluginId, name, percent })),
        ),
      ),
    )
    yield* router.add("GET", "/taxes", taxes)
  }),
)

/** Nobody logs in here. */
const nobody = () => Effect.succeed(Option.none())

/** The backend, with the plugins of a folder, and what is stored for them. */
export const backend = (directory: string, database: string) =>
  HttpRouter.serve(Layer.merge(routes, PluginRoutes.layer(BillingPlugins, nobody))).pipe(
    Layer.provideMerge(BillingPlugins.layerFolder({ directory })),
    Layer.provide(api),
    // Keys, values and settings of the plugins.
    Layer.provide(PluginStorage.layerFile(database)),
  )
