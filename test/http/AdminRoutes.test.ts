/** The Admin REST API over a real server: what it answers to whom, and what it refuses. */
import { execFileSync } from "node:child_process"
import { readdirSync, readFileSync, symlinkSync } from "node:fs"
import { randomBytes } from "node:crypto"
import { createServer as createHttp } from "node:http"
import type { AddressInfo } from "node:net"
import { networkInterfaces } from "node:os"
import { join } from "node:path"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Redacted } from "effect"
import { HttpRouter } from "effect/http"
import { BundleLimits } from "../../src/bundle/BundleLimits.ts"
import { BundleStore } from "../../src/bundle/BundleStore.ts"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { PluginLogs } from "../../src/environment/PluginLogs.ts"
import { AccessToken } from "../../src/http/AccessToken.ts"
import * as AdminRoutes from "../../src/http/AdminRoutes.ts"
import { HttpFailures } from "../../src/http/HttpFailures.ts"
import { createServer } from "../../src/http/NodeServer.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { PluginStorage } from "../../src/storage/PluginStorage.ts"
import { archive } from "../support/archives.ts"
import { browser, browserPath } from "../support/browser.ts"
import { folder, temporaryFolder } from "../support/folder.ts"
import { eventually, hostEnvironment } from "../support/host.ts"
import { head, wire } from "../support/rawHttp.ts"
import { address } from "../support/server.ts"

const TOKEN = "token-of-an-operator"
const LIMIT = 512 * 1024

interface Settings extends AdminRoutes.AdminRoutesOptions {
  /** Whether the host has no place for bundles, settings and logs. */
  readonly isBare?: boolean
}

/** A host whose plugins are in a folder, and installed into another. */
const served = (root: string, { isBare = false, ...options }: Settings = {}) => {
  const limits = Layer.effect(
    BundleLimits,
    Effect.map(BundleLimits, (given) => ({ ...given, archive: LIMIT })),
  )
  const stored = Layer.mergeAll(
    BundleStore.layer(join(root, "bundles")).pipe(Layer.provide([PluginBundles.layer, limits])),
    PluginStorage.layerMemory,
  )
  return HttpRouter.serve(
    AdminRoutes.layer(MattermostPlugins, options).pipe(Layer.provide(limits), Layer.provide(HttpFailures)),
    { disableLogger: true, disableListenLog: true, routerConfig: AdminRoutes.routerConfig },
  ).pipe(
    Layer.provideMerge(
      NodeHttpServer.layer(() => createServer(), { host: "127.0.0.1", port: 0, gracefulShutdownTimeout: 500 }),
    ),
    Layer.provideMerge(
      MattermostPlugins.layerFolder({ directory: join(root, "plugins") }).pipe(
        Layer.provide(isBare ? Layer.empty : stored),
      ),
    ),
    Layer.provide(MattermostPlugins.layerApi({})),
    Layer.provide(hostEnvironment),
    Layer.provideMerge(isBare ? Layer.empty : PluginLogs.layer),
    Layer.provide(Layer.succeed(AccessToken, AccessToken.make(Redacted.make(TOKEN)))),
    Layer.provideMerge(NodeServices.layer),
  )
}

const root = folder({
  "plugins/by-hand/plugin.json": JSON.stringify({
    id: "by-hand",
    name: "By hand",
    version: "1.0.0",
    webapp: { bundle_path: "main.js" },
    settings_schema: {
      settings: [
        { key: "Level", type: "number", default: 3 },
        { key: "Key", type: "text", secret: true },
      ],
    },
  }),
})

type Body = string | FormData

interface Sent {
  readonly body?: Body
  readonly headers?: { readonly [name: string]: string }
}

const client = Effect.map(address, (base) => {
  const send = (method: string, path: string, { body, headers = {} }: Sent = {}) =>
    Effect.promise(async () => {
      const url = path.startsWith("/api") ? base + path : `${base}/api/v4/plugins${path}`
      const init = { method, headers: { authorization: `Bearer ${TOKEN}`, ...headers } }
      const response = await fetch(url, body === undefined ? init : { ...init, body })
      const text = await response.text()
      const isJson = response.headers.get("content-type") === "application/json"
      return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) : undefined }
    })
  return { base, send }
})
type Answer = Effect.Success<ReturnType<Effect.Success<typeof client>["send"]>>

const form = (file: string, fields: { readonly [name: string]: string } = {}, type = "application/gzip") => {
  const data = new FormData()
  data.append("plugin", new File([readFileSync(file)], "../../etc/passwd", { type }))
  for (const [name, value] of Object.entries(fields)) data.append(name, value)
  return data
}

const expectError = (answer: Answer, status: number, id: string, message?: RegExp) => {
  assert.strictEqual(answer.status, status, answer.text)
  // Mattermost's client knows JSON by exactly this.
  assert.strictEqual(answer.headers.get("content-type"), "application/json")
  assert.deepInclude(answer.json, { id, status_code: status })
  assert.hasAllKeys(answer.json, ["id", "message", "detailed_error", "request_id", "status_code"])
  assert.strictEqual(answer.headers.get("x-request-id"), answer.json.request_id)
  if (message !== undefined) assert.match(answer.json.message, message)
}

describe("the Admin REST API", () => {
  it.live("answers bearers of the token alone, and reads nothing of what others send", () =>
    Effect.gen(function* () {
      yield* Effect.gen(function* () {
        const { base, send } = yield* client
        for (const authorization of ["", "Bearer wrong", `Basic ${TOKEN}`]) {
          const answer = yield* send("GET", "/statuses", { headers: { authorization } })
          expectError(answer, 401, "api.context.session_expired.app_error")
          assert.strictEqual(answer.headers.get("www-authenticate"), "Bearer")
        }
        for (const authorization of [`BEARER ${TOKEN}`, `Token ${TOKEN}`]) {
          assert.strictEqual((yield* send("GET", "/statuses", { headers: { authorization } })).status, 200)
        }
        // The body never comes, and the answer does.
        const connection = yield* wire(Number(new URL(base).port))
        const type = "Content-Type: multipart/form-data; boundary=x"
        connection.write(head("POST", "/api/v4/plugins", [type, "Content-Length: 100000000", "Expect: 100-continue"]))
        yield* connection.until(/^HTTP\/1\.1 401 /)
      }).pipe(Effect.provide(served(yield* root)))
    }).pipe(Effect.scoped),
  )

  it.live("has Mattermost's shapes", () =>
    Effect.gen(function* () {
      yield* Effect.gen(function* () {
        const { send } = yield* client
        const { json } = yield* send("GET", "")
        assert.deepStrictEqual(json.active, [])
        assert.deepInclude(json.inactive[0], { id: "by-hand", version: "1.0.0", webapp: { bundle_path: "main.js" } })
        const statuses = yield* send("GET", "/statuses")
        assert.deepInclude(statuses.json[0], {
          plugin_id: "by-hand",
          cluster_id: "",
          name: "By hand",
          version: "1.0.0",
          description: "",
          state: 3,
          state_name: "FailedToStart",
          is_enabled: true,
          source: "folder",
          hooks: [],
        })
        assert.deepStrictEqual((yield* send("GET", "/webapp")).json, [])
        assert.deepStrictEqual((yield* send("POST", "/by-hand/disable")).json, { status: "OK" })
        assert.deepInclude((yield* send("GET", "/statuses")).json[0], { is_enabled: false })
        const health = yield* send("GET", "/BY-HAND/health")
        assert.deepInclude(health.json, { plugin_id: "by-hand", pid: null, ping: null, in_flight: 0 })
      }).pipe(
        Effect.provide(
          Layer.effectDiscard(Effect.flatMap(MattermostPlugins.Environment, ({ settled }) => settled)).pipe(
            Layer.provideMerge(served(yield* root)),
          ),
        ),
      )
    }).pipe(Effect.scoped),
  )

  it.live("answers whatever goes wrong in one form", () =>
    Effect.gen(function* () {
      yield* Effect.gen(function* () {
        const { send } = yield* client
        const missing = "app.plugin.not_installed.app_error"
        for (const [method, path] of [
          ["DELETE", "/absent"],
          ["POST", "/absent/enable"],
          ["POST", "/absent/disable"],
          ["POST", "/absent/restart"],
          ["POST", "/absent/reload"],
          ["GET", "/absent/config"],
          ["GET", "/absent/logs"],
          ["GET", "/absent/logs/follow"],
          ["GET", "/absent/health"],
        ] as const) {
          expectError(yield* send(method, path), 404, missing, /no plugin absent/)
        }
        expectError(yield* send("PUT", "/absent/config", { body: "{}" }), 404, missing)
        expectError(yield* send("PATCH", "/absent/config", { body: "{}" }), 404, missing)
        expectError(yield* send("GET", "/by-hand/nothing"), 404, "api.context.404.app_error")
        for (const [method, path, allow] of [
          ["PATCH", "", "GET, POST"],
          ["DELETE", "/statuses", "GET"],
          ["GET", "/by-hand/enable", "POST"],
          ["POST", "/by-hand/config", "GET, PUT, PATCH"],
        ] as const) {
          const answer = yield* send(method, path)
          expectError(answer, 405, "api.context.405.app_error")
          assert.strictEqual(answer.headers.get("allow"), allow)
        }
        // Numbers are numbers, and those that there may be.
        for (const count of ["x", "", "1.5", "-1", "1001", "1e999", "NaN"]) {
          const answer = yield* send("GET", `/by-hand/logs?count=${count}`)
          expectError(answer, 400, "api.context.invalid_url_param.app_error", /count/)
        }
        expectError(yield* send("POST", "/install_from_url"), 400, "api.context.invalid_url_param.app_error")
        const body = "api.context.invalid_body_param.app_error"
        for (const given of ["", "nonsense", "[]", "3", `{"a":${"[".repeat(5000)}${"]".repeat(5000)}}`]) {
          expectError(yield* send("PUT", "/by-hand/config", { body: given }), 400, body)
          expectError(yield* send("PATCH", "/by-hand/config", { body: given }), 400, body)
        }
        // Whatever type it says to be of: curl says a form for all that it is given.
        for (const type of ["application/xml", "multipart/form-data; boundary=x"]) {
          const given = { body: "<a/>", headers: { "content-type": type } }
          expectError(yield* send("PUT", "/by-hand/config", given), 400, body, /is not JSON/)
        }
        const [longest, longer] = ["a".repeat(190), "a".repeat(191)]
        expectError(yield* send("GET", `/${longest}/config`), 404, missing, /no plugin aaa/)
        expectError(yield* send("GET", `/${longer}/config`), 404, "api.context.404.app_error", /longer than any id/)
        const large = { body: JSON.stringify({ a: "x".repeat(2_000_000) }) }
        expectError(yield* send("PUT", "/by-hand/config", large), 413, "api.context.request_body_too_large.app_error")
        expectError(
          yield* send("PUT", "/by-hand/config", { body: JSON.stringify({ Level: "high" }) }),
          400,
          "app.plugin.settings.app_error",
          /Level: expected a number/,
        )
        expectError(yield* send("DELETE", "/by-hand"), 409, "app.plugin.kept_by_hand.app_error")
        expectError(yield* send("POST", "/by-hand/enable"), 500, "app.plugin.start.app_error", /executable/)
      }).pipe(Effect.provide(served(yield* root)))
    }).pipe(Effect.scoped),
  )

  it.live("says 501 where the host has no place for it, or its operator does not want it", () =>
    Effect.gen(function* () {
      const file = yield* archive({ id: "hello" })
      yield* Effect.gen(function* () {
        const { send } = yield* client
        const id = "app.plugin.not_stored.app_error"
        expectError(yield* send("POST", "", { body: form(file) }), 501, id, /BundleStore/)
        expectError(yield* send("GET", "/by-hand/config"), 501, id, /PluginSettings/)
        expectError(yield* send("GET", "/by-hand/logs"), 501, id, /PluginLogs/)
      }).pipe(Effect.provide(served(yield* root, { isBare: true })))
      yield* Effect.gen(function* () {
        const { send } = yield* client
        const id = "app.plugin.upload_disabled.app_error"
        expectError(yield* send("POST", "", { body: form(file) }), 501, id)
        expectError(yield* send("POST", "/install_from_url?plugin_download_url=https://example.com/x"), 501, id)
        assert.strictEqual((yield* send("GET", "")).status, 200)
      }).pipe(Effect.provide(served(yield* root, { allowInstall: false })))
    }).pipe(Effect.scoped),
  )
})

describe("an upload", () => {
  it.live("is installed, whatever its file is called and typed, and replaced if that is forced", () =>
    Effect.gen(function* () {
      const [old, next] = [
        yield* archive({ id: "hello", version: "1.0.0", props: { any: 1 } }),
        yield* archive({ id: "hello", version: "1.1.0" }),
      ]
      yield* Effect.gen(function* () {
        const { send } = yield* client
        const installed = yield* send("POST", "", { body: form(old, {}, "application/json") })
        assert.strictEqual(installed.status, 201, installed.text)
        assert.deepInclude(installed.json, { id: "hello", version: "1.0.0", props: { any: 1 } })
        const there = "app.plugin.install_id.app_error"
        for (const force of ["", "false", "True", "1", " true"]) {
          expectError(yield* send("POST", "", { body: form(next, { force }) }), 400, there, /1\.0\.0/)
        }
        const forced = yield* send("POST", "", { body: form(next, { force: "true" }) })
        assert.deepInclude(forced.json, { version: "1.1.0" })
        const older = yield* send("POST", "", { body: form(old) })
        expectError(older, 409, "app.plugin.downgrade.app_error", /1\.1\.0, which is newer than 1\.0\.0.*--force/)
        assert.deepInclude((yield* send("GET", "/statuses")).json[1], {
          version: "1.1.0",
          state: 0,
          source: "installed",
        })
        assert.deepStrictEqual((yield* send("DELETE", "/hello")).json, { status: "OK" })
        expectError(yield* send("DELETE", "/hello"), 404, "app.plugin.not_installed.app_error")
      }).pipe(Effect.provide(served(yield* root)))
    }).pipe(Effect.scoped),
  )

  it.live("that is none is refused with the reason, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const temporary = yield* temporaryFolder
      const before = process.env["TMPDIR"]
      process.env["TMPDIR"] = temporary
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => (before === undefined ? delete process.env["TMPDIR"] : (process.env["TMPDIR"] = before))),
      )
      const good = yield* Effect.scoped(Effect.map(archive({ id: "hello" }), (file) => readFileSync(file)))
      const files = yield* folder({
        "no-archive": "nonsense",
        manifest: "",
        "linked/plugin.json": JSON.stringify({ id: "linked", name: "L", server: { executable: "run" } }),
      })
      yield* Effect.gen(function* () {
        const { base, send } = yield* client
        const post = (body: Body, headers = {}) => send("POST", "", { body, headers })
        const none = new FormData()
        none.append("force", "true")
        expectError(yield* post(none), 400, "api.plugin.upload.no_file.app_error")
        const text = new FormData()
        text.append("plugin", "no file")
        expectError(yield* post(text), 400, "api.context.invalid_body_param.app_error")
        const two = new FormData()
        for (const name of ["a", "b"]) two.append("plugin", new File([good], name))
        expectError(yield* post(two), 400, "api.plugin.upload.array.app_error")
        expectError(yield* post(form(join(files, "no-archive"))), 400, "app.plugin.extract.app_error", /the archive/)
        symlinkSync("/bin/sh", join(files, "linked/run"))
        const linked = join(files, "linked.tar.gz")
        execFileSync("tar", ["-czf", linked, "-C", files, "linked"])
        const link = yield* post(form(linked))
        expectError(link, 400, "app.plugin.extract.app_error", /run" is a symbolic link; put the file itself/)
        const cut = new FormData()
        cut.append("plugin", new File([good.subarray(0, good.length - 20)], "cut"))
        expectError(yield* post(cut), 400, "app.plugin.extract.app_error")
        const media = "api.context.unsupported_media_type.app_error"
        expectError(yield* post("{}", { "content-type": "application/json" }), 415, media)
        const broken = { "content-type": "multipart/form-data" }
        expectError(yield* post("nonsense", broken), 400, "api.context.invalid_body_param.app_error")
        const unended = { "content-type": "multipart/form-data; boundary=x" }
        expectError(yield* post("--x\r\n", unended), 400, "api.context.invalid_body_param.app_error")

        const large = new FormData()
        large.append("plugin", new File([new Uint8Array(LIMIT + 1)], "large"))
        const tooLarge = "api.plugin.upload.file_too_large.app_error"
        expectError(yield* post(large), 413, tooLarge, new RegExp(`${LIMIT} bytes`))
        // A client that goes in the middle of its upload.
        const { port } = new URL(base)
        const leaving = yield* wire(Number(port))
        const type = "Content-Type: multipart/form-data; boundary=x"
        const fields = [`Authorization: Bearer ${TOKEN}`, type, "Content-Length: 1000000"]
        leaving.write(head("POST", "/api/v4/plugins", fields))
        leaving.write('--x\r\nContent-Disposition: form-data; name="plugin"; filename="a"\r\n\r\nsome bytes of it')
        const uploads = () => readdirSync(temporary).filter((name) => !name.startsWith("test-"))
        yield* eventually("it is being written", () => uploads().length > 0)
        leaving.socket.destroy()
        yield* eventually("nothing is left of it", () => uploads().length === 0)
        const stuffed = form(join(files, "no-archive"), { force: "x".repeat(100_000) })
        expectError(yield* post(stuffed), 413, tooLarge, /A field of the form has more than 65536 bytes/)
        const many = form(
          join(files, "no-archive"),
          Object.fromEntries([...Array(20).keys()].map((n) => [`f${n}`, ""])),
        )
        expectError(yield* post(many), 413, tooLarge, /more than 10 parts/)
      }).pipe(Effect.provide(served(yield* root)))
      assert.deepStrictEqual(
        readdirSync(temporary).filter((name) => !name.startsWith("test-")),
        [],
      )
    }).pipe(Effect.scoped),
  )
})

/** A server of archives. */
const files = (answers: {
  readonly [path: string]: { readonly status?: number; readonly to?: string; readonly bytes?: Uint8Array }
}) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(
        () =>
          new Promise<ReturnType<typeof createHttp>>((resolve) => {
            const server = createHttp((request, response) => {
              const { bytes, status = 200, to } = answers[request.url!] ?? { status: 404 }
              response.writeHead(status, to === undefined ? {} : { location: to })
              response.end(bytes)
            })
            server.listen(0, () => resolve(server))
          }),
      ),
      (server) =>
        Effect.sync(() => {
          server.closeAllConnections()
          server.close()
        }),
    ),
    (server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  )

describe("an install from a URL", () => {
  it.live("downloads where it may, within bounds", () =>
    Effect.gen(function* () {
      const bytes = readFileSync(yield* archive({ id: "hello", version: "1.0.0" }))
      const origin = yield* files({
        "/hello.tar.gz": { bytes },
        "/moved": { status: 302, to: "/hello.tar.gz" },
        "/round": { status: 307, to: "/round" },
        "/metadata": { status: 302, to: "http://169.254.169.254/latest/meta-data/" },
        "/plain": { status: 302, to: "http://example.com/hello.tar.gz" },
        "/file": { status: 302, to: "file:///etc/passwd" },
        "/large": {
          bytes: readFileSync(yield* archive({ id: "large" }, { data: randomBytes(LIMIT).toString("hex") })),
        },
      })
      yield* Effect.gen(function* () {
        const { send } = yield* client
        const from = (url: string, force = "") =>
          send("POST", `/install_from_url?plugin_download_url=${encodeURIComponent(url)}&force=${force}`)
        const failed = "api.plugin.install.download_failed.app_error"
        for (const [url, reason] of [
          [`${origin}/nothing`, /status 404/],
          [`${origin}/round`, /more than 5 redirects/],
          [`${origin}/metadata`, /only https/],
          [`${origin}/plain`, /only https/],
          [`${origin}/file`, /only https is downloaded from, not file/],
          ["http://example.com/hello.tar.gz?key=secret", /only https/],
          ["https://user:secret@169.254.169.254/latest", /an address that the host does not/],
          ["https://[::ffff:169.254.169.254]/latest", /an address that the host does not/],
          ["https://[fd00:ec2::254]/latest", /an address that the host does not/],
          ["http://127.0.0.1:1/hello.tar.gz", /ECONNREFUSED/],
          ["nonsense", /no URL/],
        ] as const) {
          const answer = yield* from(url)
          expectError(answer, 400, failed, reason)
          assert.notInclude(answer.text, "secret")
        }
        const large = yield* from(`${origin}/large`)
        expectError(large, 413, "api.plugin.upload.file_too_large.app_error", /^the archive/)
        const installed = yield* from(`${origin}/moved`)
        assert.strictEqual(installed.status, 201, installed.text)
        assert.deepInclude(installed.json, { id: "hello", version: "1.0.0" })
        expectError(yield* from(`${origin}/moved`, "yes"), 400, "app.plugin.install_id.app_error")
        for (const force of ["1", "t", "TRUE", "true"]) {
          assert.strictEqual((yield* from(`${origin}/hello.tar.gz`, force)).status, 201)
        }
      }).pipe(Effect.provide(served(yield* root)))
    }).pipe(Effect.scoped),
  )
})

/** An address of this machine that others reach. */
const outside = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ family, internal }) => family === "IPv4" && !internal)?.address

describe.skipIf(outside === undefined)("an install from a URL of another machine", () => {
  it.live("is not led back to this one, and takes no http unless it may", () =>
    Effect.gen(function* () {
      const bytes = readFileSync(yield* archive({ id: "hello" }))
      const local = yield* files({ "/hello.tar.gz": { bytes } })
      const there = local.replace("127.0.0.1", outside!)
      const back = yield* files({
        "/address": { status: 302, to: `${local}/hello.tar.gz` },
        "/name": { status: 302, to: `${local.replace("127.0.0.1", "localhost")}/hello.tar.gz` },
      })
      const from = (base: string, path: string) =>
        Effect.flatMap(client, ({ send }) =>
          send("POST", `/install_from_url?plugin_download_url=${base.replace("127.0.0.1", outside!)}${path}`),
        )
      const failed = "api.plugin.install.download_failed.app_error"
      yield* Effect.gen(function* () {
        for (const path of ["/address", "/name"]) {
          expectError(yield* from(back, path), 400, failed, /an address that the host does not/)
        }
        assert.strictEqual((yield* from(there, "/hello.tar.gz")).status, 201)
      }).pipe(Effect.provide(served(yield* root, { allowHttp: true })))
      yield* Effect.gen(function* () {
        expectError(yield* from(there, "/hello.tar.gz"), 400, failed, /only https/)
      }).pipe(Effect.provide(served(yield* root)))
    }).pipe(Effect.scoped),
  )
})

describe("settings", () => {
  it.live("are set, and shown without their secrets", () =>
    Effect.gen(function* () {
      yield* Effect.gen(function* () {
        const { send } = yield* client
        assert.deepStrictEqual((yield* send("GET", "/by-hand/config")).json, { Level: 3, Key: null })
        const set = yield* send("PUT", "/by-hand/config", { body: JSON.stringify({ level: 7, Key: "s3cret" }) })
        const { Key, ...others } = set.json
        assert.deepStrictEqual(others, { Level: 7 })
        assert.match(Key, /^\*+$/)
        const again = yield* send("PUT", "/by-hand/config", { body: JSON.stringify({ Level: 8, Key }) })
        assert.deepStrictEqual(again.json, { Level: 8, Key })
        // Only what is named is changed, however many do that at once.
        const change = (body: object) => send("PATCH", "/by-hand/config", { body: JSON.stringify(body) })
        const changed = yield* change({ LEVEL: null })
        assert.deepStrictEqual(changed.json, { Level: 3, Key })
        yield* send("PUT", "/by-hand/config", { body: "{}" })
        const sent = Array.from({ length: 20 }, (_, index) => change(index % 2 === 0 ? { key: "two" } : { level: 9 }))
        yield* Effect.all(sent, { concurrency: "unbounded" })
        assert.deepStrictEqual((yield* send("GET", "/by-hand/config")).json, { Level: 9, Key })
        for (const method of ["PUT", "PATCH"]) {
          const unknown = yield* send(method, "/by-hand/config", { body: JSON.stringify({ Nope: 1 }) })
          expectError(unknown, 400, "app.plugin.settings.app_error", /Nope: .* there are Level, Key/)
        }
        assert.notInclude(set.text + again.text + changed.text, "s3cret")
      }).pipe(Effect.provide(served(yield* root)))
    }).pipe(Effect.scoped),
  )
})

describe("a plugin's log", () => {
  const say = (message: string) =>
    Effect.annotateLogs(Effect.logInfo(message), { plugin_id: "by-hand", nested: { of: ["it"] } })

  it.live("is followed until the plugin is removed", () =>
    Effect.gen(function* () {
      const file = yield* archive({ id: "hello" })
      yield* Effect.gen(function* () {
        const { base, send } = yield* client
        assert.strictEqual((yield* send("POST", "", { body: form(file) })).status, 201)
        const headers = { authorization: `Bearer ${TOKEN}` }
        const followed = yield* Effect.promise(() =>
          fetch(`${base}/api/v4/plugins/hello/logs/follow?count=9`, { headers }),
        )
        assert.strictEqual((yield* send("DELETE", "/hello")).status, 200)
        assert.match(yield* Effect.promise(() => followed.text()), /plugin hello is removed/)
      }).pipe(Effect.provide(served(yield* root, { heartbeat: "50 millis" })))
    }).pipe(Effect.scoped),
  )

  it.live("has its last lines, and is followed until the client goes, or the host", () => {
    const stopping = Deferred.makeUnsafe<void>()
    return Effect.gen(function* () {
      yield* Effect.gen(function* () {
        const { base, send } = yield* client
        for (const message of ["one", "two", "three"]) yield* say(message)
        const { json } = yield* send("GET", "/by-hand/logs?count=2")
        assert.deepStrictEqual(
          json.map(({ level, message }: any) => `${level} ${message}`),
          ["Info two", "Info three"],
        )
        assert.deepStrictEqual(json[0].fields, { nested: { of: ["it"] } })
        assert.isNumber(json[0].at)

        const follow = Effect.promise(async () => {
          const abort = new AbortController()
          const response = await fetch(`${base}/api/v4/plugins/by-hand/logs/follow?count=1`, {
            headers: { authorization: `Bearer ${TOKEN}` },
            signal: abort.signal,
          })
          const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
          let text = ""
          const until = async (pattern: RegExp) => {
            while (!pattern.test(text)) {
              const { done, value } = await reader.read()
              if (done) throw new Error(`it ended: ${text}`)
              text += value
            }
            return text
          }
          return { abort, headers: response.headers, reader, until }
        })
        const first = yield* follow
        assert.strictEqual(first.headers.get("content-type"), "text/event-stream")
        assert.match(first.headers.get("cache-control") ?? "", /no-cache/)
        yield* Effect.promise(() => first.until(/retry: \d+\n\n[^]*"three"/))
        yield* say("four")
        const text = yield* Effect.promise(() => first.until(/"four"[^]*: heartbeat\n\n/))
        assert.notInclude(text, '"two"')
        assert.strictEqual(text.match(/"three"/g)?.length, 1)
        const [line] = /(?<=^data: ).*four.*$/m.exec(text)!
        assert.deepInclude(JSON.parse(line), { level: "Info", message: "four" })
        first.abort.abort()

        const second = yield* follow
        yield* Effect.promise(() => second.until(/"four"/))
        yield* Deferred.succeed(stopping, undefined)
        // It ends as a whole response does, and is not cut.
        yield* Effect.promise(async () => {
          for (;;) if ((await second.reader.read()).done) return
        })
      }).pipe(Effect.provide(served(yield* root, { heartbeat: "50 millis", stopping: Deferred.await(stopping) })))
    }).pipe(Effect.scoped)
  })
})

describe("what describes the API", () => {
  it.live("names every path and error, and the page loads nothing from elsewhere", () =>
    Effect.gen(function* () {
      yield* Effect.gen(function* () {
        const { send } = yield* client
        const { json } = yield* send("GET", "/api/v4/openapi.json", { headers: { authorization: "" } })
        assert.strictEqual(json.openapi.split(".")[0], "3")
        assert.includeMembers(Object.keys(json.paths), [
          "/api/v4/plugins",
          "/api/v4/plugins/install_from_url",
          "/api/v4/plugins/{id}/logs/follow",
        ])
        const upload = json.paths["/api/v4/plugins"].post
        assert.containsAllKeys(upload.responses, ["201", "400", "401", "413", "501"])
        assert.containsAllKeys(upload.requestBody.content, ["multipart/form-data"])
        assert.deepStrictEqual(json.security, [{ bearer: [] }])
        assert.containsAllKeys(json.components.schemas, ["AppError", "Manifest", "PluginStatus", "PluginHealth"])

        const page = yield* send("GET", "/api/v4/docs", { headers: { authorization: "" } })
        assert.match(page.headers.get("content-type") ?? "", /text\/html/)
        assert.match(page.headers.get("content-security-policy") ?? "", /default-src 'none'/)
        assert.notMatch(page.text, /<(?:script|link|img)[^>]+(?:src|href)=/)
      }).pipe(Effect.provide(served(yield* root)))
    }).pipe(Effect.scoped),
  )

  it.live.skipIf(browserPath === undefined)(
    "is a page that a browser shows, and that asks nobody else",
    () =>
      Effect.gen(function* () {
        const chromium = yield* browser
        yield* Effect.gen(function* () {
          const { base } = yield* client
          const page = yield* Effect.promise(() => chromium.newPage())
          const asked: Array<string> = []
          const errors: Array<string> = []
          page.on("request", (request) => asked.push(request.url()))
          page.on("console", (message) => message.type() === "error" && errors.push(message.text()))
          page.on("pageerror", (error) => errors.push(String(error)))
          yield* Effect.promise(() => page.goto(`${base}/api/v4/docs`))
          yield* Effect.promise(() => page.getByText("Install a .tar.gz", { exact: true }).waitFor({ timeout: 60_000 }))
          const others = asked.filter((url) => !url.startsWith(base) && !url.startsWith("data:"))
          assert.deepStrictEqual([others, errors], [[], []])
        }).pipe(Effect.provide(served(yield* root)))
      }).pipe(Effect.scoped),
    180_000,
  )
})
