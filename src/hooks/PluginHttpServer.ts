import { Duration, Effect, type Scope } from "effect"
import type { buildConnector, Pool } from "undici"
import { MAX_RESPONSE_HEAD } from "./HeaderRules.ts"
import { ReleasingSocket } from "./SpentBytes.ts"

/** Where a plugin serves HTTP itself, in place of `ServeHTTP`. */
export interface PluginHttpServer {
  /** The path of its unix socket. */
  readonly path: string
  /** The connections to it, kept from one request to the next; they are gone when the run has ended. */
  readonly kept: Pool
  /** Connections for one request each. */
  readonly single: Pool
}

/**
 * How long a connection to a plugin is kept that nobody uses. The plugin's server keeps it for ten minutes (600 s): far
 * longer, so that it does not close one in the moment in which it is used again.
 */
const IDLE_LIMIT = Duration.seconds(15)

/** What the parser takes of a head. More than `HeaderRules` do, which say what is wrong. */
const MAX_PARSED_HEAD = 2 * MAX_RESPONSE_HEAD

/** Connects to a unix socket. */
const connectorTo =
  (path: string): buildConnector.connector =>
  (_, callback) => {
    const socket = new ReleasingSocket()
    const failed = (error: Error) => callback(error, null)
    socket.once("error", failed)
    socket.connect(path, () => {
      socket.off("error", failed)
      callback(null, socket)
    })
  }

/** Keeps connections to a plugin's HTTP server, until the Scope closes. */
export const connectTo = Effect.fnUntraced(function* (
  path: string,
): Effect.fn.Return<PluginHttpServer, never, Scope.Scope> {
  // Loaded for the first plugin that serves HTTP: hosts without one start sooner.
  const { Pool } = yield* Effect.promise(() => import("undici"))
  const pool = (options: Pool.Options) =>
    Effect.acquireRelease(
      // The deadline of `Exchange` is the one that counts. The name of the host is said by each request.
      Effect.sync(
        () =>
          new Pool("http://plugin", {
            connect: connectorTo(path),
            maxHeaderSize: MAX_PARSED_HEAD,
            headersTimeout: 0,
            bodyTimeout: 0,
            ...options,
          }),
      ),
      (pool) => Effect.promise(() => pool.destroy()),
    )
  return {
    path,
    kept: yield* pool({ keepAliveTimeout: Duration.toMillis(IDLE_LIMIT) }),
    single: yield* pool({ pipelining: 0 }),
  }
})
