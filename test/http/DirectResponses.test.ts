/** What a client is told of what a plugin's own HTTP server answers, whatever that is. */
import { request as httpRequest } from "node:http"
import type { Socket } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric } from "effect"
import {
  answering,
  asked,
  directBy,
  ENTRANCES,
  type Direct,
  isStatus,
  nodePlugin,
  rawPlugin,
} from "../support/direct.ts"
import { eventually } from "../support/host.ts"
import { recordLog } from "../support/log.ts"
import { head } from "../support/rawHttp.ts"

const closing = ["Connection: close"]
const GET = head("GET", "/plugins/fake/x", closing)
const deadline = (duration: `${number} ${"seconds" | "millis"}`) => ({
  policies: { serveHTTP: { deadline: duration } },
})
/** Connections to the plugin that are at work. */
const inUse = ({ http: { kept, single } }: Direct): number => kept.stats.running + single.stats.running
const ok = (fields: ReadonlyArray<string>, body = ""): string => ["HTTP/1.1 200 OK", ...fields, "", body].join("\r\n")

describe.each(ENTRANCES)("by the %s", (entrance) => {
  const direct = directBy(entrance)

  describe("a response of a plugin's own server", () => {
    /** What a plugin answers, and ends with; what a client gets; and what must not be in it. */
    const answers: ReadonlyArray<readonly [string, string, number, "whole" | "cut", RegExp?]> = [
      ["a body", ok(["Content-Length: 4"], "well"), 200, "whole"],
      ["chunks", ok(["Transfer-Encoding: chunked"], "4\r\nwell\r\n0\r\n\r\n"), 200, "whole"],
      ["trailers", ok(["Transfer-Encoding: chunked"], "4\r\nwell\r\n0\r\nX-A: x\r\n\r\n"), 200, "whole", /X-A/],
      ["a body until its end", ok([], "well"), 200, "whole"],
      ["no head", "", 502, "whole"],
      ["half a head", "HTTP/1.1 200 OK\r\nX-A: ", 502, "whole", /X-A/],
      ["no HTTP", "hello\r\n\r\n", 502, "whole", /hello/],
      ["two lengths", ok(["Content-Length: 4", "Content-Length: 0"], "well"), 500, "whole"],
      ["a length and chunks", ok(["Content-Length: 4", "Transfer-Encoding: chunked"], "well"), 500, "whole"],
      ["a length that is none", ok(["Content-Length: 0x4"], "well"), 500, "whole"],
      ["another encoding", ok(["Transfer-Encoding: gzip, chunked"], "0\r\n\r\n"), 502, "whole"],
      ["a bare line feed", ok(["X-A: a\nX-B: b", "Content-Length: 0"]), 502, "whole", /X-B/],
      ["a NUL", ok(["X-A: a\0b", "Content-Length: 0"]), 502, "whole", /X-A/],
      ["a folded line", ok(["X-A: a", " X-B: b", "Content-Length: 0"]), 502, "whole", /X-B/],
      ["a blank before the colon", ok(["Content-Length : 4"], "well"), 502, "whole"],
      ["a shorter body", ok(["Content-Length: 9"], "well"), 200, "cut"],
      ["chunks without an end", ok(["Transfer-Encoding: chunked"], "4\r\nwell\r\n"), 200, "cut"],
      ["a chunk of no size", ok(["Transfer-Encoding: chunked"], "4\r\nwell\r\nx\r\n"), 200, "cut"],
      ["a longer body", ok(["Content-Length: 4"], "well, and more"), 200, "whole", /more/],
      ["status 099", "HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n", 500, "whole"],
      ["status 999", "HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n", 999, "whole"],
      ["a reason of its own", "HTTP/1.1 200 <script>\r\nContent-Length: 4\r\n\r\nwell", 200, "whole", /script/],
      [
        "status 101",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        500,
        "whole",
        /^Upgrade/im,
      ],
      [
        "early hints",
        `HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${ok(["Content-Length: 4"], "well")}`,
        200,
        "whole",
        /Link/,
      ],
      ["a length of 204", "HTTP/1.1 204 X\r\nContent-Length: 4\r\n\r\n", 204, "whole", /Content-Length/i],
      ["a length of 304", "HTTP/1.1 304 X\r\nContent-Length: 4\r\n\r\n", 304, "whole", /Content-Length/i],
      ["a body of 205", "HTTP/1.1 205 X\r\nContent-Length: 4\r\n\r\nwell", 205, "whole", /well/i],
      [
        "the connection's affairs",
        ok(
          ["Connection: X-A, keep-alive", "X-A: a", "Keep-Alive: timeout=1", "Upgrade: h2c", "Content-Length: 4"],
          "well",
        ),
        200,
        "whole",
        /^(?:X-A|Upgrade|Keep-Alive: timeout=1)/im,
      ],
      [
        "the origin's affairs",
        ok(['Clear-Site-Data: "*"', "Service-Worker-Allowed: /", "Set-Cookie: MMAUTHTOKEN=x", "Content-Length: 0"]),
        200,
        "whole",
        /^(?:Clear|Service|Set)/im,
      ],
      ["too large a head", ok([`X-A: ${"a".repeat(70_000)}`, "Content-Length: 0"]), 500, "whole", /X-A/],
      ["a head without end", ok([`X-A: ${"a".repeat(1_000_000)}`]), 500, "whole", /X-A/],
      ["too many fields", ok(Array.from({ length: 6000 }, () => "a:b")), 500, "whole", /a:b/],
    ]

    it.live("is passed on, or a clean failure, and leaves the connection in step", () =>
      Effect.gen(function* () {
        for (const [name, bytes, status, end, never] of answers) {
          yield* Effect.gen(function* () {
            const plugin = rawPlugin((socket) => {
              socket.on("data", (chunk: Buffer) => {
                if (chunk.includes("/next")) socket.end(ok(["Content-Length: 4"], "next"))
                else socket.end(bytes, "latin1")
              })
            })
            const host = yield* direct({ plugin })
            const { until, untilClosed, write } = yield* host.connect
            write(head("GET", "/plugins/fake/x"))
            yield* end === "cut" ? untilClosed : until(/HTTP\/1\.1 /)
            write(head("GET", "/plugins/fake/next", closing))
            const answer = yield* untilClosed
            assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), name)
            assert.strictEqual(answer.includes("next"), end === "whole", `${name}: ${answer.slice(0, 500)}`)
            const [first = ""] = answer.split(/(?<=.)(?=HTTP\/1\.1 )/s)
            if (never !== undefined) assert.notMatch(first, never, name)
            if (status >= 500 && status < 600) assert.match(answer, /"message":"/, name)
            assert.match(answer, /^x-content-type-options: nosniff|^HTTP\/1\.1 5/im, name)
          }).pipe(
            Effect.scoped,
            Effect.mapError((cause) => new Error(name, { cause })),
          )
        }
      }),
    )

    it.live("keeps several values, letters of Latin-1, and what HEAD tells of a length", () =>
      Effect.gen(function* () {
        const fields = ["Set-Cookie: a=1; Domain=example.org", "Set-Cookie: b=2", "X-A: caf\xe9", "Content-Length: 5"]
        const host = yield* direct({ plugin: answering(ok(fields)) })
        const { body, head: lines } = yield* asked(host, head("HEAD", "/plugins/fake/x", closing))
        assert.strictEqual(body, "")
        for (const line of ["Set-Cookie: a=1", "Set-Cookie: b=2", "X-A: caf\xe9", "Content-Length: 5"]) {
          assert.include(lines.split("\r\n"), line)
        }
      }).pipe(Effect.scoped),
    )

    it.live("begins before there is a body", () =>
      Effect.gen(function* () {
        const host = yield* direct({ plugin: rawPlugin((socket) => socket.write(ok(["Content-Length: 4"]))) })
        const { until, write } = yield* host.connect
        write(head("GET", "/plugins/fake/x"))
        yield* until(/200 OK\r\n.*\r\n\r\n$/s)
      }).pipe(Effect.scoped),
    )

    it.live("is as fast as its client, which counts as gone when it takes nothing", () =>
      Effect.gen(function* () {
        let sent = 0
        let ended = false
        const plugin = nodePlugin((_, response) => {
          const chunk = Buffer.alloc(65_536, "x")
          const more = () => {
            while (!response.destroyed) {
              sent += chunk.length
              if (!response.write(chunk)) return
            }
          }
          response.on("drain", more)
          response.on("close", () => (ended = true))
          more()
        })
        const host = yield* direct({ plugin, routes: { clientStallTimeout: "2 seconds" } })
        const { received, socket, until, write } = yield* host.connect
        write(head("GET", "/plugins/fake/x"))
        yield* until(/200 OK/)
        socket.pause()
        yield* eventually("the plugin was told", () => ended)
        assert.isBelow(sent - received().length, 32 * 1024 * 1024)
        yield* host.idle
      }).pipe(Effect.scoped),
    )
  })

  describe("a plugin's own server that does not answer", () => {
    it.live("is a 504, from the end of the upload and where it takes none", () =>
      Effect.gen(function* () {
        const opened: Array<Socket> = []
        const plugin = rawPlugin((socket) => void opened.push(socket.pause()))
        const host = yield* direct({ plugin, hooks: deadline("500 millis") })
        yield* isStatus(host, GET, 504)
        yield* isStatus(host, `${head("POST", "/plugins/fake/x", ["Content-Length: 5", ...closing])}hello`, 504)
        const { untilClosed, write } = yield* host.connect
        write(head("POST", "/plugins/fake/x", ["Content-Length: 50000000"]) + "x".repeat(5_000_000))
        assert.match(yield* untilClosed, /^HTTP\/1\.1 504 .*connection: close/is)
        // A client that is slow is none of the plugin's.
        const slow = yield* host.connect
        slow.write(head("POST", "/plugins/fake/x", ["Content-Length: 9"]))
        yield* Effect.sleep("1500 millis")
        assert.strictEqual(slow.received(), "")
        slow.write("all of it")
        yield* slow.until(/^HTTP\/1\.1 504 /)
        for (const socket of opened) socket.resume()
        yield* eventually("they were told", () =>
          opened.every(({ destroyed, readableEnded }) => destroyed || readableEnded),
        )
      }).pipe(Effect.scoped),
    )

    it.live("has all the time there is once it has begun", () =>
      Effect.gen(function* () {
        const plugin = rawPlugin((socket) => {
          socket.write(ok(["Content-Length: 4"]))
          setTimeout(() => socket.write("late"), 1500)
        })
        const host = yield* direct({ plugin, hooks: deadline("300 millis") })
        assert.strictEqual((yield* asked(host, GET)).body, "late")
      }).pipe(Effect.scoped),
    )

    it.live("is a 503 when it can't be reached, and each failure is counted as a hook's", () =>
      Effect.gen(function* () {
        const log = recordLog()
        yield* Effect.gen(function* () {
          const host = yield* direct({})
          const { head: lines } = yield* isStatus(host, GET, 503)
          assert.match(lines, /^retry-after: 1/im)
          const entry = log.entries.find(({ message }) => message.includes("ServeHTTP"))
          assert.match(String(entry?.message), /did not reach the plugin \(ENOENT/)
          assert.strictEqual(entry?.fields["plugin_id"], "fake")
          const counted = (yield* Metric.snapshot).find(
            ({ attributes, id }) =>
              id === "plugin_hook_calls" &&
              attributes?.["hook"] === "ServeHTTP" &&
              attributes["plugin"] === "fake" &&
              attributes["outcome"] === "transport",
          )
          assert.isDefined(counted)
          yield* host.idle
        }).pipe(Effect.scoped, Effect.provide(log.layer))
      }),
    )
  })

  describe("a kept connection that its plugin closes", () => {
    /** Answers one request a connection, and ends it when the second comes. */
    const closingServer = () => {
      const requests: Array<string> = []
      const plugin = rawPlugin((socket) => {
        let count = 0
        socket.on("data", (chunk) => {
          requests.push(chunk.toString().split("\r\n")[0]!)
          if (++count === 1) socket.write(ok(["Content-Length: 4"], "well"))
          else socket.destroy()
        })
      })
      return { plugin, requests }
    }
    const warm = (host: Direct) => isStatus(host, GET, 200)

    it.live("is no failure of what may be asked twice, and is for all else", () =>
      Effect.gen(function* () {
        const { plugin, requests } = closingServer()
        const host = yield* direct({ plugin })
        for (const method of ["GET", "HEAD", "DELETE", "PUT"]) {
          yield* warm(host)
          requests.length = 0
          yield* isStatus(host, head(method, "/plugins/fake/x", closing), 200)
          assert.lengthOf(requests, 2, method)
        }
        for (const request of [
          head("POST", "/plugins/fake/x", closing),
          `${head("PUT", "/plugins/fake/x", ["Content-Length: 5", ...closing])}hello`,
        ]) {
          yield* warm(host)
          requests.length = 0
          yield* isStatus(host, request, 502)
          assert.lengthOf(requests, 1)
        }
      }).pipe(Effect.scoped),
    )

    it.live("is asked no second time on a new one", () =>
      Effect.gen(function* () {
        let count = 0
        const plugin = rawPlugin((socket) => {
          socket.on("data", () => {
            count++
            socket.destroy()
          })
        })
        yield* isStatus(yield* direct({ plugin }), GET, 502)
        assert.strictEqual(count, 1)
      }).pipe(Effect.scoped),
    )
  })

  describe("a plugin's own server that answers before it has read all", () => {
    const early = () =>
      rawPlugin((socket) => {
        socket.once("data", () => {
          socket.pause()
          socket.write("HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge")
        })
      })

    it.live("ends the upload, and the client's connection", () =>
      Effect.gen(function* () {
        const host = yield* direct({ plugin: early() })
        const large = "x".repeat(3_000_000)
        for (const body of [large, undefined]) {
          const { untilClosed, write } = yield* host.connect
          write(
            head(
              "POST",
              "/plugins/fake/x",
              body === undefined ? ["Transfer-Encoding: chunked"] : ["Content-Length: 50000000"],
            ),
          )
          write(body ?? `${large.length.toString(16)}\r\n${large}`)
          assert.match(yield* untilClosed, /^HTTP\/1\.1 413 .*connection: close.*large$/is)
          yield* host.idle
        }
        yield* eventually("its connections are gone", () => inUse(host) === 0)
      }).pipe(Effect.scoped),
    )

    it.live("lets go of the client that leaves meanwhile", () =>
      Effect.gen(function* () {
        let isTold = false
        const plugin = rawPlugin((socket) => {
          for (const event of ["end", "close"]) socket.on(event, () => (isTold = true))
          socket.once("data", () => {
            socket.pause()
            socket.write(ok(["Transfer-Encoding: chunked"], "4\r\ntick\r\n"))
          })
          setTimeout(() => socket.resume(), 1000)
        })
        const host = yield* direct({ plugin })
        const { socket, until, write } = yield* host.connect
        write(head("POST", "/plugins/fake/x", ["Content-Length: 50000000"]) + "x".repeat(3_000_000))
        yield* until(/tick/)
        socket.resetAndDestroy()
        yield* host.idle
        yield* eventually("the plugin was told", () => isTold)
      }).pipe(Effect.scoped),
    )
  })

  describe("a host that forwards HTTP", () => {
    it.live("forgets clients that leave at any moment", () =>
      Effect.gen(function* () {
        const plugin = nodePlugin((request, response) => {
          request.on("error", () => {})
          if (request.method === "POST") return void request.pipe(response)
          response.write("tick")
          setTimeout(() => response.end("tock"), 5)
        })
        const host = yield* direct({ plugin })
        const round = (index: number) =>
          Effect.callback<void>((resume) => {
            const request = httpRequest({
              port: host.port,
              path: "/plugins/fake/x",
              method: index % 2 === 0 ? "GET" : "POST",
              agent: false,
            })
            request.on("error", () => {})
            request.on("response", (response) => response.on("error", () => {}).resume())
            request.on("close", () => resume(Effect.void))
            if (index % 2 === 0) request.end()
            else request.write("x".repeat(100_000))
            setTimeout(() => request.destroy(), index % 13)
          })
        yield* Effect.forEach(
          Array.from({ length: 600 }, (_, index) => index),
          round,
          { concurrency: 32, discard: true },
        )
        yield* host.idle
        yield* eventually("no connection is in use", () => inUse(host) === 0)
        yield* isStatus(host, GET, 200)
      }).pipe(Effect.scoped),
    )

    it.live("waits for what is in flight when a plugin is taken out, and no longer than it may", () =>
      Effect.gen(function* () {
        const plugin = nodePlugin((_, response) => void response.write("tick"))
        const host = yield* direct({ plugin })
        const { until, write } = yield* host.connect
        write(head("GET", "/plugins/fake/x"))
        yield* until(/tick/)
        assert.isFalse(yield* host.registration.withdraw("200 millis"))
        assert.strictEqual((yield* asked(host, GET)).status, 404)
      }).pipe(Effect.scoped),
    )

    it.live("ends with open streams, within its limit", () =>
      Effect.gen(function* () {
        const plugin = nodePlugin((_, response) => void response.write("tick"))
        const host = yield* direct({ plugin })
        const { until, untilClosed, write } = yield* host.connect
        write(head("GET", "/plugins/fake/x"))
        yield* until(/tick/)
        yield* Effect.timeout(host.stop, "20 seconds")
        yield* untilClosed
      }).pipe(Effect.scoped),
    )
  })
})
