import { Duration, Effect } from "effect"
import { GRPCController } from "../generated/plugin/grpc_controller_pb.js"
import type { RpcClient } from "../rpc/RpcClient.ts"

/** How long a plugin may take to end after it was asked to: go-plugin's own grace (go-plugin 1.8, `Client.Kill`). */
export const SHUTDOWN_LIMIT: Duration.Duration = Duration.seconds(2)

/**
 * Asks a plugin to end and waits for `exit`, `limit` in all; answers whether it has ended. The call's own outcome says
 * little, since a Go plugin drops the connection instead of answering; only a plugin without the service is not waited
 * for.
 */
export const shutdown = (
  client: RpcClient,
  exit: Effect.Effect<unknown>,
  limit: Duration.Input = SHUTDOWN_LIMIT,
): Effect.Effect<boolean> =>
  client.unary(GRPCController.method.shutdown, {}, { deadline: limit }).pipe(
    Effect.as(true),
    Effect.catch((error) => Effect.succeed(!error.isUnimplemented)),
    Effect.flatMap((asked) => (asked ? Effect.as(exit, true) : Effect.succeed(false))),
    // A plugin that ends without an answer has done what it was asked.
    Effect.raceFirst(Effect.as(exit, true)),
    Effect.timeoutOrElse({ duration: limit, orElse: () => Effect.succeed(false) }),
  )
