/** Every snippet in the documents is run, or at least compiled, and every link leads somewhere. */
import { execFileSync, spawn } from "node:child_process"
import { cpSync, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import { inject } from "vitest"
import { checkout, served } from "../support/checkout.ts"
import { Calculator } from "../../examples/own-protocol/generated/calculator/calculator_pb.js"
import { implement } from "../../src/goplugin/index.ts"
import { messages } from "../../src/rpc/RpcClient.ts"
import { goPluginHost, pythonKind, start } from "../support/goplugin.ts"
import { folder } from "../support/folder.ts"
import { read, root, snippets } from "../support/documents.ts"
import { eventually, host, noPython } from "../support/host.ts"
import { installedSdk, makePackages } from "../support/wheels.ts"
import { pluginOptions } from "../../src/supervisor/PluginOptions.ts"
import { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"

const documents = globSync(["*.md", "docs/**/*.md", "python-sdk/*.md"], { cwd: root }).toSorted()

/** The headings of a document, as links name them. */
const headings = (file: string): ReadonlyArray<string> =>
  [
    ...read(file)
      .replaceAll(/^```.*?^```/gms, "")
      .matchAll(/^#+ (.+)$/gm),
  ].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replaceAll(/[^\w -]/g, "")
      .replaceAll(" ", "-"),
  )

describe("the documents", () => {
  it("have links that lead somewhere", () => {
    for (const file of documents) {
      for (const [, target = "", heading] of read(file).matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)/g)) {
        const path = target === "" ? file : join(dirname(file), target)
        assert.isTrue(existsSync(join(root, path)), `${file} links to ${target}`)
        if (heading !== undefined) assert.include(headings(path), heading, `${file} links to ${target}#${heading}`)
      }
    }
  })

  it("name scripts and files that exist", () => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> }
    for (const file of documents) {
      for (const [, script = ""] of read(file).matchAll(/npm run (\w+)/g)) {
        assert.isDefined(scripts[script], `${file} names npm run ${script}`)
      }
    }
    for (const room of read("docs/architecture.md").matchAll(/^\| `(\w+)\/` \|/gm)) {
      assert.isTrue(existsSync(join(root, "src", room[1]!)), `docs/architecture.md names src/${room[1]}`)
    }
  })

  it("have TypeScript that compiles", () => {
    const folder = join(root, ".cache/docs")
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    const found = documents.flatMap((file) => snippets(file, "ts"))
    assert.isAbove(found.length, 1)
    found.forEach((snippet, index) => writeFileSync(join(folder, `snippet${index}.ts`), snippet))
    for (const example of ["own-protocol", "own-contract"]) {
      cpSync(join(root, "examples", example, "generated"), join(folder, "generated"), { recursive: true })
    }
    cpSync(join(root, "examples/own-protocol/streams.ts"), join(folder, "streams.ts"))
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ extends: "../../tsconfig.json", include: ["*.ts"] }))
    execFileSync(join(root, "node_modules/.bin/tsc"), ["-p", folder], { stdio: "inherit" })
  })
})

describe("docs/hooks.md", () => {
  it.effect("shows policies that serve takes", () =>
    Effect.gen(function* () {
      const { plugins } = yield* pluginOptions(MattermostContract, JSON.parse(snippets("docs/hooks.md", "json")[0]!))
      assert.strictEqual(plugins["guard"]?.hooks?.policies?.messageWillBePosted?.onFailure, "refuse")
    }),
  )
})

describe("docs/contracts.md", () => {
  it("shows the example's plugin, and the commands of its README", () => {
    assert.strictEqual(snippets("docs/contracts.md", "py")[0], read("examples/own-contract/plugins/taxes/plugin.py"))
    const [commands = ""] = snippets("docs/contracts.md", "sh")
    assert.include(snippets("examples/own-contract/README.md", "sh")[0], commands.trim())
  })

  it.live("shows how the stubs are made", () =>
    Effect.gen(function* () {
      const cwd = yield* folder({ "buf.gen.yaml": snippets("docs/contracts.md", "yaml")[0]! })
      cpSync(join(root, "examples/own-contract/proto"), join(cwd, "proto"), { recursive: true })
      const PATH = `${join(root, "node_modules/.bin")}:${process.env["PATH"]}`
      execFileSync("buf", ["generate"], { cwd, env: { ...process.env, PATH }, stdio: "pipe" })
      for (const file of ["billing_pb.js", "billing_pb.d.ts"]) {
        const made = readFileSync(join(cwd, "src/generated/billing/v1", file), "utf8")
        assert.strictEqual(made, read(`examples/own-contract/generated/billing/v1/${file}`))
      }
    }).pipe(Effect.scoped),
  )
})

describe("docs/go-plugin.md", () => {
  it("shows the example as it is, and so does the SDK's", () => {
    const [host, , streams] = snippets("docs/go-plugin.md", "ts")
    assert.strictEqual(host, read("examples/own-protocol/host.ts"))
    assert.strictEqual(streams, read("examples/own-protocol/streams.ts"))
    assert.strictEqual(snippets("docs/go-plugin.md", "yaml")[0], read("examples/own-protocol/buf.gen.yaml"))
    assert.strictEqual(snippets("python-sdk/README.md", "py")[0], read("examples/own-protocol/plugin.py"))
    assert.isTrue(read("examples/hello-go/main.go").endsWith(`\n${snippets("docs/go-plugin.md", "go")[0]}`))
  })

  it("names tests that exist", () => {
    const tests = globSync(["test/**/*.test.ts", "python-sdk/tests/*.py"], { cwd: root }).map(read).join("\n")
    const [, table = ""] = read("docs/go-plugin.md").split("## Every behaviour")
    const rows = [...table.matchAll(/^\|.*\| `(.+)` \|$/gm)].map(([, name]) => name!)
    assert.isAbove(rows.length, 50)
    assert.deepStrictEqual(
      rows.filter((name) => !tests.includes(name)),
      [],
    )
  })
})

describe.skipIf(noPython)("examples/own-protocol", () => {
  it.live(
    "runs by the commands of its README",
    () =>
      Effect.gen(function* () {
        const [setUp = ""] = snippets("examples/own-protocol/README.md", "sh")
        const cwd = yield* checkout
        const output = execFileSync("sh", ["-ec", setUp], { cwd, encoding: "utf8", timeout: 590_000 })
        assert.include(output, "it speaks ttrpc")
        assert.include(output, "1 + 2 = 3")
        assert.include(output, "adding 1.0 and 2.0")
        for (const line of ["counted to 1, 2, 3", "a total of 3", "running at 7"]) assert.include(output, line)
      }).pipe(Effect.scoped),
    600_000,
  )
})

describe.skipIf(pythonKind.missing !== undefined)("python-sdk/README.md", () => {
  it.live("shows a plugin that calls its host", () =>
    Effect.gen(function* () {
      const [plugin = "", asking = ""] = snippets("python-sdk/README.md", "py")
      const [imports, rest = ""] = plugin.split("\n\n\nclass Calculator")
      const program = [imports, asking, rest.slice(rest.indexOf("handshake = "))].join("\n\n\n")
      const cwd = yield* folder({ "plugin.py": program })
      cpSync(join(root, "examples/own-protocol/proto"), join(cwd, "proto"), { recursive: true })
      const services = [
        implement(Calculator, {
          add: ({ a, b }) => Effect.succeed({ sum: a + b }),
          running: (call) => Stream.runForEach(messages(call), ({ value }) => call.send({ total: 2n * value })),
        }),
      ]
      const { client } = yield* start(pythonKind, {
        handshake: { magicCookieKey: "CALCULATOR_PLUGIN", magicCookieValue: "adds up", protocolVersions: [1] },
        process: { args: ["plugin.py"], cwd },
        ttrpc: { services, isRequired: true },
      })
      assert.strictEqual((yield* client.unary(Calculator.method.add, { a: 1, b: 2 })).sum, 3)
      const call = yield* client.bidi(Calculator.method.running)
      yield* call.send({ value: 3n })
      assert.strictEqual(Option.getOrThrow(yield* call.receive).total, 6n)
    }).pipe(Effect.scoped, Effect.provide(goPluginHost)),
  )
})

describe.skipIf(noPython)("the plugins in the documents", () => {
  const plugins = documents.flatMap((file) =>
    snippets(file, "python").map((program) => ({ file, program, manifest: snippets(file, "json")[0] })),
  )

  /** What those that refuse posts refuse, and why. */
  const refused: { readonly [file: string]: readonly [string, string] } = {
    "README.md": ["a secret", "secrets don't belong here"],
    "docs/python-plugins.md": ["a secret", "secrets don't belong here"],
    "docs/python-sdk.md": ["shout", "ann, not so loud"],
  }
  const api = {
    getServerVersion: () => Effect.succeed({ version: "1.0.0" }),
    getUser: () => Effect.succeed({ user: { username: "ann" } }),
    loadPluginConfiguration: () => Effect.succeed({}),
    registerCommand: () => Effect.succeed({}),
  }

  it.live.each(plugins)("the one in $file runs", ({ file, manifest, program }) =>
    Effect.gen(function* () {
      const folder = mkdtempSync(join(tmpdir(), "docs-"))
      yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true, force: true })))
      writeFileSync(
        join(folder, "plugin.json"),
        manifest ?? '{"id":"docs","name":"D","server":{"executable":"plugin.py"}}',
      )
      writeFileSync(join(folder, "plugin.py"), program)
      const bundle = yield* (yield* PluginBundles).load(folder)
      const { hooks } = yield* (yield* MattermostPlugins.Supervisor).start(bundle)
      const [message, reason] = refused[file] ?? []
      if (message !== undefined) {
        const { rejectionReason } = yield* hooks.messageWillBePosted({ post: { message } })
        assert.strictEqual(rejectionReason, reason)
      } else {
        yield* hooks.messageHasBeenPosted({ post: { message: "hello" } })
      }
    }).pipe(Effect.scoped, Effect.provide(host(api))),
  )
})

describe.skipIf(noPython)("examples/moderator", () => {
  it.live(
    "is tested and runs by the commands of its README",
    () =>
      Effect.gen(function* () {
        const [commands = ""] = snippets("examples/moderator/README.md", "sh")
        const { authorization, base, channelId, output } = yield* served(commands, yield* checkout)
        assert.match(output(), /\d passed/)
        const send = (path: string, body: object) =>
          Effect.promise(async () => {
            const response = await fetch(`${base}/api/v4${path}`, {
              method: "POST",
              headers: { authorization },
              body: JSON.stringify({ channel_id: channelId(), ...body }),
            })
            return (await response.json()) as Record<string, unknown>
          })
        const said = (command: string) => Effect.map(send("/commands/execute", { command }), ({ text }) => text)
        const heck = { message: "oh heck" }
        assert.include((yield* send("/posts", heck))["message"], "Please write this without: heck")
        assert.strictEqual(yield* said("/moderator"), "Words: darn, heck")
        assert.strictEqual(yield* said("/moderator remove heck"), "Words: darn")
        // The plugin reads its settings when it is told that they have changed.
        const again = yield* Effect.repeat(Effect.delay(send("/posts", heck), "20 millis"), {
          until: ({ id }) => String(id).length === 26,
        }).pipe(Effect.timeout("60 seconds"))
        assert.strictEqual(again["message"], "oh heck")
      }).pipe(Effect.scoped),
    600_000,
  )
})

describe.skipIf(noPython)("examples/web-apps", () => {
  it.live(
    "run by the commands of their README",
    () =>
      Effect.gen(function* () {
        const { base } = yield* served(snippets("examples/web-apps/README.md", "sh")[0]!, yield* checkout)
        const page = yield* Effect.promise(() => fetch(`${base}/plugins/flask-app/`))
        assert.deepInclude(yield* Effect.promise(() => page.json() as Promise<object>), { hello: "stranger" })
      }).pipe(Effect.scoped),
    600_000,
  )
})

describe.skipIf(noPython)("getting started", () => {
  it.live(
    "its commands make a plugin run",
    () =>
      Effect.gen(function* () {
        // A checkout with a plugins folder, and in it the plugin that the document shows.
        const folder = yield* checkout
        const plugin = join(folder, "plugins/my-plugin")
        mkdirSync(plugin, { recursive: true })
        writeFileSync(join(plugin, "plugin.py"), snippets("docs/python-plugins.md", "python")[0]!)
        writeFileSync(join(plugin, "plugin.json"), snippets("docs/python-plugins.md", "json")[0]!)
        const commands = snippets("docs/python-plugins.md", "sh")[0]!.trim()
        assert.match(commands, /serve --plugins plugins$/)
        const { base } = yield* served(commands, folder)
        const page = yield* Effect.promise(() => fetch(`${base}/plugins/my-plugin/`))
        assert.strictEqual(yield* Effect.promise(() => page.text()), "Hello from my plugin!")
      }).pipe(Effect.scoped),
    600_000,
  )
})

describe.skipIf(noPython)("docs/python-environments.md", () => {
  it.live(
    "its command installs what a plugin asks for",
    () =>
      Effect.gen(function* () {
        const folder = yield* checkout
        const environments = join(folder, "data/environments")
        yield* Effect.addFinalizer(() => Effect.sync(() => execFileSync("chmod", ["-R", "u+w", environments])))
        const packages = join(folder, "packages")
        makePackages(packages, [{ name: "humanize", version: "4.1" }, installedSdk()])
        const plugin = join(folder, "plugins/my-plugin")
        mkdirSync(plugin, { recursive: true })
        const program = snippets("docs/python-plugins.md", "python")[0]!
        writeFileSync(join(plugin, "plugin.py"), `import humanize\n${program}`)
        writeFileSync(join(plugin, "plugin.json"), snippets("docs/python-plugins.md", "json")[0]!)
        writeFileSync(join(plugin, "requirements.txt"), snippets("docs/python-environments.md", "txt")[0]!)
        const [command = ""] = snippets("docs/python-environments.md", "sh")
        // Built once for all tests: building it takes a network and a minute.
        const own = "--python-sdk effect-plugin-supervisor-sdk --offline --find-links packages"
        const { base } = yield* served(`${command.trim()} ${own}`, folder)
        const page = yield* Effect.promise(() => fetch(`${base}/plugins/my-plugin/`))
        assert.strictEqual(yield* Effect.promise(() => page.text()), "Hello from my plugin!")
        assert.lengthOf(globSync("*/environment.json", { cwd: environments }), 1)
      }).pipe(Effect.scoped),
    600_000,
  )
})

describe.skipIf(noPython)("npm start", () => {
  it.live(
    "prints curl lines that work as they are printed, and stops cleanly",
    () =>
      Effect.gen(function* () {
        const python = inject("python")
        const data = mkdtempSync(join(tmpdir(), "start-"))
        const supervisor = yield* Effect.acquireRelease(
          Effect.sync(() =>
            spawn("node", ["scripts/start.ts", "--port", "0", "--data", data], {
              cwd: root,
              env: { ...process.env, PATH: `${"bin" in python ? python.bin : ""}:${process.env["PATH"]}` },
              stdio: ["ignore", "pipe", "pipe"],
            }),
          ),
          (child) =>
            Effect.sync(() => {
              child.kill("SIGKILL")
              rmSync(data, { recursive: true, force: true })
            }),
        )
        let output = ""
        let log = ""
        supervisor.stdout.on("data", (chunk) => (output += String(chunk)))
        supervisor.stderr.on("data", (chunk) => (log += String(chunk)))
        yield* eventually(
          "the lines are printed",
          () => supervisor.exitCode !== null || /\/plugins\/hello-python\/\n/.test(output),
          590_000,
        )
        const token = /its? token, made for this run, is (\S+)/i.exec(output)?.[1] ?? ""
        assert.isAbove(token.length, 30)
        const answers = [...output.matchAll(/^ {2}(curl .*)$/gm)].map(([, line]) =>
          String(execFileSync("sh", ["-c", `${line} --silent --fail-with-body --max-time 60`])),
        )
        assert.strictEqual(answers.length, 3)
        assert.include(answers[0], '"state_name":"Running"')
        assert.include(answers[1], '"message":"hello python"')
        assert.include(answers[2], "Hello from Python!")

        const channel = /"channel_id":"(\w+)"/.exec(output)![1]
        const base = /listens on (\S+)/.exec(output)![1]
        const api = (path: string, body?: object) =>
          Effect.promise(async () => {
            const response = await fetch(`${base}/api/v4${path}`, {
              headers: { Authorization: `Bearer ${token}` },
              ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
            })
            return { status: response.status, json: (await response.json()) as any }
          })
        const vetoed = yield* api("/posts", { channel_id: channel, message: "forbidden" })
        assert.strictEqual(vetoed.status, 400)
        assert.strictEqual(vetoed.json.message, "Post rejected by plugin. the word 'forbidden' is not allowed here")
        const changed = yield* api("/posts", { channel_id: channel, message: "hi :wave:" })
        assert.strictEqual(changed.json.message, "hi 👋")
        // The plugin's answer to the second curl line is a post of its own.
        const posts = Effect.map(api(`/channels/${channel}/posts`), ({ json }) =>
          Object.values<any>(json.posts).map(({ message }) => message),
        )
        const all = yield* Effect.repeat(Effect.delay(posts, "50 millis"), {
          until: (messages) => messages.includes("Hello from Python!"),
        }).pipe(Effect.timeout("60 seconds"))
        assert.notInclude(all, "forbidden")

        assert.notInclude(log, token, "a token is printed once and never logged")
        supervisor.kill("SIGTERM")
        yield* eventually("it has stopped", () => supervisor.exitCode !== null || supervisor.signalCode !== null)
        assert.strictEqual(supervisor.exitCode, 0)
        yield* eventually("the plugin said goodbye", () => log.includes("hello-python says goodbye"))
      }).pipe(Effect.scoped),
    600_000,
  )
})
