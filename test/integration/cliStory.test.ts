/** The operator's story over the command line, against the real supervisor; and an author's, from a new plugin to a reload. */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { cli, cliEnvironment, main } from "../support/cli.ts"
import { folder } from "../support/folder.ts"
import { eventually, noPython } from "../support/host.ts"
import { program } from "../support/program.ts"
import { installedSdk, makePackages, OFFLINE } from "../support/wheels.ts"

const TOKEN = "token-of-the-test"

/** Starts a command that runs until the Scope ends. */
const started = (args: ReadonlyArray<string>, cwd: string, env: NodeJS.ProcessEnv = {}) =>
  program(process.execPath, ["--conditions=effect-plugin-supervisor-source", main, ...args], {
    cwd,
    env: cliEnvironment({ PLUGIN_SUPERVISOR_TOKEN: TOKEN, ...env }),
  })

/** A supervisor without plugins yet, and commands for it, run in `root`. */
const served = Effect.fnUntraced(function* (root: string, ...flags: ReadonlyArray<string>) {
  const supervisor = yield* started(
    ["serve", "--plugins", join(root, "plugins"), "--data", join(root, "data"), "--port", "0", ...flags],
    root,
  )
  yield* eventually("it listens", () => supervisor.child.exitCode !== null || supervisor.output().includes("Try:"))
  assert.isNull(supervisor.child.exitCode, supervisor.log())
  const url = /listens on (\S+)/.exec(supervisor.output())![1]!
  const run = (...args: ReadonlyArray<string>) =>
    cli(args, { cwd: root, env: { PLUGIN_SUPERVISOR_URL: url, PLUGIN_SUPERVISOR_TOKEN: TOKEN } })
  /** What a command prints that has to succeed. */
  const done = (...args: ReadonlyArray<string>) =>
    Effect.map(run(...args), ({ code, stderr, stdout }) => {
      assert.deepStrictEqual([args, code, stderr], [args, 0, ""])
      return stdout
    })
  return { url, run, done, log: supervisor.log }
})

const settings = {
  settings: [
    { key: "Greeting", type: "text", default: "Hello" },
    { key: "Token", type: "text", secret: true },
  ],
}

/** A plugin that greets by its settings. */
const greeter = {
  "greeter/plugin.json": JSON.stringify({
    id: "greeter",
    name: "Greeter",
    version: "1.0.0",
    server: { runtime: "python", executable: "plugin.py" },
    settings_schema: settings,
  }),
  "greeter/plugin.py": `
from mattermost_plugin import HookName, Plugin, hook, run_plugin

class Greeter(Plugin):
    @hook(HookName.OnActivate)
    def on_activate(self):
        self.logger.info("the greeter is here")

    @hook(HookName.ServeHTTP)
    def serve(self, ctx, writer, request):
        writer.write("one")

run_plugin(Greeter)
`,
  plugins: { folder: true },
} as const

const page = (url: string, id: string) =>
  Effect.promise(async () => {
    const response = await fetch(`${url}/plugins/${id}/`, { headers: { Authorization: `Bearer ${TOKEN}` } })
    return { status: response.status, text: await response.text() }
  })

describe.skipIf(noPython)("an operator on the command line", () => {
  it.live("installs, enables, configures, watches, upgrades, disables and removes a plugin", () =>
    Effect.gen(function* () {
      const root = yield* folder(greeter)
      const { done, run, url } = yield* served(root)
      assert.include(yield* done("list"), "There are no plugins yet")
      assert.include(yield* done("install", "greeter"), "greeter 1.0.0 is installed and not enabled")
      assert.match(yield* done("list"), /^greeter +1\.0\.0 +inactive +disabled +Greeter$/m)
      // Ids count in any case, and are told as they are.
      assert.strictEqual(yield* done("enable", "GREETER"), "greeter is enabled and runs\n")
      assert.match(yield* done("status"), /^greeter +1\.0\.0 +Running/m)
      assert.deepStrictEqual(yield* page(url, "greeter"), { status: 200, text: "one" })

      yield* done("config", "set", "greeter", "Greeting=Moin", "Token=very-secret")
      const config = yield* done("config", "get", "greeter", "--json")
      assert.notInclude(config, "very-secret")
      assert.propertyVal(JSON.parse(config), "Greeting", "Moin")
      const wrong = yield* run("config", "set", "greeter", "Greeting=5")
      assert.deepInclude(wrong, { code: 1, stdout: "" })
      assert.match(wrong.stderr, /greeting/i)

      assert.include(yield* done("logs", "greeter"), "the greeter is here")
      const again = yield* run("install", "greeter")
      assert.deepInclude(again, { code: 1, stdout: "" })
      assert.include(again.stderr, "installed already in version 1.0.0; to replace it, force the install (--force")
      const source = join(root, "greeter/plugin.py")
      writeFileSync(source, readFileSync(source, "utf8").replace('"one"', '"two"'))
      yield* done("pack", "greeter", "-o", "greeter.tar.gz")
      assert.include(yield* done("install", "greeter.tar.gz", "--force"), "greeter 1.0.0 is installed and runs")
      assert.deepStrictEqual(yield* page(url, "greeter"), { status: 200, text: "two" })

      for (const word of ["restart", "reload"]) yield* done(word, "greeter")
      const status = JSON.parse(yield* done("status", "greeter", "--json"))
      assert.strictEqual(status.state_name, "Running")
      yield* done("disable", "greeter")
      assert.match(yield* done("status", "greeter"), /state +NotRunning/)
      yield* done("remove", "greeter", "--yes")
      assert.deepStrictEqual(JSON.parse(yield* done("list", "--json")), { active: [], inactive: [] })
      const gone = yield* run("enable", "greeter")
      assert.deepInclude(gone, { code: 1, stdout: "" })
      assert.include(gone.stderr, "there is no plugin greeter")
    }).pipe(Effect.scoped),
  )

  it.live("follows a plugin's log until the supervisor stops", () =>
    Effect.gen(function* () {
      const root = yield* folder(greeter)
      const { done, url } = yield* served(root)
      yield* done("install", "greeter")
      yield* done("enable", "greeter")
      const logs = yield* started(["logs", "-f", "greeter", "--json"], root, { PLUGIN_SUPERVISOR_URL: url })
      yield* eventually("what there is", () => logs.output().includes("the greeter is here"))
      const count = () => logs.output().split("the greeter is here").length - 1
      assert.strictEqual(count(), 1)
      yield* done("restart", "greeter")
      yield* eventually("what comes", () => count() === 2)
    }).pipe(Effect.scoped),
  )

  it.live("installs what a trusted key has signed, and nothing else", () =>
    Effect.gen(function* () {
      const root = yield* folder(greeter)
      const made = yield* cli(["keygen", "release.pem", "--json"], { cwd: root })
      const { key_id } = JSON.parse(made.stdout)
      const lost = yield* cli(["keygen", "release.pem"], { cwd: root })
      assert.deepInclude(lost, { code: 1, stdout: "" })
      assert.include(lost.stderr, "is there already")
      const { done, run } = yield* served(root, "--signatures", "require", "--trusted-key", "release.pem.pub")
      yield* done("pack", "greeter", "-o", "greeter.tar.gz")
      const unsigned = yield* run("install", "greeter.tar.gz")
      assert.deepInclude(unsigned, { code: 1, stdout: "" })
      assert.include(unsigned.stderr, "is not signed")
      assert.include(yield* done("sign", "greeter.tar.gz", "--key", "release.pem"), `by the key ${key_id}`)
      yield* done("install", "greeter.tar.gz")
      yield* done("sign", "greeter", "--key", "release.pem")
      writeFileSync(join(root, "greeter/more.py"), "")
      const packed = yield* run("pack", "greeter", "-o", "changed.tar.gz")
      assert.strictEqual(packed.code, 0)
      assert.match(
        packed.stderr,
        /signature in \S+greeter is not for what is packed: "more.py" was added .*sign it again/,
      )
      const changed = yield* run("install", "greeter", "--force")
      assert.deepInclude(changed, { code: 1, stdout: "" })
      assert.include(changed.stderr, '"more.py" was added after it was signed')
    }).pipe(Effect.scoped),
  )

  it.live("gives a plugin the packages that it asks for, from where the flags say", () =>
    Effect.gen(function* () {
      const root = yield* folder({
        ...greeter,
        "greeter/requirements.txt": "tiny==1.0\n",
        "greeter/plugin.py": `import tiny\n${greeter["greeter/plugin.py"].replace('"one"', '"tiny " + tiny.version')}`,
      })
      makePackages(join(root, "wheels"), [{ name: "tiny" }, installedSdk()])
      const { done, run, url } = yield* served(root, ...OFFLINE)
      yield* done("install", "greeter")
      yield* done("enable", "greeter")
      assert.strictEqual((yield* page(url, "greeter")).text, "tiny 1.0")
      assert.isTrue(existsSync(join(root, "data/environments")))
      writeFileSync(join(root, "greeter/requirements.txt"), "no-such-package==1\n")
      const failed = yield* run("install", "greeter", "--force")
      assert.deepInclude(failed, { code: 1, stdout: "" })
      assert.match(failed.stderr, /no-such-package/)
      assert.strictEqual((yield* page(url, "greeter")).text, "tiny 1.0")
    }).pipe(Effect.scoped),
  )

  it.live("is told at once what can't be served", () =>
    Effect.gen(function* () {
      const root = yield* folder({ plugins: { folder: true }, "key.pem": "no key" })
      const serve = (...flags: ReadonlyArray<string>) =>
        cli(["serve", "--plugins", "plugins", "--data", "data", "--port", "0", ...flags], { cwd: root })
      const keyless = yield* serve("--signatures", "require")
      assert.strictEqual(keyless.code, 1)
      assert.include(keyless.stderr, "name one by --trusted-key")
      const broken = yield* serve("--trusted-key", "key.pem")
      assert.strictEqual(broken.code, 2)
      assert.include(broken.stderr, "expected public keys in PEM")
    }).pipe(Effect.scoped),
  )
})

describe.skipIf(noPython)("an author on the command line", () => {
  it.live("makes a plugin, checks it, calls a hook of it, and changes it while it runs", () =>
    Effect.gen(function* () {
      const root = yield* folder({})
      const run = (...args: ReadonlyArray<string>) => cli(args, { cwd: root })
      const made = yield* run("new", "my-plugin")
      assert.deepInclude(made, { code: 0, stderr: "" })
      const checked = yield* run("check", "my-plugin", "--json")
      const { ok, steps } = JSON.parse(checked.stdout)
      assert.deepStrictEqual([checked.code, ok], [0, true])
      assert.deepStrictEqual(
        steps.map(({ step, verdict }: any) => `${step} ${verdict}`),
        ["manifest", "paths", "interpreter", "environment", "imports", "handshake", "hooks"].map(
          (step) => `${step} ok`,
        ),
      )
      const called = yield* run(
        "call",
        "MessageWillBePosted",
        '{"post":{"message":"a secret"}}',
        "--folder",
        "my-plugin",
      )
      assert.deepStrictEqual(JSON.parse(called.stdout), { rejection_reason: "secrets don't belong here" })

      const dev = yield* started(["dev", "my-plugin", "--port", "0", "--json"], root)
      const events = () =>
        dev
          .output()
          .split("\n")
          .filter((line) => line !== "")
          .map((line) => JSON.parse(line) as { readonly event: string; readonly message: string })
      const seen = (event: string, count = 1) =>
        eventually(
          `${event} ${count}`,
          () => dev.child.exitCode !== null || events().filter((one) => one.event === event).length >= count,
        )
      yield* seen("listening")
      const url = events().find(({ event }) => event === "listening")?.message ?? assert.fail(dev.log())
      assert.deepStrictEqual(yield* page(url, "my-plugin"), { status: 200, text: "Hello from my-plugin!" })
      const source = join(root, "my-plugin/plugin.py")
      const text = readFileSync(source, "utf8")
      writeFileSync(source, text.replace("Hello from", "Good evening from"))
      yield* seen("reloaded")
      assert.strictEqual((yield* page(url, "my-plugin")).text, "Good evening from my-plugin!")
      // A broken state says why; the one before goes on.
      writeFileSync(source, "import nothing_of_this_name\n")
      yield* seen("waiting")
      assert.include(events().find(({ event }) => event === "failed")?.message ?? "", "nothing_of_this_name")
      assert.strictEqual((yield* page(url, "my-plugin")).text, "Good evening from my-plugin!")
      // What is left out of bundles is no change.
      writeFileSync(join(root, "my-plugin/.env"), "A=1")
      rmSync(source)
      writeFileSync(source, text)
      yield* seen("reloaded", 2)
      assert.strictEqual((yield* page(url, "my-plugin")).text, "Hello from my-plugin!")
      assert.lengthOf(events(), 6)
    }).pipe(Effect.scoped),
  )

  it.live("waits for a manifest that can be read", () =>
    Effect.gen(function* () {
      const root = yield* folder({ ...greeter, "greeter/plugin.json": "{" })
      const dev = yield* started(["dev", "greeter", "--port", "0"], root)
      yield* eventually("it waits", () => dev.child.exitCode !== null || dev.output().includes("waiting"))
      assert.match(dev.output(), /failed .*plugin\.json is not a valid plugin manifest[^]*waiting for the next change/)
      writeFileSync(join(root, "greeter/plugin.json"), greeter["greeter/plugin.json"])
      yield* eventually("it runs", () => dev.child.exitCode !== null || dev.output().includes("Try:"))
      assert.match(dev.output(), /active greeter\n[^]*curl http:\S+\/plugins\/greeter\//)
      assert.include(dev.log(), "the greeter is here")
    }).pipe(Effect.scoped),
  )

  it.live("has what is built, built before each start, which is no change", () =>
    Effect.gen(function* () {
      const root = yield* folder({ ...greeter, "greeter/text.txt": "one" })
      const source = join(root, "greeter/plugin.py")
      writeFileSync(source, `from built import TEXT\n${readFileSync(source, "utf8").replace('"one"', "TEXT")}`)
      const build = `printf 'TEXT = "%s"\\n' "$(cat text.txt)" > built.py && test "$(cat text.txt)" != broken`
      const dev = yield* started(["dev", "greeter", "--port", "0", "--json", "--build", build], root)
      const seen = (event: string) =>
        eventually(event, () => dev.child.exitCode !== null || dev.output().includes(`"event":"${event}"`))
      yield* seen("listening")
      const url = /"(http:[^"]+)"/.exec(dev.output())?.[1] ?? assert.fail(dev.log())
      assert.strictEqual((yield* page(url, "greeter")).text, "one")
      writeFileSync(join(root, "greeter/text.txt"), "two")
      yield* seen("reloaded")
      assert.strictEqual((yield* page(url, "greeter")).text, "two")
      writeFileSync(join(root, "greeter/text.txt"), "broken")
      yield* seen("waiting")
      assert.strictEqual((yield* page(url, "greeter")).text, "two")
      const events = [...dev.output().matchAll(/"event":"(\w+)"/g)].map(([, event]) => event)
      assert.deepStrictEqual(events, ["active", "listening", "reloaded", "failed", "waiting"])
    }).pipe(Effect.scoped),
  )

  it.live("is told by check at which step it ends", () =>
    Effect.gen(function* () {
      const root = yield* folder({
        ...greeter,
        "no-manifest/a": "",
        "path/plugin.json": JSON.stringify({
          id: "path",
          name: "Path",
          server: { runtime: "python", executable: "../other.py" },
        }),
        "imports/plugin.json": greeter["greeter/plugin.json"],
        "imports/plugin.py": "import nothing_of_this_name\n",
        "handshake/plugin.json": greeter["greeter/plugin.json"],
        "handshake/plugin.py": 'if __name__ == "__main__":\n    print("hello")\n',
        "hooks/plugin.json": greeter["greeter/plugin.json"],
        "hooks/plugin.py": greeter["greeter/plugin.py"].replace(
          'self.logger.info("the greeter is here")',
          'raise RuntimeError("no disk")',
        ),
      })
      const failures: ReadonlyArray<readonly [string, RegExp]> = [
        ["no-manifest", /✗ manifest +.*\n- paths/],
        ["path", /✓ manifest[^]*✗ paths +.*leads outside of the bundle/],
        [
          "imports",
          /✓ environment[^]*✗ imports[^]*No module named 'nothing_of_this_name'\n +packages that it imports go into.*\n- handshake/,
        ],
        ["handshake", /✓ imports[^]*✗ handshake[^]*- hooks/],
        ["hooks", /✓ handshake[^]*✗ hooks[^]*no disk/],
      ]
      for (const [name, expected] of failures) {
        const { code, stderr, stdout } = yield* cli(["check", name], { cwd: root })
        assert.match(stdout, expected)
        assert.strictEqual(code, 1)
        assert.include(stderr, `${name} is no plugin that runs yet`)
      }
      assert.isFalse(existsSync(join(root, "imports/__pycache__")))
    }).pipe(Effect.scoped),
  )

  it.live("is told by call what it can't be called with", () =>
    Effect.gen(function* () {
      const root = yield* folder(greeter)
      const call = (...args: ReadonlyArray<string>) => cli(["call", ...args, "--folder", "greeter"], { cwd: root })
      for (const [args, code, reason] of [
        [["Nothing"], 1, /there is no hook Nothing; there are OnActivate/],
        [["ServeHTTP"], 2, /plugin-supervisor dev serves the plugin's pages/],
        [["OnActivate", "{"], 2, /is no JSON/],
        [["OnActivate", '{"x":1}'], 2, /key "x" is unknown/],
        [["MessageWillBePosted"], 1, /MessageWillBePosted/],
      ] as const) {
        const ended = yield* call(...args)
        assert.deepStrictEqual([args, ended.code, ended.stdout], [args, code, ""])
        assert.match(ended.stderr, reason)
      }
    }).pipe(Effect.scoped),
  )
})

describe.skipIf(noPython)("a call", () => {
  it.live("has the workspace's ids, and what earlier ones have stored where it is told to", () =>
    Effect.gen(function* () {
      const root = yield* folder({
        "who/plugin.json": JSON.stringify({ id: "who", name: "Who", server: { executable: "plugin.py" } }),
        "who/plugin.py": `
from mattermost_plugin import Plugin, command, run_plugin

class Who(Plugin):
    @command("who")
    def who(self, ctx, args, text):
        names = self.api.get_user(args.user_id).username, self.api.get_channel(args.channel_id).name
        return " ".join([*names, str(self.kv.update("calls", lambda before: before + 1, default=0))])

run_plugin(Who)
`,
      })
      const call = (args: object) =>
        cli(["call", "ExecuteCommand", JSON.stringify({ args }), "--folder", "who", "--data", "data"], { cwd: root })
      for (const count of [1, 2]) {
        const { code, stderr, stdout } = yield* call({
          command: "/who",
          user_id: "$user_id",
          channel_id: "$channel_id",
        })
        assert.deepStrictEqual([code, stderr], [0, ""])
        assert.strictEqual(JSON.parse(stdout).response.text, `admin town-square ${count}`)
      }
      const failed = yield* call({ command: "/who", user_id: "nobody" })
      assert.deepInclude(failed, { code: 1, stdout: "" })
      // Whose failure it is, is told once.
      assert.match(
        failed.stderr,
        /plugin who: ExecuteCommand failed in the plugin \(\S+\): ExecuteCommand raised NotFound/,
      )
    }).pipe(Effect.scoped),
  )

  it.live("of a plugin whose packages nobody has installed says so", () =>
    Effect.gen(function* () {
      const root = yield* folder({
        ...greeter,
        "greeter/requirements.txt": "nothing-of-this-name\n",
        "greeter/plugin.py": "import nothing_of_this_name\n",
      })
      for (const args of [
        ["call", "OnActivate", "--folder", "greeter"],
        ["check", "greeter"],
      ]) {
        const { code, stderr, stdout } = yield* cli([...args, "--no-provision"], { cwd: root })
        assert.strictEqual(code, 1)
        assert.match(
          stdout + stderr,
          /No module named 'nothing_of_this_name'[^]*requirements\.txt was not installed: this host makes no Python environments \(--no-provision\)/,
        )
      }
    }).pipe(Effect.scoped),
  )
})

describe("an author without Go", () => {
  it.live("is told so, and no half of a plugin stays", () =>
    Effect.gen(function* () {
      const root = yield* folder({})
      const made = yield* cli(["new", "in-go", "--go"], { cwd: root, env: { PATH: root } })
      assert.deepInclude(made, { code: 1, stdout: "" })
      assert.match(made.stderr, /^ *there is no go on the PATH; install it$/m)
      assert.isFalse(existsSync(join(root, "in-go")))
    }).pipe(Effect.scoped),
  )
})
