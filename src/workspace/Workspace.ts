import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf"
import { Clock, Context, Effect, Equal, Layer, Option, Record } from "effect"
import { SqlClient } from "effect/sql"
import type { PluginApiError } from "../api/PluginApi.ts"
import type { CommandResponse } from "../generated/mattermost/pluginapi/v1/api_command_pb.js"
import { type Channel, type ChannelSchema, ChannelType } from "../generated/mattermost/pluginapi/v1/channel_pb.js"
import type { Post } from "../generated/mattermost/pluginapi/v1/post_pb.js"
import { TeamType } from "../generated/mattermost/pluginapi/v1/team_pb.js"
import type { User, UserSchema } from "../generated/mattermost/pluginapi/v1/user_pb.js"
import type { HookRejectedError } from "../hooks/HookRejectedError.ts"
import { MattermostPlugins, type RequestContext } from "../mattermost/MattermostPlugins.ts"
import { ChannelStore } from "./ChannelStore.ts"
import { newId } from "./Id.ts"
import { KeyValueStore } from "./KeyValueStore.ts"
import { PluginConfigStore } from "./PluginConfigStore.ts"
import { type PostReader, postReader } from "./PostReader.ts"
import { MAX_MESSAGE_LENGTH } from "./PostRules.ts"
import { PostStore } from "./PostStore.ts"
import { type NewPost, type PostChange, postWriter } from "./PostWriter.ts"
import { checkPluginConfigs, pluginConfigsOf, serverConfig } from "./ServerConfig.ts"
import { SlashCommands, type TypedCommand } from "./SlashCommands.ts"
import { type SystemValues, SystemStore } from "./SystemStore.ts"
import { TeamStore } from "./TeamStore.ts"
import { undisturbed } from "./Undisturbed.ts"
import { UserStore } from "./UserStore.ts"
import { WorkspaceDatabase, type WorkspaceOpenError } from "./WorkspaceDatabase.ts"
import { invalid, storing } from "./WorkspaceError.ts"
import { WorkspaceLimits } from "./WorkspaceLimits.ts"
import { WorkspaceSettings } from "./WorkspaceSettings.ts"

/** The name of the user, of the team and of the channel that a new workspace begins with. */
export const ADMIN_USERNAME = "admin"
export const TEAM_NAME = "main"
export const CHANNEL_NAME = "town-square"

/**
 * The embedded backend: users, channels, posts and the plugins' own data in one SQLite database. Its changes run the
 * plugins' hooks, whether a REST client asks for them or a plugin. Failures are {@link PluginApiError}s with
 * Mattermost's ids.
 */
export class Workspace extends Context.Service<
  Workspace,
  {
    /** The administrator, whom programs with the workspace's access token act as. */
    readonly me: Effect.Effect<User, PluginApiError>
    /**
     * Makes a post: checks it, asks the plugins (`MessageWillBePosted`), stores what they made of it and tells them
     * (`MessageHasBeenPosted`).
     */
    readonly createPost: (
      post: NewPost,
      context?: RequestContext,
    ) => Effect.Effect<Post, PluginApiError | HookRejectedError>
    /** Changes a post, with `MessageWillBeUpdated` and `MessageHasBeenUpdated`. */
    readonly updatePost: (
      change: PostChange,
      context?: RequestContext,
    ) => Effect.Effect<Post, PluginApiError | HookRejectedError>
    /** Marks a post and its replies as deleted and tells the plugins of the post (`MessageHasBeenDeleted`). */
    readonly deletePost: (postId: string, context?: RequestContext) => Effect.Effect<void, PluginApiError>
    /** Makes a user and tells the plugins (`UserHasBeenCreated`). */
    readonly createUser: (
      user: MessageInitShape<typeof UserSchema>,
      context?: RequestContext,
    ) => Effect.Effect<User, PluginApiError>
    /** Makes a public or private channel and tells the plugins (`ChannelHasBeenCreated`). */
    readonly createChannel: (
      channel: MessageInitShape<typeof ChannelSchema>,
      context?: RequestContext,
    ) => Effect.Effect<Channel, PluginApiError>
    /** The channel of two users with each other; when there is none, it is made and the plugins are told of it. */
    readonly directChannel: (userId1: string, userId2: string) => Effect.Effect<Channel, PluginApiError>
    /** Where posts are read, as the plugins let them be read (`MessagesWillBeConsumed`). */
    readonly posts: PostReader
    readonly users: Omit<UserStore["Service"], "create">
    readonly teams: Omit<TeamStore["Service"], "create">
    readonly channels: Omit<ChannelStore["Service"], "create" | "direct">
    readonly keyValues: KeyValueStore["Service"]
    /**
     * Saves a plugin's settings: asks the plugins (`ConfigurationWillBeSaved`), stores the settings that they made of
     * all there are, and tells them (`OnConfigurationChange`).
     */
    readonly savePluginConfig: (
      pluginId: string,
      config: JsonObject,
    ) => Effect.Effect<void, PluginApiError | HookRejectedError>
    readonly pluginConfigs: Omit<PluginConfigStore["Service"], "save">
    /** The slash commands that plugins have registered. */
    readonly commands: Omit<SlashCommands["Service"], "execute">
    /**
     * Has a plugin answer a slash command. An answer that is meant for the whole channel (`in_channel`) is posted
     * there, by the user who typed the command.
     */
    readonly executeCommand: (
      args: TypedCommand,
      context?: RequestContext,
    ) => Effect.Effect<CommandResponse, PluginApiError | HookRejectedError>
    /** When the workspace was made, and its random ids. */
    readonly system: SystemValues
  }
>()("effect-plugin-supervisor/workspace/Workspace") {
  /** On the database of a `SqlClient` made by {@link WorkspaceDatabase}. A new database is filled first. */
  static readonly layer: Layer.Layer<Workspace, PluginApiError, SqlClient.SqlClient | MattermostPlugins> = Layer.effect(
    Workspace,
    Effect.suspend(() => make),
  ).pipe(
    Layer.provide([
      ChannelStore.layer,
      KeyValueStore.layer,
      PluginConfigStore.layer,
      PostStore.layer,
      SlashCommands.layer,
      SystemStore.layer,
      TeamStore.layer,
      UserStore.layer,
    ]),
  )

  /** In a data folder, which is made when it is missing. */
  static readonly layerIn = (
    directory: string,
  ): Layer.Layer<Workspace, PluginApiError | WorkspaceOpenError, MattermostPlugins> =>
    Workspace.layer.pipe(Layer.provide(WorkspaceDatabase.layer(directory)))

  /** For tests: a new workspace in memory, gone at the end. */
  static readonly layerTest: Layer.Layer<Workspace, PluginApiError | WorkspaceOpenError, MattermostPlugins> =
    Workspace.layer.pipe(Layer.provide(Layer.fresh(WorkspaceDatabase.layerMemory)))
}

/** Fills a new workspace and answers what it knows of itself. */
const initialize = Effect.fn("Workspace.initialize")(function* () {
  const sql = yield* SqlClient.SqlClient
  const system = yield* SystemStore
  const users = yield* UserStore
  const teams = yield* TeamStore
  const channels = yield* ChannelStore
  const fill = Effect.gen(function* () {
    const found = yield* system.get
    if (Option.isSome(found)) return found.value
    const admin = yield* users.create({
      username: ADMIN_USERNAME,
      email: "admin@localhost",
      emailVerified: true,
      roles: "system_admin system_user",
    })
    const team = yield* teams.create({ name: TEAM_NAME, displayName: "Main", type: TeamType.OPEN })
    yield* channels.create({
      teamId: team.id,
      name: CHANNEL_NAME,
      displayName: "Town Square",
      type: ChannelType.OPEN,
      creatorId: admin.id,
    })
    const values: SystemValues = {
      install_date: yield* Clock.currentTimeMillis,
      diagnostic_id: yield* newId,
      admin_id: admin.id,
    }
    yield* system.create(values)
    return values
  })
  return yield* sql.withTransaction(fill).pipe(storing("Workspace.initialize"))
})

const make = Effect.gen(function* () {
  const plugins = yield* MattermostPlugins
  const pluginConfigs = yield* PluginConfigStore
  const channels = yield* ChannelStore
  const posts = yield* PostStore
  const writer = yield* postWriter
  const teams = yield* TeamStore
  const users = yield* UserStore
  const system = yield* initialize()
  const { siteUrl } = yield* WorkspaceSettings
  const limits = yield* WorkspaceLimits
  const sql = yield* SqlClient.SqlClient
  const commands = yield* SlashCommands

  const createUser = Effect.fn("Workspace.createUser")(function* (
    init: MessageInitShape<typeof UserSchema>,
    pluginContext: RequestContext = {},
  ) {
    const user = yield* users.create(init)
    yield* plugins.notify("userHasBeenCreated", { pluginContext, user })
    return user
  }, Effect.uninterruptible)

  const createChannel = Effect.fn("Workspace.createChannel")(function* (
    init: MessageInitShape<typeof ChannelSchema>,
    pluginContext: RequestContext = {},
  ) {
    yield* teams.get(init.teamId ?? "")
    if (init.creatorId) yield* users.get(init.creatorId)
    const channel = yield* channels.create(init)
    yield* plugins.notify("channelHasBeenCreated", { pluginContext, channel })
    return channel
  }, Effect.uninterruptible)

  const directChannel = Effect.fn("Workspace.directChannel")(function* (userId1: string, userId2: string) {
    yield* users.get(userId1)
    yield* users.get(userId2)
    const { channel, isNew } = yield* channels.direct(userId1, userId2)
    if (isNew) yield* plugins.notify("channelHasBeenCreated", { pluginContext: {}, channel })
    return channel
  }, Effect.uninterruptible)

  const trySavePluginConfig = Effect.fnUntraced(function* (pluginId: string, config: JsonObject) {
    const before = yield* pluginConfigs.all
    const given = { ...before, [pluginId]: config }
    yield* checkPluginConfigs(before, given, limits.pluginSettings)
    const { newConfig } = yield* plugins.decide("configurationWillBeSaved", {
      newConfig: serverConfig(yield* siteUrl, given),
    })
    const decided = yield* pluginConfigsOf(newConfig.configJson)
    // What is gone from the configuration is empty.
    const wanted = { ...Record.map(before, () => ({})), [pluginId]: {}, ...decided }
    yield* checkPluginConfigs(before, wanted, limits.pluginSettings)
    const save = Effect.gen(function* () {
      // What the plugins have agreed to is all of it.
      if (!Equal.equals(yield* pluginConfigs.all, before)) return Option.none()
      yield* pluginConfigs.save(Record.filter(wanted, (settings, id) => !Equal.equals(settings, before[id])))
      return Option.some(undefined)
    })
    return yield* sql.withTransaction(save).pipe(
      storing("Workspace.savePluginConfig"),
      Effect.tap((saved) => (Option.isSome(saved) ? plugins.notify("onConfigurationChange", {}) : Effect.void)),
      Effect.uninterruptible,
    )
  })

  const savePluginConfig = Effect.fn("Workspace.savePluginConfig")((pluginId: string, config: JsonObject) =>
    undisturbed("configuration", trySavePluginConfig(pluginId, config)),
  )

  const executeCommand = Effect.fn("Workspace.executeCommand")(function* (
    typed: TypedCommand,
    pluginContext: RequestContext = {},
  ) {
    if ((typed.command ?? "").length > MAX_MESSAGE_LENGTH) {
      const rule = `A command has up to ${MAX_MESSAGE_LENGTH} characters`
      yield* invalid("api.command.execute_command.start.app_error", rule)
    }
    const { id: userId } = yield* users.get(typed.userId ?? "")
    const channel = yield* channels.get(typed.channelId ?? "")
    // A direct channel is in no team; the user is.
    const teamId = channel.teamId === "" ? (typed.teamId ?? "") : channel.teamId
    const response = yield* commands.execute({ ...typed, siteUrl: yield* siteUrl, teamId }, pluginContext)
    if (response.responseType === "in_channel" && response.text !== "") {
      yield* writer.createPost(
        {
          userId,
          channelId: response.channelId === "" ? channel.id : response.channelId,
          rootId: typed.rootId ?? "",
          message: response.text,
          type: response.type,
          props: response.props ?? {},
        },
        pluginContext,
      )
    }
    return response
  })

  return Workspace.of({
    me: users.get(system.admin_id),
    ...writer,
    createUser,
    createChannel,
    directChannel,
    posts: postReader(posts, plugins),
    users,
    teams,
    channels,
    keyValues: yield* KeyValueStore,
    savePluginConfig,
    pluginConfigs,
    commands,
    executeCommand,
    system,
  })
})
