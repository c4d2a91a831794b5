import { assert, describe, it } from "@effect/vitest"
import { create } from "@bufbuild/protobuf"
import { Effect } from "effect"
import { CommandSchema } from "../../src/generated/mattermost/pluginapi/v1/api_command_pb.js"
import { HookPluginError, HookTransportError } from "../../src/hooks/HookError.ts"
import { CHANNEL_NAME, TEAM_NAME, Workspace } from "../../src/workspace/Workspace.ts"
import { caller, otherCaller, pluginApi, registerPlugin, workspaceLayer } from "./fixture.ts"

const command = (trigger: string, teamId = "") => create(CommandSchema, { trigger, teamId })

/** The ids a command is typed with, and what a plugin answers: who it is, and what it was told. */
const setUp = Effect.gen(function* () {
  const workspace = yield* Workspace
  const team = yield* workspace.teams.getByName(TEAM_NAME)
  const channel = yield* workspace.channels.getByName(team.id, CHANNEL_NAME)
  const me = yield* workspace.me
  const typed = (line: string) => ({ userId: me.id, channelId: channel.id, command: line })
  const answering = (id: string) =>
    registerPlugin(id, {
      executeCommand: ({ args }) =>
        Effect.succeed({ response: { text: `${id}: ${args?.command} in ${args?.teamId === team.id}` } }),
    })
  return { ...(yield* pluginApi), workspace, team, channel, me, typed, answering }
})

describe("slash commands", () => {
  it.effect("are answered by the plugin that registered them first", () =>
    Effect.gen(function* () {
      const { answering, one, team, two, typed, workspace } = yield* setUp
      yield* one.registerCommand({ command: command("third") })
      yield* two.registerCommand({ command: command("third") })
      yield* answering(otherCaller.pluginId)
      const third = yield* workspace.executeCommand(typed("/third"))
      assert.strictEqual(third.text, "com.example.two: /third in true", "a plugin that is not active has no commands")
      yield* answering(caller.pluginId)
      yield* one.registerCommand({ command: command("Poll") })
      yield* two.registerCommand({ command: command("poll") })
      // Registering it again, as plugins do when their configuration changes, keeps one's place.
      yield* one.registerCommand({ command: command("Poll") })
      yield* two.registerCommand({ command: command("other", team.id) })
      const { text } = yield* workspace.executeCommand(typed("/POLL lunch?"))
      assert.strictEqual(text, "com.example.one: /POLL lunch? in true")
      const { response } = yield* two.executeSlashCommand({
        commandArgs: { ...typed("/other"), $typeName: "mattermost.pluginapi.v1.CommandArgs" } as never,
      })
      assert.strictEqual(response?.text, "com.example.two: /other in true")
      yield* one.unregisterCommand({ teamId: "", trigger: "POLL" })
      const next = yield* workspace.executeCommand(typed("/poll"))
      assert.strictEqual(next.text, "com.example.two: /poll in true")
    }).pipe(Effect.scoped, Effect.provide(workspaceLayer)),
  )

  it.effect("are listed for their team, each once", () =>
    Effect.gen(function* () {
      const { one, team } = yield* setUp
      yield* one.registerCommand({ command: create(CommandSchema, { trigger: "a", description: "old" }) })
      yield* one.registerCommand({ command: create(CommandSchema, { trigger: "A", description: "new" }) })
      yield* one.registerCommand({ command: command("b", team.id) })
      yield* one.registerCommand({ command: command("c", "another team") })
      const { commands = [] } = yield* one.listPluginCommands({ teamId: team.id })
      assert.deepStrictEqual(
        commands.map(({ description, pluginId, trigger }) => [trigger, description, pluginId]),
        [
          ["a", "new", "com.example.one"],
          ["b", "", "com.example.one"],
        ],
      )
      assert.deepStrictEqual((yield* one.listCommands({ teamId: team.id })).commands?.length, 2)
      assert.deepStrictEqual((yield* one.listCommands({ teamId: "" })).commands?.length, 1)
    }).pipe(Effect.scoped, Effect.provide(workspaceLayer)),
  )

  it.effect("are posted where the whole channel is to read the answer", () =>
    Effect.gen(function* () {
      const { channel, me, one, typed, workspace } = yield* setUp
      yield* registerPlugin(caller.pluginId, {
        executeCommand: ({ args }) =>
          Effect.succeed({
            response: {
              responseType: args?.command === "/say" ? "in_channel" : "ephemeral",
              text: "hello",
              props: { card: "c" },
            },
          }),
      })
      for (const trigger of ["say", "whisper"]) yield* one.registerCommand({ command: command(trigger) })
      yield* workspace.executeCommand(typed("/whisper"))
      yield* workspace.executeCommand(typed("/say"))
      const { order, posts } = yield* workspace.posts.forChannel(channel.id, { page: 0, perPage: 10 })
      assert.lengthOf(order, 1)
      assert.deepInclude(posts[order[0]!], { message: "hello", userId: me.id, channelId: channel.id })
      assert.deepInclude(posts[order[0]!]?.props, { card: "c" })
    }).pipe(Effect.scoped, Effect.provide(workspaceLayer)),
  )

  it.effect("that nobody can answer are errors", () =>
    Effect.gen(function* () {
      const { one, two, typed, workspace } = yield* setUp
      const failure = (line: string) => Effect.flip(workspace.executeCommand(typed(line)))
      assert.deepInclude(yield* failure("hello"), {
        id: "api.command.execute_command.start.app_error",
        statusCode: 400,
      })
      const unknown = { id: "api.command.execute_command.not_found.app_error", statusCode: 404 }
      assert.deepInclude(yield* failure("/nothing"), unknown)
      yield* one.registerCommand({ command: command("stopped") })
      assert.deepInclude(yield* failure("/stopped"), unknown)
      for (const trigger of ["", "/poll", "two words"]) {
        assert.deepInclude(yield* Effect.flip(one.registerCommand({ command: command(trigger) })), { statusCode: 400 })
      }
      const hook = "ExecuteCommand"
      const said = { id: "plugin.busy", reason: "not now", statusCode: 409, isAnswer: true }
      yield* registerPlugin(caller.pluginId, {
        executeCommand: () => Effect.fail(new HookPluginError({ pluginId: caller.pluginId, hook, ...said })),
      })
      assert.deepInclude(yield* failure("/stopped"), { id: "plugin.busy", message: "not now", statusCode: 409 })
      yield* registerPlugin(otherCaller.pluginId, {
        executeCommand: () =>
          Effect.fail(new HookTransportError({ pluginId: otherCaller.pluginId, hook, status: "x", details: "gone" })),
      })
      yield* two.registerCommand({ command: command("crash") })
      const crashed = yield* failure("/crash")
      assert.deepInclude(crashed, { id: "app.plugin.execute_command.app_error", statusCode: 500 })
      assert.notInclude(crashed.message, "gone")
      assert.deepInclude(yield* Effect.flip(workspace.executeCommand({ ...typed("/x"), channelId: "none" })), {
        statusCode: 404,
      })
    }).pipe(Effect.scoped, Effect.provide(workspaceLayer)),
  )
})
