import { clone, create, type MessageInitShape } from "@bufbuild/protobuf"
import { Clock, Context, Effect, Layer, Schema } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import type { PluginApiError } from "../api/PluginApi.ts"
import { type Team, TeamSchema } from "../generated/mattermost/pluginapi/v1/team_pb.js"
import { newId } from "./Id.ts"
import { encodeMessage, MessageColumn } from "./MessageColumn.ts"
import { rowReader } from "./Rows.ts"
import { notFound, storing } from "./WorkspaceError.ts"
import { MAX_RECORD_BYTES } from "./WorkspaceLimits.ts"

/** The teams; an embedded workspace has one. */
export class TeamStore extends Context.Service<
  TeamStore,
  {
    readonly get: (id: string) => Effect.Effect<Team, PluginApiError>
    readonly getByName: (name: string) => Effect.Effect<Team, PluginApiError>
    /** All teams, by name. */
    readonly list: Effect.Effect<ReadonlyArray<Team>, PluginApiError>
    /** Makes a team; its id and times are set here. */
    readonly create: (team: MessageInitShape<typeof TeamSchema>) => Effect.Effect<Team, PluginApiError>
  }
>()("effect-plugin-supervisor/workspace/TeamStore") {
  static readonly layer: Layer.Layer<TeamStore, never, SqlClient.SqlClient> = Layer.effect(
    TeamStore,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient

      const one = (
        statement: Effect.Effect<ReadonlyArray<unknown>, SqlError.SqlError>,
        missing: PluginApiError,
      ): Effect.Effect<Team, PluginApiError> =>
        Effect.filterOrFail(
          Effect.map(Effect.flatMap(statement, rows.first), (row) => row?.message),
          (team) => team !== undefined,
          () => missing,
        ).pipe(storing("TeamStore.get"))

      return {
        get: (id) =>
          one(
            sql`SELECT id, message FROM teams WHERE id = ${id}`,
            notFound("app.team.get.find.app_error", `team ${id}`),
          ),
        getByName: (name) =>
          one(
            sql`SELECT id, message FROM teams WHERE name = ${name}`,
            notFound("app.team.get_by_name.missing.app_error", `team named ${name}`),
          ),
        list: sql`SELECT id, message FROM teams ORDER BY name`.pipe(
          Effect.flatMap(rows.all),
          Effect.map((found) => found.map(({ message }) => message)),
          storing("TeamStore.list"),
        ),
        create: Effect.fn("TeamStore.create")(function* (init: MessageInitShape<typeof TeamSchema>) {
          const now = BigInt(yield* Clock.currentTimeMillis)
          const team = Object.assign(clone(TeamSchema, create(TeamSchema, init)), {
            id: yield* newId,
            createAt: now,
            updateAt: now,
          } satisfies Partial<Team>)
          const message = yield* encodeMessage(TeamSchema, team, MAX_RECORD_BYTES)
          yield* sql`INSERT INTO teams ${sql.insert({ id: team.id, name: team.name, message })}`
          return team
        }, storing("TeamStore.create")),
      }
    }),
  )
}

const rows = rowReader("team", Schema.Struct({ message: MessageColumn(TeamSchema, MAX_RECORD_BYTES) }))
