import type { HttpRouter } from "effect/http"
import { Effect, type Scope } from "effect"

/** Letters of a path that stand for themselves wherever it is written, and are no pattern of a router's. */
const SEGMENTS = /^(?:\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$/

/** What is served by routers of this program, and by which option of which Layer its place is given. */
const claims = new WeakMap<HttpRouter.HttpRouter, Map<string, string>>()

/** Whether one of two paths is below the other, or both are the same. */
const overlap = (a: string, b: string): boolean => `${a}/`.startsWith(`${b}/`) || `${b}/`.startsWith(`${a}/`)

/**
 * Keeps paths of a router for one Layer, and is a defect where they can't be paths, or where another Layer of this package has
 * one of them: the router itself could only name the route that it has twice.
 */
export const claimPaths = (
  router: HttpRouter.HttpRouter,
  /** Whose the paths are, for people: `PluginRoutes.layer`. */
  layer: string,
  /** The value of its option `path`. */
  path: string,
  paths: ReadonlyArray<string>,
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.suspend(() => {
      if (!SEGMENTS.test(path)) {
        return Effect.die(
          new Error(
            `path of ${layer} is ${JSON.stringify(path)}; it begins with a slash, ends without one, and has names of letters, digits, -, ., _ and ~, as /alarm/plugins has`,
          ),
        )
      }
      const known = claims.get(router) ?? new Map<string, string>()
      claims.set(router, known)
      for (const [other, by] of known) {
        if (!paths.some((claimed) => overlap(claimed, other))) continue
        return Effect.die(
          new Error(
            `${layer} can't serve ${path}: ${by} of this server has ${other} already; give one of the two another place by its option path`,
          ),
        )
      }
      for (const claimed of paths) known.set(claimed, layer)
      return Effect.void
    }),
    () =>
      Effect.sync(() => {
        for (const claimed of paths) claims.get(router)?.delete(claimed)
      }),
  )

/** The paths below which plugins are served in this program, each with how many routers serve it. */
const plugins = new Map<string, number>()

/** Notes a path below which plugins are served, while the Scope is open: servers take WebSockets there. */
export const servePluginsAt = (path: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => void plugins.set(path, (plugins.get(path) ?? 0) + 1)),
    () =>
      Effect.sync(() => {
        const others = plugins.get(path)! - 1
        if (others > 0) plugins.set(path, others)
        else plugins.delete(path)
      }),
  )

/** The paths of {@link servePluginsAt}. */
export const pluginPaths = (): Iterable<string> => plugins.keys()
