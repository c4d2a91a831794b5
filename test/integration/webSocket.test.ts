/**
 * WebSockets through the whole line, by the supervisor as its operator starts it: client, host, the SDK's web server, an
 * ASGI application, and back.
 */
import { randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { folder } from "../support/folder.ts"
import { eventually, fixture, noPython } from "../support/host.ts"
import { exchange } from "../support/rawHttp.ts"
import { supervising, TOKEN } from "../support/supervisor.ts"
import { copyPlugin } from "../support/ways.ts"
import {
  asking,
  BINARY,
  CLOSE,
  frame,
  goodbye,
  PING,
  PONG,
  type RawWebSocket,
  TEXT,
  webSocket,
} from "../support/webSocket.ts"

const SOCKETS = "/plugins/asgi-cases"
const MIB = 1024 * 1024

/** The largest message that the SDK's web server takes. */
const LARGEST = 16 * MIB

/** What may pile up on the way where somebody does not read: the kernel's buffers, and those of host and plugin. */
const WINDOW = 24 * MIB

interface State {
  readonly open: number
  readonly sent: number
  readonly tasks: number
  /** Kilobytes. */
  readonly peak: number
  readonly pid: number
}

const started = Effect.gen(function* () {
  const root = yield* folder({ plugins: { folder: true } })
  copyPlugin(fixture("asgi-cases"), join(root, "plugins/asgi-cases"), "HTTP")
  copyPlugin(fixture("http-cases"), join(root, "plugins/http-cases"), "HTTP")
  const { child, log, port } = yield* supervising(root)
  assert.notInclude(log(), "failed to start")
  const ask = (path: string) =>
    Effect.promise(async () => (await fetch(`http://127.0.0.1:${port}${SOCKETS}${path}`)).json() as Promise<State>)
  return {
    port,
    child,
    log,
    ask,
    state: ask("/state"),
    open: (path: string, fields: ReadonlyArray<string> = []) => webSocket(port, `${SOCKETS}${path}`, { fields }),
    /** How many bytes of memory the host has. */
    memory: () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1]) * 1024,
  }
})

class Started extends Context.Service<Started, Effect.Success<typeof started>>()("test/Started") {}
const live = Layer.effect(Started, Effect.orDie(started))

/** Takes the frames of one message; answers its opcode and all of it. */
const message = (socket: RawWebSocket) =>
  Effect.gen(function* () {
    const first = yield* socket.next
    const pieces = [first.payload]
    for (let last = first; !last.fin; pieces.push(last.payload)) last = yield* socket.next
    return { opcode: first.opcode, payload: Buffer.concat(pieces) }
  })

const echoes = (socket: RawWebSocket, opcode: number, payload: string | Uint8Array) =>
  Effect.gen(function* () {
    socket.write(frame(opcode, payload))
    const echoed = yield* message(socket)
    assert.strictEqual(echoed.opcode, opcode)
    assert.isTrue(echoed.payload.equals(Buffer.from(payload as string)))
  })

const utf8 = (...bytes: ReadonlyArray<number>) => Uint8Array.from(bytes)

/** What no client may send, and what it is told for it. */
const violations: ReadonlyArray<readonly [string, ReadonlyArray<Uint8Array>, number]> = [
  ["a frame without a mask", [frame(TEXT, "hi", { isMasked: false })], 1002],
  ["a reserved bit", [frame(TEXT, "hi", { reserved: 4 })], 1002],
  ["an unknown frame", [frame(3, "hi")], 1002],
  ["an unknown control frame", [frame(11, "hi")], 1002],
  ["a ping in pieces", [frame(PING, "hi", { fin: false })], 1002],
  ["a ping that is too long", [frame(PING, "x".repeat(126))], 1002],
  ["a continuation of nothing", [frame(0, "hi")], 1002],
  ["a message within a message", [frame(TEXT, "a", { fin: false }), frame(TEXT, "b")], 1002],
  ["a goodbye of one byte", [frame(CLOSE, "x")], 1002],
  ["a goodbye with a code that is none", [goodbye(999)], 1002],
  ["a goodbye with a code that nobody sends", [goodbye(1006)], 1002],
  ["a goodbye that is no UTF-8", [goodbye(1000, utf8(0xff))], 1007],
  ["a text that is no UTF-8", [frame(TEXT, utf8(0xce, 0xba, 0xff))], 1007],
  ["a text that ends in a letter", [frame(TEXT, utf8(0xce, 0xba, 0xce))], 1007],
  [
    "a text in pieces that is no UTF-8",
    [frame(TEXT, utf8(0xce), { fin: false }), frame(0, utf8(0x20), { fin: true })],
    1007,
  ],
  ["a surrogate", [frame(TEXT, utf8(0xed, 0xa0, 0x80))], 1007],
  // As soon as it is announced. Of one that is still on its way the goodbye may be lost.
  ["a message that is too large", [frame(BINARY, Buffer.alloc(LARGEST + 1)).subarray(0, 14)], 1009],
]

describe.skipIf(noPython)("WebSockets", () => {
  layer(live, { timeout: "180 seconds", excludeTestServices: true })((it) => {
    it.effect("echo texts and bytes, whole or in pieces, with pings between them", () =>
      Effect.gen(function* () {
        const { open } = yield* Started
        const socket = yield* open("/echo")
        assert.strictEqual(socket.status, 101, socket.answer)
        assert.match(socket.answer, /^Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=$/im)
        yield* echoes(socket, TEXT, "")
        yield* echoes(socket, TEXT, "κόσμε ☕")
        yield* echoes(socket, BINARY, randomBytes(65_535))
        yield* echoes(socket, BINARY, randomBytes(MIB))
        yield* echoes(socket, BINARY, randomBytes(LARGEST))

        socket.write(frame(PONG, "nobody asked"))
        // In the middle of a letter.
        socket.write(frame(TEXT, utf8(0xce), { fin: false }))
        socket.write(frame(0, utf8(0xba, 0xcf), { fin: false }))
        socket.write(frame(PING, "between"))
        socket.write(frame(0, utf8(0x83)))
        assert.deepInclude(yield* socket.next, { opcode: PONG, payload: Buffer.from("between") })
        assert.strictEqual(String((yield* message(socket)).payload), "κσ")

        // As slowly as bytes can come.
        for (const byte of frame(TEXT, "slow")) {
          socket.write(Uint8Array.of(byte))
          yield* Effect.sleep(1)
        }
        assert.strictEqual(String((yield* message(socket)).payload), "slow")
        socket.write(goodbye(4001, "enough"))
        assert.strictEqual(yield* socket.closed, 4001)
      }).pipe(Effect.scoped),
    )

    it.effect("take what is sent before their answer", () =>
      Effect.gen(function* () {
        const { port } = yield* Started
        const socket = yield* webSocket(port, `${SOCKETS}/echo`, { behind: frame(TEXT, "early") })
        assert.strictEqual(String((yield* message(socket)).payload), "early")
      }).pipe(Effect.scoped),
    )

    it.effect("tell whoever breaks the protocol, and end", () =>
      Effect.gen(function* () {
        const { open, state } = yield* Started
        for (const [name, frames, code] of violations) {
          const broken = Effect.gen(function* () {
            const socket = yield* open("/echo")
            for (const bytes of frames) socket.write(bytes)
            assert.strictEqual(yield* socket.closed, code, name)
          })
          yield* Effect.mapError(Effect.scoped(broken), (cause) => new Error(name, { cause }))
        }
        const left = Effect.repeat(Effect.delay(state, "20 millis"), { until: ({ open }) => open === 0 })
        yield* Effect.timeout(left, "60 seconds")
      }),
    )

    it.effect("end by whoever wants it, with the code that was said", () =>
      Effect.gen(function* () {
        const { log, open } = yield* Started
        const closes = (path: string) =>
          Effect.scoped(
            Effect.gen(function* () {
              const socket = yield* open(path)
              assert.strictEqual(socket.status, 101, path)
              const { opcode, payload } = yield* socket.next
              assert.strictEqual(opcode, CLOSE)
              socket.write(frame(CLOSE, payload))
              yield* socket.closed
              return `${payload.readUInt16BE()} ${payload.subarray(2).toString()}`
            }),
          )
        assert.strictEqual(yield* closes("/close?1000;"), "1000 ")
        assert.strictEqual(yield* closes("/close?4321;Tsch%C3%BC%C3%9F"), "4321 Tschüß")
        assert.strictEqual(yield* closes("/fail"), "1011 ")
        yield* eventually("what failed is logged", () => log().includes("the secret is 42"))
        for (const code of [1000, 1001, 4999]) {
          const socket = yield* open("/echo")
          socket.write(goodbye(code, "bye"))
          assert.strictEqual(yield* socket.closed, code)
        }
        const socket = yield* open("/echo")
        socket.write(frame(CLOSE, ""))
        assert.include([1000, 1005], yield* socket.closed)
      }).pipe(Effect.scoped),
    )

    it.effect("say who asks, and show nothing that is the host's", () =>
      Effect.gen(function* () {
        const { open } = yield* Started
        const asked = (fields: ReadonlyArray<string>) =>
          Effect.scoped(
            Effect.gen(function* () {
              const socket = yield* open("/who?a=1&access_token=x&b=2", [
                "Origin: https://elsewhere.example",
                "Sec-WebSocket-Protocol: chat, superchat",
                "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
                "Mattermost-User-Id: spoofed",
                "mattermost_user_id: spoofed",
                "Plugin-Supervisor-Client: 1.2.3.4:5",
                "Cookie: a=1; MMAUTHTOKEN=x; b=2",
                ...fields,
              ])
              assert.match(socket.answer, /^Sec-WebSocket-Protocol: chat$/im)
              assert.match(socket.answer, /^X-Own: kept$/im)
              assert.notMatch(socket.answer, /^Sec-WebSocket-Extensions/im, "compression costs each connection memory")
              return JSON.parse(String((yield* message(socket)).payload))
            }),
          )
        const stranger = yield* asked([])
        assert.deepInclude(stranger, {
          scheme: "ws",
          path: `${SOCKETS}/who`,
          root_path: SOCKETS,
          subprotocols: ["chat", "superchat"],
          query: "a=1&b=2",
        })
        assert.strictEqual(stranger.client[0], "127.0.0.1")
        const valueOf = (seen: { readonly headers: ReadonlyArray<readonly [string, string]> }, name: string) =>
          seen.headers.filter(([key]) => key.replaceAll("_", "-") === name).map(([, value]) => value)
        assert.deepStrictEqual(valueOf(stranger, "mattermost-user-id"), [])
        assert.deepStrictEqual(valueOf(stranger, "cookie"), ["a=1; b=2"])
        assert.deepStrictEqual(valueOf(stranger, "origin"), ["https://elsewhere.example"])
        for (const [name] of stranger.headers) assert.notMatch(name, /^plugin-supervisor/)
        const user = yield* asked([`Authorization: Bearer ${TOKEN}`])
        assert.match(valueOf(user, "mattermost-user-id").join(), /^[a-z0-9]{26}$/)
        assert.notInclude(JSON.stringify(user), TOKEN)
        yield* asked(["Authorization: Bearer wrong"])
      }),
    )

    it.effect("are not begun where they may not be", () =>
      Effect.gen(function* () {
        const { port } = yield* Started
        const answered = (bytes: string) => exchange(port, bytes)
        const ask = asking(`${SOCKETS}/echo`)
        assert.match(yield* answered(ask.replace("localhost", "evil.example")), /^HTTP\/1\.1 421 /)
        assert.match(yield* answered(asking(`${SOCKETS}/refuse`)), /^HTTP\/1\.1 403 /)
        assert.match(yield* answered(asking("/plugins/nobody/x")), /^HTTP\/1\.1 404 /)
        assert.match(yield* answered(ask.replace("Version: 13", "Version: 8")), /^HTTP\/1\.1 4\d\d /)
        assert.match(yield* answered(ask.replace(/Sec-WebSocket-Key.*\r\n/, "")), /^HTTP\/1\.1 4\d\d /)
        assert.match(yield* answered(ask.replace("dGhlIHNhbXBsZSBub25jZQ==", "short")), /^HTTP\/1\.1 4\d\d /)

        // What is no request for one is a request as any other.
        const close = "Connection: close\r\n"
        const state = ask.replace("/echo", "/state")
        const others = [
          state.replace("Connection: keep-alive, Upgrade\r\n", close),
          state.replace("Connection: keep-alive, Upgrade", "Connection: Upgrade, close").replace("websocket", "h2c"),
          state.replace("GET", "POST").replace("Host", `${close}Content-Length: 0\r\nHost`),
          state.replace("HTTP/1.1", "HTTP/1.0"),
        ]
        for (const bytes of others) {
          const answer = yield* answered(bytes)
          assert.match(answer, /^HTTP\/1\.1 200 OK/, bytes)
          assert.include(answer, '"open"')
        }
        // A handler that is no application has no WebSockets, by either way.
        assert.match(yield* answered(asking("/plugins/http-cases/inspect")), /^HTTP\/1\.1 403 /)
      }),
    )

    it.effect("wait for who does not read, on both sides", () =>
      Effect.gen(function* () {
        const { ask, memory, open, state } = yield* Started
        const before = { memory: memory(), peak: (yield* state).peak * 1024 }
        const settled = <E, R>(count: Effect.Effect<number, E, R>) =>
          Effect.gen(function* () {
            let last = -1
            for (let same = 0; same < 4;) {
              const now = yield* count
              same = now === last ? same + 1 : 0
              last = now
              yield* Effect.sleep("250 millis")
            }
            return last
          })
        const reader = yield* open("/flood")
        reader.socket.pause()
        const sent = yield* settled(Effect.map(state, ({ sent }) => sent))
        assert.isBelow(sent * 65_536, WINDOW)

        const writer = yield* open("/deaf")
        const piece = frame(BINARY, Buffer.alloc(65_536))
        let written = 0
        const push = () => {
          while (written < 4 * WINDOW && !writer.socket.writableNeedDrain) {
            writer.write(piece)
            written += piece.length
          }
        }
        writer.socket.on("drain", push)
        push()
        assert.isBelow(yield* settled(Effect.sync(() => written)), WINDOW)

        assert.isBelow(memory() - before.memory, 2 * WINDOW)
        assert.isBelow((yield* state).peak * 1024 - before.peak, 2 * WINDOW)
        // Whoever reads again gets on.
        reader.socket.resume()
        yield* eventually("it flows again", () => reader.frames.splice(0).length > 0)
        const others = yield* open("/echo")
        yield* echoes(others, TEXT, "served")
        yield* ask("/hear")
        yield* eventually("all is taken", () => written >= 4 * WINDOW)
      }).pipe(Effect.scoped),
    )

    it.effect("leave nothing behind when a client is lost, however it goes", () =>
      Effect.gen(function* () {
        const { open, state } = yield* Started
        const idle = Effect.timeout(
          Effect.repeat(Effect.delay(state, "20 millis"), { until: ({ open }) => open === 0 }),
          "60 seconds",
        )
        const { tasks } = yield* idle
        const ways: ReadonlyArray<(socket: RawWebSocket) => void> = [
          ({ socket }) => socket.destroy(),
          ({ socket }) => socket.resetAndDestroy(),
          ({ socket }) => socket.end(),
          ({ socket }) => socket.end(frame(TEXT, "half a frame").subarray(0, 5)),
        ]
        for (const path of ["/echo", "/flood", "/deaf"]) {
          for (const leave of ways) {
            const lost = Effect.gen(function* () {
              const sockets = yield* Effect.all(
                Array.from({ length: 8 }, () => open(path)),
                { concurrency: "unbounded" },
              )
              for (const { answer, status } of sockets) assert.strictEqual(status, 101, answer)
              for (const socket of sockets) leave(socket)
              yield* idle
            })
            yield* Effect.scoped(lost)
          }
        }
        assert.isAtMost((yield* idle).tasks, tasks + 2)
      }),
    )
  })

  it.live("are told when their plugin dies, and when the host stops", () =>
    Effect.gen(function* () {
      const { child, open } = yield* started
      const dying = yield* open("/dies")
      const other = yield* open("/echo")
      assert.strictEqual(String((yield* message(dying)).payload), "farewell")
      assert.strictEqual(yield* dying.closed, 1001)
      assert.strictEqual(yield* other.closed, 1001)
      assert.isNull(child.exitCode)
    }).pipe(
      Effect.scoped,
      Effect.andThen(
        Effect.gen(function* () {
          const { child, open } = yield* started
          const sockets = yield* Effect.forEach(["/echo", "/deaf"], (path) => open(path))
          const reader = yield* open("/flood")
          reader.socket.pause()
          child.kill("SIGTERM")
          for (const { closed } of sockets) assert.strictEqual(yield* closed, 1001)
          yield* eventually("it has ended", () => child.exitCode !== null)
          assert.strictEqual(child.exitCode, 0)
        }).pipe(Effect.scoped),
      ),
    ),
  )
})
