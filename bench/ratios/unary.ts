/** Our gRPC client beside grpc-js by itself, on the same server. */
import { create } from "@bufbuild/protobuf"
import * as grpc from "@grpc/grpc-js"
import { Effect, type Scope } from "effect"
import { KVGetRequestSchema } from "../../src/generated/mattermost/pluginapi/v1/api_kv_pb.js"
import { PluginAPI } from "../../src/generated/mattermost/pluginapi/v1/plugin_api_pb.js"
import * as GrpcClient from "../../src/grpc/GrpcClient.ts"
import { deserializer, serializer } from "../../src/grpc/GrpcMethod.ts"
import { path } from "../../src/rpc/RpcMethod.ts"

const method = PluginAPI.method.kVGet

/** A call by each of the two. */
export const clientsOf = Effect.fnUntraced(function* (
  target: string,
): Effect.fn.Return<
  { readonly ours: Effect.Effect<unknown, Error>; readonly bare: Effect.Effect<unknown, Error> },
  never,
  Scope.Scope
> {
  const request = create(KVGetRequestSchema, { key: "key" })
  const client = yield* GrpcClient.make(target)
  const bare = yield* Effect.acquireRelease(
    Effect.sync(() => new grpc.Client(target, grpc.credentials.createInsecure())),
    (bare) => Effect.sync(() => bare.close()),
  )
  const [serialize, deserialize] = [serializer(method.input), deserializer(method.output)]
  return {
    ours: client.unary(method, request),
    bare: Effect.callback((resume) => {
      bare.makeUnaryRequest(path(method), serialize, deserialize, request, (error, response) =>
        resume(error === null ? Effect.succeed(response) : Effect.fail(error)),
      )
    }),
  }
})
