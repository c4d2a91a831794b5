import { Effect, type Option, Result } from "effect"
import type { RpcError } from "../rpc/RpcError.ts"
import type { TtrpcConnection } from "./TtrpcConnection.ts"
import { STREAM_PATIENCE, STREAM_WINDOW } from "./TtrpcLimits.ts"

/** The messages of one stream that wait for their reader. */
interface Waiting {
  readonly messages: Array<Uint8Array>
  bytes: number
  /** Gives the stream up, since nobody reads it. */
  readonly overflow: () => void
}

/** What waits for readers on one connection. */
export interface Backlog {
  readonly add: (waiting: Waiting, message: Uint8Array) => void
  readonly take: (waiting: Waiting) => Uint8Array | undefined
  readonly drop: (waiting: Waiting) => void
  /** The connection has ended. */
  readonly stop: () => void
}

/**
 * Bounds what waits for readers: {@link STREAM_WINDOW} messages a stream, and `limit` bytes in all. Where there is more the
 * connection is not read until a reader has taken enough. After {@link STREAM_PATIENCE} the stream that is to blame is given
 * up, since all others wait for it.
 */
export const makeBacklog = (wire: Pick<TtrpcConnection, "hold" | "release">, limit: number): Backlog => {
  const nonEmpty = new Set<Waiting>()
  const full = new Set<Waiting>()
  let bytes = 0
  let timer: NodeJS.Timeout | undefined

  const settle = (): void => {
    const isOver = full.size > 0 || bytes > limit
    if (isOver === (timer !== undefined)) return
    if (isOver) {
      timer = setTimeout(giveUp, STREAM_PATIENCE)
      wire.hold()
    } else {
      clearTimeout(timer)
      timer = undefined
      wire.release()
    }
  }

  const giveUp = (): void => {
    const [blamed] = [...full, ...[...nonEmpty].sort((one, other) => other.bytes - one.bytes)]
    // It drops what waits for it.
    blamed?.overflow()
    if (timer !== undefined) timer = setTimeout(giveUp, STREAM_PATIENCE)
  }

  const drop = (waiting: Waiting): void => {
    bytes -= waiting.bytes
    waiting.bytes = 0
    waiting.messages.length = 0
    nonEmpty.delete(waiting)
    full.delete(waiting)
    settle()
  }

  return {
    add: (waiting, message) => {
      waiting.messages.push(message)
      waiting.bytes += message.length
      bytes += message.length
      nonEmpty.add(waiting)
      if (waiting.messages.length > STREAM_WINDOW) full.add(waiting)
      settle()
    },
    take: (waiting) => {
      const message = waiting.messages.shift()
      if (message === undefined) return undefined
      waiting.bytes -= message.length
      bytes -= message.length
      if (waiting.messages.length === 0) nonEmpty.delete(waiting)
      if (waiting.messages.length <= STREAM_WINDOW) full.delete(waiting)
      settle()
      return message
    },
    drop,
    stop: () => {
      clearTimeout(timer)
      // Nothing is held any more, and no time is taken.
      timer = undefined
      full.clear()
      bytes = -Infinity
    },
  }
}

/** What comes in one stream. */
export interface Inbox<Message> {
  readonly push: (message: Uint8Array) => void
  /** Nothing more comes: the other side has ended well, or so. What has come before can be received still. */
  readonly end: (end: Effect.Effect<Option.Option<never>, RpcError>) => void
  /** Forgets what has come. */
  readonly drop: () => void
  readonly receive: Effect.Effect<Option.Option<Message>, RpcError>
}

/** Whose stream it is. */
export interface InboxOwner<Message> {
  readonly decode: (message: Uint8Array) => Result.Result<Message, RpcError>
  /** Gives the stream up, since nobody reads it. */
  readonly overflow: () => void
  /** Gives the stream up, since what has come is no message. */
  readonly undecodable: (error: RpcError) => void
}

export const makeInbox = <Message>(backlog: Backlog, owner: InboxOwner<Message>): Inbox<Message> => {
  const waiting: Waiting = { messages: [], bytes: 0, overflow: owner.overflow }
  let ended: Effect.Effect<Option.Option<never>, RpcError> | undefined
  let reader: ((received: Effect.Effect<Option.Option<Message>, RpcError>) => void) | undefined

  const decoded = (message: Uint8Array): Effect.Effect<Option.Option<Message>, RpcError> => {
    const result = owner.decode(message)
    if (Result.isSuccess(result)) return Effect.succeedSome(result.success)
    owner.undecodable(result.failure)
    return Effect.fail(result.failure)
  }
  const handOver = (received: Effect.Effect<Option.Option<Message>, RpcError>): void => {
    const resume = reader
    reader = undefined
    resume?.(received)
  }

  return {
    push: (message) => {
      if (ended !== undefined) return
      if (reader !== undefined) handOver(decoded(message))
      // A view of what the socket has read would keep all of that.
      else backlog.add(waiting, new Uint8Array(message))
    },
    end: (end) => {
      if (ended !== undefined) return
      ended = end
      handOver(end)
    },
    drop: () => backlog.drop(waiting),
    receive: Effect.callback((resume) => {
      const message = backlog.take(waiting)
      if (message !== undefined) return resume(decoded(message))
      if (ended !== undefined) return resume(ended)
      reader = resume
      return Effect.sync(() => {
        reader = undefined
      })
    }),
  }
}
