import type { DescMethod } from "@bufbuild/protobuf"
import { Effect, Exit, type Fiber, Result } from "effect"
import { handled, type Run, statusOf, type UnaryHandler } from "../rpc/HandlerRun.ts"
import type { Metadata } from "../rpc/Metadata.ts"
import { sendableEntries } from "../rpc/MetadataCheck.ts"
import { RpcStatus, statusCode } from "../rpc/RpcError.ts"
import type { CallContext, ServiceImplementation } from "../rpc/RpcHandler.ts"
import { path } from "../rpc/RpcMethod.ts"
import { inTraceOf } from "../rpc/RpcTrace.ts"
import { decodeMessage, encodeMessage } from "../rpc/WireCheck.ts"
import type { RequestEnvelope } from "./Envelope.ts"
import type { Opening, ServerCall, ServerCalls } from "./ServerCalls.ts"
import { fromTtrpc, traceparentIn } from "./TtrpcMetadata.ts"

/** Begins the call of a request, or answers why it can't. */
type Accept = (calls: ServerCalls, opening: Opening) => RpcStatus | undefined

const refusal = (code: number, details: string): RpcStatus => new RpcStatus({ code, details })

/** Begins calls of the services. */
export const accepting = <R>(services: ReadonlyArray<ServiceImplementation<R>>, run: Run<R>): Accept => {
  const known = new Map<string, Map<string, Accept>>()
  for (const { handlers, service } of services) {
    const methods = new Map<string, Accept>()
    for (const method of handled(service.methods, handlers)) {
      methods.set(method.name, acceptingMethod(method, handlers[method.localName], run))
    }
    known.set(service.typeName, methods)
  }
  return (calls, opening) => {
    const methods = known.get(opening.service)
    if (methods === undefined) return refusal(statusCode.UNIMPLEMENTED, `there is no service ${opening.service}`)
    const accept = methods.get(opening.method)
    if (accept === undefined) return refusal(statusCode.UNIMPLEMENTED, `there is no method ${opening.method}`)
    return accept(calls, opening)
  }
}

const acceptingMethod = <R>(method: DescMethod, handler: unknown, run: Run<R>): Accept =>
  acceptingUnary(method, handler as UnaryHandler<R>, run)

const acceptingUnary = <R>(method: DescMethod, handler: UnaryHandler<R>, run: Run<R>): Accept => {
  const name = path(method)
  const encode = (message: object) => encodeMessage(method.output, message as never)
  return (calls, { deadline, metadata, payload, stream }) => {
    let request: object
    try {
      request = decodeMessage(method.input, payload)
    } catch (error) {
      return refusal(statusCode.INVALID_ARGUMENT, `the request can't be decoded: ${String(error)}`)
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

/** Metadata that could be sent elsewhere: ttrpc has no place for them, and a handler is told the same of what is wrong. */
const unsent = (metadata: Metadata): Effect.Effect<void, RpcStatus> =>
  Effect.suspend(() =>
    Result.match(sendableEntries(metadata), {
      onFailure: (details) => Effect.fail(refusal(statusCode.INTERNAL, details)),
      onSuccess: () => Effect.void,
    }),
  )

/** What a call's handler sees of it. */
const contextOf = (entries: RequestEnvelope["metadata"]): CallContext => {
  let received: Metadata | undefined
  return {
    get metadata() {
      return (received ??= fromTtrpc(entries))
    },
    sendHeaders: unsent,
    setTrailers: unsent,
  }
}
