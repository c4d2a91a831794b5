import { execFile } from "node:child_process"
import { chmod, lstat, mkdtemp, readdir, rm, rmdir } from "node:fs/promises"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { Duration, Effect, Schema, type Scope } from "effect"
import { GrpcServerError, MAX_UNIX_SOCKET_PATH } from "../grpc/GrpcServer.ts"

/** No folder for a plugin's sockets could be made. */
export class SocketDirectoryError extends Schema.TaggedError<SocketDirectoryError>()("SocketDirectoryError", {
  pluginId: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `plugin ${this.pluginId}: no private folder for its sockets: ${this.reason}; set TMPDIR to a short path of a writable folder`
  }
}

/** The longest file name put into the folder: Go's `plugin` with ten random digits, and some room for the SDK's. */
const NAME_LENGTH = 32

const PREFIX = "plugin-host-"

/** What mkdtemp makes of it. */
const OURS = new RegExp(`^${PREFIX}\\w{6}$`)

/** The temporary folder, or `/tmp` where its path is too long for a socket's. */
const parent = (): string => {
  const longest = join(tmpdir(), `${PREFIX}XXXXXX`, "x".repeat(NAME_LENGTH))
  return Buffer.byteLength(longest) <= MAX_UNIX_SOCKET_PATH ? tmpdir() : "/tmp"
}

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
): Effect.Effect<void, GrpcServerError> =>
  group === undefined
    ? Effect.void
    : Effect.tryPromise({
        try: () => shareWith(path, group, mode),
        catch: (cause) =>
          new GrpcServerError({ address: path, reason: `no access for group ${group}: ${String(cause)}` }),
      })

/**
 * A private folder (0700) for one plugin's sockets, removed with the Scope, whatever is left in it. Its path is short,
 * since a unix socket's path has about a hundred bytes: where the temporary folder's is too long, `/tmp` is taken.
 * With a `group`, for a plugin that runs as another user, the folder is the group's too (0770; go-plugin 1.8,
 * `UnixSocketConfig`).
 */
export const make = (
  pluginId: string,
  group?: SocketGroup,
): Effect.Effect<string, SocketDirectoryError, Scope.Scope> => {
  const attempt = <A>(step: () => Promise<A>) =>
    Effect.tryPromise({ try: step, catch: (cause) => new SocketDirectoryError({ pluginId, reason: String(cause) }) })
  return Effect.acquireRelease(
    // mkdtemp makes the folder with mode 0700.
    attempt(() => mkdtemp(join(parent(), PREFIX))),
    (directory) =>
      Effect.catch(
        attempt(() => rm(directory, { recursive: true, force: true })),
        ({ reason }) =>
          Effect.logWarning(`plugin ${pluginId} has left what can't be removed in ${directory}: ${reason}`),
      ),
  ).pipe(
    Effect.tap((directory) => (group === undefined ? Effect.void : attempt(() => shareWith(directory, group, 0o770)))),
  )
}

/** Younger folders are left alone: between making a socket and listening on it nobody answers there either. */
const MIN_AGE = Duration.minutes(1)

/**
 * Removes the folders of hosts that were killed and could not do it themselves: folders of our own user's with sockets
 * on which nobody listens any more. Only sockets are removed; a folder in which a plugin has left more stays.
 */
export const sweep = (minAge: Duration.Duration = MIN_AGE): Effect.Effect<void> =>
  Effect.promise(async () => {
    const names = await readdir(parent()).catch(() => [])
    const ours = names.filter((name) => OURS.test(name)).map((name) => join(parent(), name))
    await Promise.all(
      ours.map(async (directory) => {
        const info = await lstat(directory).catch(() => undefined)
        if (info === undefined || !info.isDirectory() || info.uid !== process.getuid?.()) return
        if (Date.now() - info.mtimeMs < Duration.toMillis(minAge)) return
        const entries = await readdir(directory, { withFileTypes: true }).catch(() => [])
        const sockets = entries.filter((entry) => entry.isSocket()).map((entry) => join(directory, entry.name))
        const refused = await Promise.all(sockets.map(isRefused))
        if (refused.length === 0 || !refused.every(Boolean)) return
        await Promise.allSettled(sockets.map((socket) => rm(socket)))
        await rmdir(directory).catch(() => {})
      }),
    )
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
