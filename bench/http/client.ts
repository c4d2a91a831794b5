/** A client that costs as little as can be, since it shares the machine with what it measures. */
import { connect, type Socket } from "node:net"
import { Effect } from "effect"

/** What is asked for, again and again: all of it has an answer of the same length. */
export interface Asked {
  readonly port: number
  readonly path: string
  /** Bytes that are sent. Default none. */
  readonly upload?: number
}

const PIECE = Buffer.alloc(65_536, "x")

const headOf = ({ path, upload }: Asked): Buffer =>
  Buffer.from(
    upload === undefined
      ? `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`
      : `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${upload}\r\n\r\n`,
  )

const send = (socket: Socket, asked: Asked, head: Buffer): void => {
  socket.write(head)
  let left = asked.upload ?? 0
  const more = () => {
    while (left > 0) {
      const piece = left < PIECE.length ? PIECE.subarray(0, left) : PIECE
      left -= piece.length
      if (!socket.write(piece)) return void socket.once("drain", more)
    }
  }
  more()
}

/** The end of an answer in chunks. */
const LAST_CHUNK = "\r\n0\r\n\r\n"

/** One answer as a whole; fails for what is none, or not 200. Answers its length. */
const answer = (socket: Socket): Promise<number> =>
  new Promise((resolve, reject) => {
    let size = 0
    let whole = Infinity
    let end = ""
    const done = (result: number | Error) => {
      socket.off("data", take)
      socket.off("close", lost)
      if (typeof result === "number") resolve(result)
      else reject(result)
    }
    const take = (bytes: Buffer) => {
      if (size === 0) {
        const length = bytes.indexOf("\r\n\r\n")
        const head = bytes.toString("latin1", 0, length)
        if (!head.startsWith("HTTP/1.1 200 ")) return done(new Error(`answered ${head}`))
        const announced = /^content-length: (\d+)/im.exec(head)?.[1]
        if (announced !== undefined) whole = length + 4 + Number(announced)
      }
      size += bytes.length
      if (whole === Infinity) end = (end + bytes.toString("latin1")).slice(-LAST_CHUNK.length)
      if (size >= whole || end === LAST_CHUNK) done(size)
    }
    const lost = () => done(new Error(`the connection was closed after ${size} of ${whole} bytes`))
    socket.on("data", take)
    socket.on("close", lost)
  })

/** Asks so often, on so many connections, each of which asks again when it has been answered. */
export const load = (asked: Asked, count: number, connections: number): Effect.Effect<void> =>
  Effect.promise(async () => {
    const head = headOf(asked)
    let left = count
    const worker = async () => {
      const socket = connect({ port: asked.port, host: "127.0.0.1", noDelay: true })
      while (left-- > 0) {
        const answered = answer(socket)
        send(socket, asked, head)
        await answered
      }
      socket.destroy()
    }
    await Promise.all(Array.from({ length: Math.min(connections, count) }, worker))
  })
