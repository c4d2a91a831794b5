/** What the SDK's `plugin_host` answers to a plugin's tests is what this host answers to the plugin. */
import { execFileSync } from "node:child_process"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schedule } from "effect"
import { inject } from "vitest"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { CHANNEL_NAME, TEAM_NAME, Workspace } from "../../src/workspace/Workspace.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { WorkspacePluginApi } from "../../src/workspace/WorkspacePluginApi.ts"
import { fixture, hostEnvironment, noPython } from "../support/host.ts"

const live = MattermostPlugins.layerSupervisor.pipe(
  Layer.provide(WorkspacePluginApi.layer),
  Layer.provideMerge(PluginBundles.layer),
  Layer.provideMerge(Workspace.layerTest),
  Layer.provide(MattermostPlugins.layer),
  Layer.provide(hostEnvironment),
  Layer.provideMerge(NodeServices.layer),
)

/** The same plugin in a test's hands. */
const IN_A_TEST = `
import json, os
from mattermost_plugin.testing import PluginHost
from mattermost_plugin.types import Post
from plugin import Compared

with PluginHost(Compared, plugin_id="compared", plugin_path=os.getcwd(), config={"MODE": "set", "Own": 1}) as host:
    for message in ("go", "tell"):
        host.call("MessageHasBeenPosted", Post(message=message))
    print(json.dumps({key: json.loads(host.api.kv[key]) for key in ("answers", "heard")}))
`

describe.skipIf(noPython)("the SDK's host for tests", () => {
  it.live("answers as this one does", () =>
    Effect.gen(function* () {
      const python = inject("python") as { readonly bin: string }
      const fake = JSON.parse(
        execFileSync(join(python.bin, "python"), ["-c", IN_A_TEST], { cwd: fixture("compared"), encoding: "utf8" }),
      ) as { readonly answers: ReadonlyArray<unknown>; readonly heard: ReadonlyArray<unknown> }

      const workspace = yield* Workspace
      yield* workspace.savePluginConfig("compared", { MODE: "set", Own: 1 })
      yield* (yield* MattermostPlugins.Supervisor).start(yield* (yield* PluginBundles).load(fixture("compared")))
      const { id: userId } = yield* workspace.me
      const team = yield* workspace.teams.getByName(TEAM_NAME)
      const { id: channelId } = yield* workspace.channels.getByName(team.id, CHANNEL_NAME)
      const stored = (key: string) =>
        workspace.keyValues.get("compared", key).pipe(
          Effect.filterOrFail((value) => value.length > 0),
          Effect.map((value) => JSON.parse(Buffer.from(value).toString()) as ReadonlyArray<unknown>),
          Effect.retry(Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: "60 seconds" }))),
        )
      yield* workspace.createPost({ userId, channelId, message: "go" })
      const answers = yield* stored("answers")
      assert.isAbove(answers.length, 100)
      assert.deepStrictEqual(fake.answers, answers)
      // What a handler has done is told after it, one after the other.
      yield* workspace.createPost({ userId, channelId, message: "tell" })
      assert.deepStrictEqual(fake.heard, yield* stored("heard"))
    }).pipe(Effect.scoped, Effect.provide(live)),
  )
})
