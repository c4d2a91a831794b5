import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Schema, type Scope } from "effect"
import { MAX_UNIX_SOCKET_PATH } from "../grpc/GrpcServer.ts"

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

/**
 * A private folder (0700) for one plugin's sockets, removed with the Scope, whatever is left in it. Its path is short,
 * since a unix socket's path has about a hundred bytes: where the temporary folder's is too long, `/tmp` is taken.
 */
export const make = (pluginId: string): Effect.Effect<string, SocketDirectoryError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: () => {
        const prefix = join(tmpdir(), "plugin-")
        const fits = Buffer.byteLength(prefix) + "XXXXXX/".length + NAME_LENGTH <= MAX_UNIX_SOCKET_PATH
        // mkdtemp makes the folder with mode 0700.
        return mkdtemp(fits ? prefix : "/tmp/plugin-")
      },
      catch: (cause) => new SocketDirectoryError({ pluginId, reason: String(cause) }),
    }),
    (directory) => Effect.promise(() => rm(directory, { recursive: true, force: true })),
  )
