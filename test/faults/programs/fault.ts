/** What a fault is, and what several have in common. */
import type { Call, Peer } from "./peer.ts"

/** What is not as it should be; all else is. */
export interface Fault {
  /** The line on stdout, line feed and all. */
  readonly handshake?: (path: string) => string
  /** Listens itself, on what is no HTTP/2. */
  readonly listen?: (path: string, listening: () => void) => void
  /** Happens when the handshake is written. */
  readonly afterwards?: (peer: Peer) => void
  /** Calls by the names of their methods. */
  readonly rpcs?: { readonly [rpc: string]: (call: Call) => unknown }
}

export const never = (): void => {}

export const exit = (code: number) => (): void => process.exit(code)

export const die = (signal: NodeJS.Signals) => (): void => void process.kill(process.pid, signal)

/** Answers with a field that says it is longer than the message. */
export const undecodable = (call: Call): void => {
  call.send(Buffer.from([0x0a, 0x7f, 0x00]))
  call.end()
}

/** A field of a message as it is on the wire, of a kind that has a length. */
export const field = (number: number, content: Uint8Array): Buffer => {
  const length: Array<number> = []
  let rest = content.length
  while (rest > 127) {
    length.push((rest & 0x7f) | 0x80)
    rest >>>= 7
  }
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length, rest]), content])
}

/** The answer of a health check: `SERVING`. */
export const SERVING = Buffer.from([0x08, 0x01])

/** The answer of `ExecuteCommand`: a text. */
export const commandText = (text: string): Buffer => field(2, field(2, Buffer.from(text)))

/** The answer of `Implemented`: the names of hooks. */
export const hooks = (names: ReadonlyArray<string>): Buffer =>
  Buffer.concat(names.map((name) => field(2, Buffer.from(name))))
