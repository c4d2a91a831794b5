import { Duration, Effect } from "effect"
import { Health, HealthCheckResponse_ServingStatus } from "../generated/grpc/health/v1/health_pb.js"
import type { RpcClient } from "../rpc/RpcClient.ts"
import { RpcError, statusCode } from "../rpc/RpcError.ts"
import { path } from "../rpc/RpcMethod.ts"

/** The service name under which go-plugin registers a plugin's health (go-plugin 1.8, `GRPCServiceName`). */
const SERVICE = "plugin"

/**
 * How long a health check may take. It is answered from memory; five seconds leave room for a plugin whose machine is
 * busy, or whose health service shares its threads with handlers.
 */
export const HEALTH_DEADLINE: Duration.Duration = Duration.seconds(5)

/**
 * Asks the plugin how it is: answers the status it reports, `SERVING` where it is well, or `undefined` where it has no
 * health service that knows of it. Unlike go-plugin's own Ping it has a deadline and, unless `requireServing` is false,
 * looks at the answer. A plugin whose health service does not know the name that go-plugin registers is asked for its
 * server as a whole.
 */
export const ping = (client: RpcClient, requireServing = true): Effect.Effect<string | undefined, RpcError> =>
  Effect.catch(ask(client, SERVICE), (error) =>
    error.code === statusCode.NOT_FOUND ? ask(client, "") : Effect.fail(error),
  ).pipe(
    Effect.flatMap(({ status }) => {
      const reported = HealthCheckResponse_ServingStatus[status] ?? String(status)
      return !requireServing || status === HealthCheckResponse_ServingStatus.SERVING
        ? Effect.succeed(reported)
        : Effect.fail(
            new RpcError({
              method: path(Health.method.check),
              code: statusCode.UNAVAILABLE,
              details: `the plugin reports ${reported}`,
            }),
          )
    }),
    Effect.catch((error) => (isAnswer(error) ? Effect.undefined : Effect.fail(error))),
  )

const ask = (client: RpcClient, service: string) =>
  client.unary(Health.method.check, { service }, { deadline: HEALTH_DEADLINE })

/** A gRPC server without such a service says so; what only speaks HTTP (404) is no plugin. */
const isAnswer = ({ code, details }: RpcError): boolean =>
  code === statusCode.NOT_FOUND ||
  (code === statusCode.UNIMPLEMENTED && !details.startsWith("Received HTTP status code"))
