/** HTTP as bytes on a connection, for what no client library would send. */
import { connect, type Socket } from "node:net"
import { Effect, type Scope } from "effect"
import { eventually } from "./host.ts"

/** A connection, and what has come back over it. */
export interface Wire {
  readonly socket: Socket
  readonly write: (text: string | Uint8Array) => void
  /** All that was received, a character a byte. */
  readonly received: () => string
  /** The status lines so far. */
  readonly statuses: () => ReadonlyArray<number>
  readonly isClosed: () => boolean
  /** Waits until the received bytes match. */
  readonly until: (pattern: RegExp) => Effect.Effect<string, Error>
  readonly untilClosed: Effect.Effect<string, Error>
}

/** How long anything may take on a busy machine. */
const LIMIT = 20_000

/** Connects to a port of this machine; what was written and received is gone with the Scope. */
export const wire = (port: number): Effect.Effect<Wire, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Wire>((resume) => {
      const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true })
      let text = ""
      let closed = false
      socket.setEncoding("latin1")
      socket.on("data", (chunk) => (text += String(chunk)))
      socket.on("error", (error) => resume(Effect.die(error)))
      socket.on("end", () => (closed = true))
      socket.on("close", () => (closed = true))
      const wire: Wire = {
        socket,
        write: (bytes) => void socket.write(bytes),
        received: () => text,
        statuses: () => [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status)),
        isClosed: () => closed,
        until: (pattern) =>
          Effect.suspend(() =>
            eventually(`${pattern} in ${JSON.stringify(text)}`, () => pattern.test(text), LIMIT),
          ).pipe(Effect.map(() => text)),
        untilClosed: Effect.map(
          eventually("the connection is closed", () => closed, LIMIT),
          () => text,
        ),
      }
      socket.on("connect", () => resume(Effect.succeed(wire)))
    }),
    ({ socket }) => Effect.sync(() => socket.destroy()),
  )

/** A request's head. */
export const head = (method: string, target: string, fields: ReadonlyArray<string> = []): string =>
  [`${method} ${target} HTTP/1.1`, "Host: localhost", ...fields, "", ""].join("\r\n")

/** A request as a whole. */
export const exchange = (port: number, bytes: string): Effect.Effect<string, Error> =>
  Effect.scoped(
    Effect.gen(function* () {
      const connection = yield* wire(port)
      connection.write(bytes)
      return yield* connection.untilClosed
    }),
  )
