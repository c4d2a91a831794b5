/** PostgreSQL for tests. Where there is none one is told so (`globalSetup.ts`), and they are skipped. */
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { chownSync, mkdtempSync, realpathSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { PgClient } from "@effect/sql-pg"
import { Effect, Exit, Layer, Scope } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { afterAll, beforeAll } from "vitest"
import { noPostgres, postgresBinaries } from "./findPostgres.ts"
import { eventually } from "./host.ts"

const USER = "tester"

/** PostgreSQL refuses to run as root, who tests in containers: it runs as nobody then. */
const user = (): { readonly uid?: number; readonly gid?: number } => {
  if (process.getuid?.() !== 0) return {}
  const id = (flag: string) => Number(execFileSync("id", [flag, "nobody"], { encoding: "utf8" }))
  return { uid: id("-u"), gid: id("-g") }
}

/**
 * Runs the server, and does what it is told on its standard input. When that ends, because the tests have ended or
 * whoever ran them was killed, the server is stopped, and its folder removed.
 */
const KEEPER = `
start() { "$0/postgres" -D "$1/data" -k "$1" -c listen_addresses= -c fsync=off -c max_connections=200 </dev/null & }
start "$1"
while read -r command; do
  case $command in
    kill) kill -QUIT $!; wait $! ;;
    start) start "$1" ;;
  esac
done
kill -INT $!; wait $!
rm -rf "$1"
`

/** A server that listens on a socket in a folder of its own, and on nothing else. */
export interface Postgres {
  /** Makes a new, empty database. */
  readonly database: Effect.Effect<PostgresDatabase>
  /** Ends the server as a crash does: its clients are cut off. */
  readonly kill: Effect.Effect<void, Error>
  /** Starts it again, on the same data. */
  readonly start: Effect.Effect<void, Error>
}

/** A database of such a server. */
export interface PostgresDatabase {
  /** The layer of a client. Each build of it has connections of its own. */
  readonly client: (config?: PgClient.PgPoolConfig) => PgClientLayer
  /** Where it is, for other programs. */
  readonly url: string
}

type PgClientLayer = Layer.Layer<PgClient.PgClient | SqlClient.SqlClient, SqlError.SqlError>

/** A server that lives as long as the Scope. */
export const postgresServer: Effect.Effect<Postgres, Error, Scope.Scope> = Effect.gen(function* () {
  const owner = user()
  const directory = realpathSync(mkdtempSync(join(tmpdir(), "postgres-")))
  if (owner.uid !== undefined) chownSync(directory, owner.uid, owner.gid!)
  const options = { ...owner, cwd: directory, env: { PATH: process.env["PATH"], LC_ALL: "C" } }
  // Texts are in English's order, not in that of their bytes, as on many servers.
  const order = ["--locale=C", "--encoding=UTF8", "--locale-provider=icu", "--icu-locale=en-US"]
  const data = ["-D", join(directory, "data"), "-U", USER, "--auth=trust", "--no-sync", ...order]
  execFileSync(join(postgresBinaries!, "initdb"), data, { ...options, stdio: "pipe" })

  // In a session of its own, so that the terminal's interrupt reaches the tests alone.
  const keeper = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn("sh", ["-c", KEEPER, postgresBinaries!, directory], {
        ...options,
        detached: true,
        stdio: ["pipe", "ignore", "pipe"],
      }),
    ),
    (keeper) => Effect.promise(() => (keeper.stdin.end(), once(keeper, "exit"))),
  )
  let log = ""
  keeper.stderr.on("data", (chunk) => (log += String(chunk)))
  /** Does something, and waits until the server's log tells that it is done. */
  const until = (line: string, act: () => void) =>
    Effect.suspend(() => {
      const before = log.length
      act()
      return Effect.mapError(
        eventually(line, () => log.includes(line, before)),
        (error) => new Error(`${error.message}\n${log}`),
      )
    })
  const tell = (command: string) => () => void keeper.stdin.write(`${command}\n`)
  const READY = "ready to accept connections"
  yield* until(READY, () => undefined)

  const connect = (config: PgClient.PgPoolConfig): PgClientLayer =>
    PgClient.layer({ host: directory, username: USER, ...config })
  let databases = 0
  return {
    database: Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const database = `test_${++databases}`
      yield* sql.unsafe(`CREATE DATABASE ${database}`)
      return {
        client: (config: PgClient.PgPoolConfig = {}) => connect({ database, ...config }),
        url: `postgres:///${database}?host=${encodeURIComponent(directory)}&user=${USER}`,
      }
    }).pipe(Effect.provide(Layer.fresh(connect({ database: "postgres" }))), Effect.orDie),
    kill: until("database system is shut down", tell("kill")),
    start: until(READY, tell("start")),
  }
})

/** A server for all tests of a file. */
export const postgresOfFile = (): Effect.Effect<Postgres> => {
  const scope = Scope.makeUnsafe()
  let server: Postgres | undefined
  beforeAll(async () => {
    if (noPostgres === undefined) server = await Effect.runPromise(Scope.provide(postgresServer, scope))
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  return Effect.sync(() => server!)
}
