/** What a plugin's own HTTP server is sent: the client's request, by the host's rules. */
import { randomBytes } from "node:crypto"
import { type IncomingMessage, request } from "node:http"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Tracer } from "effect"
import { asked, directBy, ENTRANCES, nodePlugin, rawPlugin, TOKEN } from "../support/direct.ts"
import { eventually } from "../support/host.ts"
import { head } from "../support/rawHttp.ts"

const closing = ["Connection: close"]

/** A plugin that answers with what it was asked. */
const inspecting = () =>
  nodePlugin((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString()
      const text = JSON.stringify({ method: request.method, url: request.url, raw: request.rawHeaders, body })
      response.end(text, "latin1")
    })
  })

/** A head's fields, by lower-case name, in the order of their values. */
const fields = (raw: IncomingMessage["rawHeaders"]): Record<string, ReadonlyArray<string>> => {
  const found: Record<string, Array<string>> = {}
  for (let index = 0; index < raw.length; index += 2) (found[raw[index]!.toLowerCase()] ??= []).push(raw[index + 1]!)
  return found
}

const seen = (body: string) => {
  const text = JSON.parse(/\{.*\}/s.exec(body)![0]) as {
    method: string
    url: string
    raw: Array<string>
    body: string
  }
  return { ...text, fields: fields(text.raw) }
}

describe.each(ENTRANCES)("by the %s", (entrance) => {
  const direct = directBy(entrance)

  describe("a request to a plugin's own server", () => {
    it.live("is the client's, without what is not for plugins, and with what the host knows", () =>
      Effect.gen(function* () {
        const host = yield* direct({ plugin: inspecting() })
        const { body } = yield* asked(
          host,
          head("GET", `/plugins/fake/a%2Fb/caf%E9?x=1&access_token=y&t=${TOKEN}&y=2`, [
            "Connection: close, X-Named, Mattermost-User-Id, X-Forwarded-For, Plugin-Supervisor-Client",
            "X-Named: 1",
            "Keep-Alive: 1",
            "TE: trailers",
            "Trailer: X-T",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
            `Authorization: Bearer ${TOKEN}`,
            `X-Token: ${TOKEN}`,
            "Cookie: a=1; MMAUTHTOKEN=x",
            "Cookie: b=2",
            "X-Many: 1",
            "X-Many: 2",
            "X-Latin: caf\xe9",
            "Accept-Language: de",
            ...[
              "Mattermost-User-Id",
              "mattermost_user_id",
              "MATTERMOST-PLUGIN-ID",
              "Plugin-Supervisor-Request-Id",
              "plugin_supervisor_client",
              "Plugin-Supervisor-Anything",
              "X_Forwarded_For",
              "X-Forwarded-Prefix",
              "X-Real-IP",
              "Content_Length",
              "Transfer_Encoding",
              "Referer",
            ].map((name) => `${name}: spoofed`),
          ]),
        )
        const { fields, method, raw, url } = seen(body)
        assert.deepStrictEqual([method, url], ["GET", "/a%2Fb/caf%E9?x=1&y=2"])
        assert.notInclude(body, TOKEN)
        assert.notInclude(body, "spoofed")
        const { "plugin-supervisor-client": client, "plugin-supervisor-request-id": id, ...others } = fields
        assert.match(client![0]!, /^127\.0\.0\.1:\d+$/)
        assert.match(id![0]!, /^\w{26}$/)
        assert.deepStrictEqual(others, {
          host: ["localhost"],
          "x-many": ["1", "2"],
          "x-latin": ["caf\xe9"],
          "accept-language": ["de"],
          cookie: ["a=1; b=2"],
          "mattermost-user-id": ["user-1"],
          "x-forwarded-for": ["127.0.0.1"],
          "x-forwarded-proto": ["http"],
          "x-forwarded-host": ["localhost"],
          "plugin-supervisor-target": ["/plugins/fake/a%2Fb/caf%E9?x=1&y=2"],
          "plugin-supervisor-protocol": ["HTTP/1.1"],
          connection: ["keep-alive"],
        })
        assert.strictEqual(raw[0]!.toLowerCase(), "host")
      }).pipe(Effect.scoped),
    )

    it.live("says for whom it is once, whatever its form", () =>
      Effect.gen(function* () {
        const host = yield* direct({ plugin: inspecting() })
        const hosts = (bytes: string) => Effect.map(asked(host, bytes), ({ body }) => seen(body).fields["host"])
        const absolute = head("GET", "http://localhost:1/plugins/fake/x", closing)
        assert.deepStrictEqual(yield* hosts(absolute), ["localhost:1"])
        const old = "GET /plugins/fake/x HTTP/1.0\r\n\r\n"
        assert.deepStrictEqual(yield* hosts(old), [""])
        const { body } = yield* asked(host, old)
        assert.deepStrictEqual(seen(body).fields["plugin-supervisor-protocol"], ["HTTP/1.0"])
        assert.strictEqual(seen((yield* asked(host, head("GET", "/plugins/fake", closing))).body).url, "/")
      }).pipe(Effect.scoped),
    )

    it.live("names as the client whom a trusted proxy names, and nobody else", () =>
      Effect.gen(function* () {
        const given = [
          "X-Forwarded-For: 6.6.6.6, 203.0.113.7, 10.0.0.9",
          "X-Forwarded-Proto: https",
          "X-Forwarded-Host: plugins.example.org",
          "Forwarded: for=9.9.9.9;host=evil",
        ]
        const told = (trustedProxies: ReadonlyArray<string> | undefined) =>
          Effect.scoped(
            Effect.gen(function* () {
              const host = yield* direct({ plugin: inspecting(), routes: { trustedProxies } })
              const { fields } = seen((yield* asked(host, head("GET", "/plugins/fake/x", [...given, ...closing]))).body)
              assert.isUndefined(fields["forwarded"])
              return ["for", "proto", "host"].map((name) => fields[`x-forwarded-${name}`])
            }),
          )
        assert.deepStrictEqual(yield* told([]), [["127.0.0.1"], ["http"], ["localhost"]])
        assert.deepStrictEqual(yield* told(undefined), [["10.0.0.9"], ["https"], ["plugins.example.org"]])
        assert.deepStrictEqual(yield* told(["127.0.0.1", "10.0.0.0/8"]), [
          ["203.0.113.7"],
          ["https"],
          ["plugins.example.org"],
        ])
      }),
    )

    it.live("is part of the host's trace where somebody listens, and else of the client's", () =>
      Effect.gen(function* () {
        const theirs = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`
        const told = Effect.gen(function* () {
          const host = yield* direct({ plugin: inspecting() })
          const { body } = yield* asked(host, head("GET", "/plugins/fake/x", [`traceparent: ${theirs}`, ...closing]))
          return seen(body).fields["traceparent"]
        }).pipe(Effect.scoped)
        assert.deepStrictEqual(yield* told, [theirs])
        const spans: Array<Tracer.NativeSpan> = []
        const tracer = Tracer.make({
          span: (options) => {
            const span = new Tracer.NativeSpan(options)
            spans.push(span)
            return span
          },
        })
        const [ours] = (yield* Effect.provideService(told, Tracer.Tracer, tracer))!
        const hook = spans.find(({ name }) => name === "hook ServeHTTP")!
        assert.strictEqual(ours, `00-${hook.traceId}-${hook.spanId}-01`)
      }),
    )
  })

  describe("the body of a request to a plugin's own server", () => {
    /** What a plugin has read on its connections, which answers each head with an empty 200. */
    const recording = () => {
      const read: Array<string> = []
      const plugin = rawPlugin((socket) => {
        const index = read.push("") - 1
        socket.on("data", (chunk) => {
          read[index] += chunk.toString("latin1")
          if (/\r\n\r\n(?:.*0\r\n\r\n|hello)?$/s.test(read[index]!))
            socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        })
      })
      return { plugin, read }
    }

    it.live("is framed as the client frames it, whatever the method", () =>
      Effect.gen(function* () {
        const { plugin, read } = recording()
        const host = yield* direct({ plugin })
        for (const method of ["GET", "DELETE", "OPTIONS", "POST", "PUT", "PATCH"]) {
          const sent = Effect.fnUntraced(function* (fields: ReadonlyArray<string>, body: string) {
            read.length = 0
            const { status } = yield* asked(host, head(method, "/plugins/fake/x", [...fields, ...closing]) + body)
            assert.strictEqual(status, 200, method)
            assert.lengthOf(read, 1)
            const [lines, ...rest] = read[0]!.split("\r\n\r\n")
            return {
              framing: lines!.toLowerCase().match(/^(?:content-length|transfer-encoding): .*$/gm),
              body: rest.join("\r\n\r\n"),
            }
          })
          const smuggled = "7\r\nGET /x \r\n0\r\n\r\n"
          assert.deepStrictEqual(yield* sent(["Transfer-Encoding: chunked"], smuggled), {
            framing: ["transfer-encoding: chunked"],
            body: smuggled,
          })
          assert.deepStrictEqual(yield* sent(["Content-Length: 5"], "hello"), {
            framing: ["content-length: 5"],
            body: "hello",
          })
          const none = yield* sent([], "")
          assert.strictEqual(none.body, "")
          assert.deepStrictEqual(none.framing, ["POST", "PUT", "PATCH"].includes(method) ? ["content-length: 0"] : null)
        }
      }).pipe(Effect.scoped),
    )

    it.live("has no trailers, and is not taken before somebody is there for it", () =>
      Effect.gen(function* () {
        const { plugin, read } = recording()
        const host = yield* direct({ plugin })
        const chunks = "5\r\nhello\r\n0\r\nMattermost-User-Id: forged\r\n\r\n"
        const fields = ["Transfer-Encoding: chunked", "Trailer: Mattermost-User-Id", ...closing]
        assert.strictEqual((yield* asked(host, head("POST", "/plugins/fake/x", fields) + chunks)).status, 200)
        assert.notMatch(read.join(), /forged|trailer/i)
        const { until, write } = yield* host.connect
        write(head("POST", "/plugins/fake/x", ["Content-Length: 5", "Expect: 100-continue"]))
        yield* until(/^HTTP\/1\.1 100 Continue\r\n\r\n$/)
        write("hello")
        yield* until(/HTTP\/1\.1 200 OK/)
        assert.notMatch(read.join(), /expect/i)
        const gone = yield* direct({})
        const refused = yield* gone.connect
        refused.write(head("POST", "/plugins/fake/x", ["Content-Length: 5", "Expect: 100-continue"]))
        assert.match(yield* refused.untilClosed, /^HTTP\/1\.1 503 .*retry-after: 1/is)
      }).pipe(Effect.scoped),
    )

    it.live("is what the client sends, and what it gets back, of any size", () =>
      Effect.gen(function* () {
        const host = yield* direct({ plugin: nodePlugin((request, response) => void request.pipe(response)) })
        for (const size of [1, 16_384, 65_536, 100_000, 8_000_000]) {
          const body = randomBytes(size)
          for (const isWhole of [true, false]) {
            const back = yield* Effect.callback<Buffer, Error>((resume) => {
              const chunks: Array<Buffer> = []
              const fail = (error: Error) => resume(Effect.fail(error))
              const client = request({ port: host.port, path: "/plugins/fake/x", method: "POST" }, (response) => {
                response.on("data", (chunk: Buffer) => {
                  chunks.push(chunk)
                  // Slowly, so that it fills up from here to there.
                  response.pause()
                  setImmediate(() => response.resume())
                })
                response.on("end", () => resume(Effect.succeed(Buffer.concat(chunks))))
                response.on("error", fail)
              })
              client.on("error", fail)
              if (isWhole) client.setHeader("Content-Length", size)
              client.end(body)
            })
            assert.isTrue(back.equals(body), `${size} bytes, ${isWhole ? "as a whole" : "in chunks"}`)
          }
        }
      }).pipe(Effect.scoped),
    )

    it.live("streams both ways, and ends with its client", () =>
      Effect.gen(function* () {
        let ended = 0
        const plugin = nodePlugin((request, response) => {
          response.on("close", () => ended++)
          request.on("error", () => {})
          request.pipe(response)
        })
        const host = yield* direct({ plugin })
        const { socket, until, write } = yield* host.connect
        write(`${head("POST", "/plugins/fake/x", ["Transfer-Encoding: chunked"])}5\r\nfirst\r\n`)
        yield* until(/first/)
        write("6\r\nsecond\r\n")
        yield* until(/second/)
        socket.destroy()
        yield* eventually("the plugin was told", () => ended === 1)
        yield* host.idle
      }).pipe(Effect.scoped),
    )
  })
})
