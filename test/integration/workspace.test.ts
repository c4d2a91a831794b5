/** A real plugin on the embedded workspace: what is done there is what its hooks are asked and told. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { CHANNEL_NAME, TEAM_NAME, Workspace } from "../../src/workspace/Workspace.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { WorkspacePluginApi } from "../../src/workspace/WorkspacePluginApi.ts"
import { eventually, fixture, hostEnvironment, noPython } from "../support/host.ts"
import { recordLog } from "../support/log.ts"

const live = MattermostPlugins.layerSupervisor.pipe(
  Layer.provide(WorkspacePluginApi.layer),
  Layer.provide(PluginBundles.layer),
  Layer.provideMerge(Workspace.layerTest),
  Layer.provide(MattermostPlugins.layer),
  Layer.provide(hostEnvironment),
  Layer.provideMerge(NodeServices.layer),
)

describe.skipIf(noPython)("the hooks of the workspace's actions", () => {
  it.live("reach a plugin, those it does itself as well", () => {
    const log = recordLog()
    const heard = () =>
      log.entries.filter(({ message }) => message === "heard").map(({ fields }) => [fields["hook"], fields["of"]])
    return Effect.gen(function* () {
      yield* (yield* MattermostPlugins.Supervisor).start(yield* (yield* PluginBundles).load(fixture("told")))
      const workspace = yield* Workspace
      const me = yield* workspace.me
      const team = yield* workspace.teams.getByName(TEAM_NAME)
      const { id: channelId } = yield* workspace.channels.getByName(team.id, CHANNEL_NAME)
      const { id } = yield* workspace.createPost({ userId: me.id, channelId, message: "act" })
      assert.strictEqual((yield* workspace.posts.get(id)).message, "act (read)")

      yield* eventually("it has heard of its last act", () =>
        heard().some(([hook]) => hook === "MessageHasBeenDeleted"),
      )
      // What decides is asked while the plugin acts; what tells comes after its handler, in order.
      const decides = (hook: unknown) => String(hook).includes("WillBe")
      assert.deepStrictEqual(
        heard().filter(([hook]) => decides(hook)),
        [
          ["MessageWillBePosted", "act"],
          ["ConfigurationWillBeSaved", 1],
          ["MessageWillBePosted", "mine"],
          ["MessageWillBeUpdated", "mine>changed"],
          ["MessagesWillBeConsumed", "changed (read)"],
        ],
      )
      assert.deepStrictEqual(
        heard().filter(([hook]) => !decides(hook)),
        [
          ["OnConfigurationChange", null],
          ["MessageHasBeenPosted", "act"],
          ["UserHasBeenCreated", "bob"],
          ["ChannelHasBeenCreated", "Dev"],
          ["ChannelHasBeenCreated", "a direct channel"],
          ["OnConfigurationChange", 2],
          ["MessageHasBeenPosted", "mine"],
          ["MessageHasBeenUpdated", "mine>changed"],
          ["MessageHasBeenDeleted", "changed"],
        ],
      )
    }).pipe(Effect.scoped, Effect.provide(live), Effect.provide(log.layer))
  })
})
