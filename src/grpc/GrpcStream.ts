import type { Readable, Writable } from "node:stream"
import type * as grpc from "@grpc/grpc-js"
import { Effect, Option, Stream } from "effect"
import { fromUnknown, type GrpcError } from "./GrpcError.ts"
import { fromGrpc, type Metadata, noMetadata } from "./GrpcMetadata.ts"

/** Both directions of one streaming call, with back-pressure: nothing is buffered beyond grpc-js' own small window. */
export interface BidiCall<in Send, out Receive> {
  /** Sends a message; returns when the transport has taken it. */
  readonly send: (message: Send) => Effect.Effect<void, GrpcError>
  /** Half-closes our direction. */
  readonly end: Effect.Effect<void>
  /** The next message; `None` once the other side has ended with OK. One fiber at a time may receive. */
  readonly receive: Effect.Effect<Option.Option<Receive>, GrpcError>
}

/** A streaming call as its client sees it. */
export interface ClientCall<in Send, out Receive> extends BidiCall<Send, Receive> {
  /**
   * The metadata ahead of the first message; waits for it, and fails with the call. Servers may send it with their first
   * message only (grpc-go does), and none where there is no message.
   */
  readonly headers: Effect.Effect<Metadata, GrpcError>
  /**
   * The metadata that came with the end; waits for it, and fails with the call, whose error has them then. The end comes
   * after all messages, so whoever does not receive those waits for ever.
   */
  readonly trailers: Effect.Effect<Metadata, GrpcError>
}

/** What is received, until the other side has ended. */
export const messages = <Receive>({
  receive,
}: Pick<BidiCall<never, Receive>, "receive">): Stream.Stream<Receive, GrpcError> =>
  Stream.unfold(undefined, () =>
    Effect.map(receive, Option.match({ onNone: () => undefined, onSome: (message) => [message, undefined] as const })),
  )

/** A call that could not even begin: whatever is done with it fails. */
export const failedCall = (error: GrpcError): ClientCall<unknown, never> => {
  const failure = Effect.fail(error)
  return { send: () => failure, end: Effect.void, receive: failure, headers: failure, trailers: failure }
}

/** How a call's error is told: as it is, unless more is known of it. */
export type Fail = (error: GrpcError) => Effect.Effect<never, GrpcError>

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
  let failure: GrpcError | undefined
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
  const waitFor = <A>(answer: () => Effect.Effect<A, GrpcError> | undefined) =>
    Effect.callback<A, GrpcError>((resume) => {
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
    Effect.callback<void, GrpcError>((resume) => {
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
