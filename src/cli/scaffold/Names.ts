import type { AnyContract, HookSpec } from "../../contract/Contract.ts"

/** `my-plugin` as words: `my`, `plugin`. */
const wordsOf = (id: string): ReadonlyArray<string> => id.split(/[^a-z0-9]+/i).filter((word) => word !== "")

const capital = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1)

/** A plugin's name for people, from its id: `My plugin`. */
export const nameOf = (id: string): string => capital(wordsOf(id).join(" "))

/** The name of a class, or of a type: `MyPlugin`. */
export const typeNameOf = (id: string): string => {
  const name = wordsOf(id).map(capital).join("")
  return /^[A-Z]/.test(name) ? name : `Plugin${name}`
}

/** `InvoiceWillBeSent` as Python writes it: `invoice_will_be_sent`. */
export const snakeCase = (name: string): string =>
  name
    .replaceAll(/([a-z0-9])([A-Z])/g, "$1_$2")
    .replaceAll(/([A-Z])([A-Z][a-z])/g, "$1_$2")
    .toLowerCase()

/** The unary hooks of a contract's own, without those that every contract has. */
export const ownHooks = (contract: AnyContract): ReadonlyArray<HookSpec> =>
  [...contract.unary]
    .filter(([key]) => !/^on(Activate|Deactivate|ConfigurationChange)$/.test(key))
    .map(([, spec]) => spec)

/** The variable by which plugins of a contract find the host API. */
export const apiVariable = ({ variables }: AnyContract): string => {
  const target = "where the host API is"
  const set = variables({ pluginId: "", bundlePath: "", apiTarget: target, logLevel: "INFO", hookTimeoutSeconds: 0 })
  return Object.entries(set).find(([, value]) => value === target)?.[0] ?? ""
}

/** The text of a plugin's manifest. */
export const manifestText = (id: string, server: { readonly [key: string]: string }): string =>
  `${JSON.stringify({ id, name: nameOf(id), version: "0.1.0", server }, undefined, 2)}\n`
