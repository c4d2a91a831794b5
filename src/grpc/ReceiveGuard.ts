import { createRequire } from "node:module"

/** Parts of a message that are joined at one go, where they are small. */
const PARTS = 1024

/** Parts of this average, in bytes, cost no more than what is in them. */
const SMALL_PART = 4096

/**
 * Messages that are unzipped at once, of all connections. A few kilobytes become a message of the limit, and as many of
 * them as are sent would be in memory together; unzipping is what libuv's four threads are for.
 */
const MAX_UNZIPPING = 4

/** How far an array of parts is joined. */
const kJoined = Symbol("joined")

type Parts = Array<Buffer> & { [kJoined]?: number }

/** What is used here of grpc-js' inner classes (1.14). */
interface Internals {
  readonly "stream-decoder": {
    readonly StreamDecoder: {
      readonly prototype: { readPartialMessage: Parts; write: (data: Buffer) => Array<Buffer> }
    }
  }
  readonly "compression-filter": {
    readonly CompressionFilter: {
      readonly prototype: { receiveMessage: (message: Buffer | Promise<Buffer>) => Promise<Buffer> }
    }
  }
  readonly "server-interceptors": {
    readonly BaseServerInterceptingCall: {
      readonly prototype: { decompressMessage: (message: Buffer, encoding: string) => Buffer | Promise<Buffer> }
    }
  }
}

/** A module of grpc-js that it does not export; `undefined` where there is none any more. */
const internal = <Name extends keyof Internals>(name: Name): Internals[Name] | undefined => {
  try {
    return createRequire(import.meta.url)(`@grpc/grpc-js/build/src/${name}.js`) as Internals[Name]
  } catch {
    return undefined
  }
}

/**
 * Joins the parts of a message that has not come whole. grpc-js keeps an object for each DATA frame, which is 140 bytes
 * for a frame of one: a message that comes so, below any limit, would fill the heap in two minutes.
 */
const joinParts = (): void => {
  const decoder = internal("stream-decoder")?.StreamDecoder.prototype
  const write = decoder?.write
  if (decoder === undefined || write === undefined) return
  decoder.write = function (data) {
    const messages = write.call(this, data)
    const parts = this.readPartialMessage
    if (parts.length > PARTS) join(parts)
    return messages
  }
}

const join = (parts: Parts): void => {
  const joined = parts[kJoined] ?? 0
  if (parts.length - joined < PARTS) return
  const tail = parts.slice(joined)
  const size = tail.reduce((sum, { length }) => sum + length, 0)
  if (size < tail.length * SMALL_PART) parts.splice(joined, tail.length, Buffer.concat(tail, size))
  parts[kJoined] = parts.length
}

let unzipping = 0
const waiting: Array<() => void> = []

/** Unzips when it is its turn. */
const inTurn = async <A>(unzip: () => A | Promise<A>): Promise<A> => {
  if (unzipping < MAX_UNZIPPING) unzipping++
  else await new Promise<void>((resolve) => waiting.push(resolve))
  try {
    return await unzip()
  } finally {
    const next = waiting.shift()
    if (next === undefined) unzipping--
    else next()
  }
}

const unzipInTurn = (): void => {
  const filter = internal("compression-filter")?.CompressionFilter.prototype
  const receiveMessage = filter?.receiveMessage
  if (filter !== undefined && receiveMessage !== undefined) {
    filter.receiveMessage = async function (message) {
      const bytes = await message
      // The first byte says whether the rest is zipped.
      return bytes[0] === 1 ? inTurn(() => receiveMessage.call(this, bytes)) : receiveMessage.call(this, bytes)
    }
  }
  const call = internal("server-interceptors")?.BaseServerInterceptingCall.prototype
  const decompressMessage = call?.decompressMessage
  if (call !== undefined && decompressMessage !== undefined) {
    call.decompressMessage = function (message, encoding) {
      const unzip = () => decompressMessage.call(this, message, encoding)
      return encoding === "identity" ? unzip() : inTurn(unzip)
    }
  }
}

/**
 * Sees to it that what is received costs no more memory than it has bytes, and a few messages of the limit. Both are
 * done to classes that grpc-js keeps to itself, since it has no option for either; where it has changed them, nothing is.
 */
export const guardReceiving = (): void => {
  joinParts()
  unzipInTurn()
}
