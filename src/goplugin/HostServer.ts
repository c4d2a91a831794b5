import { Effect, Layer } from "effect"
import * as GrpcServer from "../grpc/GrpcServer.ts"
import { RpcServer } from "../rpc/RpcServer.ts"
import { frameSizeFor } from "../ttrpc/TtrpcLimits.ts"
import * as TtrpcServer from "../ttrpc/TtrpcServer.ts"

/** What plugins call on: gRPC where they connect, ttrpc on what they have inherited. */
export const layer: Layer.Layer<RpcServer> = Layer.succeed(RpcServer, {
  serve: GrpcServer.serve,
  serveOn: (connection, services, { maxMessageSize }) =>
    Effect.asVoid(
      TtrpcServer.serve(connection, services, { client: "a plugin", maxFrameSize: frameSizeFor(maxMessageSize) }),
    ),
})
