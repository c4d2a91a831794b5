import type { Readable, Writable } from "node:stream"
import type * as grpc from "@grpc/grpc-js"
import { Effect, Option } from "effect"
import { type Metadata, noMetadata } from "../rpc/Metadata.ts"
import type { ClientCall } from "../rpc/RpcClient.ts"
import type { RpcError } from "../rpc/RpcError.ts"
import type { Fail } from "../rpc/RpcStreams.ts"
import { fromUnknown } from "./GrpcError.ts"
import { fromGrpc } from "./GrpcMetadata.ts"

/**
 * Wraps a grpc-js call's two Node streams. The error that ends a call reaches everyone who waits on it and everyone who
 * uses it later, and never goes uncaught. On a server's side `headers` and `trailers` never come.
 */
export const streamingCall = <Send, Receive>(
  method: string,
  call: Readable & Pick<Writable, "write" | "end">,
  fail: Fail = Effect.fail,
  deadline?: number,
): ClientCall<Send, Receive> => {
  let failure: RpcError | undefined
  let headers: Metadata | undefined
  let trailers: Metadata | undefined
  /** The other side's direction has ended. Ours may go on: a server answers after its client has sent everything. */
  let received = false
  /** The call is over, both ways. */
  let closed = false
  const waiters = new Set<() => void>()
  const wake = () => {
    for (const waiter of Array.from(waiters)) waiter()
  }
  call.on("error", (error) => {
    failure ??= fromUnknown(method, error, deadline)
    wake()
  })
  call.on("metadata", (metadata: grpc.Metadata) => {
    headers = fromGrpc(metadata)
    wake()
  })
  call.on("readable", wake)
  call.on("end", () => {
    received = true
    wake()
  })
  call.on("close", () => {
    received = true
    closed = true
    wake()
  })
  // A client's call is over with its status, whatever it still wanted to send.
  call.on("status", ({ metadata }: grpc.StatusObject) => {
    closed = true
    trailers = fromGrpc(metadata)
    wake()
  })

  /** Waits until there is an answer; looks again after everything that happens to the call. */
  const waitFor = <A>(answer: () => Effect.Effect<A, RpcError> | undefined) =>
    Effect.callback<A, RpcError>((resume) => {
      const attempt = () => {
        const answered = answer()
        if (answered === undefined) return
        waiters.delete(attempt)
        resume(answered)
      }
      waiters.add(attempt)
      attempt()
      return Effect.sync(() => {
        waiters.delete(attempt)
      })
    })

  const receive = waitFor<Option.Option<Receive>>(() => {
    const message: unknown = call.read()
    if (message !== null) return Effect.succeed(Option.some(message as Receive))
    if (failure !== undefined) return fail(failure)
    return received ? Effect.succeedNone : undefined
  })

  const send = (message: Send) =>
    Effect.callback<void, RpcError>((resume) => {
      const refuse = () =>
        resume(fail(failure ?? fromUnknown(method, new Error("the call has ended, nothing more can be sent"))))
      if (failure !== undefined || closed) return refuse()
      const onFailure = () => {
        if (failure === undefined && !closed) return
        waiters.delete(onFailure)
        refuse()
      }
      waiters.add(onFailure)
      call.write(message, (error?: Error | null) => {
        waiters.delete(onFailure)
        if (error) {
          failure ??= fromUnknown(method, error, deadline)
          refuse()
        } else {
          resume(Effect.void)
        }
      })
      return Effect.sync(() => {
        waiters.delete(onFailure)
      })
    })

  return {
    send,
    end: Effect.sync(() => {
      if (!closed) call.end()
    }),
    receive,
    headers: waitFor(() => {
      if (headers !== undefined) return Effect.succeed(headers)
      if (failure !== undefined) return fail(failure)
      return closed ? Effect.succeed(noMetadata) : undefined
    }),
    trailers: waitFor(() => {
      if (failure !== undefined) return fail(failure)
      return trailers === undefined ? undefined : Effect.succeed(trailers)
    }),
  }
}
