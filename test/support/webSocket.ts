/** WebSockets as frames on a connection (RFC 6455 §5), for what no client library would send. */
import { randomBytes } from "node:crypto"
import { connect, type Socket } from "node:net"
import { Effect, type Scope } from "effect"
import { eventually } from "./host.ts"
import { head } from "./rawHttp.ts"

export const TEXT = 1
export const BINARY = 2
export const CLOSE = 8
export const PING = 9
export const PONG = 10

export interface Frame {
  readonly opcode: number
  readonly fin: boolean
  readonly payload: Buffer
}

/** What a client may do to a frame that it sends. */
export interface Sent {
  readonly fin?: boolean
  /** The reserved bits, of which none is used without an extension. */
  readonly reserved?: number
  readonly isMasked?: boolean
}

/** One frame, as a client sends it. */
export const frame = (
  opcode: number,
  content: string | Uint8Array,
  { fin = true, isMasked = true, reserved = 0 }: Sent = {},
): Buffer => {
  const payload = Buffer.from(content as string)
  const { length } = payload
  const extended = length < 126 ? 0 : length < 65_536 ? 2 : 8
  const front = Buffer.alloc(2 + extended)
  front[0] = (fin ? 0x80 : 0) | (reserved << 4) | opcode
  front[1] = (isMasked ? 0x80 : 0) | (extended === 0 ? length : extended === 2 ? 126 : 127)
  if (extended === 2) front.writeUInt16BE(length, 2)
  if (extended === 8) front.writeBigUInt64BE(BigInt(length), 2)
  if (!isMasked) return Buffer.concat([front, payload])
  const mask = randomBytes(4)
  const masked = Buffer.from(payload.map((byte, index) => byte ^ mask[index & 3]!))
  return Buffer.concat([front, mask, masked])
}

/** What says goodbye. */
export const goodbye = (code: number, reason: string | Uint8Array = ""): Buffer => {
  const payload = Buffer.alloc(2)
  payload.writeUInt16BE(code)
  return frame(CLOSE, Buffer.concat([payload, Buffer.from(reason as string)]))
}

/** A connection on which a WebSocket has been asked for. */
export interface RawWebSocket {
  readonly socket: Socket
  readonly write: (bytes: Uint8Array | string) => void
  /** The head of the answer, and the body behind it where that is no WebSocket. */
  readonly answer: string
  readonly status: number
  /** All frames that have come and have not been taken. */
  readonly frames: Array<Frame>
  /** Takes the next frame. */
  readonly next: Effect.Effect<Frame, Error>
  /** Waits for the connection's end; answers the code of the goodbye, 1005 where that has none, 1006 where there was none. */
  readonly closed: Effect.Effect<number, Error>
}

const decode = (bytes: Buffer): { readonly frame: Frame; readonly rest: Buffer } | number => {
  if (bytes.length < 2) return 2
  const short = bytes[1]! & 0x7f
  const start = 2 + (short === 126 ? 2 : short === 127 ? 8 : 0)
  if (bytes.length < start) return start
  const length = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short
  if (bytes.length < start + length) return start + length
  return {
    frame: { opcode: bytes[0]! & 0xf, fin: bytes[0]! >= 0x80, payload: bytes.subarray(start, start + length) },
    rest: bytes.subarray(start + length),
  }
}

/** The request for a WebSocket, as a browser makes it. */
export const asking = (path: string, fields: ReadonlyArray<string> = []): string =>
  head("GET", path, [
    "Connection: keep-alive, Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ...fields,
  ])

/** Asks for a WebSocket; answers what has come of it. `behind` is sent without waiting for the answer. */
export const webSocket = (
  port: number,
  path: string,
  { behind = "", fields = [] }: { readonly fields?: ReadonlyArray<string>; readonly behind?: string | Uint8Array } = {},
): Effect.Effect<RawWebSocket, Error, Scope.Scope> =>
  Effect.gen(function* () {
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => connect({ port, host: "127.0.0.1" })),
      (socket) => Effect.sync(() => socket.destroy()),
    )
    let chunks: Array<Buffer> = []
    let size = 0
    let needed = 0
    let answer: string | undefined
    let isClosed = false
    let code = 1006
    const frames: Array<Frame> = []
    socket.on("error", () => {})
    socket.on("close", () => (isClosed = true))
    socket.on("data", (chunk) => {
      chunks.push(chunk)
      size += chunk.length
      if (size < needed) return
      let bytes: Buffer = Buffer.concat(chunks)
      if (answer === undefined) {
        const end = bytes.indexOf("\r\n\r\n")
        if (end < 0) return
        answer = bytes.toString("latin1", 0, end)
        bytes = bytes.subarray(end + 4)
      }
      if (!answer.startsWith("HTTP/1.1 101 ")) {
        answer += bytes.toString("latin1")
        bytes = Buffer.alloc(0)
      }
      let decoded = decode(bytes)
      while (typeof decoded !== "number") {
        const { frame, rest } = decoded
        frames.push(frame)
        if (frame.opcode === CLOSE) code = frame.payload.length < 2 ? 1005 : frame.payload.readUInt16BE()
        bytes = rest
        decoded = decode(bytes)
      }
      chunks = [bytes]
      size = bytes.length
      needed = decoded
    })
    socket.write(Buffer.concat([Buffer.from(asking(path, fields)), Buffer.from(behind as string)]))
    yield* eventually(`an answer for ${path}`, () => answer !== undefined || isClosed)
    const { length } = answer ?? ""
    return {
      socket,
      write: (bytes) => void socket.write(bytes),
      get answer() {
        return answer ?? ""
      },
      status: length === 0 ? 0 : Number(/^HTTP\/1\.1 (\d{3})/.exec(answer!)?.[1]),
      frames,
      next: Effect.map(
        eventually("a frame", () => frames.length > 0),
        () => frames.shift()!,
      ),
      closed: Effect.map(
        eventually("the connection is closed", () => isClosed),
        () => code,
      ),
    }
  })
