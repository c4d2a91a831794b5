import { Effect } from "effect"
import type { RpcError } from "../rpc/RpcError.ts"
import type { TtrpcConnection } from "./TtrpcConnection.ts"

/** Who waits for room in what is to be written. */
export type Sender = () => void

/** Whose stream it is. */
export interface OutboxOwner {
  /** Why nothing can be sent any more; `undefined` while something can. */
  readonly refusal: () => Effect.Effect<never, RpcError> | undefined
  /** Whether the stream is open already; `wake` is called then. */
  readonly isOpen: () => boolean
}

/** What is sent in one stream, in order. */
export interface Outbox {
  /** Writes when there is room for it, after all that is before it. */
  readonly send: (write: () => void) => Effect.Effect<void, RpcError>
  /** As `send`, without waiting for it. */
  readonly post: (write: () => void) => void
  /** Looks again whether something can be sent. */
  readonly wake: () => void
}

/** `senders` are called when there is room again. */
export const makeOutbox = (wire: Pick<TtrpcConnection, "isFull">, senders: Set<Sender>, owner: OutboxOwner): Outbox => {
  /** They answer whether they are done. */
  const attempts = new Set<() => boolean>()

  const wake = (): void => {
    for (const attempt of attempts) {
      if (!attempt()) {
        if (wire.isFull()) senders.add(wake)
        return
      }
      attempts.delete(attempt)
    }
  }

  /** Answers what takes it back. */
  const enqueue = (write: () => void, done: (sent: Effect.Effect<void, RpcError>) => void): (() => void) => {
    const attempt = (): boolean => {
      const refusal = owner.refusal()
      if (refusal === undefined) {
        if (!owner.isOpen() || wire.isFull()) return false
        write()
      }
      done(refusal ?? Effect.void)
      return true
    }
    if (attempts.size > 0 || !attempt()) {
      attempts.add(attempt)
      if (wire.isFull()) senders.add(wake)
    }
    return () => attempts.delete(attempt)
  }

  return {
    wake,
    post: (write) => void enqueue(write, () => {}),
    send: (write) =>
      Effect.callback<void, RpcError>((resume) => {
        const takeBack = enqueue(write, resume)
        return Effect.sync(takeBack)
      }),
  }
}
