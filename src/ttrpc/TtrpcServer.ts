import type { Duplex } from "node:stream"
import { Deferred, Effect, Scope } from "effect"
import { runner } from "../rpc/HandlerRun.ts"
import type { ServiceImplementation } from "../rpc/RpcHandler.ts"
import { statusProblem, serverCalls } from "./ServerCalls.ts"
import { accepting } from "./ServerMethods.ts"
import { PROTOCOL_FRAME_SIZE } from "./TtrpcLimits.ts"

/** How a server is made. */
export interface ServerOptions {
  /** What the client is called in logs. Default `a ttrpc client`. */
  readonly client?: string | undefined
  /**
   * The largest frame that is sent or received, in bytes of its data; what is larger fails its call alone, with
   * RESOURCE_EXHAUSTED. Default 4 MiB, which is the protocol's. Both sides should have the same.
   */
  readonly maxFrameSize?: number | undefined
}

/** A connection that is served. */
export interface ServedConnection {
  /** Waits until the connection has ended, and answers why. */
  readonly ended: Effect.Effect<string>
}

/**
 * Serves services to the client at the other end of a connection, which becomes the server's own. Handlers run in the
 * caller's context, begun in the order of their requests; a handler's fiber is interrupted when its call is given up (by
 * `plugin_supervisor.v1.Calls`), when its deadline passes, and when the connection ends. When the Scope closes the handlers
 * are interrupted, what they have answered is written, and the connection ends, after half a second at the latest.
 *
 * What handlers say as headers and trailers is not sent, since ttrpc has none; `statusDetails` are.
 */
export const serve = <R = never>(
  socket: Duplex,
  services: ReadonlyArray<ServiceImplementation<R>>,
  { client = "a ttrpc client", maxFrameSize = PROTOCOL_FRAME_SIZE }: ServerOptions = {},
): Effect.Effect<ServedConnection, never, R | Scope.Scope> =>
  Effect.gen(function* () {
    const context = yield* Effect.context<R>()
    const log = Effect.runForkWith(context)
    const ended = yield* Deferred.make<string>()
    const scope = yield* Effect.scope
    const accept = accepting(services, runner(context, scope, { name: "ttrpc", problem: statusProblem }))
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        serverCalls(socket, maxFrameSize, accept, (reason, isGarbled) => {
          if (isGarbled) log(Effect.logWarning(`the connection of ${client} was ended: ${reason}`))
          Deferred.doneUnsafe(ended, Effect.succeed(reason))
        }),
      ),
      (calls) => Effect.callback<void>((resume) => calls.close(() => resume(Effect.void))),
    )
    return { ended: Deferred.await(ended) }
  })
