import { Effect, Layer } from "effect"
import * as GrpcServer from "../grpc/GrpcServer.ts"
import { RpcServer } from "../rpc/RpcServer.ts"
import { frameSizeFor } from "../ttrpc/TtrpcLimits.ts"
import * as TtrpcServer from "../ttrpc/TtrpcServer.ts"

/** What plugins call on: gRPC where they connect, ttrpc on what they have inherited. */
export const layer: Layer.Layer<RpcServer> = Layer.succeed(RpcServer, {
  // Plugins that speak ttrpc have no use for it, but what they start may.
  serve: (address, services, options) => GrpcServer.serve(address, services, { ...options, isSeldomUsed: true }),
  serveOn: (connection, services, { maxMessageSize }) =>
    Effect.asVoid(
      TtrpcServer.serve(connection, services, { client: "a plugin", maxFrameSize: frameSizeFor(maxMessageSize) }),
    ),
})
