/** WebSockets of a plugin's own server, through the host. */
import { createServer as createNodeServer } from "node:http"
import type { Socket } from "node:net"
import * as NodeWS from "@effect/platform-node/NodeWS"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { direct, type Direct, nodePlugin, rawPlugin, TOKEN } from "../support/direct.ts"
import { eventually } from "../support/host.ts"
import { head } from "../support/rawHttp.ts"

/** A request for a WebSocket, as a browser makes it. */
const asking = (path: string, fields: ReadonlyArray<string> = []) =>
  head("GET", path, [
    "Connection: keep-alive, Upgrade",
    "Upgrade: WebSocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ...fields,
  ])

const PATH = "/plugins/fake/ws"
const SWITCHING =
  "HTTP/1.1 101 Anything\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

/** "hi", as a server sends it; and its goodbye. */
const HI = "\x81\x02hi"
const GOODBYE = "\x88\x02\x03\xe8"
const GOING_AWAY = "\x88\x02\x03\xe9"

/** A plugin that echoes. */
const echoing = () => {
  const plugin = nodePlugin((_, response) => void response.writeHead(404).end("no page"))
  const server = new NodeWS.WebSocketServer({ server: plugin })
  server.on("connection", (socket) => socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary })))
  return { plugin, server }
}

/** A plugin that takes the connection over, and what it has received since. */
const scripted = (after: (socket: Socket) => void = () => {}, answer = SWITCHING) => {
  const received: Array<string> = []
  const heads: Array<string> = []
  const sockets: Array<Socket> = []
  const plugin = rawPlugin((socket) => {
    sockets.push(socket)
    const index = received.push("") - 1
    let isOpen = false
    socket.on("end", () => socket.end())
    socket.on("data", (chunk) => {
      const text = chunk.toString("latin1")
      if (isOpen) return void (received[index] += text)
      isOpen = true
      heads.push(text)
      socket.write(answer, "latin1")
      after(socket)
    })
  })
  return { plugin, received, heads, sockets }
}

/** A WebSocket by a client that knows the protocol. */
const open = (host: Direct, path = PATH) =>
  Effect.acquireRelease(
    Effect.callback<WebSocket, Error>((resume) => {
      const socket = new WebSocket(`ws://127.0.0.1:${host.port}${path}`)
      socket.binaryType = "arraybuffer"
      socket.addEventListener("open", () => resume(Effect.succeed(socket)))
      socket.addEventListener("error", () => resume(Effect.fail(new Error("it does not open"))))
    }),
    (socket) => Effect.sync(() => socket.close()),
  )

const message = (socket: WebSocket) =>
  Effect.callback<unknown>((resume) =>
    socket.addEventListener("message", ({ data }) => resume(Effect.succeed(data)), { once: true }),
  )

const closed = (socket: WebSocket) =>
  Effect.callback<number>((resume) => socket.addEventListener("close", ({ code }) => resume(Effect.succeed(code))))

describe("a WebSocket of a plugin's", () => {
  it.live("passes texts and large messages both ways, and both goodbyes", () =>
    Effect.gen(function* () {
      const { plugin } = echoing()
      const host = yield* direct({ plugin })
      const socket = yield* open(host)
      assert.strictEqual(host.hooks.inFlight.count(), 1)
      const text = message(socket)
      socket.send("hä?")
      assert.strictEqual(yield* text, "hä?")
      const large = new Uint8Array(20_000_000).map((_, index) => index % 251)
      socket.send(large)
      const echoed = Buffer.from((yield* message(socket)) as ArrayBuffer)
      assert.isTrue(echoed.equals(large))
      socket.close(4001, "enough")
      assert.strictEqual(yield* closed(socket), 4001)
      yield* host.idle
    }).pipe(Effect.scoped),
  )

  it.live("is where its host's plugins are, be that elsewhere than others'", () =>
    Effect.gen(function* () {
      const { plugin } = echoing()
      const host = yield* direct({ plugin, routes: { path: "/alarm/plugins" } })
      const socket = yield* open(host, "/alarm/plugins/fake/ws")
      const text = message(socket)
      socket.send("hi")
      assert.strictEqual(yield* text, "hi")
      yield* Effect.flip(open(host, PATH))
    }).pipe(Effect.scoped),
  )

  it.live("is asked for by the client's own request, which says who asks", () =>
    Effect.gen(function* () {
      const { heads, plugin } = scripted()
      const host = yield* direct({ plugin })
      const { until, write } = yield* host.connect
      const own = ["Origin: https://elsewhere.example", "Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Extensions: x"]
      write(asking(`${PATH}?a=1&access_token=x`, [...own, `Authorization: Bearer ${TOKEN}`, "Mattermost-User-Id: x"]))
      const answer = yield* until(/\r\n\r\n/)
      assert.match(answer, /^HTTP\/1\.1 101 Switching Protocols\r\n/)
      assert.match(answer, /^Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r$/m)
      assert.match(answer, /^Upgrade: websocket\r$/m)
      const lines = heads[0]!.split("\r\n")
      assert.strictEqual(lines[0], "GET /ws?a=1 HTTP/1.1")
      const expected = [
        ...own,
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "connection: upgrade",
        "upgrade: websocket",
        "Mattermost-User-Id: user-1",
        "Plugin-Supervisor-Target: /plugins/fake/ws?a=1",
      ]
      for (const line of expected) assert.include(lines, line)
      assert.notMatch(heads[0]!, new RegExp(`${TOKEN}|Mattermost-User-Id: x`))
    }).pipe(Effect.scoped),
  )

  it.live("keeps what either side sends too early, and is no place for HTTP", () =>
    Effect.gen(function* () {
      const { plugin, received } = scripted(() => {}, `${SWITCHING}${HI}`)
      const host = yield* direct({ plugin })
      const { until, write } = yield* host.connect
      write(`${asking(PATH)}early${head("GET", PATH)}`)
      assert.isTrue((yield* until(/hi$/)).endsWith(`\r\n\r\n${HI}`))
      write("late")
      yield* eventually("all has come", () => received[0] === `early${head("GET", PATH)}late`)
    }).pipe(Effect.scoped),
  )

  it.live("is not begun where the plugin does not want it", () =>
    Effect.gen(function* () {
      for (const [answer, status] of [
        ["HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\nnope", 403],
        ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnope\r\n0\r\n\r\n", 200],
        ["HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 502],
        ["HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-A: \x01\r\n\r\n", 502],
        ["hello\r\n\r\n", 502],
        ["", 502],
      ] as const) {
        const { plugin } = scripted((socket) => void (answer === "" && socket.destroy()), answer)
        const host = yield* direct({ plugin })
        const { untilClosed, write } = yield* host.connect
        write(asking(PATH))
        const received = yield* untilClosed
        assert.match(received, new RegExp(`^HTTP/1\\.1 ${status} .*connection: close`, "is"))
        assert.notMatch(received, /101/)
        yield* host.idle
      }
      // Nor by who can't be reached, or does not answer in time; who is busy, unknown or asked for by a foreign name.
      const hooks = { policies: { serveHTTP: { deadline: "300 millis" } } } as const
      const refusals = [
        [{}, asking(PATH), 503],
        [{ plugin: rawPlugin(() => {}), hooks }, asking(PATH), 504],
        [{ routes: { maxRequestsInFlight: 0 } }, asking(PATH), 503],
        [{}, asking("/plugins/nobody/ws"), 404],
        [{}, asking(PATH).replace("Host: localhost", "Host: evil.example"), 421],
      ] as const
      for (const [settings, bytes, status] of refusals) {
        const host = yield* direct(settings)
        const { untilClosed, write } = yield* host.connect
        write(bytes)
        assert.match(yield* untilClosed, new RegExp(`^HTTP/1\\.1 ${status} .*connection: close`, "is"))
        yield* host.idle
      }
    }).pipe(Effect.scoped),
  )

  it.live("is an ordinary request in whatever is no such request, or is behind an answer that has not come", () =>
    Effect.gen(function* () {
      const plugin = nodePlugin((request, response) => {
        request.resume()
        const answer = () => response.end(String(request.headers.upgrade))
        if (request.url === "/slow") setTimeout(answer, 500)
        else answer()
      })
      const host = yield* direct({ plugin })
      for (const [bytes, count] of [
        [asking(PATH).replace("GET", "POST"), 1],
        [asking(PATH, ["Content-Length: 5"]) + "hello", 1],
        [asking(PATH).replace("WebSocket\r\n", "h2c\r\n"), 1],
        [asking("/nowhere"), 1],
        [head("GET", "/plugins/fake/slow") + asking(PATH), 2],
      ] as const) {
        const { statuses, until, write } = yield* host.connect
        const answered = (answers: number) => until(new RegExp(`(?:HTTP/1\\.1 [24]0[04].*){${answers}}`, "s"))
        write(bytes)
        yield* answered(count)
        // Not behind it in one piece: Node loses what is behind an offer that it ignores.
        write(head("GET", "/plugins/fake/x"))
        yield* answered(count + 1)
        assert.isFalse(statuses().includes(101))
      }
    }).pipe(Effect.scoped),
  )

  it.live("ends with its client, however that goes", () =>
    Effect.gen(function* () {
      const { plugin, sockets } = scripted()
      const host = yield* direct({ plugin })
      for (const how of ["destroy", "resetAndDestroy", "end"] as const) {
        const { socket, until, write } = yield* host.connect
        write(asking(PATH))
        yield* until(/101/)
        socket[how]()
        yield* host.idle
      }
      yield* eventually("the plugin's sides are closed", () => sockets.every((socket) => socket.destroyed))
    }).pipe(Effect.scoped),
  )

  it.live("says 1001 for a plugin that goes without a goodbye, unless in the middle of a frame", () =>
    Effect.gen(function* () {
      for (const [sent, how, expected] of [
        ["", "end", GOING_AWAY],
        [HI, "end", `${HI}${GOING_AWAY}`],
        [HI, "destroy", `${HI}${GOING_AWAY}`],
        [`${HI}\x81\x05ha`, "end", `${HI}\x81\x05ha`],
        [`${HI}${GOODBYE}`, "end", `${HI}${GOODBYE}`],
      ] as const) {
        const { plugin, sockets } = scripted((socket) => void socket.write(sent, "latin1"))
        const host = yield* direct({ plugin })
        const { socket, until, untilClosed, write } = yield* host.connect
        write(asking(PATH))
        yield* until(new RegExp(`\r\n\r\n${sent.replaceAll(/[^\w]/g, ".")}$`, "s"))
        sockets[0]![how]()
        const [, ...rest] = (yield* untilClosed).split("\r\n\r\n")
        assert.strictEqual(rest.join("\r\n\r\n"), expected)
        // It does not close its side; that is not waited for.
        yield* host.idle
        yield* eventually("it is gone", () => !socket.write("x") || socket.destroyed)
      }
      const { plugin, server } = echoing()
      const host = yield* direct({ plugin })
      const socket = yield* open(host)
      for (const client of server.clients) client.terminate()
      assert.strictEqual(yield* closed(socket), 1001)
    }).pipe(Effect.scoped),
  )

  it.live("is as fast as the slower side, which counts as gone when it takes nothing", () =>
    Effect.gen(function* () {
      let sent = 0
      const chunk = Buffer.concat([Buffer.from([0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]), Buffer.alloc(65_536)])
      const { plugin, received } = scripted((socket) => {
        const more = () => {
          while (!socket.destroyed) {
            sent += chunk.length
            if (!socket.write(chunk)) return
          }
        }
        socket.on("drain", more)
        more()
      })
      const host = yield* direct({ plugin, routes: { clientStallTimeout: "2 seconds" } })
      const { socket, until, write } = yield* host.connect
      write(asking(PATH))
      yield* until(/101/)
      socket.pause()
      yield* host.idle
      assert.isBelow(sent, 32 * 1024 * 1024)
      assert.strictEqual(received[0], "")
    }).pipe(Effect.scoped),
  )

  it.live("ends with the host, and is told so", () =>
    Effect.gen(function* () {
      const { plugin, sockets } = scripted((socket) => void socket.write(HI, "latin1"))
      const host = yield* direct({ plugin })
      const { until, untilClosed, write } = yield* host.connect
      write(asking(PATH))
      yield* until(/hi/)
      yield* Effect.timeout(host.stop, "20 seconds")
      assert.isTrue((yield* untilClosed).endsWith(`${HI}${GOING_AWAY}`))
      yield* eventually("the plugin was told", () => sockets[0]!.readableEnded || sockets[0]!.destroyed)
    }).pipe(Effect.scoped),
  )

  it.live("passes any other server that Effect serves on, but for what clients send too early", () =>
    Effect.gen(function* () {
      const { plugin } = echoing()
      const host = yield* direct({
        plugin,
        server: createNodeServer as typeof import("../../src/http/NodeServer.ts").createServer,
      })
      const socket = yield* open(host)
      socket.send("well")
      assert.strictEqual(yield* message(socket), "well")
    }).pipe(Effect.scoped),
  )
})
