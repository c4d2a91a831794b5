import { Effect, Option } from "effect"
import type { BundleStore } from "../bundle/BundleStore.ts"
import { type BundleError, type PluginBundle, PluginBundles } from "../bundle/PluginBundle.ts"
import type { PluginStates } from "../storage/PluginStates.ts"

/** A bundle that is there when the host starts. */
export interface Found {
  readonly bundle: PluginBundle
  readonly path: string | undefined
}

/**
 * The bundles of the folder that is kept by hand, which may be empty where plugins can be installed. Fails for a folder that
 * can't be read, as one whose name is mistyped.
 */
export const bundlesInFolder = Effect.fnUntraced(function* (
  directory: string,
  mayBeEmpty: boolean,
): Effect.fn.Return<ReadonlyArray<Found>, BundleError, PluginBundles> {
  const bundles = yield* PluginBundles
  const found: Array<Found> = []
  for (const entry of yield* bundles.discover(directory)) {
    if (entry._tag === "Success") {
      found.push({ bundle: entry.success, path: undefined })
      continue
    }
    const { failure } = entry
    const isHarmless = failure._tag === "PassedOverError" && (mayBeEmpty || !failure.isWithoutPlugins)
    yield* isHarmless ? Effect.logInfo(failure.message) : Effect.logError(failure.message)
  }
  return found
})

/** The installed bundles; what an interrupted command of an earlier host has left is removed first. */
export const installedBundles = (
  store: Option.Option<BundleStore["Service"]>,
  states: Option.Option<PluginStates["Service"]>,
): Effect.Effect<ReadonlyArray<Found>> =>
  Effect.gen(function* () {
    if (Option.isNone(store) || Option.isNone(states)) return []
    const { missing } = yield* store.value.sweep(yield* states.value.paths)
    const found: Array<Found> = []
    for (const { current, pluginId } of yield* states.value.all) {
      if (current === undefined) continue
      if (missing.includes(current.path)) {
        yield* Effect.logError(`plugin ${pluginId}: its bundle is gone from the store; install it again`)
        continue
      }
      yield* Effect.matchEffect(store.value.open(current.path), {
        onFailure: ({ message }) => Effect.logError(`plugin ${pluginId}: ${message}; install it again`),
        onSuccess: (bundle) =>
          Effect.sync(() => {
            found.push({ bundle: { ...bundle, installedHash: current.hash }, path: current.path })
          }),
      })
    }
    return found
  }).pipe(
    Effect.catch((error) => Effect.as(Effect.logError(`no plugin that was installed runs: ${error.message}`), [])),
  )
