import { Duration, Effect } from "effect"
import { Health, HealthCheckResponse_ServingStatus } from "../generated/grpc/health/v1/health_pb.js"
import type { GrpcClient } from "../grpc/GrpcClient.ts"
import { GrpcError, statusCode } from "../grpc/GrpcError.ts"
import { path } from "../grpc/GrpcMethod.ts"

/** The service name under which go-plugin registers a plugin's health (go-plugin 1.8, `GRPCServiceName`). */
const SERVICE = "plugin"

/**
 * How long a health check may take. It is answered from memory; five seconds leave room for a plugin whose machine is
 * busy, or whose health service shares its threads with handlers.
 */
export const HEALTH_DEADLINE: Duration.Duration = Duration.seconds(5)

/**
 * Asks the plugin whether it serves. Unlike go-plugin's own Ping it has a deadline and, unless `requireServing` is false,
 * looks at the answer.
 */
export const ping = (client: GrpcClient, requireServing = true): Effect.Effect<void, GrpcError> =>
  Effect.flatMap(client.unary(Health.method.check, { service: SERVICE }, { deadline: HEALTH_DEADLINE }), ({ status }) =>
    !requireServing || status === HealthCheckResponse_ServingStatus.SERVING
      ? Effect.void
      : Effect.fail(
          new GrpcError({
            method: path(Health.method.check),
            code: statusCode.UNAVAILABLE,
            details: `the plugin reports ${HealthCheckResponse_ServingStatus[status] ?? status}`,
          }),
        ),
  )
