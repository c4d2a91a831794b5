/** Commands for a running supervisor, against a server that answers as one does. */
import { createServer, type IncomingMessage } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { gunzipSync } from "node:zlib"
import { chmodSync, writeFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { cli, main } from "../support/cli.ts"
import { folder, temporaryFolder } from "../support/folder.ts"
import { eventually } from "../support/host.ts"
import { program } from "../support/program.ts"

const TOKEN = "token-of-the-test"

interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage["headers"]
  readonly body: Buffer
}

type Answer = { readonly status?: number; readonly body: unknown; readonly type?: string; readonly isOpen?: boolean }

/** A server that asks for the token and answers by method and path; what it was asked is kept. */
const fake = Effect.fnUntraced(function* (answers: { readonly [request: string]: Answer }) {
  const seen: Array<Seen> = []
  const server = createServer((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      const { headers, method = "", url = "" } = request
      seen.push({ method, url, headers, body: Buffer.concat(chunks) })
      const answer: Answer =
        headers.authorization?.toLowerCase() !== `bearer ${TOKEN}`
          ? { status: 401, body: appError("Invalid or expired session", 401) }
          : (answers[`${method} ${url.split("?")[0]}`] ?? {
              status: 404,
              body: appError("There is no such route", 404),
            })
      response.writeHead(answer.status ?? 200, { "content-type": answer.type ?? "application/json" })
      response.write(typeof answer.body === "string" ? answer.body : JSON.stringify(answer.body))
      if (answer.isOpen !== true) response.end()
    })
  })
  yield* Effect.acquireRelease(
    Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))),
    () =>
      Effect.promise(() => {
        server.closeAllConnections()
        return new Promise<void>((resolve) => server.close(() => resolve()))
      }),
  )
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const run = (args: ReadonlyArray<string>, env: NodeJS.ProcessEnv = {}) =>
    cli(args, { env: { PLUGIN_SUPERVISOR_URL: url, PLUGIN_SUPERVISOR_TOKEN: TOKEN, ...env } })
  return { url, seen, run }
})

const appError = (message: string, status: number, detail = "") => ({
  id: "some.error",
  message,
  detailed_error: detail,
  request_id: "r",
  status_code: status,
})

const lists = {
  active: [{ id: "hello", name: "Hello \u001b[31m", version: "1.2.3", extra: true }],
  inactive: [{ id: "other", name: "Other" }],
}

const statuses = [
  {
    plugin_id: "hello",
    name: "Hello",
    description: "",
    version: "1.2.3",
    plugin_path: "/plugins/hello",
    state: 4,
    state_name: "FailedToStayRunning",
    state_since: 1,
    is_enabled: true,
    error: "it ended\nunexpectedly",
    settings_error: "",
    restarts: 3,
    next_try: 0,
    provisioning: null,
    last_failure: { at: 1, reason: "it ended", exit: "exit code 1", stderr: ["Traceback"] },
    hooks: ["OnActivate"],
  },
]

const health = {
  ...statuses[0],
  provisioning: { step: "installing", line: "tiny==1.0" },
  pid: 7,
  ping: { answered: true, millis: 2.7, error: "" },
  in_flight: 2,
  metrics: [],
}

/** A failed start: the exit and the end of stderr are in its reason. */
const START = "plugin other did not start: it ended (exit code 3); the end of its stderr:\n  Traceback\n  KeyError"

describe("commands for a running supervisor", () => {
  it.live("list and status tell people and programs", () =>
    Effect.gen(function* () {
      const { run } = yield* fake({
        "GET /api/v4/plugins": { body: lists },
        "GET /api/v4/plugins/statuses": {
          body: [...statuses, { ...statuses[0], plugin_id: "other", is_enabled: false }],
        },
        "GET /api/v4/plugins/hello/health": { body: health },
        "GET /api/v4/plugins/other/health": {
          body: {
            ...health,
            error: START,
            last_failure: { at: 1, reason: START, exit: "exit code 3", stderr: ["Traceback", "KeyError"] },
          },
        },
        "GET /api/v4/plugins/nobody/health": { status: 404, body: appError("there is no plugin nobody", 404) },
      })
      const listed = yield* run(["list"])
      assert.deepInclude(listed, { code: 0, stderr: "" })
      // Names are anybody's: they give a terminal no command.
      assert.strictEqual(
        listed.stdout,
        [
          "ID     VERSION  STATE     ENABLED   NAME",
          "hello  1.2.3    active    enabled   Hello \\u001b[31m",
          "other           inactive  disabled  Other\n",
        ].join("\n"),
      )
      assert.deepStrictEqual(JSON.parse((yield* run(["list", "--json"])).stdout), lists)
      assert.match(
        (yield* run(["status"])).stdout,
        /^hello +1\.2\.3 +FailedToStayRunning +enabled +\d+d \S+ +3 +it ended unexpectedly$/m,
      )
      const one = yield* run(["status", "hello"])
      assert.match(one.stdout, /failed +\d+d .* ago: it ended \(exit code 1\)\n +Traceback\nfolder +\/plugins\/hello/)
      assert.match(one.stdout, /packages +installing tiny==1\.0\nprocess +7\nhealth +answers after 3 ms with 2 calls/)
      assert.deepStrictEqual(JSON.parse((yield* run(["status", "hello", "--json"])).stdout), health)
      const told = (yield* run(["status", "other"])).stdout.match(/exit code 3|Traceback|KeyError/g)
      assert.deepStrictEqual(told, ["exit code 3", "Traceback", "KeyError"])
      const unknown = yield* run(["status", "nobody"])
      assert.deepInclude(unknown, { code: 1, stdout: "" })
      assert.include(unknown.stderr, "there is no plugin nobody")
      const coloured = yield* run(["list"], { NO_COLOR: undefined, FORCE_COLOR: "1" })
      assert.include(coloured.stdout, "\u001b[32mactive\u001b[0m")
    }).pipe(Effect.scoped),
  )

  it.live("enable, disable, restart and reload say so, and tell what the supervisor says against it", () =>
    Effect.gen(function* () {
      const words = ["enable", "disable", "restart", "reload"]
      const { run, seen } = yield* fake({
        ...Object.fromEntries(words.map((word) => [`POST /api/v4/plugins/hello/${word}`, { body: { status: "OK" } }])),
        "POST /api/v4/plugins/a%2Fb/enable": { status: 500, body: appError("It does not start", 500, "exit code 1") },
      })
      for (const word of words) assert.deepInclude(yield* run([word, "hello"]), { code: 0, stderr: "" })
      assert.deepStrictEqual(
        seen.map(({ method, url }) => `${method} ${url}`),
        words.map((word) => `POST /api/v4/plugins/hello/${word}`),
      )
      assert.deepStrictEqual(JSON.parse((yield* run(["enable", "hello", "--json"])).stdout), { status: "OK" })
      const failed = yield* run(["enable", "a/b"])
      assert.deepInclude(failed, { code: 1, stdout: "" })
      assert.include(failed.stderr, "It does not start (exit code 1)")
    }).pipe(Effect.scoped),
  )

  it.live("remove does not without being asked twice", () =>
    Effect.gen(function* () {
      const { run, seen } = yield* fake({ "DELETE /api/v4/plugins/hello": { body: { status: "OK" } } })
      const asked = yield* run(["remove", "hello"])
      assert.deepInclude(asked, { code: 2, stdout: "" })
      assert.include(asked.stderr, "say so with --yes")
      assert.lengthOf(seen, 0)
      assert.deepInclude(yield* run(["remove", "hello", "--yes"]), { code: 0, stdout: "hello is removed\n" })
    }).pipe(Effect.scoped),
  )

  it.live("install sends a file, a folder and a URL", () =>
    Effect.gen(function* () {
      const { run, seen: all } = yield* fake({
        "POST /api/v4/plugins": { status: 201, body: { id: "hello", version: "1.0.0" } },
        "POST /api/v4/plugins/install_from_url": { status: 201, body: { id: "hello" } },
        "GET /api/v4/plugins/statuses": { body: [{ plugin_id: "hello", is_enabled: false }] },
      })
      const root = yield* folder({
        "hello/plugin.json": JSON.stringify({ id: "hello", name: "Hello", server: { executable: "plugin.py" } }),
        "hello/plugin.py": "print(1)",
        "hello/.venv/pyvenv.cfg": "",
        "some.tar.gz": "any bytes",
      })
      const sent = yield* run(["install", join(root, "some.tar.gz"), "--force"])
      assert.deepInclude(sent, { code: 0, stderr: "" })
      assert.include(sent.stdout, "hello 1.0.0 is installed and not enabled: plugin-supervisor enable hello starts it")
      const seen = () => all.filter(({ method }) => method === "POST")
      const form = seen()[0]!.body.toString("latin1")
      assert.match(form, /name="force"\r\n\r\ntrue\r\n[^]*name="plugin"; filename="some\.tar\.gz"\r\n[^]*any bytes/)

      assert.strictEqual((yield* run(["install", join(root, "hello")])).code, 0)
      const { body } = seen()[1]!
      assert.notInclude(body.toString("latin1"), 'name="force"')
      const archive = gunzipSync(body.subarray(body.indexOf(Buffer.from([0x1f, 0x8b])), body.lastIndexOf("\r\n--")))
      assert.include(archive.toString("latin1"), "hello/plugin.py")
      assert.notInclude(archive.toString("latin1"), "pyvenv.cfg")

      assert.strictEqual((yield* run(["install", "https://example.org/a b.tar.gz", "--force"])).code, 0)
      assert.strictEqual(
        seen()[2]!.url,
        "/api/v4/plugins/install_from_url?plugin_download_url=https%3A%2F%2Fexample.org%2Fa+b.tar.gz&force=true",
      )
      const missing = yield* run(["install", join(root, "nothing")])
      assert.deepInclude(missing, { code: 1, stdout: "" })
      assert.include(missing.stderr, `there is no file or folder ${join(root, "nothing")} to install`)
    }).pipe(Effect.scoped),
  )

  it.live("config changes single settings, unsets them, or sets all", () =>
    Effect.gen(function* () {
      const path = "/api/v4/plugins/hello/config"
      const body = { Secret: "***", Length: 6, Name: null }
      const { run, seen } = yield* fake(
        Object.fromEntries(["GET", "PUT", "PATCH"].map((method) => [`${method} ${path}`, { body }])),
      )
      assert.match((yield* run(["config", "get", "hello"])).stdout, /^Length +6\nName +not set$/m)
      const set = yield* run(["config", "set", "hello", "length=6", "Name=a=b", 'Text="5"', "--json"])
      assert.deepStrictEqual(JSON.parse(set.stdout), body)
      assert.strictEqual((yield* run(["config", "unset", "hello", "Name", "Text"])).code, 0)
      const root = yield* folder({ "settings.yaml": "Length: 7\n" })
      assert.strictEqual((yield* run(["config", "set", "hello", "--file", join(root, "settings.yaml")])).code, 0)
      // What the others are is for the supervisor to know: it is not read to be sent back.
      assert.deepStrictEqual(
        seen.map(({ body, method }) => [method, body.length === 0 ? undefined : JSON.parse(body.toString())]),
        [
          ["GET", undefined],
          ["PATCH", { length: 6, Name: "a=b", Text: "5" }],
          ["PATCH", { Name: null, Text: null }],
          ["PUT", { Length: 7 }],
        ],
      )
      for (const wrong of [
        ["config", "set", "hello"],
        ["config", "set", "hello", "Length"],
        ["config", "set", "hello", "Length=1", "Length=2"],
        ["config", "unset", "hello"],
      ]) {
        assert.strictEqual((yield* run(wrong)).code, 2)
      }
    }).pipe(Effect.scoped),
  )

  it.live("logs shows what there is, and goes on with what comes, each line once", () =>
    Effect.gen(function* () {
      const line = (at: number, message: string) => ({ at, level: "Info", message, fields: { user: "u" } })
      const { run, seen, url } = yield* fake({
        "GET /api/v4/plugins/hello/logs": { body: [line(1, "first"), line(2, "second")] },
        "GET /api/v4/plugins/hello/logs/follow": {
          type: "text/event-stream",
          body: `retry: 1000\n\n: heartbeat\n\n${[line(2, "second"), line(2, "third"), line(3, "fourth")].map((data) => `data: ${JSON.stringify(data)}\n\n`).join("")}`,
          isOpen: true,
        },
        "GET /api/v4/plugins/gone/logs": { body: [] },
        "GET /api/v4/plugins/gone/logs/follow": { type: "text/event-stream", body: ": heartbeat\n\n" },
      })
      const shown = yield* run(["logs", "hello", "--count", "7"])
      assert.strictEqual(
        shown.stdout,
        '1970-01-01T00:00:00.001Z INFO  first user="u"\n1970-01-01T00:00:00.002Z INFO  second user="u"\n',
      )
      assert.include(seen[0]!.url, "?count=7")
      const following = yield* program(
        process.execPath,
        ["--conditions=effect-plugin-supervisor-source", main, "logs", "-f", "hello", "--json"],
        { env: { ...process.env, PLUGIN_SUPERVISOR_URL: url, PLUGIN_SUPERVISOR_TOKEN: TOKEN } },
      )
      yield* eventually("the last line comes", () => following.output().includes("fourth"))
      const messages = following
        .output()
        .trim()
        .split("\n")
        .map((text) => JSON.parse(text).message)
      assert.deepStrictEqual(messages, ["first", "second", "third", "fourth"])
      const gone = yield* run(["logs", "gone", "-f"])
      assert.strictEqual(gone.code, 3)
      assert.include(gone.stderr, "has ended the log")
    }).pipe(Effect.scoped),
  )

  it.live("tell why the supervisor is not asked, or does not answer", () =>
    Effect.gen(function* () {
      const { run, url } = yield* fake({ "GET /api/v4/plugins": { body: "<html>", type: "text/html" } })
      const nobody = yield* run(["list", "--url", "http://127.0.0.1:1/"])
      assert.deepInclude(nobody, { code: 3, stdout: "" })
      assert.match(
        nobody.stderr,
        /can't reach the plugin supervisor at http:\/\/127\.0\.0\.1:1 \(.*ECONNREFUSED.*\); is it running/,
      )
      const refused = yield* run(["list"], { PLUGIN_SUPERVISOR_TOKEN: "wrong" })
      assert.deepInclude(refused, { code: 4, stdout: "" })
      assert.include(refused.stderr, `at ${url} refuses the token in PLUGIN_SUPERVISOR_TOKEN`)
      assert.notInclude(refused.stderr, "wrong")
      const without = yield* run(["list"], { PLUGIN_SUPERVISOR_TOKEN: "" })
      assert.deepInclude(without, { code: 4 })
      assert.include(without.stderr, "refuses a request without a token")
      const other = yield* run(["list"])
      assert.deepInclude(other, { code: 1, stdout: "" })
      assert.include(other.stderr, "not as a plugin supervisor does")
      assert.strictEqual((yield* run(["list", "--url", "ftp://a"])).code, 2)
    }).pipe(Effect.scoped),
  )

  it.live("take a flag before a variable, a variable before the file, and the file before the default", () =>
    Effect.gen(function* () {
      const { run, seen, url } = yield* fake({
        "GET /api/v4/plugins": { body: { active: [], inactive: [] } },
        "GET /api/v4/plugins/statuses": { body: [] },
      })
      const root = yield* temporaryFolder
      const [token, wrong, file] = ["token", "wrong", "cli.toml"].map((name) => join(root, name))
      writeFileSync(token!, `${TOKEN}\n`)
      writeFileSync(wrong!, "wrong")
      chmodSync(token!, 0o600)
      // Relative to the file, wherever the command is run.
      writeFileSync(file!, `url = "${url}"\ntokenFile = "token"\n`)
      const none = { PLUGIN_SUPERVISOR_URL: "", PLUGIN_SUPERVISOR_TOKEN: "" }
      assert.strictEqual((yield* run(["list", "--config", file!], none)).code, 0)
      assert.strictEqual((yield* run(["list", "--config", file!], { ...none, PLUGIN_SUPERVISOR_TOKEN: "x" })).code, 4)
      const flag = ["list", "--config", file!, "--token-file", token!]
      assert.strictEqual((yield* run(flag, { ...none, PLUGIN_SUPERVISOR_TOKEN: "x" })).code, 0)
      assert.strictEqual(
        (yield* run(["list", "--config", file!], { ...none, PLUGIN_SUPERVISOR_URL: "http://127.0.0.1:1" })).code,
        3,
      )
      // A list is two requests; the one that was refused was one.
      assert.lengthOf(seen, 5)
      const unread = yield* run(["list", "--token-file", join(root, "none")])
      assert.deepInclude(unread, { code: 1 })
      assert.include(unread.stderr, `there is no file ${join(root, "none")} with a token`)
      writeFileSync(file!, 'urll = "x"\n')
      const unknown = yield* run(["list", "--config", file!])
      assert.deepInclude(unknown, { code: 2, stdout: "" })
      assert.include(unknown.stderr, "urll: there is no such setting; there are url, tokenFile")
    }).pipe(Effect.scoped),
  )

  it.live("end with 2 for what is no command, and print help only where it was asked for", () =>
    Effect.gen(function* () {
      const lines: ReadonlyArray<readonly [args: ReadonlyArray<string>, said: RegExp]> = [
        [["serve", "--plugins", "/none"], /--plugins: "\/none"\. Path does not exist: \/none\n/],
        [["pack", main], /Path is not a directory: /],
        [
          ["serve", "--plugins", ".", "--limit", "message=x", "--limit", "post-props=x"],
          /--limit:\n +message: expected a size such as "8 MiB"\n +.*post-props.*: expected a whole number/,
        ],
      ]
      for (const [args, said] of lines) {
        const { code, stderr, stdout } = yield* cli(args)
        assert.deepStrictEqual([args, code, stdout], [args, 2, ""])
        assert.match(stderr, said)
      }
      for (const args of [["nothing"], ["list", "--what"], ["enable"], ["logs", "a", "--count", "0"]]) {
        const { code, stderr, stdout } = yield* cli(args)
        assert.deepStrictEqual([args, code, stdout], [args, 2, ""])
        assert.match(stderr, /ERROR/)
        assert.match(stderr, /--help tells how it is used/)
      }
      const help = yield* cli(["enable", "--help"])
      assert.deepInclude(help, { code: 0, stderr: "" })
      assert.include(help.stdout, "--token-file")
      const completions = yield* cli(["--completions", "bash"])
      assert.deepInclude(completions, { code: 0, stderr: "" })
      assert.include(completions.stdout, "install")
    }).pipe(Effect.scoped),
  )
})
