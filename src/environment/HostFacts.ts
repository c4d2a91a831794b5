import { Effect, Option } from "effect"
import { isLeftOut } from "../api/PluginApi.ts"
import { BundleStore } from "../bundle/BundleStore.ts"
import { PythonEnvironment } from "../command/PythonEnvironment.ts"
import { KeyValues } from "../storage/KeyValues.ts"
import { PluginSettings } from "../storage/PluginSettings.ts"
import type { HostSide } from "../supervisor/HostSide.ts"

/** Names of methods in the line. */
const MAX_METHODS = 10

/** Logs what a host's backend provides for plugins, and what it lacks: what is not there can't be seen elsewhere. */
export const logFacts = Effect.fnUntraced(function* ({ api: { contract, methods } }: Pick<HostSide, "api">) {
  const all: { readonly [what: string]: Option.Option<unknown> } = {
    // Another contract has an API of its own for them, with which the backend does as it likes.
    ...(contract.hostServices && { "keys and values": yield* Effect.serviceOption(KeyValues) }),
    settings: yield* Effect.serviceOption(PluginSettings),
    "installed bundles": yield* Effect.serviceOption(BundleStore),
    "Python environments": yield* Effect.serviceOption(PythonEnvironment),
  }
  const names = (has: boolean) =>
    Object.entries(all).flatMap(([name, service]) => (Option.isSome(service) === has ? [name] : []))
  const leftOut = contract.api.methods.filter(({ localName }) => isLeftOut(methods[localName]!)).map(({ name }) => name)
  const more = leftOut.length > MAX_METHODS ? `, and ${leftOut.length - MAX_METHODS} more` : ""
  const parts = [
    `has ${names(true).join(", ") || "none of the optional services"}`,
    ...(names(false).length === 0 ? [] : [`lacks ${names(false).join(", ")}`]),
    ...(leftOut.length === 0 ? [] : [`leaves out of its API ${leftOut.slice(0, MAX_METHODS).join(", ")}${more}`]),
  ]
  yield* Effect.logInfo(`the host of ${contract.hooks.typeName} ${parts.join("; ")}`)
})
