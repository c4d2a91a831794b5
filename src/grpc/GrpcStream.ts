import type { Readable, Writable } from "node:stream"
import { Effect, Option, Stream } from "effect"
import { fromUnknown, type GrpcError } from "./GrpcError.ts"

/** Both directions of one streaming call, with back-pressure: nothing is buffered beyond grpc-js' own small window. */
export interface BidiCall<in Send, out Receive> {
  /** Sends a message; returns when the transport has taken it. */
  readonly send: (message: Send) => Effect.Effect<void, GrpcError>
  /** Half-closes our direction. */
  readonly end: Effect.Effect<void>
  /** The next message; `None` once the other side has ended with OK. One fiber at a time may receive. */
  readonly receive: Effect.Effect<Option.Option<Receive>, GrpcError>
}

/** What is received, until the other side has ended. */
export const messages = <Receive>({
  receive,
}: Pick<BidiCall<never, Receive>, "receive">): Stream.Stream<Receive, GrpcError> =>
  Stream.unfold(undefined, () =>
    Effect.map(receive, Option.match({ onNone: () => undefined, onSome: (message) => [message, undefined] as const })),
  )

/**
 * Wraps a grpc-js call's two Node streams. The error that ends a call reaches everyone who waits on it and everyone who
 * uses it later, and never goes uncaught.
 */
export const bidiCall = <Send, Receive>(
  method: string,
  call: Readable & Pick<Writable, "write" | "end">,
): BidiCall<Send, Receive> => {
  let failure: GrpcError | undefined
  /** The other side's direction has ended. Ours may go on: a server answers after its client has sent everything. */
  let received = false
  /** The call is over, both ways. */
  let closed = false
  const waiters = new Set<() => void>()
  const wake = () => {
    for (const waiter of Array.from(waiters)) waiter()
  }
  call.on("error", (error) => {
    failure ??= fromUnknown(method, error)
    wake()
  })
  call.on("readable", wake)
  call.on("end", () => {
    received = true
    wake()
  })
  const close = () => {
    received = true
    closed = true
    wake()
  }
  call.on("close", close)
  // A client's call is over with its status, whatever it still wanted to send.
  call.on("status", () => {
    closed = true
    wake()
  })

  const receive = Effect.callback<Option.Option<Receive>, GrpcError>((resume) => {
    const attempt = () => {
      const message: unknown = call.read()
      if (message !== null) {
        waiters.delete(attempt)
        resume(Effect.succeed(Option.some(message as Receive)))
      } else if (failure !== undefined) {
        waiters.delete(attempt)
        resume(Effect.fail(failure))
      } else if (received) {
        waiters.delete(attempt)
        resume(Effect.succeedNone)
      }
    }
    waiters.add(attempt)
    attempt()
    return Effect.sync(() => {
      waiters.delete(attempt)
    })
  })

  const send = (message: Send) =>
    Effect.callback<void, GrpcError>((resume) => {
      const refuse = () =>
        resume(Effect.fail(failure ?? fromUnknown(method, new Error("the call has ended, nothing more can be sent"))))
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
          failure ??= fromUnknown(method, error)
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
  }
}
