import type { DescMethod } from "@bufbuild/protobuf"
import { Effect, Exit, type Fiber } from "effect"
import { type Run, statusOf, type UnaryHandler } from "../rpc/HandlerRun.ts"
import { RpcStatus, statusCode } from "../rpc/RpcError.ts"
import { path } from "../rpc/RpcMethod.ts"
import { inTraceOf } from "../rpc/RpcTrace.ts"
import { decodeMessage, encodeMessage } from "../rpc/WireCheck.ts"
import { contextOf } from "./CallContext.ts"
import type { Accept, ServerCall } from "./ServerCalls.ts"
import { traceparentIn } from "./TtrpcMetadata.ts"

/** Begins calls of a unary method. */
export const acceptingUnary = <R>(method: DescMethod, handler: UnaryHandler<R>, run: Run<R>): Accept => {
  const name = path(method)
  const encode = (message: object) => encodeMessage(method.output, message as never)
  return (calls, { deadline, metadata, payload, stream }) => {
    let request: object
    try {
      request = decodeMessage(method.input, payload)
    } catch (error) {
      return new RpcStatus({
        code: statusCode.INVALID_ARGUMENT,
        details: `the request can't be decoded: ${String(error)}`,
      })
    }
    let fiber: Fiber.Fiber<unknown, unknown> | undefined
    const call: ServerCall = {
      stream,
      deadline,
      receive: () => "a unary call has one message",
      interrupt: () => fiber?.interruptUnsafe(),
    }
    calls.begin(call)
    const answer = Effect.suspend(() => Effect.map(handler(request, contextOf(metadata)), encode))
    fiber = run(inTraceOf(traceparentIn(metadata), name, answer), (exit) => {
      if (!calls.end(call)) return
      if (Exit.isSuccess(exit)) calls.answer(stream, exit.value as Uint8Array)
      else calls.fail(stream, statusOf(exit.cause))
    })
    return undefined
  }
}
