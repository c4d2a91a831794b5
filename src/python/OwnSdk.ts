import { Effect, FileSystem, Path } from "effect"

/** The wheel in the published package, of which `npm run build` makes this folder. */
const WHEELS = new URL("../sdk/", import.meta.url)
/** The sources in a checkout. */
const SOURCES = new URL("../../python-sdk/", import.meta.url)

/**
 * The path of the SDK that came with this very host, so that no index is asked for it by name: the wheel in the published
 * package, or the folder in a checkout. Undefined where the host was bundled away from both.
 */
export const ownSdk = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const [wheels, sources] = yield* Effect.all([path.fromFileUrl(WHEELS), path.fromFileUrl(SOURCES)])
  const names = yield* Effect.orElseSucceed(fs.readDirectory(wheels), () => [])
  const wheel = names.find((name) => name.endsWith(".whl"))
  if (wheel !== undefined) return path.join(wheels, wheel)
  return (yield* fs.exists(path.join(sources, "pyproject.toml"))) ? sources : undefined
}).pipe(Effect.orElseSucceed(() => undefined))
