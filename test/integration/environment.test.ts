/** Many plugins side by side: those that can't start are reported and hold up no other. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Option, SubscriptionRef } from "effect"
import { afterAll } from "vitest"
import type { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import type { SupervisorOptions } from "../../src/supervisor/SupervisorOptions.ts"
import { folder } from "../support/folder.ts"
import { hostEnvironment, isAlive, noPython, socketFolders } from "../support/host.ts"

process.env["TMPDIR"] = mkdtempSync(join(tmpdir(), "environment-"))
afterAll(() => rmSync(process.env["TMPDIR"]!, { recursive: true, force: true }))

const manifest = (id: string, executable = "plugin.py") => JSON.stringify({ id, name: id, server: { executable } })
const program = (body: string) => `
from mattermost_plugin import *
class Mine(Plugin):
    @hook(HookName.OnActivate)
    def activate(self):
        ${body}
run_plugin(Mine)
`

describe.skipIf(noPython)("PluginEnvironment", () => {
  it.live("starts what can be started, says why the rest can't, and stops all at once", () => {
    const messages: Array<string> = []
    const logger = Logger.make<unknown, void>(({ message }) => {
      messages.push(String(Array.isArray(message) ? message[0] : message))
    })
    return Effect.gen(function* () {
      const directory = yield* folder({
        "good/plugin.json": manifest("good-plugin"),
        "good/plugin.py": program("__import__('os').environ['PATH'] == '/nowhere' or 1 / 0"),
        "also-good/plugin.json": manifest("another-plugin"),
        "also-good/plugin.py": program("pass"),
        "raises/plugin.json": manifest("raising-plugin"),
        "raises/plugin.py": program("raise ValueError('no license')"),
        "syntax/plugin.json": manifest("syntax-plugin"),
        "syntax/plugin.py": "this is no Python",
        "escapes/plugin.json": manifest("escaping-plugin", "../good/plugin.py"),
        "nothing/plugin.json": JSON.stringify({ id: "no-server", name: "x" }),
        "broken/plugin.json": "{",
        "twin/plugin.json": manifest("good-plugin"),
      })
      const guard: SupervisorOptions<MattermostContract> = {
        hooks: { policies: { userWillLogIn: { onFailure: "refuse" } } },
      }
      // Ids are in lower case, and settings find theirs all the same. A plugin's PATH is no affair of the host's.
      const plugins = { "Mistyped-plugin": guard, "Good-Plugin": { variables: { PATH: "/nowhere" } } }
      // What has failed stays so, for a look at it.
      const live = MattermostPlugins.layerFolder({ directory, plugins, defaults: { restart: false } }).pipe(
        Layer.provide(MattermostPlugins.layerApi({})),
        Layer.provide(hostEnvironment),
        Layer.provide(NodeServices.layer),
      )
      const pids = yield* Effect.gen(function* () {
        const { find, plugins, settled } = yield* MattermostPlugins.Environment
        yield* settled
        const states = (yield* plugins).map(({ bundle, state }) => {
          const { error = "", name } = SubscriptionRef.getUnsafe(state)
          return [bundle.manifest.id, name, error] as const
        })
        assert.deepStrictEqual(
          states.map(([id, name]) => `${id} ${name}`),
          [
            "another-plugin Running",
            "escaping-plugin FailedToStart",
            "good-plugin Running",
            "no-server FailedToStart",
            "raising-plugin FailedToStart",
            "syntax-plugin FailedToStart",
          ],
        )
        const error = (id: string) => states.find(([name]) => name === id)?.[2] ?? ""
        assert.include(error("escaping-plugin"), "leads outside of the bundle")
        assert.include(error("no-server"), "names no executable")
        assert.include(error("raising-plugin"), "no license")
        assert.include(error("syntax-plugin"), "SyntaxError")
        const { decide } = yield* MattermostPlugins
        const { isFailure, pluginId } = yield* Effect.flip(decide("userWillLogIn", {}))
        assert.deepStrictEqual([pluginId, isFailure], ["mistyped-plugin", true])
        for (const text of [
          "settings for a plugin mistyped-plugin",
          "broken/plugin.json is not a valid plugin manifest",
          "its id good-plugin is taken by",
        ]) {
          assert.isTrue(
            messages.some((message) => message.includes(text)),
            text,
          )
        }
        assert.isTrue(Option.isNone(yield* Option.getOrThrow(yield* find("raising-plugin")).run))
        const active = yield* Effect.forEach(["good-plugin", "another-plugin"], (id) =>
          Effect.flatMap(find(id), (plugin) => Option.getOrThrow(plugin).run),
        )
        return active.map((plugin) => Option.getOrThrow(plugin).process.pid)
      }).pipe(Effect.provide(live))
      assert.deepStrictEqual(pids.filter(isAlive), [])
      assert.deepStrictEqual(socketFolders(), [])
    }).pipe(Effect.scoped, Effect.provide(Logger.layer([logger])))
  })
})

describe("a folder of plugins that is not there", () => {
  it.live("keeps its host from starting", () =>
    Effect.gen(function* () {
      const directory = join(yield* folder({}), "plugns")
      const live = MattermostPlugins.layerFolder({ directory }).pipe(
        Layer.provide(MattermostPlugins.layerApi({})),
        Layer.provide(NodeServices.layer),
      )
      const error = yield* Effect.flip(Layer.build(live))
      assert.deepInclude(error, { _tag: "BundleError", directory })
      assert.include(error.message, directory)
    }).pipe(Effect.scoped),
  )
})
