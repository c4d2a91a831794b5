/** Our ttrpc client and server, connected. */
import { Effect } from "effect"
import { type Handlers, implement } from "../../src/rpc/RpcHandler.ts"
import * as TtrpcClient from "../../src/ttrpc/TtrpcClient.ts"
import * as TtrpcServer from "../../src/ttrpc/TtrpcServer.ts"
import { Test } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import { socketPair } from "./socketPair.ts"

/** A client of handlers. */
export const connected = Effect.fnUntraced(function* (handlers: Handlers<typeof Test>, maxFrameSize?: number) {
  const [ours, theirs] = yield* socketPair
  const { ended } = yield* TtrpcServer.serve(theirs, [implement(Test, handlers)], { maxFrameSize })
  const client = yield* TtrpcClient.make(ours, { maxFrameSize })
  return { client, ended, ours, theirs }
})
