/**
 * Clients and plugins that break HTTP, against a supervisor as its operator starts it: it lives, others are served, and
 * nothing stays.
 */
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { eventually, noPython } from "../support/host.ts"
import { exchange, head, type Wire } from "../support/rawHttp.ts"
import { answers } from "./answers.ts"
import {
  connected,
  isUnharmed,
  MAX_REQUESTS,
  PLUGIN,
  request,
  Supervisor,
  supervisor,
  TOKEN,
} from "../support/supervisor.ts"
import { WAYS } from "../support/ways.ts"

/** What comes back over a connection until it is closed. */
const sent = (bytes: string) => Effect.flatMap(Supervisor, ({ port }) => exchange(port, bytes))
const closing = ["Connection: close"]
const body = "x".repeat(300_000)
const upload = (path: string, length = 1_048_576) => head("POST", path, [`Content-Length: ${length}`]) + body

describe.skipIf(noPython).each(WAYS)("HTTP, by %s", (way) => {
  layer(supervisor(way), { timeout: "90 seconds", excludeTestServices: true })((it) => {
    /** Where in a request a client goes; and what it waits for before. */
    const departures: ReadonlyArray<readonly [string, string, RegExp?]> = [
      ["before the head is complete", "POST /plugins/http-cases/echo HTTP/1.1\r\nHost: loc"],
      ["in a body that is read", upload(`${PLUGIN}/echo`), /x{1000}/],
      ["in a body that nobody reads", upload(`${PLUGIN}/ticks`), /tick/],
      ["in a body in chunks", head("POST", `${PLUGIN}/echo`, ["Transfer-Encoding: chunked"]) + "5\r\nab", /200 OK/],
      ["before it is told to continue", head("POST", `${PLUGIN}/early`, ["Content-Length: 9", "Expect: 100-continue"])],
      [
        "in an upload that waits for an earlier answer",
        head("GET", `${PLUGIN}/ticks`) + upload(`${PLUGIN}/echo`),
        /tick/,
      ],
      ["during an answer that it reads", head("GET", `${PLUGIN}/flood`), /x{60000}/],
      ["during an answer, having asked for more", head("GET", `${PLUGIN}/ticks`).repeat(8), /tick|503 S/],
      [
        "having asked for a tunnel behind requests",
        head("GET", `${PLUGIN}/ticks`) +
          head("GET", `${PLUGIN}/ticks`) +
          head("HEAD", "/nowhere") +
          head("CONNECT", "x:1"),
      ],
      ["in an upload that was answered", upload(`${PLUGIN}/early`), /too large/],
      ["in an upload to nobody", upload("/plugins/nobody/x")],
      ["in an upload to nowhere", upload("/nowhere")],
      ["in an upload to the REST API", upload("/api/v4/posts")],
      [
        "in an upload by somebody",
        upload("/api/v4/posts").replace("\r\n\r\n", `\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`),
      ],
    ]
    const ways: ReadonlyArray<readonly [string, (connection: Wire) => void]> = [
      ["FIN", ({ socket }) => socket.destroy()],
      ["RST", ({ socket }) => socket.resetAndDestroy()],
      ["half-closing", ({ socket }) => socket.end()],
    ]
    it.effect("survives clients that go, sixteen at once, wherever they are", () =>
      Effect.gen(function* () {
        for (const [where, bytes, pattern] of departures) {
          for (const [how, leave] of ways) {
            yield* Effect.scoped(
              Effect.gen(function* () {
                const connections = yield* Effect.all(Array.from({ length: 16 }, () => connected))
                for (const { write } of connections) write(bytes)
                if (pattern !== undefined) yield* Effect.forEach(connections, ({ until }) => until(pattern))
                for (const connection of connections) leave(connection)
              }),
            )
            yield* Effect.mapError(
              isUnharmed,
              (cause) => new Error(`after clients went ${where}, by ${how}`, { cause }),
            )
          }
        }
      }),
    )

    it.effect("survives sixteen uploads that are cut off together, a dozen times", () =>
      Effect.gen(function* () {
        for (let round = 0; round < 12; round++) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const connections = yield* Effect.all(Array.from({ length: 16 }, () => connected))
              // Behind another request, an upload is told of its end in one tick, and its reader in the next.
              for (const { write } of connections) write(head("GET", `${PLUGIN}/ticks`) + upload(`${PLUGIN}/echo`))
              yield* Effect.forEach(connections, ({ until }) => until(/tick|503 S/))
              for (const { socket } of connections) socket.resetAndDestroy()
            }),
          )
        }
        yield* isUnharmed
      }),
    )

    const smuggled = head("GET", `${PLUGIN}/inspect?smuggled`)
    const shapes: ReadonlyArray<readonly [string, string]> = [
      ["a length and chunks", head("POST", `${PLUGIN}/echo`, ["Content-Length: 4", "Transfer-Encoding: chunked"])],
      ["two lengths", head("POST", `${PLUGIN}/echo`, ["Content-Length: 0", "Content-Length: 4"])],
      ["a list of lengths", head("POST", `${PLUGIN}/echo`, ["Content-Length: 0, 4"])],
      ["a length with a sign", head("POST", `${PLUGIN}/echo`, ["Content-Length: +4"])],
      ["a length in hexadecimal", head("POST", `${PLUGIN}/echo`, ["Content-Length: 0x4"])],
      ["a length that is too large", head("POST", `${PLUGIN}/echo`, ["Content-Length: 18446744073709551615"])],
      ["a length that no integer holds", head("POST", `${PLUGIN}/echo`, ["Content-Length: 9223372036854775808"])],
      ["another encoding", head("POST", `${PLUGIN}/echo`, ["Transfer-Encoding: xchunked"])],
      ["a blank before the colon", head("POST", `${PLUGIN}/echo`, ["Content-Length : 4"])],
      ["a folded line", head("POST", `${PLUGIN}/echo`, ["X-A: a", " Content-Length: 4"])],
      ["a bare line feed", `POST ${PLUGIN}/echo HTTP/1.1\nHost: localhost\n\n`],
      ["a NUL", head("POST", `${PLUGIN}/echo`, ["X-A: a\0b"])],
      ["a bad size of a chunk", head("POST", `${PLUGIN}/early`, ["Transfer-Encoding: chunked"]) + "g\r\n"],
      ["two hosts", head("GET", `${PLUGIN}/inspect`, ["Host: localhost", ...closing])],
      ["no host", `GET ${PLUGIN}/inspect HTTP/1.1\r\n\r\n`],
      ["a fragment", head("GET", `${PLUGIN}/inspect#x`, closing)],
      ["dots", head("GET", `${PLUGIN}/%2e%2E/echo`, closing)],
      ["a backslash", head("GET", `${PLUGIN}/a\\b`, closing)],
      ["a user", head("GET", `http://x@localhost${PLUGIN}/inspect`, closing)],
      ["no path", head("OPTIONS", "*", closing)],
      ["another spelling of the route", head("GET", "/%70lugins/http-cases/inspect", closing)],
      ["another case of the route", head("GET", "/Plugins/http-cases/inspect", closing)],
      ["slashes", head("GET", "//plugins//http-cases/inspect", closing)],
      ["a parameter of the id", head("GET", "/plugins/http-cases;a=b/inspect", closing)],
      ["a query in the path", head("GET", "/plugins/http-cases%3F/inspect", closing)],
      ["too large a head", head("GET", `${PLUGIN}/inspect`, [`X-A: ${"a".repeat(100_000)}`])],
      [
        "too many fields",
        head(
          "GET",
          `${PLUGIN}/inspect`,
          Array.from({ length: 1500 }, () => "a:b"),
        ),
      ],
      ["no HTTP at all", "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n"],
      ["CONNECT", head("CONNECT", "localhost:80")],
      ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ]
    it.effect("refuses what two readers may read in two ways, and serves nothing behind it", () =>
      Effect.gen(function* () {
        for (const [name, bytes] of shapes) {
          const answer = yield* Effect.mapError(sent(bytes + smuggled), (cause) => new Error(name, { cause }))
          const statuses = [...answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
          assert.isAtMost(statuses.length, 1, `${name}: ${answer}`)
          for (const status of statuses) assert.isTrue(status >= 400 && status < 500, `${name}: ${answer}`)
          assert.notInclude(answer, "smuggled", name)
          if (bytes.endsWith(`${closing.join()}\r\n\r\n`)) assert.match(answer, /"message":"/, name)
        }
        yield* isUnharmed
      }),
    )

    it.effect("reads a target in one way, whatever its form", () =>
      Effect.gen(function* () {
        const seen = (target: string) =>
          Effect.map(sent(head("GET", target, closing)), (answer) => JSON.parse(/\{.*\}/s.exec(answer)![0]))
        assert.deepInclude(yield* seen(`http://localhost:1${PLUGIN}/inspect?a=1`), {
          url: "/inspect?a=1",
          request_uri: `${PLUGIN}/inspect?a=1`,
          host: "localhost:1",
        })
        assert.deepInclude(yield* seen(`${PLUGIN}/inspect?caf%E9=100%;b`), { url: "/inspect?caf%E9=100%;b" })
        assert.match(yield* sent(head("GET", `${PLUGIN}/caf%E9`, closing)), /500 Internal Server Error/, "the plugin's")
        const missing = yield* request("/plugins/caf%E9/x")
        assert.deepInclude(JSON.parse(missing.text), { status_code: 404 })
      }),
    )

    it.effect("keeps its token from the plugin, in whatever form it comes", () =>
      Effect.gen(function* () {
        const escaped = encodeURIComponent(TOKEN)
        const fields = [
          `Authorization: Token ${TOKEN}`,
          `Authorization: Bearer ${TOKEN}`,
          `X-Token: ${TOKEN}`,
          `X-Escaped: ${escaped}`,
          `Cookie: a=1; MMAUTHTOKEN =${TOKEN}; b=${TOKEN}; c=2`,
          "X-Other: kept",
        ]
        const query = `a=1&access%5Ftoken=x;access_token=y&;t=${escaped}&${escaped}&b=2`
        const answer = yield* sent(head("GET", `${PLUGIN}/inspect?${query}`, [...fields, ...closing]))
        const { id: me } = JSON.parse((yield* request("/api/v4/users/me", { authorization: `Bearer ${TOKEN}` })).text)
        const seen = JSON.parse(/\{.*\}/s.exec(answer)![0])
        assert.strictEqual(seen.url, "/inspect?a=1&&b=2")
        assert.deepStrictEqual(seen.headers, {
          Host: ["localhost"],
          "X-Other": ["kept"],
          Cookie: ["a=1; c=2"],
          "Mattermost-User-Id": [me],
          "X-Forwarded-For": ["127.0.0.1"],
          "X-Forwarded-Proto": ["http"],
          "X-Forwarded-Host": ["localhost"],
        })
        for (const form of [TOKEN, escaped]) assert.notInclude(answer, form)
        const inPath = yield* request(`${PLUGIN}/inspect;access_token=${escaped}`)
        assert.deepInclude(JSON.parse(inPath.text), { status_code: 400 })
      }),
    )

    it.effect("answers nobody who asks for another host, on any route", () =>
      Effect.gen(function* () {
        const asked = (host: string, path: string) =>
          sent(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${TOKEN}\r\nConnection: close\r\n\r\n`)
        for (const path of [`${PLUGIN}/inspect`, "/plugins/caf%E9/x", "/api/v4/users/me", "/metrics", "/nowhere"]) {
          const answer = yield* asked("evil.example", path)
          assert.match(answer, /^HTTP\/1\.1 421 .*"status_code":421/s, path)
          assert.notMatch(yield* asked("localhost", path), /^HTTP\/1\.1 421 /, path)
          assert.notMatch(yield* asked("allowed.example:1", path), /^HTTP\/1\.1 421 /, path)
        }
      }),
    )

    it.effect("ignores offers to speak another protocol, with or without a body", () =>
      Effect.gen(function* () {
        const offers = [
          "Connection: Upgrade, HTTP2-Settings",
          "Upgrade: h2c",
          "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
        ]
        const socket = [
          "Connection: Upgrade",
          "Upgrade: websocket",
          "Sec-WebSocket-Version: 13",
          `Sec-WebSocket-Key: ${"A".repeat(22)}==`,
        ]
        const connection = yield* connected
        const answered = (bytes: string, pattern: RegExp) => {
          connection.write(bytes)
          return connection.until(pattern)
        }
        yield* answered(head("GET", `${PLUGIN}/inspect?first`, offers), /200 OK.*\?first/s)
        const chunked = head("POST", `${PLUGIN}/echo`, [...offers, "Transfer-Encoding: chunked"])
        yield* answered(`${chunked}5\r\nhello\r\n0\r\n\r\n`, /200 OK.*hello/s)
        yield* answered(head("GET", "/nowhere", socket), /404 Not Found/)
        const received = yield* answered(head("GET", `${PLUGIN}/inspect?last`), /\?last/)
        assert.notMatch(received, /^(?:upgrade|http2-settings|connection: close)/im)
        // A handler that is no application has none: its answer is the last on its connection.
        const refused = yield* sent(head("GET", `${PLUGIN}/status?204`, socket))
        assert.match(refused, way === "HTTP" ? /^HTTP\/1\.1 403 / : /^HTTP\/1\.1 204 /)
      }).pipe(Effect.scoped),
    )

    it.effect("says that a connection ends, where it answers before all of a request was there", () =>
      Effect.gen(function* () {
        // What is on its way while the plugin answers is far less.
        const large = "x".repeat(30_000_000)
        const chunked = ["Transfer-Encoding: chunked"]
        for (const path of [`${PLUGIN}/early`, "/plugins/nobody/x", "/api/v4/posts", "/nowhere"]) {
          for (const fields of [[`Content-Length: ${large.length}`], chunked]) {
            const connection = yield* connected
            const announced = fields === chunked ? `${large.length.toString(16)}\r\n${large}` : large
            connection.write(head("POST", path, fields) + announced)
            assert.match(yield* connection.untilClosed, /^HTTP\/1\.1 4\d\d .*connection: close/is, path)
          }
        }
        // What is small or read is no reason to.
        const connection = yield* connected
        connection.write(`${head("POST", `${PLUGIN}/echo`, ["Content-Length: 5"])}hello`)
        assert.notMatch(yield* connection.until(/hello/), /connection: close/i)
        yield* isUnharmed
      }).pipe(Effect.scoped),
    )

    it.effect(
      "takes the rest of an upload that it has answered, for a client that reads nothing before it has sent all",
      () =>
        Effect.scoped(
          Effect.gen(function* () {
            // More than the kernel holds between the two.
            const large = Buffer.alloc(20_000_000)
            const { socket, write } = yield* connected
            write(head("POST", `${PLUGIN}/early`, [`Content-Length: ${large.length}`]))
            write(large)
            yield* eventually("all is sent", () => socket.writableLength === 0 || socket.destroyed, 20_000)
            assert.isNull(socket.errored)
          }),
        ).pipe(
          // It has half a second for that, which a busy machine may need more than once.
          Effect.sandbox,
          Effect.retry({ times: 20 }),
        ),
    )

    it.effect("has a bound on requests in flight for each plugin", () =>
      Effect.gen(function* () {
        const connections = yield* Effect.all(Array.from({ length: MAX_REQUESTS }, () => connected))
        for (const { write } of connections) write(head("GET", `${PLUGIN}/ticks`))
        yield* Effect.forEach(connections, ({ until }) => until(/tick/))
        const refused = yield* request(`${PLUGIN}/status?200`)
        assert.strictEqual(refused.status, 503)
        assert.strictEqual(refused.headers.get("retry-after"), "1")
        assert.deepInclude(JSON.parse(refused.text), { id: "app.plugin.busy", status_code: 503 })
        assert.strictEqual((yield* request("/plugins/nobody/x")).status, 404, "others are served")
      }).pipe(Effect.scoped, Effect.andThen(isUnharmed)),
    )

    it.effect("answers thousands of requests that a client sends without reading", () =>
      Effect.gen(function* () {
        const connection = yield* connected
        connection.socket.pause()
        connection.write(head("GET", `${PLUGIN}/status?200`).repeat(5000))
        assert.strictEqual((yield* request("/plugins/nobody/x")).status, 404)
        connection.socket.resume()
        yield* eventually("all are answered", () => connection.statuses().length === 5000, 60_000)
        for (const status of connection.statuses()) assert.include([200, 503], status)
        yield* isUnharmed
      }).pipe(Effect.scoped),
    )

    it.effect("makes the best of whatever a plugin answers, and keeps the connection in step", () =>
      Effect.gen(function* () {
        for (const [name, text, status, end] of answers[way]) {
          const asked = head("POST", `${PLUGIN}/raw`, [`Content-Length: ${Buffer.byteLength(text)}`]) + text
          const answer = yield* Effect.mapError(
            sent(asked + head("GET", `${PLUGIN}/inspect?next`, closing)),
            (cause) => new Error(name, { cause }),
          )
          assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), name)
          assert.strictEqual(answer.includes("inspect?next"), end === "whole", `${name}: ${answer.slice(0, 1000)}`)
          assert.notMatch(answer, /^X-[AB]:|^<script>|^Clear-Site-Data|MMAUTHTOKEN/im, name)
          assert.match(answer, /^x-content-type-options: nosniff|^HTTP\/1\.1 5/im, name)
          if (status >= 500) assert.match(answer, /"message":"/, name)
        }
        yield* isUnharmed
      }),
    )
  })
})
