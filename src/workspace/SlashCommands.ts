import { create, type MessageInitShape } from "@bufbuild/protobuf"
import { Context, Effect, Layer, Option } from "effect"
import { PluginApiError } from "../api/PluginApi.ts"
import {
  type Command,
  type CommandArgsSchema,
  type CommandResponse,
  CommandResponseSchema,
  CommandSchema,
} from "../generated/mattermost/pluginapi/v1/api_command_pb.js"
import { MattermostPlugins, type RequestContext } from "../mattermost/MattermostPlugins.ts"
import { errorStatus } from "../rpc/ErrorStatus.ts"
import { encodeMessage } from "./MessageColumn.ts"
import { invalid, notFound } from "./WorkspaceError.ts"
import { MAX_RECORD_BYTES, WorkspaceLimits } from "./WorkspaceLimits.ts"

/** The longest trigger, in characters (Mattermost). */
const MAX_TRIGGER_LENGTH = 128

/** A slash command as a user has typed it; `command` is the whole line. */
export type TypedCommand = MessageInitShape<typeof CommandArgsSchema>

/** A command and who answers it. */
interface Registered {
  readonly pluginId: string
  readonly command: Command
}

/**
 * The slash commands of plugins, in memory: plugins register theirs whenever they are activated. By Mattermost's
 * rules a trigger is in lower case, the plugin that registered it first has it, and one registered for a team is for
 * that team.
 */
export class SlashCommands extends Context.Service<
  SlashCommands,
  {
    /** Makes a command of a plugin's known, in place of the plugin's own of that trigger and team. */
    readonly register: (pluginId: string, command: Command) => Effect.Effect<void, PluginApiError>
    /** Forgets a command of a plugin's; one that is not there is no error. */
    readonly unregister: (pluginId: string, teamId: string, trigger: string) => Effect.Effect<void>
    /** The commands of a team, with those for all teams. */
    readonly list: (teamId: string) => Effect.Effect<ReadonlyArray<Command>>
    /** Has the plugin of a command answer it (`ExecuteCommand`). */
    readonly execute: (args: TypedCommand, context?: RequestContext) => Effect.Effect<CommandResponse, PluginApiError>
  }
>()("effect-plugin-supervisor/workspace/SlashCommands") {
  static readonly layer: Layer.Layer<SlashCommands, never, MattermostPlugins> = Layer.effect(
    SlashCommands,
    Effect.suspend(() => make),
  )
}

const isOf = ({ command }: Registered, teamId: string) => command.teamId === "" || command.teamId === teamId

const make = Effect.gen(function* () {
  const plugins = yield* MattermostPlugins
  const limits = yield* WorkspaceLimits
  let registered: ReadonlyArray<Registered> = []

  const isThe = (id: string, teamId: string, trigger: string) => (entry: Registered) =>
    entry.pluginId === id && entry.command.teamId === teamId && entry.command.trigger === trigger

  const execute = Effect.fn("SlashCommands.execute")(function* (
    args: TypedCommand,
    pluginContext: RequestContext = {},
  ) {
    const [, typed] = /^\/(\S+)/.exec(args.command ?? "") ?? []
    if (typed === undefined) {
      return yield* invalid("api.command.execute_command.start.app_error", "A command begins with a slash")
    }
    const trigger = typed.toLowerCase()
    const unknown = notFound("api.command.execute_command.not_found.app_error", `command /${trigger}`)
    const candidates = registered.filter((entry) => entry.command.trigger === trigger && isOf(entry, args.teamId ?? ""))
    for (const { pluginId } of candidates) {
      const answer = yield* plugins.call(pluginId, "executeCommand", { pluginContext, args }).pipe(
        Effect.mapError((error) =>
          error._tag === "HookPluginError" && error.isAnswer
            ? new PluginApiError({ id: error.id, message: error.reason, statusCode: errorStatus(error.statusCode) })
            : new PluginApiError({
                id: "app.plugin.execute_command.app_error",
                message: `Plugin ${pluginId} failed at /${trigger}; see the host's log`,
                statusCode: 500,
              }),
        ),
      )
      // A plugin that is not active, or does not have the hook, has no commands: they are the next one's.
      if (Option.isSome(answer)) return answer.value.response ?? create(CommandResponseSchema)
    }
    return yield* unknown
  })

  return {
    register: Effect.fnUntraced(function* (pluginId, given) {
      const trigger = given.trigger.toLowerCase()
      if (!/^[^\s/]\S*$/.test(trigger) || trigger.length > MAX_TRIGGER_LENGTH) {
        yield* invalid(
          "api.command.create_command.trigger.app_error",
          `${JSON.stringify(trigger.slice(0, MAX_TRIGGER_LENGTH))} is no trigger: it has up to ${MAX_TRIGGER_LENGTH} characters, no spaces, and does not begin with a slash`,
        )
      }
      const entry = { pluginId, command: { ...given, pluginId, trigger } }
      yield* encodeMessage(CommandSchema, entry.command, MAX_RECORD_BYTES)
      const index = registered.findIndex(isThe(pluginId, given.teamId, trigger))
      const count = registered.filter((other) => other.pluginId === pluginId).length
      if (index === -1 && count >= limits.commands) {
        yield* invalid(
          "api.command.create_command.limit.app_error",
          `A plugin has up to ${limits.commands} commands; unregister some first`,
        )
      }
      registered = index === -1 ? [...registered, entry] : registered.with(index, entry)
    }),
    unregister: (pluginId, teamId, trigger) =>
      Effect.sync(() => {
        const is = isThe(pluginId, teamId, trigger.toLowerCase())
        registered = registered.filter((entry) => !is(entry))
      }),
    list: (teamId) =>
      Effect.sync(() => registered.filter((entry) => isOf(entry, teamId)).map(({ command }) => command)),
    execute,
  } satisfies SlashCommands["Service"]
})
