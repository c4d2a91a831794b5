import { clone, create, type MessageInitShape } from "@bufbuild/protobuf"
import { Clock, Context, Effect, Layer, Schema } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import type { PluginApiError } from "../api/PluginApi.ts"
import { type Team, TeamSchema } from "../generated/mattermost/pluginapi/v1/team_pb.js"
import { newId } from "./Id.ts"
import { MessageColumn } from "./MessageColumn.ts"
import { notFound, storing } from "./WorkspaceError.ts"

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

      const read = (statement: Effect.Effect<ReadonlyArray<unknown>, SqlError.SqlError>) =>
        Effect.map(Effect.flatMap(statement, decode), (rows) => rows.map(({ message }) => message))

      const one = (
        statement: Effect.Effect<ReadonlyArray<unknown>, SqlError.SqlError>,
        missing: PluginApiError,
      ): Effect.Effect<Team, PluginApiError> =>
        Effect.filterOrFail(
          Effect.map(read(statement), (teams) => teams[0]),
          (team) => team !== undefined,
          () => missing,
        ).pipe(storing("TeamStore.get"))

      return {
        get: (id) =>
          one(sql`SELECT message FROM teams WHERE id = ${id}`, notFound("app.team.get.find.app_error", `team ${id}`)),
        getByName: (name) =>
          one(
            sql`SELECT message FROM teams WHERE name = ${name}`,
            notFound("app.team.get_by_name.missing.app_error", `team named ${name}`),
          ),
        list: read(sql`SELECT message FROM teams ORDER BY name`).pipe(storing("TeamStore.list")),
        create: Effect.fn("TeamStore.create")(function* (init: MessageInitShape<typeof TeamSchema>) {
          const now = BigInt(yield* Clock.currentTimeMillis)
          const team = Object.assign(clone(TeamSchema, create(TeamSchema, init)), {
            id: yield* newId,
            createAt: now,
            updateAt: now,
          } satisfies Partial<Team>)
          const { message } = yield* encode({ message: team })
          yield* sql`INSERT INTO teams ${sql.insert({ id: team.id, name: team.name, message })}`
          return team
        }, storing("TeamStore.create")),
      }
    }),
  )
}

const Row = Schema.Struct({ message: MessageColumn(TeamSchema) })
const decode = Schema.decodeUnknownEffect(Schema.Array(Row))
const encode = Schema.encodeEffect(Row)
