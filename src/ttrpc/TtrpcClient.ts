import type { Duplex } from "node:stream"
import { Effect, type Scope } from "effect"
import { noMetadata } from "../rpc/Metadata.ts"
import type { RpcClient } from "../rpc/RpcClient.ts"
import { clientStream, type Fail, serverStream } from "../rpc/RpcStreams.ts"
import { clientCalls } from "./ClientCalls.ts"
import { openStream } from "./ClientStream.ts"
import { unary } from "./ClientUnary.ts"
import { PROTOCOL_FRAME_SIZE } from "./TtrpcLimits.ts"

/** How a client is made. */
export interface ClientOptions {
  /** What the server is called in errors and logs. Default `ttrpc`. */
  readonly target?: string | undefined
  /**
   * The largest frame that is sent or received, in bytes of its data; what is larger fails its call alone, with
   * RESOURCE_EXHAUSTED. Default 4 MiB, which is the protocol's. Both sides should have the same.
   */
  readonly maxFrameSize?: number | undefined
  /**
   * Tells more of a failure, where the connection is lost: how the process on the other side ended, say. Other failures
   * are told as they are.
   */
  readonly explainLoss?: Fail | undefined
}

/**
 * A client of the server at the other end of a connection, which becomes its own, and is ended with the Scope. Calls that
 * are made when it has ended, or are not answered by then, fail with UNAVAILABLE; a lost connection is not made again.
 *
 * What ttrpc does not have is missing: metadata of an answer, as headers or as trailers. A call that is given up is told
 * to the server by `plugin_supervisor.v1.Calls`; one that does not know it goes on until the call's deadline. Streams
 * share the connection with all other calls: one whose reader does not read makes the others wait for a second, and
 * fails then.
 */
export const make = (
  socket: Duplex,
  { explainLoss = Effect.fail, maxFrameSize = PROTOCOL_FRAME_SIZE, target = "ttrpc" }: ClientOptions = {},
): Effect.Effect<RpcClient, never, Scope.Scope> =>
  Effect.gen(function* () {
    const log = Effect.runForkWith(yield* Effect.context())
    const losses = new Set<() => void>()
    const calls = yield* Effect.acquireRelease(
      Effect.sync(() =>
        clientCalls(socket, maxFrameSize, (reason, isGarbled) => {
          if (isGarbled) log(Effect.logWarning(`the ttrpc connection to ${target} was ended: ${reason}`))
          for (const tell of losses) tell()
          losses.clear()
        }),
      ),
      ({ connection }) => Effect.sync(() => connection.destroy("the client is closed")),
    )
    const user = { calls, limit: maxFrameSize, explainLoss }
    const bidi = openStream(user)
    return {
      target,
      unary: (method, request, options) => unary(user, method, request, options),
      unaryAnswer: (method, request, options) =>
        Effect.map(unary(user, method, request, options), (message) => ({
          message,
          headers: noMetadata,
          trailers: noMetadata,
        })),
      serverStream: (method, request, options) => serverStream(bidi, method, request, options),
      clientStream: (method, requests, options) => clientStream(bidi, method, requests, options),
      bidi,
      disconnected: Effect.callback<void>((resume) => {
        if (calls.connection.end() !== undefined) return resume(Effect.void)
        const tell = () => resume(Effect.void)
        losses.add(tell)
        return Effect.sync(() => losses.delete(tell))
      }),
    }
  })
