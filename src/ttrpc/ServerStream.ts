import type { DescMethod } from "@bufbuild/protobuf"
import { Effect, Exit, type Fiber, Result } from "effect"
import { type Run, statusOf, type StreamHandler } from "../rpc/HandlerRun.ts"
import { RpcError, statusCode } from "../rpc/RpcError.ts"
import { path } from "../rpc/RpcMethod.ts"
import { inTraceOf } from "../rpc/RpcTrace.ts"
import { decodeMessage, encodeMessage } from "../rpc/WireCheck.ts"
import { contextOf } from "./CallContext.ts"
import { frameFlag } from "./Frame.ts"
import { makeInbox } from "./Inbox.ts"
import { makeOutbox } from "./Outbox.ts"
import type { Accept, ServerCall } from "./ServerCalls.ts"
import { traceparentIn } from "./TtrpcMetadata.ts"

const NOTHING: Uint8Array = new Uint8Array()
const { NO_DATA, REMOTE_CLOSED } = frameFlag

/** Begins calls of a method that streams. The other side's flags don't say what it is: the method does. */
export const acceptingStream = <R>(method: DescMethod, handler: StreamHandler<R>, run: Run<R>): Accept => {
  const name = path(method)
  const takesOne = method.methodKind === "server_streaming"
  const answersOne = method.methodKind === "client_streaming"
  const error = (code: number, details: string) => new RpcError({ method: name, code, details })

  return (calls, { deadline, flags, metadata, payload, stream }) => {
    const wire = calls.connection
    let fiber: Fiber.Fiber<unknown, unknown> | undefined
    /** Why nothing is sent or received any more. */
    let over: RpcError | undefined
    let hasEnded = false
    /** The one message of an answer that is no stream; it goes with the end. */
    let answer = NOTHING

    const finish = (reason: RpcError): void => {
      over ??= reason
      inbox.drop()
      endOfInput(Effect.fail(over))
      outbox.wake()
    }
    const endOfInput: typeof inbox.end = (end) => {
      hasEnded = true
      inbox.end(end)
    }
    const stop = (code: number, details: string): void => calls.stop(call, code, details)

    const inbox = makeInbox<object>(calls.backlog, {
      decode: (message) => {
        try {
          return Result.succeed(decodeMessage(method.input, message))
        } catch (cause) {
          return Result.fail(error(statusCode.INVALID_ARGUMENT, `the message can't be decoded: ${String(cause)}`))
        }
      },
      overflow: () => stop(statusCode.RESOURCE_EXHAUSTED, "the stream's messages were not read"),
      undecodable: ({ details }) => stop(statusCode.INVALID_ARGUMENT, details),
    })
    const outbox = makeOutbox(wire, calls.senders, {
      refusal: () => (over === undefined ? undefined : Effect.fail(over)),
      isOpen: () => true,
    })

    const call: ServerCall = {
      stream,
      deadline,
      receive: (flags, data) => {
        const hasMessage = (flags & NO_DATA) === 0
        if (hasEnded && hasMessage) return "the stream has a message after its end"
        if (hasMessage) inbox.push(data)
        if ((flags & REMOTE_CLOSED) !== 0) endOfInput(Effect.succeedNone)
        return undefined
      },
      interrupt: () => {
        fiber?.interruptUnsafe()
        finish(error(statusCode.CANCELLED, "the call was cancelled"))
      },
    }

    const send = (message: object): Effect.Effect<void, RpcError> =>
      Effect.suspend(() => {
        const bytes = encodeMessage(method.output, message as never)
        if (answersOne) {
          answer = bytes
          return Effect.void
        }
        return bytes.length > calls.limit
          ? Effect.fail(
              error(statusCode.RESOURCE_EXHAUSTED, `Sent message larger than max (${bytes.length} vs ${calls.limit})`),
            )
          : outbox.send(() => wire.message(stream, 0, bytes))
      })

    calls.begin(call)
    if (takesOne || payload.length > 0) inbox.push(payload)
    if (takesOne || (flags & REMOTE_CLOSED) !== 0) endOfInput(Effect.succeedNone)
    const talk = Effect.suspend(() => handler({ send, receive: inbox.receive, end: Effect.void }, contextOf(metadata)))
    fiber = run(inTraceOf(traceparentIn(metadata), name, talk), (exit) => {
      if (!calls.end(call)) return
      finish(error(statusCode.CANCELLED, "the call has ended"))
      if (Exit.isFailure(exit)) calls.fail(stream, statusOf(exit.cause))
      else if (answersOne) calls.answer(stream, answer)
      else wire.message(stream, REMOTE_CLOSED | NO_DATA, NOTHING)
    })
    // It may have ended while the handler began.
    if (over !== undefined) fiber.interruptUnsafe()
    return undefined
  }
}
