/** Mattermost's rules for HTTP, through the supervisor as it is: whose a request is, `public/`, and requests between plugins. */
import { execFileSync } from "node:child_process"
import { chmodSync, readdirSync, readlinkSync, truncateSync, utimesSync, writeFileSync } from "node:fs"
import { request as httpRequest } from "node:http"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, it, layer } from "@effect/vitest"
import { Effect, Logger, Layer, Option } from "effect"
import { HttpServer } from "effect/http"
import { describe } from "vitest"
import { served } from "../support/served.ts"
import { folder, type Node } from "../support/folder.ts"
import { eventually, hostEnvironment, noPython } from "../support/host.ts"
import { exchange, head, wire } from "../support/rawHttp.ts"
import { server, TOKEN as USERS_TOKEN } from "../support/server.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"

const TOKEN = "token-of-the-test"

/** Shows what reaches it, and asks other plugins for what it is told to. */
const PLUGIN = `
import json

from mattermost_plugin import HookName, Plugin, PluginAPIError, hook, run_plugin


class Rules(Plugin):
    @hook(HookName.ServeHTTP)
    async def serve(self, ctx, writer, request):
        case = request.url.partition("?")[0].rpartition("/")[2]
        await getattr(self, "case_" + case, self.case_inspect)(writer, request)

    async def case_show(self, writer, request):
        headers = {name.lower(): values for name, values in request.headers.items()}
        writer.write(json.dumps({"headers": headers}))

    async def case_inspect(self, writer, request):
        body = await request.aread()
        writer.write(json.dumps({
            "plugin": await self.async_api.get_plugin_id(),
            "method": request.method,
            "url": request.url,
            "root_path": request.root_path,
            "headers": {name.lower(): values for name, values in request.headers.items()},
            "body": len(body),
        }))

    async def case_ask(self, writer, request):
        asked = json.loads(await request.aread())
        body = b"x" * asked.pop("body", 0)
        try:
            status, headers, body = await self.async_api.plugin_http(**asked, body=body)
            answer = {"status": status, "headers": headers, "body": body[:1000].decode()}
        except PluginAPIError as error:
            answer = {"error": error.error_id, "status": error.status_code}
        writer.write(json.dumps(answer))

    async def case_circle(self, writer, request):
        try:
            other = "two" if await self.async_api.get_plugin_id() == "one" else "one"
            status, _, body = await self.async_api.plugin_http("GET", f"/{other}/circle")
            writer.write_header(status)
            writer.write(body)
        except PluginAPIError as error:
            writer.write_header(error.status_code)
            writer.write(error.error_id)

    async def case_large(self, writer, request):
        writer.write(b"x" * (9 * 1024 * 1024))

    async def case_cookies(self, writer, request):
        for name in ["MMAUTHTOKEN", "MMCSRF", "own"]:
            writer.add_header("Set-Cookie", name + "=1")


if __name__ == "__main__":
    run_plugin(Rules)
`

const bundle = (id: string): { readonly [path: string]: Node } => ({
  [`plugins/${id}/plugin.json`]: JSON.stringify({ id, name: id, server: { executable: "plugin.py" } }),
  [`plugins/${id}/plugin.py`]: PLUGIN,
})

/** Long enough to arrive in pieces. */
const LONG = Array.from({ length: 40_000 }, (_, index) => `line ${index}\n`).join("")

const files: { readonly [path: string]: Node } = {
  ...bundle("one"),
  ...bundle("two"),
  "outside.txt": "outside",
  "plugins/one/secret.txt": "a secret",
  "plugins/one/public/app.js": "let a = 1",
  "plugins/one/public/long.txt": LONG,
  "plugins/one/public/empty": "",
  "plugins/one/public/page.html": "<p>",
  "plugins/one/public/own.jsonld": "{}",
  "plugins/one/public/what": "?",
  "plugins/one/public/caf\u00e9 +%.txt": "coffee",
  "plugins/one/public/sub/index.html": "index",
  "plugins/one/public/.env": "hidden",
  "plugins/one/public/.git/config": "hidden",
  "plugins/one/public/link-inside.js": { link: "app.js" },
  "plugins/one/public/link-outside.txt": { link: "../../../outside.txt" },
  "plugins/one/public/link-bundle.txt": { link: "../secret.txt" },
  "plugins/one/public/link-absolute": { link: "/etc/passwd" },
  "plugins/one/public/link-folder": { link: ".." },
  "plugins/one/public/link-loop": { link: "link-loop" },
  // Its folder itself is a link out of the bundle.
  "plugins/two/public": { link: "../.." },
}

interface Answered {
  readonly status: number
  readonly headers: { readonly [name: string]: string | ReadonlyArray<string> | undefined }
  readonly text: string
}
interface Asked {
  readonly method?: string
  readonly headers?: { readonly [name: string]: string }
  readonly body?: string
}

const port = Effect.gen(function* () {
  yield* (yield* MattermostPlugins.Environment).settled
  const { address } = yield* HttpServer.HttpServer
  return "port" in address ? address.port : 0
})

/** Node's own client, which sends what it is told to. */
const send = (path: string, { body, headers = {}, method = "GET" }: Asked = {}) =>
  Effect.flatMap(port, (port) =>
    Effect.callback<Answered, Error>((resume) => {
      const request = httpRequest({ host: "127.0.0.1", port, path, method, headers: { ...headers }, agent: false })
      request.on("error", (error) => resume(Effect.fail(error)))
      request.on("response", (response) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk: Buffer) => chunks.push(chunk))
        response.on("error", (error) => resume(Effect.fail(error)))
        response.on("end", () =>
          resume(
            Effect.succeed({
              status: response.statusCode ?? 0,
              headers: response.headers,
              text: Buffer.concat(chunks).toString(),
            }),
          ),
        )
      })
      request.end(body)
    }),
  )

/** What a plugin has seen of a request. */
const seen = (path: string, asked: Asked = {}) =>
  Effect.map(send(path, asked), ({ text }) => {
    assert.notInclude(text, TOKEN)
    assert.notInclude(text, USERS_TOKEN)
    return JSON.parse(text) as {
      readonly plugin: string
      readonly url: string
      readonly root_path: string
      readonly body: number
      readonly headers: { readonly [name: string]: ReadonlyArray<string> }
    }
  })
const userOf = (path: string, asked: Asked = {}) =>
  Effect.map(seen(path, asked), ({ headers }) => headers["mattermost-user-id"]?.join())

/** A request of plugin `one`'s to another. */
const ask = (request: {
  readonly method?: string
  readonly url: string
  readonly headers?: { readonly [name: string]: string }
  readonly body?: number
}) =>
  Effect.map(
    send("/plugins/one/ask", { method: "POST", body: JSON.stringify({ method: "GET", ...request }) }),
    ({ text }) => JSON.parse(text) as { readonly [key: string]: any },
  )

const live = Layer.unwrap(
  Effect.gen(function* () {
    const root = yield* folder({ ...files, token: TOKEN })
    chmodSync(join(root, "token"), 0o600)
    if (process.platform !== "win32") execFileSync("mkfifo", [join(root, "plugins/one/public/pipe")])
    utimesSync(join(root, "plugins/one/public/app.js"), 1_700_000_000, 1_700_000_000)
    return yield* served(root, join(root, "token"))
  }),
).pipe(Layer.provide(hostEnvironment), Layer.provide(NodeServices.layer), Layer.provide(Logger.layer([])))

describe.skipIf(noPython)("Mattermost's rules for HTTP", () => {
  layer(live, { timeout: "180 seconds", excludeTestServices: true })((it) => {
    it.effect("name the user of a token wherever it stands, and show it to no plugin", () =>
      Effect.gen(function* () {
        const me = JSON.parse((yield* send("/api/v4/users/me", { headers: { Authorization: `Bearer ${TOKEN}` } })).text)
          .id as string
        assert.match(me, /^\w{26}$/)
        const path = "/plugins/one/inspect"
        for (const headers of [
          { Authorization: `Bearer ${TOKEN}` },
          { Authorization: `BEARER ${TOKEN}` },
          { Authorization: `token ${TOKEN}` },
          { Cookie: `a=1; MMAUTHTOKEN=${TOKEN}` },
        ]) {
          assert.strictEqual(yield* userOf(path, { headers }), me, JSON.stringify(headers))
        }
        assert.strictEqual(yield* userOf(`${path}?a=1&access_token=${TOKEN}`), me)
        // The first that there is counts, even if it is nobody's; it may be the plugin's own.
        const headers = { Authorization: "Bearer its-own", Cookie: `MMAUTHTOKEN=${TOKEN}` }
        const both = yield* seen(path, { headers })
        assert.isUndefined(both.headers["mattermost-user-id"])
        assert.deepStrictEqual(both.headers["authorization"], ["Bearer its-own"])
        const forged = { "Mattermost-User-Id": me, Mattermost_User_Id: me, "Mattermost-Plugin-ID": "two" }
        const nobody = yield* seen(path, { headers: forged })
        assert.notInclude(JSON.stringify(nobody.headers), "mattermost")
        assert.strictEqual(yield* userOf(path, { headers: { Cookie: "MMAUTHTOKEN=another" } }), undefined)
      }),
    )

    it.effect("let a cookie count only where the user's own page has made the request", () =>
      Effect.gen(function* () {
        const path = "/plugins/one/inspect"
        const cookie = `MMAUTHTOKEN=${TOKEN}; MMCSRF=c5rf`
        const isSomebody = (method: string, headers: { readonly [name: string]: string } = {}) =>
          Effect.map(userOf(path, { method, headers: { Cookie: cookie, ...headers } }), (user) => user !== undefined)
        assert.isTrue(yield* isSomebody("GET"))
        assert.isTrue(yield* isSomebody("POST", { "X-CSRF-Token": "c5rf" }))
        assert.isTrue(yield* isSomebody("DELETE", { "X-Requested-With": "XMLHttpRequest" }))
        assert.isFalse(yield* isSomebody("POST"))
        assert.isFalse(yield* isSomebody("POST", { "X-CSRF-Token": "guessed" }))
        // Its value does not reach the plugin by being refused.
        assert.isFalse(yield* isSomebody("PUT", { "X-Own": `a ${TOKEN} b` }))
        const site = "https://evil.example"
        for (const headers of [
          { Origin: site, "Sec-Fetch-Site": "cross-site", "X-CSRF-Token": "c5rf" },
          { Origin: site, "X-Requested-With": "XMLHttpRequest" },
          { Origin: "http://localhost:1", "Sec-Fetch-Site": "same-site", "X-CSRF-Token": "c5rf" },
          { Origin: "null", "X-CSRF-Token": "c5rf" },
        ]) {
          assert.isFalse(yield* isSomebody("POST", headers), JSON.stringify(headers))
          assert.isFalse(yield* isSomebody("GET", headers), JSON.stringify(headers))
        }
        assert.isTrue(
          yield* isSomebody("GET", {
            "Sec-Fetch-Site": "cross-site",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
          }),
        )
        // A token that a page has to know is no cookie.
        const headers = { Authorization: `Bearer ${TOKEN}`, Origin: site, "Sec-Fetch-Site": "cross-site" }
        assert.isDefined(yield* userOf(path, { method: "POST", headers }))
        assert.deepStrictEqual((yield* send("/plugins/one/cookies")).headers["set-cookie"], ["own=1"])
      }),
    )

    it.effect("serve the files of public/, and not by the plugin", () =>
      Effect.gen(function* () {
        const get = (path: string, asked: Asked = {}) => send(`/plugins/one/public/${path}`, asked)
        const script = yield* get("app.js")
        assert.strictEqual(script.status, 200)
        assert.strictEqual(script.text, "let a = 1")
        assert.deepInclude(script.headers, {
          "content-type": "text/javascript; charset=utf-8",
          "content-length": "9",
          "cache-control": "no-cache",
          "x-content-type-options": "nosniff",
          "accept-ranges": "bytes",
          "last-modified": "Tue, 14 Nov 2023 22:13:20 GMT",
        })
        assert.strictEqual((yield* get("long.txt")).text, LONG)
        assert.strictEqual((yield* get("empty")).text, "")
        assert.strictEqual((yield* get("caf%C3%A9%20+%25.txt?v=1")).text, "coffee")
        assert.strictEqual((yield* get("link-inside.js")).text, "let a = 1")
        assert.strictEqual((yield* get("link-folder/public/app.js")).text, "let a = 1", "a link that comes back")
        assert.strictEqual((yield* send("/plugins/one/%70ublic/app.js")).text, "let a = 1")
        for (const [path, type] of [
          ["page.html", "text/html; charset=utf-8"],
          ["own.jsonld", "application/ld+json"],
          ["what", "application/octet-stream"],
        ] as const) {
          assert.strictEqual((yield* get(path)).headers["content-type"], type)
        }

        const only = yield* get("long.txt", { method: "HEAD" })
        assert.strictEqual(only.status, 200)
        assert.strictEqual(only.text, "")
        assert.strictEqual(only.headers["content-length"], String(LONG.length))
        for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
          const refused = yield* get("app.js", { method, body: "x" })
          assert.strictEqual(refused.status, 405)
          assert.strictEqual(refused.headers["allow"], "GET, HEAD")
        }
        // Nobody there speaks another protocol.
        const offer = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13"]
        const offered = yield* exchange(yield* port, head("GET", "/plugins/one/public/app.js", offer))
        assert.match(offered, /^HTTP\/1\.1 200 .*let a = 1$/s)
        // The folder itself, without what is below it, is the plugin's.
        assert.strictEqual((yield* seen("/plugins/one/public")).url, "/public")
        assert.strictEqual((yield* seen("/plugins/one/Public/app.js")).url, "/Public/app.js")
      }),
    )

    it.effect("serve what has changed, and the ranges that are asked for", () =>
      Effect.gen(function* () {
        const get = (path: string, headers: { readonly [name: string]: string }) =>
          send(`/plugins/one/public/${path}`, { headers })
        const { headers } = yield* get("app.js", {})
        const etag = String(headers["etag"])
        for (const [condition, status] of [
          [{ "If-None-Match": etag }, 304],
          [{ "If-None-Match": `"x", W/${etag}` }, 304],
          [{ "If-None-Match": "*" }, 304],
          [{ "If-None-Match": '"x"' }, 200],
          [{ "If-Modified-Since": String(headers["last-modified"]) }, 304],
          [{ "If-Modified-Since": "Tue, 14 Nov 2023 22:13:19 GMT" }, 200],
          [{ "If-Modified-Since": "whenever" }, 200],
          [{ "If-Match": '"x"' }, 412],
        ] as const) {
          const answer = yield* get("app.js", condition)
          assert.strictEqual(answer.status, status, JSON.stringify(condition))
          if (status === 304) {
            assert.strictEqual(answer.text, "")
            assert.deepInclude(answer.headers, { etag, "cache-control": "no-cache" })
          }
        }
        const size = LONG.length
        for (const [range, status, text, of] of [
          ["bytes=0-3", 206, "line", `bytes 0-3/${size}`],
          ["bytes=-6", 206, LONG.slice(-6), `bytes ${size - 6}-${size - 1}/${size}`],
          [`bytes=5-${"9".repeat(5000)}`, 206, LONG.slice(5), `bytes 5-${size - 1}/${size}`],
          [`bytes=-${"9".repeat(5000)}`, 206, LONG, `bytes 0-${size - 1}/${size}`],
          [`bytes=${"9".repeat(5000)}-`, 416, "", `bytes */${size}`],
          ["bytes=7-5", 416, "", `bytes */${size}`],
          ["bytes=0-0,2-2", 200, LONG, undefined],
          [`bytes=${"0-0,".repeat(2000)}0-0`, 200, LONG, undefined],
          ["bytes=a-b", 200, LONG, undefined],
          ["lines=1-2", 200, LONG, undefined],
        ] as const) {
          const answer = yield* get("long.txt", { Range: range })
          assert.strictEqual(answer.status, status, range.slice(0, 40))
          assert.strictEqual(answer.text, text, range.slice(0, 40))
          assert.strictEqual(answer.headers["content-range"], of)
        }
      }),
    )

    it.effect("serve nothing outside of public/, nothing hidden, and no folder", () =>
      Effect.gen(function* () {
        const secrets = /a secret|outside|hidden|root:|index/
        for (const path of [
          "",
          "sub",
          "sub/",
          "none.txt",
          "app.js/",
          "app.js/x",
          "/app.js",
          "sub//index.html",
          ".env",
          "%2eenv",
          ".git/config",
          "%2E%67it/config",
          "link-outside.txt",
          "link-bundle.txt",
          "link-absolute",
          "link-folder/secret.txt",
          "link-loop",
          "..%2fsecret.txt",
          "%2e%2e%2fsecret.txt",
          "sub%2Findex.html",
          "%2fetc/passwd",
          "..%5csecret.txt",
          "sub%5Cindex.html",
          "app.js%00",
          "%00",
          "app.js%0a",
          "%FF%FE",
          "%C0%AE%C0%AE/secret.txt",
          "%u002e%u002e/secret.txt",
          "C:%5cwindows",
          `${"a/".repeat(2000)}a`,
          "a".repeat(5000),
          ...(process.platform === "win32" ? [] : ["pipe"]),
        ]) {
          const answer = yield* send(`/plugins/one/public/${path}`)
          // An escape that is none can't be read as a target at all.
          assert.strictEqual(answer.status, path.includes("%u") ? 400 : 404, path.slice(0, 40))
          assert.notMatch(answer.text.replace(/"message":"[^"]*"/, ""), secrets)
          assert.include(String(answer.headers["content-type"]), "json")
        }
        // Clients resolve these themselves, so only bytes can carry them.
        for (const target of [
          "/plugins/one/public/../secret.txt",
          "/plugins/one/public/%2e%2e/secret.txt",
          "/plugins/one/public/sub/../../secret.txt",
          "/plugins/one/public/..\\secret.txt",
        ]) {
          const answer = yield* exchange(yield* port, head("GET", target, ["Connection: close"]))
          assert.match(answer, /^HTTP\/1\.1 400 /, target)
        }
        for (const path of [
          "/plugins/one/public%2Fapp.js%2F..%2F..%2Fsecret.txt",
          "/plugins/two/public/outside.txt",
          "/plugins/two/public/plugins/one/secret.txt",
          "/plugins/nobody/public/app.js",
        ]) {
          assert.strictEqual((yield* send(path)).status, 404, path)
        }
      }),
    )

    it.effect("serve files of active plugins alone, as they are now", () =>
      Effect.gen(function* () {
        const plugin = Option.getOrThrow(yield* (yield* MattermostPlugins.Environment).find("two"))
        const file = join(plugin.bundle.directory, "../one/public/changing.txt")
        writeFileSync(file, "first")
        const path = "/plugins/one/public/changing.txt"
        const first = yield* send(path)
        assert.strictEqual(first.text, "first")
        writeFileSync(file, "second")
        const headers = { "If-None-Match": String(first.headers["etag"]) }
        assert.strictEqual((yield* send(path, { headers })).text, "second")

        const one = Option.getOrThrow(yield* (yield* MattermostPlugins.Environment).find("one"))
        yield* one.stop
        assert.strictEqual((yield* send(path)).status, 404)
        yield* one.start
        assert.strictEqual((yield* send(path)).text, "second")
      }),
    )

    it.effect("let go of a file whose client goes, and cut off what is not what was announced", () =>
      Effect.gen(function* () {
        const { bundle } = Option.getOrThrow(yield* (yield* MattermostPlugins.Environment).find("one"))
        const file = join(bundle.directory, "public/big")
        // More than all buffers between the file and a client that reads nothing.
        writeFileSync(file, "")
        truncateSync(file, 256 * 1024 * 1024)
        const isOpen = () =>
          readdirSync("/proc/self/fd").some((fd) => {
            try {
              return readlinkSync(`/proc/self/fd/${fd}`) === file
            } catch {
              return false
            }
          })
        const { socket, until, write } = yield* wire(yield* port)
        write(head("GET", "/plugins/one/public/big"))
        yield* until(/\r\n\r\n/)
        socket.pause()
        if (process.platform === "linux") {
          yield* eventually("it is being read", isOpen)
          socket.destroy()
          yield* eventually("it is let go", () => !isOpen())
        } else socket.destroy()

        const other = yield* wire(yield* port)
        other.write(head("GET", "/plugins/one/public/big"))
        yield* other.until(/\r\n\r\n/)
        other.socket.pause()
        truncateSync(file, 0)
        other.socket.resume()
        const received = yield* other.untilClosed
        assert.match(received, /content-length: 268435456\r\n/i)
        assert.isBelow(received.length, 268435456)
      }).pipe(Effect.scoped),
    )

    it.effect("let plugins ask each other, and tell who asks", () =>
      Effect.gen(function* () {
        const answer = yield* ask({
          method: "PUT",
          url: "/two/some/inspect?a=%20",
          headers: {
            "Mattermost-User-Id": "spoofed",
            "Mattermost-Plugin-ID": "spoofed",
            mattermost_plugin_id: "spoofed",
            "X-Own": "kept",
            "Content-Length": "1",
            "Transfer-Encoding": "chunked",
          },
          body: 100_000,
        })
        assert.strictEqual(answer["status"], 200)
        const { headers, ...request } = JSON.parse(answer["body"])
        assert.deepStrictEqual(request, {
          plugin: "two",
          method: "PUT",
          url: "/some/inspect?a=%20",
          root_path: "/plugins/two",
          body: 100_000,
        })
        assert.deepStrictEqual(headers["mattermost-plugin-id"], ["one"])
        assert.deepStrictEqual(headers["x-own"], ["kept"])
        for (const name of ["mattermost-user-id", "mattermost_plugin_id", "transfer-encoding"]) {
          assert.notProperty(headers, name)
        }
        // Itself as well, and what looks like a file of public/ is the plugin's here.
        const own = yield* ask({ url: "/one/public/app.js" })
        assert.deepInclude(JSON.parse(own["body"]), { plugin: "one", url: "/public/app.js" })

        assert.strictEqual((yield* ask({ url: "/nobody/x" }))["status"], 404)
        assert.strictEqual((yield* ask({ url: "/two" }))["status"], 400)
        assert.strictEqual((yield* ask({ url: "/two/../one/x" }))["status"], 400)
        assert.strictEqual((yield* ask({ url: "/two/x", headers: { A: "1\r\nB: 2" } }))["status"], 400)
        assert.deepStrictEqual(yield* ask({ url: "/two/large" }), { error: "app.plugin.serve_http", status: 502 })
      }),
    )

    it.effect("end a circle of plugins that ask each other", () =>
      Effect.gen(function* () {
        const answer = yield* send("/plugins/one/circle")
        assert.strictEqual(answer.status, 503)
        assert.strictEqual(answer.text, "app.plugin.busy")
        // All of it has ended.
        assert.strictEqual((yield* ask({ url: "/two/inspect" }))["status"], 200)
      }),
    )
  })

  it.live("take no less than the token of a page where a backend says so, and know tokens by being shown them", () =>
    Effect.gen(function* () {
      const directory = yield* folder(bundle("one"))
      const strict = server(join(directory, "plugins"), {}, {}, { routes: { strictCsrf: true } })
      yield* Effect.gen(function* () {
        const cookie = `MMAUTHTOKEN=${USERS_TOKEN}; MMCSRF=c5rf`
        const user = (headers: { readonly [name: string]: string }) =>
          userOf("/plugins/one/show", { method: "POST", headers: { Cookie: cookie, "X-Own": USERS_TOKEN, ...headers } })
        assert.isUndefined(yield* user({ "X-Requested-With": "XMLHttpRequest" }))
        assert.strictEqual(yield* user({ "X-CSRF-Token": "c5rf" }), "user-1")
      }).pipe(Effect.provide(strict))
    }).pipe(Effect.scoped, Effect.timeout("120 seconds")),
  )
})
