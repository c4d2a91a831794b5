/** Our ttrpc client and server, connected. */
import { Effect, Stream } from "effect"
import { type Handler, type Handlers, implement } from "../../src/rpc/RpcHandler.ts"
import * as TtrpcClient from "../../src/ttrpc/TtrpcClient.ts"
import * as TtrpcServer from "../../src/ttrpc/TtrpcServer.ts"
import { Test } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import { socketPair } from "./socketPair.ts"

/** Answers the sum of all numbers. */
export const sumOf: Handler<(typeof Test)["method"]["sum"]> = (requests) =>
  Effect.orDie(
    Stream.runFold(
      requests,
      () => ({ sum: 0 }),
      ({ sum }, { number }) => ({ sum: sum + number }),
    ),
  )

/** A client of handlers. */
export const connected = Effect.fnUntraced(function* (handlers: Handlers<typeof Test>, maxFrameSize?: number) {
  const [ours, theirs] = yield* socketPair
  const { ended } = yield* TtrpcServer.serve(theirs, [implement(Test, handlers)], { maxFrameSize })
  const client = yield* TtrpcClient.make(ours, { maxFrameSize })
  return { client, ended, ours, theirs }
})
