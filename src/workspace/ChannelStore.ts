import { clone, create, type MessageInitShape } from "@bufbuild/protobuf"
import { Clock, Context, Effect, Layer, Schema } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import type { PluginApiError } from "../api/PluginApi.ts"
import { type Channel, ChannelSchema, ChannelType } from "../generated/mattermost/pluginapi/v1/channel_pb.js"
import { newId } from "./Id.ts"
import { checkMessage, encodeMessage, MessageColumn } from "./MessageColumn.ts"
import { limitOf, type Page } from "./Paging.ts"
import { rowReader } from "./Rows.ts"
import { invalid, notFound, storing } from "./WorkspaceError.ts"
import { MAX_RECORD_BYTES, WorkspaceLimits } from "./WorkspaceLimits.ts"

/** The channels. Their counts of messages and times of last posts are kept by the posts' store. */
export class ChannelStore extends Context.Service<
  ChannelStore,
  {
    readonly get: (id: string) => Effect.Effect<Channel, PluginApiError>
    /** Archived channels are found with `includeDeleted`. */
    readonly getByName: (
      teamId: string,
      name: string,
      includeDeleted?: boolean,
    ) => Effect.Effect<Channel, PluginApiError>
    /** A page of all teams' public and private channels that are not archived, by display name. */
    readonly list: (page: Page) => Effect.Effect<ReadonlyArray<Channel>, PluginApiError>
    /** A page of a team's public channels that are not archived, by display name. */
    readonly listPublic: (teamId: string, page: Page) => Effect.Effect<ReadonlyArray<Channel>, PluginApiError>
    /** Makes a public or private channel; its id and times are set here. */
    readonly create: (channel: MessageInitShape<typeof ChannelSchema>) => Effect.Effect<Channel, PluginApiError>
    /** The channel of two users with each other (or of one with itself), made when there is none. */
    readonly direct: (
      userId1: string,
      userId2: string,
    ) => Effect.Effect<{ readonly channel: Channel; readonly isNew: boolean }, PluginApiError>
  }
>()("effect-plugin-supervisor/workspace/ChannelStore") {
  static readonly layer: Layer.Layer<ChannelStore, never, SqlClient.SqlClient> = Layer.effect(
    ChannelStore,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { pageItems } = yield* WorkspaceLimits

      const read = (statement: Effect.Effect<ReadonlyArray<unknown>, SqlError.SqlError>) =>
        Effect.map(Effect.flatMap(statement, rows.all), (found) => found.map(channelOf))

      const first = (statement: Effect.Effect<ReadonlyArray<unknown>, SqlError.SqlError>) =>
        Effect.map(Effect.flatMap(statement, rows.first), (row) => (row === undefined ? undefined : channelOf(row)))

      const byName = (teamId: string, name: string) =>
        first(sql`SELECT * FROM channels WHERE team_id = ${teamId} AND name = ${name}`)

      const insert = Effect.fn("ChannelStore.create")(function* (init: MessageInitShape<typeof ChannelSchema>) {
        const now = BigInt(yield* Clock.currentTimeMillis)
        const channel = Object.assign(clone(ChannelSchema, create(ChannelSchema, init)), {
          id: yield* newId,
          createAt: now,
          updateAt: now,
          deleteAt: 0n,
          lastPostAt: 0n,
          lastRootPostAt: 0n,
          totalMsgCount: 0n,
          totalMsgCountRoot: 0n,
        } satisfies Partial<Channel>)
        const message = yield* encodeMessage(ChannelSchema, channel, MAX_RECORD_BYTES)
        yield* sql`INSERT INTO channels ${sql.insert({
          id: channel.id,
          team_id: channel.teamId,
          name: channel.name,
          type: channel.type,
          display_name: channel.displayName,
          delete_at: 0,
          message,
        })}`
        return channel
      })

      const createUnlessTaken = Effect.fnUntraced(function* (init: MessageInitShape<typeof ChannelSchema>) {
        const channel = create(ChannelSchema, init)
        yield* checkMessage(ChannelSchema, channel, MAX_RECORD_BYTES)
        yield* validate(channel)
        if ((yield* byName(channel.teamId, channel.name)) !== undefined) {
          return yield* invalid(
            "store.sql_channel.save_channel.exists.app_error",
            `The team has a channel named ${channel.name} already`,
          )
        }
        return yield* insert(channel)
      })

      const findOrCreateDirect = Effect.fnUntraced(function* (name: string, creatorId: string) {
        const found = yield* byName("", name)
        if (found !== undefined) return { channel: found, isNew: false }
        return { channel: yield* insert({ name, type: ChannelType.DIRECT, creatorId }), isNew: true }
      })

      return {
        get: Effect.fnUntraced(function* (id: string) {
          const channel = yield* first(sql`SELECT * FROM channels WHERE id = ${id}`)
          return channel ?? (yield* notFound("app.channel.get.existing.app_error", `channel ${id}`))
        }, storing("ChannelStore.get")),
        getByName: Effect.fnUntraced(function* (teamId: string, name: string, includeDeleted = false) {
          const channel = yield* byName(teamId, name)
          if (channel !== undefined && (includeDeleted || channel.deleteAt === 0n)) return channel
          return yield* notFound("app.channel.get_by_name.missing.app_error", `channel named ${name}`)
        }, storing("ChannelStore.getByName")),
        list: Effect.fnUntraced(function* (page: Page) {
          const { limit, offset } = yield* limitOf(page, pageItems)
          const types = [ChannelType.OPEN, ChannelType.PRIVATE]
          return yield* read(
            sql`SELECT * FROM channels WHERE type IN ${sql.in(types)} AND delete_at = 0
              ORDER BY display_name, id LIMIT ${limit} OFFSET ${offset}`,
          )
        }, storing("ChannelStore.list")),
        listPublic: Effect.fnUntraced(function* (teamId: string, page: Page) {
          const { limit, offset } = yield* limitOf(page, pageItems)
          return yield* read(
            sql`SELECT * FROM channels WHERE team_id = ${teamId} AND type = ${ChannelType.OPEN} AND delete_at = 0
              ORDER BY display_name, id LIMIT ${limit} OFFSET ${offset}`,
          )
        }, storing("ChannelStore.listPublic")),
        // Looking whether there is one and making it are one step.
        create: (channel) => sql.withTransaction(createUnlessTaken(channel)).pipe(storing("ChannelStore.create")),
        direct: (userId1, userId2) =>
          sql
            .withTransaction(findOrCreateDirect([userId1, userId2].sort().join("__"), userId1))
            .pipe(storing("ChannelStore.direct")),
      }
    }),
  )
}

const Row = Schema.Struct({
  message: MessageColumn(ChannelSchema, MAX_RECORD_BYTES),
  last_post_at: Schema.Int,
  last_root_post_at: Schema.Int,
  total_msg_count: Schema.Int,
  total_msg_count_root: Schema.Int,
})
const rows = rowReader("channel", Row)

/** A channel with what is counted beside it. */
const channelOf = (row: typeof Row.Type): Channel =>
  Object.assign(row.message, {
    lastPostAt: BigInt(row.last_post_at),
    lastRootPostAt: BigInt(row.last_root_post_at),
    totalMsgCount: BigInt(row.total_msg_count),
    totalMsgCountRoot: BigInt(row.total_msg_count_root),
  } satisfies Partial<Channel>)

/** Mattermost's rules for a channel. */
const RULES: ReadonlyArray<readonly [id: string, holds: (channel: Channel) => boolean, rule: string]> = [
  [
    "type",
    ({ type }) => type === ChannelType.OPEN || type === ChannelType.PRIVATE,
    "A new channel is either public or private",
  ],
  [
    "1_or_more",
    ({ name }) => /^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?$/.test(name) && !name.includes("__"),
    "A channel's name has 1 to 64 lower-case letters, digits, '-' or '_', and begins and ends with a letter or digit",
  ],
  [
    "display_name",
    ({ displayName }) => displayName.trim() !== "" && Array.from(displayName).length <= 64,
    "A channel needs a display name of up to 64 characters",
  ],
  ["header", ({ header }) => Array.from(header).length <= 1024, "A channel's header has up to 1024 characters"],
  ["purpose", ({ purpose }) => Array.from(purpose).length <= 250, "A channel's purpose has up to 250 characters"],
]

const validate = (channel: Channel): Effect.Effect<void, PluginApiError> => {
  const broken = RULES.find(([, holds]) => !holds(channel))
  return broken === undefined
    ? Effect.void
    : Effect.fail(invalid(`model.channel.is_valid.${broken[0]}.app_error`, broken[2]))
}
