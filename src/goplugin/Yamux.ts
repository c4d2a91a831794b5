import { Duplex } from "node:stream"

/** Frame types and flags, as HashiCorp's yamux specification numbers them. */
const TYPE = { data: 0, windowUpdate: 1, ping: 2, goAway: 3 } as const
const FLAG = { syn: 1, ack: 2, fin: 4, rst: 8 } as const
const GO_AWAY = { normal: 0, protocolError: 1 } as const
const VERSION = 0
const HEADER_LENGTH = 12

/** How many bytes either side may send on a stream before it hears that some were read. */
const WINDOW = 256 * 1024

/** Longest frame sent: streams take turns. */
const MAX_FRAME = 32 * 1024

/** Streams of the other side's that may be open at once (its library's own default, `AcceptBacklog`). */
const MAX_INCOMING = 256

/**
 * Bytes that may wait to be sent. What streams send waits for the other side to read; what is left are answers to its
 * frames, and one that asks without end and never reads them would have all of them kept.
 */
const MAX_UNSENT = 16 * 1024 * 1024

/**
 * Many streams over one connection: HashiCorp's yamux, over which go-plugin (1.8) multiplexes its broker's connections.
 * Back-pressure holds per stream: what is not read is not asked for. A peer that breaks the protocol loses the session.
 */
export class YamuxSession {
  readonly #socket: Duplex
  readonly #onStream: (stream: Duplex) => void
  #waiting: Array<() => void> = []
  readonly #streams = new Map<number, YamuxStream>()
  readonly #isClient: boolean
  #nextId: number
  #incoming = 0
  #failure: Error | undefined
  /** What has come of the next header. */
  #header: Buffer = Buffer.alloc(0)
  /** The payload that is coming in: whose it is, and how much of it is missing. */
  #payload: { readonly stream: YamuxStream | undefined; missing: number; readonly flags: number } | undefined

  /** `onStream` is handed the streams that the other side opens. */
  constructor(socket: Duplex, role: "client" | "server", onStream: (stream: Duplex) => void) {
    this.#socket = socket
    this.#onStream = onStream
    this.#isClient = role === "client"
    this.#nextId = this.#isClient ? 1 : 2
    socket.on("data", (chunk: Buffer) => this.#receive(chunk))
    socket.on("error", (error) => this.#end(error))
    socket.on("end", () => this.#end(new Error("the other side has closed the connection")))
    socket.on("close", () => this.#end(new Error("the connection was closed")))
  }

  /** Opens a stream; one on a session that has ended is destroyed at once. */
  open(): Duplex {
    const stream = new YamuxStream(this, this.#nextId)
    this.#nextId += 2
    if (this.#failure !== undefined) return stream.destroy(this.#failure)
    this.#streams.set(stream.id, stream)
    this.send(TYPE.windowUpdate, FLAG.syn, stream.id, 0)
    return stream
  }

  /** Ends the session and all its streams. */
  close(): void {
    if (this.#failure === undefined) this.send(TYPE.goAway, 0, 0, GO_AWAY.normal)
    this.#end(new Error("the session was closed"))
  }

  /** Sends a frame; answers whether the connection takes more at once. */
  send(type: number, flags: number, id: number, length: number, payload?: Buffer): boolean {
    if (this.#failure !== undefined) return true
    if (this.#socket.writableLength > MAX_UNSENT) {
      this.#end(new Error("the other side does not read what it is sent"))
      return true
    }
    const header = Buffer.alloc(HEADER_LENGTH)
    header.writeUInt8(VERSION, 0)
    header.writeUInt8(type, 1)
    header.writeUInt16BE(flags, 2)
    header.writeUInt32BE(id, 4)
    header.writeUInt32BE(length, 8)
    return this.#socket.write(payload === undefined ? header : Buffer.concat([header, payload]))
  }

  /** Calls back once the connection has sent what it was given. */
  onDrain(callback: () => void): void {
    if (!this.#socket.writableNeedDrain) return callback()
    // One listener for all streams: there may be hundreds.
    if (this.#waiting.length === 0) {
      this.#socket.once("drain", () => {
        const waiting = this.#waiting
        this.#waiting = []
        for (const wake of waiting) wake()
      })
    }
    this.#waiting.push(callback)
  }

  /** A stream is over, both ways. */
  forget(id: number): void {
    if (this.#streams.delete(id) && this.#isIncoming(id)) this.#incoming--
  }

  #isIncoming(id: number): boolean {
    return (id % 2 === 0) === this.#isClient
  }

  #end(reason: Error): void {
    if (this.#failure !== undefined) return
    this.#failure = reason
    for (const stream of this.#streams.values()) stream.destroy(reason)
    // The last frame says why, to a side that reads; whoever opened the connection sees to it that it ends.
    if (this.#socket.writableLength > MAX_UNSENT) this.#socket.destroy()
    else this.#socket.end(() => this.#socket.destroy())
  }

  #protocolError(what: string): void {
    this.send(TYPE.goAway, 0, 0, GO_AWAY.protocolError)
    this.#end(new Error(`the other side broke the yamux protocol: ${what}`))
  }

  #receive(chunk: Buffer): void {
    let rest = chunk
    while (rest.length > 0 && this.#failure === undefined) {
      if (this.#payload !== undefined) {
        const { flags, stream } = this.#payload
        const part = rest.subarray(0, this.#payload.missing)
        rest = rest.subarray(part.length)
        this.#payload.missing -= part.length
        stream?.receive(part)
        if (this.#payload.missing > 0) continue
        this.#payload = undefined
        stream?.receiveFlags(flags)
        continue
      }
      const missing = HEADER_LENGTH - this.#header.length
      this.#header = Buffer.concat([this.#header, rest.subarray(0, missing)])
      rest = rest.subarray(missing)
      if (this.#header.length < HEADER_LENGTH) return
      const header = this.#header
      this.#header = Buffer.alloc(0)
      this.#frame(header)
    }
  }

  #frame(header: Buffer): void {
    const [version, type, flags] = [header.readUInt8(0), header.readUInt8(1), header.readUInt16BE(2)]
    const [id, length] = [header.readUInt32BE(4), header.readUInt32BE(8)]
    if (version !== VERSION) return this.#protocolError(`version ${version}`)
    if (type === TYPE.ping) {
      if ((flags & FLAG.syn) !== 0) this.send(TYPE.ping, FLAG.ack, 0, length)
      return
    }
    if (type === TYPE.goAway) {
      if (length !== GO_AWAY.normal) this.#end(new Error(`the other side ended the session with code ${length}`))
      return
    }
    if (type !== TYPE.data && type !== TYPE.windowUpdate) return this.#protocolError(`frame type ${type}`)
    if ((flags & FLAG.syn) !== 0 && !this.#accept(id)) return
    const stream = this.#streams.get(id)
    if (type === TYPE.windowUpdate) {
      stream?.credit(length)
      stream?.receiveFlags(flags)
      return
    }
    if (length > (stream?.receiveWindow ?? WINDOW)) return this.#protocolError("more data than the window allows")
    // A stream that is gone here may still be written to there: what comes is dropped.
    if (length > 0) this.#payload = { stream, missing: length, flags }
    else stream?.receiveFlags(flags)
  }

  #accept(id: number): boolean {
    if (!this.#isIncoming(id) || this.#streams.has(id)) {
      this.#protocolError(`stream ${id} can't be opened`)
      return false
    }
    if (this.#incoming >= MAX_INCOMING) {
      this.send(TYPE.windowUpdate, FLAG.rst, id, 0)
      return true
    }
    this.#incoming++
    const stream = new YamuxStream(this, id)
    this.#streams.set(id, stream)
    this.send(TYPE.windowUpdate, FLAG.ack, id, 0)
    this.#onStream(stream)
    return true
  }
}

class YamuxStream extends Duplex {
  readonly id: number
  receiveWindow = WINDOW
  readonly #session: YamuxSession
  #sendWindow = WINDOW
  /** What could not be sent yet, and whom to tell once it was. */
  #waiting: { chunk: Buffer; readonly done: () => void } | undefined
  #ended = { here: false, there: false }
  /** What has come and is not asked for yet; `null` is the end. Never more than the window. */
  readonly #received: Array<Buffer | null> = []
  #isReading = false
  /** What was handed on since the other side was told so. */
  #handedOn = 0

  constructor(session: YamuxSession, id: number) {
    super()
    this.#session = session
    this.id = id
    // Whoever uses the stream hears of its error; nobody has to.
    this.on("error", () => {})
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#waiting = { chunk, done }
    this.#sendWaiting()
  }

  override _final(done: () => void): void {
    this.#ended.here = true
    this.#session.send(TYPE.windowUpdate, FLAG.fin, this.id, 0)
    done()
  }

  override _read(): void {
    this.#isReading = true
    this.#handOn()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (!this.#ended.here || !this.#ended.there) this.#session.send(TYPE.windowUpdate, FLAG.rst, this.id, 0)
    this.#session.forget(this.id)
    done(error)
  }

  /** Payload has come. */
  receive(data: Buffer): void {
    this.receiveWindow -= data.length
    this.#received.push(data)
    this.#handOn()
  }

  /** The other side has read. */
  credit(length: number): void {
    this.#sendWindow += length
    this.#sendWaiting()
  }

  receiveFlags(flags: number): void {
    if ((flags & FLAG.rst) !== 0) {
      this.#ended = { here: true, there: true }
      this.destroy(new Error("the other side has reset the stream"))
    } else if ((flags & FLAG.fin) !== 0 && !this.#ended.there) {
      this.#ended.there = true
      this.#received.push(null)
      this.#handOn()
    }
  }

  #handOn(): void {
    while (this.#isReading && !this.destroyed && this.#received.length > 0) {
      const data = this.#received.shift()!
      this.#isReading = this.push(data)
      this.#handedOn += data?.length ?? 0
    }
    // What was read makes room again; told in halves of the window, so that not every read costs a frame.
    if (this.#handedOn < WINDOW / 2 || this.#ended.there) return
    this.receiveWindow += this.#handedOn
    this.#session.send(TYPE.windowUpdate, 0, this.id, this.#handedOn)
    this.#handedOn = 0
  }

  #sendWaiting(): void {
    const waiting = this.#waiting
    if (waiting === undefined) return
    while (waiting.chunk.length > 0 && this.#sendWindow > 0) {
      const frame = waiting.chunk.subarray(0, Math.min(this.#sendWindow, MAX_FRAME))
      waiting.chunk = waiting.chunk.subarray(frame.length)
      this.#sendWindow -= frame.length
      this.#session.send(TYPE.data, 0, this.id, frame.length, frame)
    }
    if (waiting.chunk.length > 0) return
    this.#waiting = undefined
    this.#session.onDrain(waiting.done)
  }
}
