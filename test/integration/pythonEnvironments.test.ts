/** Plugins under a real host that makes their environments. */
import { relative } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, SubscriptionRef } from "effect"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { HostEnvironment } from "../../src/command/HostEnvironment.ts"
import { currentPlatform } from "../../src/command/PluginRuntime.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import * as PythonEnvironments from "../../src/python/PythonEnvironments.ts"
import { folder } from "../support/folder.ts"
import { noPython } from "../support/host.ts"
import { machine, type Machine, SDK } from "../python/support.ts"
import { installedSdk, makePackages } from "../support/wheels.ts"

const PLUGIN = `
import tiny
from mattermost_plugin import HookName, Plugin, hook, run_plugin

class Tiny(Plugin):
    @hook(HookName.MessageWillBePosted)
    def check(self, ctx, post):
        post.message = f"tiny {tiny.version}"
        return post

run_plugin(Tiny)
`
const manifest = (id: string) => JSON.stringify({ id, name: id, server: { executable: "plugin.py" } })

const host = ({ bin, directory, packages }: Machine, plugins: string) =>
  MattermostPlugins.layerFolder({ directory: plugins }).pipe(
    Layer.provide(MattermostPlugins.layerApi({})),
    Layer.provideMerge(
      PythonEnvironments.layer({
        directory,
        // As an operator may write it.
        findLinks: [relative(process.cwd(), packages)],
        offline: true,
        sdk: { requirement: SDK.name },
      }),
    ),
    Layer.provide(
      Layer.succeed(HostEnvironment, {
        platform: currentPlatform,
        variables: { ...process.env, PATH: `${bin}:/usr/bin:/bin` },
      }),
    ),
    Layer.provideMerge(NodeServices.layer),
  )

describe.skipIf(noPython || process.platform === "win32")("a host that makes Python environments", () => {
  it.live("runs plugins with what they ask for, and tells of those that can't have it", () =>
    Effect.gen(function* () {
      const on = yield* machine([
        { name: "tiny", version: "1.0" },
        { name: "tiny", version: "2.0" },
      ])
      makePackages(on.packages, [installedSdk()])
      const plugins = yield* folder({
        "one/plugin.json": manifest("one"),
        "one/plugin.py": PLUGIN,
        "one/requirements.txt": "tiny==1.0\n",
        "two/plugin.json": manifest("two"),
        "two/plugin.py": PLUGIN,
        "two/requirements.txt": "tiny\n",
        "three/plugin.json": manifest("three"),
        "three/plugin.py": PLUGIN,
        "three/requirements.txt": "tiny==3.0\n",
      })
      yield* Effect.gen(function* () {
        const environment = yield* MattermostPlugins.Environment
        yield* environment.settled
        const all = yield* environment.plugins
        const states = new Map(all.map(({ bundle, state }) => [bundle.manifest.id, SubscriptionRef.getUnsafe(state)]))
        assert.strictEqual(states.get("one")?.name, "Running")
        assert.strictEqual(states.get("two")?.name, "Running")
        assert.strictEqual(states.get("three")?.name, "FailedToStart")
        assert.include(JSON.stringify(states.get("three")), "tiny==3.0")
        for (const [index, version] of [
          [0, "1.0"],
          [2, "2.0"],
        ] as const) {
          const run = Option.getOrThrow(yield* all[index]!.run)
          const { modifiedPost } = yield* run.hooks.messageWillBePosted({ post: { message: "hello" } })
          assert.strictEqual(modifiedPost?.message, `tiny ${version}`)
        }
      }).pipe(Effect.provide(host(on, plugins)))
    }).pipe(Effect.scoped),
  )
})
