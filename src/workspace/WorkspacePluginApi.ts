import { Effect, type Layer } from "effect"
import { PluginApiError } from "../api/PluginApi.ts"
import { lowerCaseSettings, oneSpelling } from "../bundle/PluginSettingsSchema.ts"
import type { GetUsersRequest } from "../generated/mattermost/pluginapi/v1/api_user_pb.js"
import type { Api } from "../environment/PluginHost.ts"
import type { HookRejectedError } from "../hooks/HookRejectedError.ts"
import { type MattermostApiMethods, MattermostPlugins } from "../mattermost/MattermostPlugins.ts"
import { pluginHttp } from "../mattermost/PluginHttp.ts"
import { channelOf, commandOf, postOf, userOf } from "./GivenByPlugins.ts"
import { rejected } from "./HookRejection.ts"
import { setAlways, setIfUnchanged } from "./KeyValueStore.ts"
import { pluginLog } from "./PluginLog.ts"
import { jsonBytes, serverConfig } from "./ServerConfig.ts"
import { Workspace } from "./Workspace.ts"
import { required } from "./WorkspaceError.ts"
import { WorkspaceSettings } from "./WorkspaceSettings.ts"

/** That other plugins refuse what a plugin wants to do is an error of the API, like any other. */
const orRejected = <A, R>(
  self: Effect.Effect<A, PluginApiError | HookRejectedError, R>,
): Effect.Effect<A, PluginApiError, R> =>
  Effect.catchTag(self, "HookRejectedError", (error) => Effect.fail(rejected(error)))

/**
 * The host API on the embedded {@link Workspace}: the part of it that the workspace has. Every other method answers
 * that it is not implemented.
 */
export const WorkspacePluginApi: {
  readonly layer: Layer.Layer<Api<MattermostPlugins>, never, Workspace | MattermostPlugins>
} = {
  layer: MattermostPlugins.layerApiEffect(Effect.suspend(() => make)),
}

const make = Effect.gen(function* () {
  const workspace = yield* Workspace
  const settings = yield* WorkspaceSettings
  const { channels, commands, keyValues, pluginConfigs, posts, system, teams, users } = workspace

  return {
    ...pluginLog,
    ...(yield* pluginHttp()),

    kVGet: ({ key }, { pluginId }) => Effect.map(keyValues.get(pluginId, key), (value) => ({ value })),
    kVSet: ({ key, value }, { pluginId }) => Effect.as(keyValues.set(pluginId, key, value, setAlways), {}),
    kVSetWithExpiry: ({ expireInSeconds, key, value }, { pluginId }) =>
      Effect.as(keyValues.set(pluginId, key, value, { ...setAlways, expireInSeconds }), {}),
    kVSetWithOptions: ({ key, options, value }, { pluginId }) =>
      Effect.map(keyValues.set(pluginId, key, value, options ?? setAlways), (success) => ({ success })),
    kVCompareAndSet: ({ key, newValue, oldValue }, { pluginId }) =>
      Effect.map(keyValues.set(pluginId, key, newValue, setIfUnchanged(oldValue)), (success) => ({ success })),
    kVCompareAndDelete: ({ key, oldValue }, { pluginId }) =>
      Effect.map(keyValues.set(pluginId, key, new Uint8Array(), setIfUnchanged(oldValue)), (success) => ({ success })),
    kVDelete: ({ key }, { pluginId }) => Effect.as(keyValues.delete(pluginId, key), {}),
    kVDeleteAll: (_, { pluginId }) => Effect.as(keyValues.deleteAll(pluginId), {}),
    kVList: ({ page, perPage }, { pluginId }) =>
      Effect.map(keyValues.list(pluginId, page, perPage), (keys) => ({ keys: [...keys] })),

    getServerVersion: () => Effect.succeed({ version: settings.serverVersion }),
    getSystemInstallDate: () => Effect.succeed({ installDate: BigInt(system.install_date) }),
    getDiagnosticId: () => Effect.succeed({ diagnosticId: system.diagnostic_id }),
    getTelemetryId: () => Effect.succeed({ telemetryId: system.diagnostic_id }),
    getPluginID: (_, { pluginId }) => Effect.succeed({ pluginId }),
    getBundlePath: (_, { bundlePath }) => Effect.succeed({ path: bundlePath }),

    // The settings of other plugins may hold their secrets; whoever needs them asks for what is unsanitized.
    getConfig: (_, { pluginId }) =>
      Effect.zipWith(settings.siteUrl, pluginConfigs.get(pluginId), (url, config) =>
        serverConfig(url, { [pluginId]: config }),
      ),
    getUnsanitizedConfig: () => Effect.zipWith(settings.siteUrl, pluginConfigs.all, serverConfig),
    getPluginConfig: (_, { pluginId }) => Effect.map(pluginConfigs.get(pluginId), (config) => ({ config })),
    savePluginConfig: ({ config = {} }, { manifest, pluginId }) =>
      Effect.as(orRejected(workspace.savePluginConfig(pluginId, oneSpelling(config, manifest))), {}),
    loadPluginConfiguration: (_, { manifest, pluginId }) =>
      Effect.map(pluginConfigs.get(pluginId), (config) => ({
        configJson: jsonBytes(lowerCaseSettings(config, manifest)),
      })),

    createUser: ({ user }) =>
      required(user, "user").pipe(
        Effect.flatMap((user) => workspace.createUser(userOf(user))),
        Effect.map((created) => ({ user: created })),
      ),
    getUser: ({ userId }) => Effect.map(users.get(userId), (user) => ({ user })),
    getUserByUsername: ({ name }) => Effect.map(users.getByUsername(name), (user) => ({ user })),
    getUserByEmail: ({ email }) => Effect.map(users.getByEmail(email), (user) => ({ user })),
    getUsersByIds: ({ userIds }) => Effect.map(users.getMany(userIds), (found) => ({ users: [...found] })),
    getUsers: Effect.fnUntraced(function* (request: GetUsersRequest) {
      yield* supportedFilters(request)
      const { active, inactive, page, perPage, role } = request
      const found = yield* users.list(
        { page, perPage },
        { active: active ? true : inactive ? false : undefined, role: role === "" ? undefined : role },
      )
      return { users: [...found] }
    }),

    getTeams: () => Effect.map(teams.list, (found) => ({ teams: [...found] })),
    getTeam: ({ teamId }) => Effect.map(teams.get(teamId), (team) => ({ team })),
    getTeamByName: ({ name }) => Effect.map(teams.getByName(name), (team) => ({ team })),

    createChannel: ({ channel }) =>
      required(channel, "channel").pipe(
        Effect.flatMap((channel) => workspace.createChannel(channelOf(channel))),
        Effect.map((created) => ({ channel: created })),
      ),
    getChannel: ({ channelId }) => Effect.map(channels.get(channelId), (channel) => ({ channel })),
    getChannelByName: ({ includeDeleted, name, teamId }) =>
      Effect.map(channels.getByName(teamId, name, includeDeleted), (channel) => ({ channel })),
    getChannelByNameForTeamName: ({ channelName, includeDeleted, teamName }) =>
      teams.getByName(teamName).pipe(
        Effect.flatMap((team) => channels.getByName(team.id, channelName, includeDeleted)),
        Effect.map((channel) => ({ channel })),
      ),
    getPublicChannelsForTeam: ({ page, perPage, teamId }) =>
      Effect.map(channels.listPublic(teamId, { page, perPage }), (found) => ({ channels: [...found] })),
    getDirectChannel: ({ userId1, userId2 }) =>
      Effect.map(workspace.directChannel(userId1, userId2), (channel) => ({ channel })),

    registerCommand: ({ command }, { pluginId }) =>
      Effect.as(
        Effect.flatMap(required(command, "command"), (command) =>
          commands.register(pluginId, commandOf(pluginId, command)),
        ),
        {},
      ),
    unregisterCommand: ({ teamId, trigger }, { pluginId }) =>
      Effect.as(commands.unregister(pluginId, teamId, trigger), {}),
    // The server's own commands, and those that users made, are not part of this workspace.
    listCommands: ({ teamId }) => Effect.map(commands.list(teamId), (found) => ({ commands: [...found] })),
    listPluginCommands: ({ teamId }) => Effect.map(commands.list(teamId), (found) => ({ commands: [...found] })),
    listCustomCommands: () => Effect.succeed({}),
    listBuiltInCommands: () => Effect.succeed({}),
    executeSlashCommand: ({ commandArgs }) =>
      required(commandArgs, "command_args").pipe(
        Effect.flatMap((args) => workspace.executeCommand(args)),
        orRejected,
        Effect.map((response) => ({ response })),
      ),

    createPost: ({ post }) =>
      required(post, "post").pipe(
        Effect.flatMap((post) => workspace.createPost(postOf(post))),
        orRejected,
        Effect.map((created) => ({ post: created })),
      ),
    updatePost: ({ post }) =>
      required(post, "post").pipe(
        Effect.flatMap(({ fileIds, hasReactions, id, isPinned, message, props }) =>
          workspace.updatePost({ fileIds, hasReactions, id, isPinned, message, props: props ?? {} }),
        ),
        orRejected,
        Effect.map((updated) => ({ post: updated })),
      ),
    deletePost: ({ postId }) => Effect.as(workspace.deletePost(postId), {}),
    getPost: ({ postId }) => Effect.map(posts.get(postId), (post) => ({ post })),
    getPostsForChannel: ({ channelId, page, perPage }) =>
      Effect.map(posts.forChannel(channelId, { page, perPage }), (postList) => ({ postList })),
    getPostsSince: ({ channelId, time }) =>
      Effect.map(posts.since(channelId, Number(time)), (postList) => ({ postList })),
    getPostsAfter: ({ channelId, page, perPage, postId }) =>
      Effect.map(posts.after(channelId, postId, { page, perPage }), (postList) => ({ postList })),
    getPostsBefore: ({ channelId, page, perPage, postId }) =>
      Effect.map(posts.before(channelId, postId, { page, perPage }), (postList) => ({ postList })),
    getPostThread: ({ postId }) => Effect.map(posts.thread(postId), (postList) => ({ postList })),
  } satisfies MattermostApiMethods
})

const SUPPORTED_FILTERS = new Set(["$typeName", "page", "perPage", "active", "inactive", "role"])

/** A filter that is not understood fails the call: a list without it would have users that were not asked for. */
const supportedFilters = (request: GetUsersRequest): Effect.Effect<void, PluginApiError> => {
  const unknown = Object.entries(request).find(
    ([name, value]) =>
      !SUPPORTED_FILTERS.has(name) &&
      (Array.isArray(value) ? value.length > 0 : Boolean(value)) &&
      !(name === "sort" && value === "username"),
  )
  return unknown === undefined
    ? Effect.void
    : Effect.fail(
        new PluginApiError({
          id: "api.plugin.not_implemented",
          message: `The host does not implement GetUsers with ${unknown[0]}`,
          statusCode: 501,
        }),
      )
}
