import diagnostics from "node:diagnostics_channel"
import { constants, type Http2Stream } from "node:http2"
import * as grpc from "@grpc/grpc-js"
import { guardReceiving } from "./ReceiveGuard.ts"

/**
 * Refuses what HTTP/2 servers push. gRPC has no use for it, and grpc-js (1.14) neither forbids it (`SETTINGS_ENABLE_PUSH`)
 * nor listens to the streams that come: the error of one ends the process when its connection is lost, and one that
 * stays open keeps the connection from ever closing. Streams that a client opens have sent headers, and a session that
 * somebody listens to for others is left alone.
 */
const refusePushed = (stream: Http2Stream): void => {
  if (stream.sentHeaders !== undefined || (stream.session?.listenerCount("stream") ?? 0) > 0) return
  stream.on("error", () => {})
  stream.close(constants.NGHTTP2_REFUSED_STREAM)
}

/** The name under which Node keeps the native half of a session or a stream. */
let kHandle: symbol | undefined

const handleOf = (object: object | undefined): object | undefined => {
  if (object === undefined) return undefined
  kHandle ??= Object.getOwnPropertySymbols(object).find(({ description }) => description === "kHandle")
  return kHandle === undefined ? undefined : (object as { readonly [key: symbol]: object | undefined })[kHandle]
}

/** Holds a session's native half for as long as the one of each of its streams is there. */
const held = new FinalizationRegistry<object>(() => {})

/**
 * Keeps Node (22 to 26, seen) from ending the process by a failed assertion (`current_nghttp2_memory_ == 0`): its native
 * session checks, when it is freed, that nothing of it is left, and a stream whose last block of headers was broken off,
 * by a header that HTTP/2 forbids say, still has its part of that. Both are freed by the garbage collector, in an order
 * that is nobody's. One answer and a connection that is closed at the same time are enough for it. All streams are held so,
 * from their beginning: which of them have something left is not told.
 */
const freeBeforeSession = (stream: Http2Stream): void => {
  const [handle, session] = [handleOf(stream), handleOf(stream.session)]
  if (handle !== undefined && session !== undefined) held.register(handle, session)
}

/**
 * Keeps grpc-js from writing to the host's stderr what the other side has sent: each header that is no text is a line
 * with its whole value, secret or not, as often as it comes. Whoever has set grpc-js' own variables wants to see it.
 */
const silence = (): void => {
  const { GRPC_NODE_VERBOSITY, GRPC_VERBOSITY } = process.env
  if ((GRPC_NODE_VERBOSITY ?? GRPC_VERBOSITY) === undefined) grpc.setLogVerbosity(grpc.logVerbosity.NONE)
}

let isGuarded = false

/** From here on no gRPC peer of this process ends it, or fills its memory or its stderr, by what it sends. */
export const guard = (): void => {
  if (isGuarded) return
  isGuarded = true
  silence()
  guardReceiving()
  subscribe("http2.client.stream.created", freeBeforeSession)
  subscribe("http2.server.stream.created", freeBeforeSession)
  subscribe("http2.client.stream.created", refusePushed)
}

/** Node publishes each HTTP/2 stream as it is made. */
const subscribe = (name: string, use: (stream: Http2Stream) => void): void =>
  diagnostics.subscribe(name, (message) => use((message as { readonly stream: Http2Stream }).stream))
