import { clone, create, type MessageInitShape } from "@bufbuild/protobuf"
import { Clock, Context, Effect, Layer, Schema } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import type { PluginApiError } from "../api/PluginApi.ts"
import { type User, UserSchema } from "../generated/mattermost/pluginapi/v1/user_pb.js"
import { newId } from "./Id.ts"
import { checkMessage, encodeMessage, MessageColumn } from "./MessageColumn.ts"
import { limitOf, type Page, tooMany } from "./Paging.ts"
import { rowReader } from "./Rows.ts"
import { invalid, notFound, storing } from "./WorkspaceError.ts"
import { MAX_RECORD_BYTES, WorkspaceLimits } from "./WorkspaceLimits.ts"

/** Which users a list has. */
export interface UserFilter {
  /** `true`: only users that are not deactivated; `false`: only those that are. */
  readonly active?: boolean | undefined
  /** Only users with this role. */
  readonly role?: string | undefined
}

/**
 * The people and bots of the workspace. Nobody logs in to it, so passwords and other secrets of a login are dropped and
 * never stored.
 */
export class UserStore extends Context.Service<
  UserStore,
  {
    readonly get: (id: string) => Effect.Effect<User, PluginApiError>
    /** Upper and lower case count as the same, here and by e-mail. */
    readonly getByUsername: (username: string) => Effect.Effect<User, PluginApiError>
    readonly getByEmail: (email: string) => Effect.Effect<User, PluginApiError>
    /** The users that exist of those asked for, by username. */
    readonly getMany: (ids: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<User>, PluginApiError>
    /** A page of the users, by username. */
    readonly list: (page: Page, filter?: UserFilter) => Effect.Effect<ReadonlyArray<User>, PluginApiError>
    /** Makes a user; its id and times are set here. */
    readonly create: (user: MessageInitShape<typeof UserSchema>) => Effect.Effect<User, PluginApiError>
  }
>()("effect-plugin-supervisor/workspace/UserStore") {
  static readonly layer: Layer.Layer<UserStore, never, SqlClient.SqlClient> = Layer.effect(
    UserStore,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { pageItems } = yield* WorkspaceLimits

      const read = (statement: Effect.Effect<ReadonlyArray<unknown>, SqlError.SqlError>) =>
        Effect.map(Effect.flatMap(statement, rows.all), (found) => found.map(({ message }) => message))

      const one = (statement: Effect.Effect<ReadonlyArray<unknown>, SqlError.SqlError>, what: string) =>
        Effect.filterOrFail(
          Effect.map(Effect.flatMap(statement, rows.first), (row) => row?.message),
          (user) => user !== undefined,
          () => notFound("app.user.missing_account.const", what),
        )

      const isTaken = Effect.fnUntraced(function* (column: "username" | "email", value: string) {
        const rows = yield* sql`SELECT 1 FROM users WHERE ${sql(column)} = ${value}`
        return rows.length > 0
      })

      const insert = Effect.fn("UserStore.create")(function* (init: MessageInitShape<typeof UserSchema>) {
        const now = BigInt(yield* Clock.currentTimeMillis)
        const given = create(UserSchema, init)
        yield* checkMessage(UserSchema, given, MAX_RECORD_BYTES)
        const user = withoutSecrets(given)
        Object.assign(user, {
          id: yield* newId,
          username: user.username.trim().toLowerCase(),
          email: user.email.trim().toLowerCase(),
          createAt: now,
          updateAt: now,
          deleteAt: 0n,
          roles: user.roles === "" ? "system_user" : user.roles,
          locale: user.locale === "" ? "en" : user.locale,
        } satisfies Partial<User>)
        yield* validate(user)
        if (yield* isTaken("username", user.username)) {
          return yield* invalid("app.user.save.username_exists.app_error", `The username ${user.username} is taken`)
        }
        if (yield* isTaken("email", user.email)) {
          return yield* invalid("app.user.save.email_exists.app_error", "The e-mail address belongs to another user")
        }
        const message = yield* encodeMessage(UserSchema, user, MAX_RECORD_BYTES)
        yield* sql`INSERT INTO users ${sql.insert({ id: user.id, username: user.username, email: user.email, delete_at: 0, message })}`
        return user
      })

      return {
        get: (id) =>
          one(sql`SELECT id, message FROM users WHERE id = ${id}`, `user ${id}`).pipe(storing("UserStore.get")),
        getByUsername: (username) =>
          one(
            sql`SELECT id, message FROM users WHERE username = ${username.toLowerCase()}`,
            `user with the username ${username}`,
          ).pipe(storing("UserStore.getByUsername")),
        getByEmail: (email) =>
          one(
            sql`SELECT id, message FROM users WHERE email = ${email.toLowerCase()}`,
            "user with this e-mail address",
          ).pipe(storing("UserStore.getByEmail")),
        getMany: Effect.fn("UserStore.getMany")(function* (ids: ReadonlyArray<string>) {
          if (ids.length > pageItems) return yield* tooMany("the number of user_ids", ids.length, pageItems)
          // The ids go as one parameter: SQLite takes no more than 32,766.
          return yield* read(
            sql`SELECT id, message FROM users WHERE id IN (SELECT value FROM json_each(${JSON.stringify(ids)})) ORDER BY username`,
          )
        }, storing("UserStore.getMany")),
        list: Effect.fn("UserStore.list")(function* (page: Page, { active, role }: UserFilter = {}) {
          const { limit, offset } = yield* limitOf(page, pageItems)
          const ofActive = active === undefined ? sql`1` : active ? sql`delete_at = 0` : sql`delete_at <> 0`
          if (role === undefined) {
            return yield* read(
              sql`SELECT id, message FROM users WHERE ${ofActive} ORDER BY username LIMIT ${limit} OFFSET ${offset}`,
            )
          }
          const users = yield* read(sql`SELECT id, message FROM users WHERE ${ofActive} ORDER BY username`)
          return users.filter((user) => user.roles.split(" ").includes(role)).slice(offset, offset + limit)
        }, storing("UserStore.list")),
        create: (user) =>
          // Checking that a name is free and taking it are one step.
          sql.withTransaction(insert(user)).pipe(storing("UserStore.create")),
      }
    }),
  )
}

const rows = rowReader("user", Schema.Struct({ message: MessageColumn(UserSchema, MAX_RECORD_BYTES) }))

const withoutSecrets = (user: User): User => {
  const safe = clone(UserSchema, user)
  delete safe.authData
  return Object.assign(safe, { password: "", mfaSecret: "" } satisfies Partial<User>)
}

/** Names that would be taken for a mention of everybody, or for the system itself. */
const RESERVED_USERNAMES = new Set(["all", "channel", "here", "matterbot", "system"])

/** Mattermost's rules for a user. */
const RULES: ReadonlyArray<readonly [id: string, holds: (user: User) => boolean, rule: string]> = [
  [
    "username",
    ({ username }) => /^[a-z0-9._-]{1,64}$/.test(username) && !RESERVED_USERNAMES.has(username),
    "A username has 1 to 64 letters, digits, '.', '-' or '_', and is not a reserved name",
  ],
  [
    "email",
    ({ email }) => email.length <= 128 && /^[^\s@]+@[^\s@]+$/.test(email),
    "A user needs an e-mail address of up to 128 characters",
  ],
  [
    "name",
    ({ firstName, lastName, nickname }) =>
      [firstName, lastName, nickname].every((name) => Array.from(name).length <= 64),
    "A nickname, first or last name has up to 64 characters",
  ],
]

const validate = (user: User): Effect.Effect<void, PluginApiError> => {
  const broken = RULES.find(([, holds]) => !holds(user))
  return broken === undefined
    ? Effect.void
    : Effect.fail(invalid(`model.user.is_valid.${broken[0]}.app_error`, broken[2]))
}
