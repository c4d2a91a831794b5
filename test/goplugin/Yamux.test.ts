/** The multiplexer by itself; against Go's own it is tried in test/conformance. */
import { createHash, randomBytes } from "node:crypto"
import { once } from "node:events"
import { type Duplex, duplexPair, PassThrough } from "node:stream"
import { buffer } from "node:stream/consumers"
import { assert, describe, it } from "vitest"
import { YamuxSession } from "../../src/goplugin/Yamux.ts"

const WINDOW = 256 * 1024

const pair = (onStream: (stream: Duplex) => void) => {
  const [a, b] = duplexPair()
  return {
    client: new YamuxSession(a, "client", (stream) => stream.destroy()),
    server: new YamuxSession(b, "server", onStream),
  }
}

/** A client session whose other side the test plays, frame by frame. */
const playedBy = (onStream: (stream: Duplex) => void = () => {}) => {
  const [a, wire] = duplexPair()
  return { session: new YamuxSession(a, "client", onStream), wire }
}

const frame = (type: number, flags: number, id: number, length: number, payload: Buffer = Buffer.alloc(0)): Buffer => {
  const header = Buffer.alloc(12)
  header.writeUInt8(type, 1)
  header.writeUInt16BE(flags, 2)
  header.writeUInt32BE(id, 4)
  header.writeUInt32BE(length, 8)
  return Buffer.concat([header, payload])
}

/** Unlike `once`, an error is no failure: that is what is looked at. */
const closed = (stream: Duplex) =>
  stream.closed ? Promise.resolve() : new Promise<void>((resolve) => stream.once("close", resolve))

const sha = (data: Buffer) => createHash("sha256").update(data).digest("hex")

describe("YamuxSession", () => {
  it("carries many streams at once, byte for byte, beyond the window", async () => {
    const { client } = pair((stream) => stream.pipe(stream))
    const results = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const sent = randomBytes(3 * 1024 * 1024 + 17)
        const stream = client.open()
        const received = buffer(stream)
        stream.end(sent)
        return sha(await received) === sha(sent)
      }),
    )
    assert.deepStrictEqual(
      results,
      Array.from({ length: 8 }, () => true),
    )
  })

  it("reads frames that come byte by byte", async () => {
    const { session, wire } = playedBy()
    const stream = session.open()
    const received = buffer(stream)
    for (const byte of Buffer.concat([frame(0, 2, 1, 5, Buffer.from("hello")), frame(0, 4, 1, 2, Buffer.from("!!"))])) {
      wire.write(Buffer.of(byte))
    }
    assert.strictEqual((await received).toString(), "hello!!")
  })

  it("asks for no more than is read, and sends no more than is asked for", async () => {
    const incoming = new PassThrough({ highWaterMark: 1 })
    const { client } = pair((stream) => stream.pipe(incoming))
    const stream = client.open()
    let sent = 0
    const chunk = Buffer.alloc(64 * 1024)
    const all = new Promise<void>((resolve) => {
      const write = () => {
        if (sent >= 4 * WINDOW) return resolve()
        stream.write(chunk, () => {
          sent += chunk.length
          write()
        })
      }
      write()
    })
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.isAtMost(sent, WINDOW)
    incoming.resume()
    await all
    stream.destroy()
  })

  it("keeps one direction open when the other has ended", async () => {
    const { client } = pair((stream) => {
      void buffer(stream).then((question) => stream.end(`${question.toString()} to you`))
    })
    const stream = client.open()
    stream.end("hello")
    assert.strictEqual((await buffer(stream)).toString(), "hello to you")
  })

  it("tells of a stream that was destroyed, and goes on with the others", async () => {
    const opened: Array<Duplex> = []
    const { client } = pair((stream) => (opened.push(stream), stream.pipe(stream)))
    const [doomed, other] = [client.open(), client.open()]
    other.write("a")
    await once(other, "data")
    doomed.destroy()
    await closed(opened[0]!)
    assert.match(String(opened[0]!.errored), /reset/)
    other.write("b")
    assert.strictEqual(String((await once(other, "data"))[0]), "b")
  })

  it("takes all streams along when it ends, and opens no more", async () => {
    const opened: Array<Duplex> = []
    const { client, server } = pair((stream) => opened.push(stream))
    const stream = client.open()
    stream.write("x")
    while (opened.length === 0) await new Promise((resolve) => setImmediate(resolve))
    server.close()
    await Promise.all([closed(stream), closed(opened[0]!)])
    assert.isTrue(client.open().destroyed)
  })

  it("answers pings", async () => {
    const { wire } = playedBy()
    wire.write(frame(2, 1, 0, 4711))
    assert.deepStrictEqual((await once(wire, "data"))[0], frame(2, 2, 0, 4711))
  })

  it("ends with a side that asks without end and never reads an answer", async () => {
    const { session, wire } = playedBy()
    const stream = session.open()
    const ended = closed(stream)
    const pings = Buffer.concat(Array.from({ length: 20_000 }, () => frame(2, 1, 0, 7)))
    for (let sent = 0; sent < 100 && !stream.destroyed; sent++) {
      wire.write(pings)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await ended
    assert.include(String(stream.errored), "does not read")
  })

  it("resets streams beyond its backlog", async () => {
    let streams = 0
    const { wire } = playedBy(() => streams++)
    const answers: Array<Buffer> = []
    wire.on("data", (data: Buffer) => answers.push(data))
    for (let index = 1; index <= 257; index++) wire.write(frame(1, 1, index * 2, 0))
    while (Buffer.concat(answers).length < 257 * 12) await new Promise((resolve) => setImmediate(resolve))
    assert.strictEqual(streams, 256)
    assert.deepStrictEqual(Buffer.concat(answers).subarray(-12), frame(1, 8, 514, 0))
  })

  const broken: ReadonlyArray<readonly [what: string, bytes: Buffer]> = [
    ["an unknown version", Buffer.from([1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0])],
    ["an unknown frame type", frame(9, 0, 1, 0)],
    ["a frame larger than the window", frame(0, 0, 1, WINDOW + 1)],
    ["a stream with an id of ours", frame(1, 1, 3, 0)],
    ["a stream that is open already", Buffer.concat([frame(1, 1, 2, 0), frame(1, 1, 2, 0)])],
  ]
  it.each(broken)("ends the session of a peer that sends %s", async (_, bytes) => {
    const { session, wire } = playedBy()
    const stream = session.open()
    const answers: Array<Buffer> = []
    wire.on("data", (data: Buffer) => answers.push(data))
    wire.write(bytes)
    await closed(stream)
    assert.match(String(stream.errored), /broke the yamux protocol/)
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepStrictEqual(Buffer.concat(answers).subarray(-12), frame(3, 0, 0, 1))
  })

  it("drops what comes for a stream that is gone", async () => {
    const { session, wire } = playedBy()
    session.open().destroy()
    const stream = session.open()
    wire.write(frame(0, 0, 1, 4, Buffer.from("late")))
    wire.write(frame(0, 0, 3, 4, Buffer.from("here")))
    assert.strictEqual(String((await once(stream, "data"))[0]), "here")
  })
})
