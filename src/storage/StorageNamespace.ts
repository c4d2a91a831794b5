import { Context } from "effect"

/**
 * Whose rows the services of plugins' storage read and write, of all that are in the tables. Set by `PluginStorage`: a Layer is
 * built once, whatever this is where it is provided for the second time.
 */
export const StorageNamespace = Context.Reference<string>("effect-plugin-supervisor/storage/StorageNamespace", {
  defaultValue: () => "",
})

/** The longest namespace, in characters; they are an identifier's, so that it is the same text for everybody. */
const NAMESPACE = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,99}$/

/** What is wrong with a namespace that an option names. */
export const namespaceProblem = (namespace: string): string | undefined =>
  NAMESPACE.test(namespace)
    ? undefined
    : `the namespace ${JSON.stringify(namespace)} has to begin with a letter or digit, and to be up to 100 letters, digits, and . _ / -`
