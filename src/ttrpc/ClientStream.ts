import { Effect } from "effect"
import { statusCode } from "../rpc/RpcError.ts"
import { failedCall, type Open } from "../rpc/RpcStreams.ts"
import { type Client, failure } from "./ClientUnary.ts"

export const openStream =
  (_client: Client): Open =>
  (method) =>
    Effect.succeed(failedCall(failure(method, statusCode.UNIMPLEMENTED, "streams are to come")))
