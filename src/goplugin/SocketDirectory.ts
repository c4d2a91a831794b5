import { execFile } from "node:child_process"
import { type FSWatcher, watch } from "node:fs"
import { chmod, lstat, mkdir, mkdtemp, readdir, rm, rmdir, stat, utimes } from "node:fs/promises"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { promisify } from "node:util"
import { Context, Duration, Effect, Latch, Schedule, Schema, type Scope } from "effect"
import { VARIABLES } from "../command/Variables.ts"
import { RpcServerError } from "../rpc/RpcServer.ts"
import { MAX_UNIX_SOCKET_PATH } from "../grpc/GrpcServer.ts"
import { makeFolder } from "../bundle/PrivateFolder.ts"

/** No folder for a plugin's sockets could be made. */
export class SocketDirectoryError extends Schema.TaggedError<SocketDirectoryError>()("SocketDirectoryError", {
  pluginId: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `plugin ${this.pluginId}: no private folder for its sockets: ${this.reason}; set --runtime-directory, RUNTIME_DIRECTORY or TMPDIR to a short path of a writable folder`
  }
}

/** The longest file name put into the folder: Go's `plugin` with ten random digits, and some room for the SDK's. */
const NAME_LENGTH = 32

const PREFIX = "plugin-host-"

/** What mkdtemp makes of it. */
const OURS = new RegExp(`^${PREFIX}\\w{6}$`)

/**
 * The folder in which plugins' sockets get folders of their own; made if it is not there. Default: the first that
 * `RUNTIME_DIRECTORY` names, as systemd does for `RuntimeDirectory=`, else the temporary folder, or `/tmp` where that
 * has too long a path for a socket's.
 */
export const RuntimeDirectory = Context.Reference<string | undefined>(
  "effect-plugin-supervisor/goplugin/RuntimeDirectory",
  { defaultValue: () => undefined },
)

const fits = (parent: string): boolean =>
  Buffer.byteLength(join(parent, `${PREFIX}XXXXXX`, "x".repeat(NAME_LENGTH))) <= MAX_UNIX_SOCKET_PATH

/** Absolute: plugins have a working directory of their own. */
const parent: Effect.Effect<string> = Effect.map(RuntimeDirectory, (given) => {
  const set = given ?? process.env[VARIABLES.runtimeDirectory]?.split(":")[0]
  if (set !== undefined && set !== "") return resolve(set)
  const temporary = resolve(tmpdir())
  return fits(temporary) ? temporary : "/tmp"
})

/** A user's group, by name or number. */
export type SocketGroup = string | number

/** `chgrp` knows groups by name wherever they come from; nothing in Node does. */
const shareWith = async (path: string, group: SocketGroup, mode: number): Promise<void> => {
  await promisify(execFile)("chgrp", ["--", String(group), path], { timeout: 5000 })
  await chmod(path, mode)
}

/** Opens a socket or folder to a group, if there is one to open it to. */
export const share = (
  path: string,
  group: SocketGroup | undefined,
  mode: number,
): Effect.Effect<void, RpcServerError> =>
  group === undefined
    ? Effect.void
    : Effect.tryPromise({
        try: () => shareWith(path, group, mode),
        catch: (cause) =>
          new RpcServerError({ address: path, reason: `no access for group ${group}: ${String(cause)}` }),
      })

/**
 * How often what is in use is touched. Whoever clears away what is old goes by days (systemd-tmpfiles: ten), so that an
 * hour is young whatever the rule.
 */
const TOUCH_INTERVAL = Duration.hours(1)

/**
 * A private folder (0700) for one plugin's sockets, removed with the Scope, whatever is left in it. Its path is absolute
 * and short, since a unix socket's path has about a hundred bytes; see {@link RuntimeDirectory}. It and what is in it
 * stay young, so that nobody clears them away for their age. With a `group`, for a plugin that runs as another user, the
 * folder is the group's too (0770; go-plugin 1.8, `UnixSocketConfig`).
 */
export const make = Effect.fnUntraced(function* (
  pluginId: string,
  group?: SocketGroup,
): Effect.fn.Return<string, SocketDirectoryError, Scope.Scope> {
  const attempt = <A>(step: () => Promise<A>) =>
    Effect.tryPromise({ try: step, catch: (cause) => new SocketDirectoryError({ pluginId, reason: String(cause) }) })
  const within = yield* parent
  if (!fits(within)) {
    return yield* new SocketDirectoryError({ pluginId, reason: `the path of ${within} is too long for a socket's` })
  }
  const directory = yield* Effect.acquireRelease(
    attempt(async () => {
      makeFolder(within)
      // mkdtemp makes the folder with mode 0700.
      return mkdtemp(join(within, PREFIX))
    }),
    (directory) =>
      Effect.catch(
        attempt(() => rm(directory, { recursive: true, force: true })),
        ({ reason }) =>
          Effect.logWarning(`plugin ${pluginId} has left what can't be removed in ${directory}: ${reason}`),
      ),
  )
  if (group !== undefined) yield* attempt(() => shareWith(directory, group, 0o770))
  yield* Effect.forkScoped(Effect.repeat(touch(directory), Schedule.spaced(TOUCH_INTERVAL)))
  return directory
})

const touch = (directory: string): Effect.Effect<void> =>
  Effect.promise(async () => {
    const now = new Date()
    const names = await readdir(directory).catch(() => [])
    await Promise.allSettled(
      [directory, ...names.map((name) => join(directory, name))].map((path) => utimes(path, now, now)),
    )
  })

/**
 * How often it is looked whether sockets are there still, where the system does not tell of changes, and where it does: a
 * mount in a folder's place, for example, is no change of it.
 */
const LOOK_INTERVAL = Duration.seconds(2)
const LOOK_INTERVAL_WATCHED = Duration.seconds(30)

/**
 * Waits until a folder, or one of these sockets, has been removed by somebody else; answers which. From then on nobody
 * can connect any more, while whoever is connected notices nothing.
 */
export const lost = (directory: string, sockets: ReadonlyArray<string>): Effect.Effect<string> =>
  Effect.scoped(
    Effect.gen(function* () {
      const changed = yield* changes(directory)
      for (;;) {
        const path = yield* Effect.promise(() => missing([directory, ...sockets]))
        if (path !== undefined) return path
        yield* changed
      }
    }),
  )

/** The first of these that is not there. */
const missing = async (paths: ReadonlyArray<string>): Promise<string | undefined> => {
  for (const path of paths) {
    // Whatever else keeps it from being looked at says nothing.
    const code = await stat(path).then(
      () => undefined,
      (error: NodeJS.ErrnoException) => error.code,
    )
    if (code === "ENOENT" || code === "ENOTDIR") return path
  }
  return undefined
}

/** Waits for a change in a folder since this was last awaited, or for so long that there may have been one. */
const changes = (directory: string): Effect.Effect<Effect.Effect<void>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const changed = Latch.makeUnsafe(false)
    const watcher = yield* Effect.acquireRelease(
      Effect.sync(() => watchFolder(directory, () => changed.openUnsafe())),
      (watcher) => Effect.sync(() => watcher?.close()),
    )
    const interval = watcher === undefined ? LOOK_INTERVAL : LOOK_INTERVAL_WATCHED
    return Effect.andThen(
      Effect.timeoutOption(changed.await, interval),
      Effect.sync(() => changed.closeUnsafe()),
    )
  })

/** Nothing where the system tells of no changes, as where too many folders are watched. */
const watchFolder = (directory: string, changed: () => void): FSWatcher | undefined => {
  try {
    return watch(directory, { persistent: false }, changed).on("error", changed)
  } catch {
    return undefined
  }
}

/**
 * Makes a folder again that somebody has removed, where it was. One that is there already is taken if it is what
 * {@link make} makes: the user's own, and closed to others but the `group`.
 */
export const remake = (
  pluginId: string,
  directory: string,
  group?: SocketGroup,
): Effect.Effect<void, SocketDirectoryError> =>
  Effect.tryPromise({
    try: async () => {
      await mkdir(directory, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "EEXIST") throw error
      })
      const info = await lstat(directory)
      const open = group === undefined ? 0o077 : 0o007
      const isOurs = process.getuid === undefined || (info.uid === process.getuid() && (info.mode & open) === 0)
      if (!info.isDirectory() || !isOurs) throw new Error(`${directory} is somebody else's now`)
      if (group !== undefined) await shareWith(directory, group, 0o770)
    },
    catch: (cause) => new SocketDirectoryError({ pluginId, reason: String(cause) }),
  })

/** Younger folders are left alone: between making a socket and listening on it nobody answers there either. */
const MIN_AGE = Duration.minutes(1)

/** A folder without a socket may be a living host's, which touches it once in a while. */
const MIN_AGE_EMPTY = Duration.days(1)

/**
 * Removes the folders of hosts that were killed and could not do it themselves: folders of our own user's with sockets
 * on which nobody listens any more, and those that have been empty for long. Only sockets are removed; a folder in which
 * a plugin has left more stays.
 */
export const sweep = Effect.fnUntraced(function* (
  minAge: Duration.Duration = MIN_AGE,
  minAgeEmpty: Duration.Duration = MIN_AGE_EMPTY,
): Effect.fn.Return<void> {
  const within = yield* parent
  yield* Effect.promise(async () => {
    const names = await readdir(within).catch(() => [])
    const ours = names.filter((name) => OURS.test(name)).map((name) => join(within, name))
    await Promise.all(
      ours.map(async (directory) => {
        const info = await lstat(directory).catch(() => undefined)
        if (info === undefined || !info.isDirectory() || info.uid !== process.getuid?.()) return
        const age = Date.now() - info.mtimeMs
        if (age < Duration.toMillis(minAge)) return
        const entries = await readdir(directory, { withFileTypes: true }).catch(() => undefined)
        if (entries === undefined || (entries.length === 0 && age < Duration.toMillis(minAgeEmpty))) return
        const sockets = entries.filter((entry) => entry.isSocket()).map((entry) => join(directory, entry.name))
        const refused = await Promise.all(sockets.map(isRefused))
        if (!refused.every(Boolean)) return
        await Promise.allSettled(sockets.map((socket) => rm(socket)))
        await rmdir(directory).catch(() => {})
      }),
    )
  })
})

/** Whether there is a socket at a path on which nobody listens. */
const isRefused = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const connection = connect(path)
    const done = (refused: boolean) => {
      connection.destroy()
      resolve(refused)
    }
    connection.on("connect", () => done(false))
    connection.on("error", (error: NodeJS.ErrnoException) => done(error.code === "ECONNREFUSED"))
  })
