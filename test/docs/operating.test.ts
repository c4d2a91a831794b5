/** docs/operating.md: its unit, container, options, and backup are those of the supervisor that there is. */
import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { load } from "js-yaml"
import { parseManifest } from "../../src/bundle/Manifest.ts"
import { HEALTH_DEADLINE } from "../../src/goplugin/Health.ts"
import { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { STATE_NUMBER } from "../../src/mattermost/PluginStateNumber.ts"
import { HEALTH_INTERVAL, HEALTH_MISSES } from "../../src/supervisor/HealthMonitor.ts"
import { pluginOptions } from "../../src/supervisor/PluginOptions.ts"
import {
  RESTART_BUDGET,
  RESTART_DELAY,
  RESTART_MAX_DELAY,
  RETRY_EVERY,
  STABLE_AFTER,
} from "../../src/supervisor/RestartPolicy.ts"
import { DRAIN_LIMIT, STREAM_LIMIT } from "../../src/supervisor/SupervisorOptions.ts"
import { cli, cliEnvironment, main } from "../support/cli.ts"
import { read, snippets } from "../support/documents.ts"
import { folder } from "../support/folder.ts"
import { eventually, noPython } from "../support/host.ts"
import { program } from "../support/program.ts"

const PLUGIN = `
from mattermost_plugin import HookName, Plugin, hook, run_plugin

class Keeper(Plugin):
    @hook(HookName.ServeHTTP)
    def serve(self, ctx, writer, request):
        self.kv.set("visits", self.kv.get("visits", 0) + 1)
        writer.write(str(self.kv.get("visits")))

run_plugin(Keeper)
`

/** Starts the supervisor as a document says, where its paths are others; answers its address when it listens. */
const start = Effect.fnUntraced(function* (
  words: ReadonlyArray<string>,
  paths: { readonly [written: string]: string },
  env: NodeJS.ProcessEnv = {},
) {
  const args = words.map((word) =>
    Object.entries(paths).reduce((text, [written, path]) => text.replace(written, path), word),
  )
  const supervisor = yield* program(
    process.execPath,
    ["--conditions=effect-plugin-supervisor-source", main, ...args, "--port", "0"],
    { env: cliEnvironment(env) },
  )
  const { child, log, output } = supervisor
  yield* eventually("it listens", () => child.exitCode !== null || output().includes("Try:"))
  assert.isNull(child.exitCode, log())
  return { ...supervisor, url: /listens on (\S+)/.exec(output())![1]!.replace("0.0.0.0", "127.0.0.1") }
})

describe("docs/operating.md", () => {
  it.effect("shows a manifest that says that the plugin must not run twice", () =>
    Effect.gen(function* () {
      const [manifest = ""] = snippets("docs/operating.md", "json")
      assert.isTrue((yield* parseManifest("plugin.json", manifest)).server?.exclusive)
    }),
  )

  it("tells the defaults as they are", () => {
    const text = read("docs/operating.md")
    const of = (duration: Duration.Duration) =>
      Duration.toMinutes(duration) >= 1
        ? unit(Duration.toMinutes(duration), "minute")
        : unit(Duration.toSeconds(duration), "second")
    const unit = (count: number, name: string) => `"${count} ${name}${count === 1 ? "" : "s"}"`
    for (const setting of [
      `delay: ${of(RESTART_DELAY)}, maxDelay: ${of(RESTART_MAX_DELAY)}, budget: ${RESTART_BUDGET}`,
      `stableAfter: ${of(STABLE_AFTER)}, retryEvery: ${of(RETRY_EVERY)}`,
      `interval: ${of(HEALTH_INTERVAL)}, deadline: ${of(HEALTH_DEADLINE)}, misses: ${HEALTH_MISSES}`,
      `drainLimit: ${of(DRAIN_LIMIT)}`,
      `streamLimit: ${of(STREAM_LIMIT)}`,
    ]) {
      assert.include(text, setting)
    }
    for (const [name, number] of Object.entries(STATE_NUMBER)) assert.include(text, `| \`${name}\` | ${number} |`)
  })

  it.effect("shows options that serve takes", () =>
    Effect.gen(function* () {
      const text = read("docs/operating.md")
      const [written = ""] = snippets("docs/operating.md", "yaml")
      const { defaults, plugins } = yield* pluginOptions(MattermostContract, load(written))
      assert.deepStrictEqual(defaults.restart, { budget: 10, retryEvery: Duration.minutes(10) })
      assert.strictEqual(plugins["com.example.indexer"]?.limits?.memory, 4 * 1024 ** 3)
      // Each that there is has its row.
      const { problems } = yield* Effect.flip(pluginOptions(MattermostContract, { "*": { none: 1 } }))
      const names = problems[0]!.message.replace(/^.* there are /, "").split(", ")
      assert.include(names, "restart")
      const table = /^\| option [^]*?\n\n/m.exec(text)![0]
      for (const name of names) assert.include(table, `\`${name}\``)
    }),
  )

  it.live("shows a unit and an image whose commands run, and stop cleanly", () =>
    Effect.gen(function* () {
      const root = yield* folder({ plugins: { folder: true }, state: { folder: true }, run: { folder: true } })
      const [unit = ""] = snippets("docs/operating.md", "ini")
      const command = /^ExecStart=(.*)$/m.exec(unit)![1]!.split(" ").slice(1)
      const [dockerfile = ""] = snippets("docs/operating.md", "dockerfile")
      const inImage: ReadonlyArray<string> = JSON.parse(/^CMD (.*)$/m.exec(dockerfile)![1]!).slice(1)
      const plugins = join(root, "plugins")
      const state = join(root, "state")
      for (const [words, paths] of [
        [command, { "/etc/plugin-supervisor/plugins": plugins, "/var/lib/plugin-supervisor": state }],
        [inImage, { "/plugins": plugins, "/data": state }],
      ] as const) {
        const { child, log } = yield* start(words, paths, { RUNTIME_DIRECTORY: join(root, "run") })
        assert.isTrue(existsSync(join(state, "token")))
        child.kill("SIGTERM")
        yield* eventually("it has ended", () => child.exitCode !== null || child.signalCode !== null)
        assert.strictEqual(child.exitCode, 0, log())
      }
    }).pipe(Effect.scoped),
  )

  it.live.skipIf(noPython)("has commands for a backup of a supervisor that runs, from which all comes back", () =>
    Effect.gen(function* () {
      const root = yield* folder({
        plugins: { folder: true },
        "keeper/plugin.json": JSON.stringify({ id: "keeper", name: "Keeper", server: { executable: "plugin.py" } }),
        "keeper/plugin.py": PLUGIN,
      })
      const snippet = (name: string) =>
        new RegExp(`^\`\`\`sh ${name}\n(.*?)^\`\`\``, "ms").exec(read("docs/operating.md"))![1]!
      const serve = (data: string) =>
        Effect.gen(function* () {
          const words = ["serve", "--plugins", join(root, "plugins"), "--data", join(root, data)]
          const { url } = yield* start([...words, "--token-file", join(root, "token")], {})
          const run = (...args: ReadonlyArray<string>) =>
            Effect.map(cli([...args, "--url", url, "--token-file", join(root, "token")], { cwd: root }), (ended) => {
              assert.strictEqual(ended.code, 0, ended.stderr)
              return ended.stdout
            })
          const visit = Effect.promise(() => fetch(`${url}/plugins/keeper/`).then((page) => page.text()))
          return { run, visit }
        })
      const { run, visit } = yield* serve("data")
      yield* run("install", "keeper")
      yield* run("enable", "keeper")
      assert.deepStrictEqual([yield* visit, yield* visit], ["1", "2"])
      execFileSync("sh", ["-ec", `${snippet("backup")}\n${snippet("restore")}`], { cwd: root, env: cliEnvironment() })
      assert.strictEqual(yield* visit, "3")
      const restored = yield* serve("restored")
      // It starts what was enabled; until then there is no other end than the test's.
      yield* Effect.repeat(restored.run("list"), { until: (list) => /^keeper .* active /m.test(list) })
      assert.strictEqual(yield* restored.visit, "3")
    }).pipe(Effect.scoped),
  )
})
