/** What an operator does with plugins while the host runs, with real ones. */
import { appendFileSync, cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, type Scope, Stream, SubscriptionRef } from "effect"
import { BundleStore } from "../../src/bundle/BundleStore.ts"
import { type EnvironmentBuild, PythonEnvironment } from "../../src/command/PythonEnvironment.ts"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { MASK } from "../../src/bundle/PluginSettingsSchema.ts"
import type { PluginEnvironment } from "../../src/environment/PluginEnvironment.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { PluginSettings } from "../../src/storage/PluginSettings.ts"
import { PluginStates } from "../../src/storage/PluginStates.ts"
import { PluginStorage } from "../../src/storage/PluginStorage.ts"
import { StorageError } from "../../src/storage/StorageError.ts"
import { folder } from "../support/folder.ts"
import { hostEnvironment, isAlive, noPython } from "../support/host.ts"

/** A plugin that puts its version behind every post; one that is told to does not start. */
const bundle = (version: string, { broken = false, id = "versioned" } = {}) =>
  folder({
    "plugin.json": JSON.stringify({
      id,
      name: "Versioned",
      version,
      server: { runtime: "python", executable: "plugin.py" },
      settings_schema: {
        settings: [
          { key: "Mode", type: "radio", options: [{ display_name: "A", value: "a" }] },
          { key: "Token", type: "text", secret: true },
          { key: "Level", type: "number", default: 3 },
        ],
      },
    }),
    // A module, of which Python keeps what it has compiled where it may.
    "beside.py": "x = 1",
    "plugin.py": `
from mattermost_plugin import HookName, Plugin, hook, run_plugin
import beside

class Versioned(Plugin):
    @hook(HookName.OnActivate)
    def activate(self):
        ${broken ? 'raise RuntimeError("it is broken")' : "pass"}

    @hook(HookName.MessageWillBePosted)
    def post(self, ctx, post):
        post.message += " ${version}"
        return post

run_plugin(Versioned)
`,
  })

type Storage = ReturnType<typeof PluginStorage.layerFile>

/** A host whose folders are in a root of its own; it may be started again. */
const host = (root: string, storage: Storage = PluginStorage.layerFile(join(root, "plugins.db"))) =>
  MattermostPlugins.layerFolder({ directory: join(root, "plugins") }).pipe(
    Layer.provide(MattermostPlugins.layerApi({})),
    Layer.provideMerge(Layer.provide(BundleStore.layer(join(root, "store")), PluginBundles.layer)),
    Layer.provideMerge(storage),
    Layer.provide(hostEnvironment),
    Layer.provideMerge(NodeServices.layer),
  )

/** A run of the host, from its start to its end. */
const running = <A, E>(
  root: string,
  use: (environment: PluginEnvironment) => Effect.Effect<A, E, Layer.Success<ReturnType<typeof host>> | Scope.Scope>,
  storage?: Storage,
) =>
  Effect.gen(function* () {
    const environment = yield* MattermostPlugins.Environment
    yield* environment.settled
    return yield* use(environment)
  }).pipe(Effect.provide(Layer.fresh(host(root, storage))))

const posted = Effect.flatMap(MattermostPlugins, ({ decide }) =>
  Effect.map(decide("messageWillBePosted", { post: { message: "x" } }), ({ post }) => post.message),
)

const stateOf = (environment: PluginEnvironment, id = "versioned") =>
  Effect.map(environment.find(id), (plugin) => SubscriptionRef.getUnsafe(Option.getOrThrow(plugin).state).name)

/** The bundles in the store. */
const stored = (root: string) =>
  readdirSync(join(root, "store"), { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith("plugin.py"))

describe.skipIf(noPython)("PluginEnvironment", () => {
  it.live("installs, enables, upgrades, disables and removes, and knows all of it after a restart of the host", () =>
    Effect.gen(function* () {
      const root = yield* folder({ plugins: { folder: true } })
      yield* running(root, (environment) =>
        Effect.gen(function* () {
          const { manifest } = yield* environment.install({ folder: yield* bundle("1.0.0") })
          assert.deepInclude(manifest, { id: "versioned", version: "1.0.0" })
          assert.strictEqual(yield* stateOf(environment), "NotRunning", "an installed plugin is not enabled")
          assert.strictEqual(yield* posted, "x")
          yield* environment.enable("Versioned")
          assert.strictEqual(yield* posted, "x 1.0.0")

          const again = yield* Effect.flip(environment.install({ folder: yield* bundle("1.1.0") }))
          assert.strictEqual(again._tag, "AlreadyInstalledError")
          const broken = yield* bundle("1.2.0", { broken: true })
          const failed = yield* Effect.flip(environment.install({ folder: broken }, { force: true }))
          assert.include(failed.message, "it is broken")
          assert.strictEqual(yield* posted, "x 1.0.0", "the one before stays")
          assert.lengthOf(stored(root), 1)

          yield* environment.install({ folder: yield* bundle("1.1.0") }, { force: true })
          assert.strictEqual(yield* posted, "x 1.1.0")
          assert.lengthOf(stored(root), 1, "the one before is gone")
        }),
      )
      yield* running(root, (environment) =>
        Effect.gen(function* () {
          assert.strictEqual(yield* posted, "x 1.1.0", "it is enabled, and runs")
          const plugin = Option.getOrThrow(yield* environment.find("versioned"))
          const { pid } = Option.getOrThrow(yield* plugin.run).process
          yield* environment.restart("versioned")
          assert.isFalse(isAlive(pid))
          yield* environment.reload("versioned")
          assert.strictEqual(yield* posted, "x 1.1.0")
          yield* environment.disable("versioned")
          assert.strictEqual(yield* posted, "x")
        }),
      )
      yield* running(root, (environment) =>
        Effect.gen(function* () {
          assert.strictEqual(yield* stateOf(environment), "NotRunning", "it is disabled still")
          const [managed] = yield* environment.managed
          assert.deepInclude(managed, { source: "installed", isEnabled: false })
          yield* environment.remove("versioned")
          assert.lengthOf(yield* environment.plugins, 0)
          assert.lengthOf(stored(root), 0)
          assert.strictEqual((yield* Effect.flip(environment.enable("versioned")))._tag, "UnknownPluginError")
        }),
      )
    }).pipe(Effect.scoped),
  )

  it.live("names a file that was changed since the install, and does not start the plugin", () =>
    Effect.gen(function* () {
      const root = yield* folder({ plugins: { folder: true } })
      yield* running(root, (environment) =>
        Effect.andThen(
          Effect.flatMap(bundle("1.0.0"), (source) => environment.install({ folder: source })),
          environment.enable("versioned"),
        ),
      )
      appendFileSync(join(root, "store", stored(root)[0]!), "# changed\n")
      yield* running(root, (environment) =>
        Effect.gen(function* () {
          assert.strictEqual(yield* stateOf(environment), "FailedToStart")
          const error = yield* Effect.flip(environment.restart("versioned"))
          assert.match(error.message, /plugin\.py"? is changed.*; install the plugin again/)
          yield* environment.install({ folder: yield* bundle("1.0.0") }, { force: true })
          assert.strictEqual(yield* posted, "x 1.0.0")
        }),
      )
    }).pipe(Effect.scoped),
  )

  it.live("goes on without a bundle that is lost, and has it back when it is installed again", () =>
    Effect.gen(function* () {
      const root = yield* folder({ plugins: { folder: true } })
      const source = yield* bundle("1.0.0")
      yield* running(root, ({ enable, install }) => Effect.andThen(install({ folder: source }), enable("versioned")))
      rmSync(join(root, "store/versioned"), { recursive: true })
      yield* running(root, ({ enable, install, lost, managed }) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* managed, [])
          const [gone, ...more] = yield* lost
          assert.deepInclude(gone, { id: "versioned", version: "1.0.0", isEnabled: true })
          assert.deepStrictEqual(more, [])
          const { message } = yield* Effect.flip(enable("Versioned"))
          assert.match(message, /the plugin Versioned .*: its bundle is gone from the store; install it again/)
          yield* install({ folder: source })
          assert.deepStrictEqual(yield* lost, [])
          const [plugin] = yield* managed
          assert.isTrue(plugin?.isEnabled)
          assert.strictEqual(yield* posted, "x 1.0.0")
        }),
      )
    }).pipe(Effect.scoped),
  )

  it.live("tells of the Python environment that a plugin waits for", () =>
    Effect.gen(function* () {
      const root = yield* folder({ plugins: { folder: true } })
      cpSync(yield* bundle("1.0.0"), join(root, "plugins/versioned"), { recursive: true })
      const building = { pluginId: "versioned", step: "installing", line: "tiny==1.0" } as const
      const builds = yield* SubscriptionRef.make<ReadonlyMap<string, EnvironmentBuild>>(
        new Map([["versioned", building]]),
      )
      yield* Effect.gen(function* () {
        const [plugin] = yield* (yield* MattermostPlugins.Environment).managed
        assert.strictEqual(plugin?.building, building)
        const states = SubscriptionRef.changes(plugin!.plugin.state)
        yield* Stream.runDrain(Stream.takeUntil(states, ({ name }) => name === "Starting"))
      }).pipe(
        Effect.provide(
          Layer.fresh(host(root)).pipe(
            Layer.provide(Layer.succeed(PythonEnvironment, { builds, interpreter: () => Effect.never })),
          ),
        ),
      )
    }).pipe(Effect.scoped),
  )

  it.live("leaves a plugin as it is that can't be removed, or that has something against its settings", () =>
    Effect.gen(function* () {
      const root = yield* folder({ plugins: { folder: true } })
      const source = yield* bundle("1.0.0")
      const refusing = readFileSync(join(source, "plugin.py"), "utf8").replace(
        "    @hook(HookName.OnActivate)",
        '    @hook(HookName.OnConfigurationChange)\n    def configured(self):\n        raise ValueError("too long")\n\n    @hook(HookName.OnActivate)',
      )
      writeFileSync(join(source, "plugin.py"), refusing)
      const locked = new StorageError({ operation: "x", reason: "database is locked", isRetryable: true })
      const failing = Layer.effect(
        PluginStates,
        Effect.map(PluginStates, (states) => ({ ...states, remove: () => Effect.fail(locked) })),
      ).pipe(Layer.provideMerge(PluginStorage.layerFile(join(root, "plugins.db"))))
      yield* running(
        root,
        (environment) =>
          Effect.gen(function* () {
            yield* environment.install({ folder: source })
            yield* environment.enable("versioned")
            assert.strictEqual(yield* Effect.flip(environment.remove("versioned")), locked)
            assert.strictEqual(yield* posted, "x 1.0.0")
            const run = Option.getOrThrow(yield* Option.getOrThrow(yield* environment.find("versioned")).run)
            assert.include(run.client.calls.settingsProblem(), "too long")
          }),
        failing,
      )
    }).pipe(Effect.scoped),
  )

  it.live("checks settings by the manifest, and shows no secret", () =>
    Effect.gen(function* () {
      const root = yield* folder({ plugins: { folder: true } })
      yield* running(root, (environment) =>
        Effect.gen(function* () {
          yield* environment.install({ folder: yield* bundle("1.0.0") })
          const wrong = yield* Effect.flip(environment.configure("versioned", { Mode: "b", Level: "high" }))
          assert.include(wrong.message, 'Mode: expected one of "a"; Level: expected a number')
          yield* environment.configure("versioned", { mode: "a", Token: "s3cret" })
          assert.deepStrictEqual(yield* environment.settings("versioned"), { Level: 3, Mode: "a", Token: MASK })
          yield* environment.configure("versioned", { Mode: "a", Level: 4, Token: MASK })
          const { get } = yield* PluginSettings
          assert.deepStrictEqual(yield* get("versioned"), { Mode: "a", Level: 4, Token: "s3cret" })
          // Each change is made to what the one before has left.
          const changes = [{ level: 5 }, { TOKEN: "other" }, { Mode: null }]
          yield* Effect.forEach(changes, (one) => environment.change("versioned", one), { concurrency: "unbounded" })
          assert.deepStrictEqual(yield* get("versioned"), { Level: 5, Token: "other" })
          const unknown = yield* Effect.flip(environment.change("versioned", { Lvl: 5 }))
          assert.include(unknown.message, "Lvl: there is no such setting; there are Mode, Token, Level")
        }),
      )
    }).pipe(Effect.scoped),
  )

  it.live("leaves plugins of the folder where they are, and remembers that one was disabled", () =>
    Effect.gen(function* () {
      const root = yield* folder({ plugins: { folder: true } })
      const kept = yield* bundle("0.1.0")
      cpSync(kept, join(root, "plugins/versioned"), { recursive: true })
      yield* running(root, (environment) =>
        Effect.gen(function* () {
          assert.strictEqual(yield* posted, "x 0.1.0")
          const install = environment.install({ folder: yield* bundle("1.0.0") }, { force: true })
          assert.strictEqual((yield* Effect.flip(install))._tag, "KeptByHandError")
          assert.strictEqual((yield* Effect.flip(environment.remove("versioned")))._tag, "KeptByHandError")
          yield* environment.disable("versioned")
        }),
      )
      yield* running(root, (environment) =>
        Effect.gen(function* () {
          assert.strictEqual(yield* posted, "x")
          yield* environment.enable("versioned")
          assert.strictEqual(yield* posted, "x 0.1.0")
        }),
      )
    }).pipe(Effect.scoped),
  )
})
