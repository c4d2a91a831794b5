import { Effect, Option } from "effect"
import type { BundleStore } from "../bundle/BundleStore.ts"
import { type BundleError, type PluginBundle, PluginBundles } from "../bundle/PluginBundle.ts"
import type { PluginStates } from "../storage/PluginStates.ts"

/** A bundle that is there when the host starts. */
export interface Found {
  readonly bundle: PluginBundle
  readonly path: string | undefined
}

/** An installed plugin whose bundle can't be used: it is installed again, or removed. */
export interface LostPlugin {
  readonly id: string
  /** Empty when its manifest had none. */
  readonly version: string
  /** Whether it is to run, once it is installed again. */
  readonly isEnabled: boolean
  /** Where its bundle is, or was, from the store's folder. */
  readonly path: string
  readonly reason: string
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
): Effect.Effect<{ readonly found: ReadonlyArray<Found>; readonly lost: ReadonlyArray<LostPlugin> }> => {
  const found: Array<Found> = []
  const lost: Array<LostPlugin> = []
  return Effect.gen(function* () {
    if (Option.isNone(store) || Option.isNone(states)) return
    const { missing } = yield* store.value.sweep(yield* states.value.paths)
    for (const { current, enabled, pluginId } of yield* states.value.all) {
      if (current === undefined) continue
      const { path, version } = current
      const lose = (why: string) => {
        const reason = `${why}; install it again`
        lost.push({ id: pluginId, version, isEnabled: enabled === true, path, reason })
        return Effect.logError(`plugin ${pluginId}: ${reason}`)
      }
      if (missing.includes(path)) {
        yield* lose("its bundle is gone from the store")
        continue
      }
      yield* Effect.matchEffect(store.value.open(path), {
        onFailure: ({ message }) => lose(message),
        onSuccess: (bundle) =>
          Effect.sync(() => {
            found.push({ bundle: { ...bundle, installedHash: current.hash }, path: current.path })
          }),
      })
    }
  }).pipe(
    Effect.catch((error) => Effect.logError(`no plugin that was installed runs: ${error.message}`)),
    Effect.as({ found, lost }),
  )
}
