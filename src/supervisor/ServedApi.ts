import { randomBytes } from "node:crypto"
import type { Duplex } from "node:stream"
import { Effect, Scope } from "effect"
import type { HostApi, PluginApiServer } from "../api/PluginApiServer.ts"
import type { PluginBundle } from "../bundle/PluginBundle.ts"
import * as SocketDirectory from "../goplugin/SocketDirectory.ts"
import type { RpcServerError } from "../rpc/RpcServer.ts"
import { KEEP_SOCKETS, type RunEnd } from "./PluginRun.ts"
import type { AnySupervisorOptions } from "./SupervisorOptions.ts"

/** Bytes of a plugin's token for the host API: beyond guessing. */
const TOKEN_BYTES = 32

/** How often a socket that somebody removes is made again: whoever goes on removing it means it. */
const MAX_REMADE = 10

/** The host's side of one run: where the plugin's sockets are, and the server of its host API calls. */
export interface ServedApi {
  /** The private folder of the plugin's sockets. */
  readonly socketDirectory: string
  /** Where the plugin finds the host API. */
  readonly target: string
  /** What only the plugin's process is to know. */
  readonly token: string
  /** Serves the plugin on a connection that it has inherited. */
  readonly serveOn: (connection: Duplex) => Effect.Effect<void>
  /** From here on calls without the token are refused. */
  readonly requireToken: Effect.Effect<void>
  /** Serves it once more, where somebody has removed the socket or the folder. */
  readonly serveAgain: Effect.Effect<unknown, SocketDirectory.SocketDirectoryError | RpcServerError>
}

/** Serves the host API to one run of a plugin, until the Scope closes; with a `group`, to one of another user. */
export const serveApi = Effect.fnUntraced(function* (
  apiServer: PluginApiServer["Service"],
  api: HostApi,
  { directory, manifest }: PluginBundle,
  options: AnySupervisorOptions,
  group?: number,
): Effect.fn.Return<ServedApi, SocketDirectory.SocketDirectoryError | RpcServerError, Scope.Scope> {
  const socketDirectory = yield* SocketDirectory.make(manifest.id, group)
  const token = randomBytes(TOKEN_BYTES).toString("base64url")
  let isTaken = false
  const caller = { pluginId: manifest.id, bundlePath: directory, manifest }
  const serve = apiServer
    .serve(api, caller, socketDirectory, {
      access: { token, isRequired: () => isTaken },
      maxMessageSize: options.maxMessageSize,
    })
    .pipe(Effect.tap((target) => SocketDirectory.share(target.replace(/^unix:/, ""), group, 0o660)))
  const target = yield* serve
  const scope = yield* Effect.scope
  return {
    socketDirectory,
    target,
    token,
    // As long as the other one, while the plugin's process is stopped, say.
    serveOn: (connection) =>
      Scope.provide(apiServer.serveOn(api, caller, connection, { maxMessageSize: options.maxMessageSize }), scope),
    requireToken: Effect.sync(() => void (isTaken = true)),
    // Whoever is connected to the one before stays so.
    serveAgain: Effect.andThen(
      SocketDirectory.remake(manifest.id, socketDirectory, group),
      Scope.provide(serve, scope),
    ),
  }
})
/**
 * Sees to it that the plugin can connect to its host API: what somebody removes is made again. Completes when it can't
 * be, or was too often.
 */
export const keepApi = Effect.fnUntraced(function* (
  pluginId: string,
  { serveAgain, socketDirectory, target }: ServedApi,
): Effect.fn.Return<RunEnd> {
  if (!target.startsWith("unix:")) return yield* Effect.never
  const socket = target.slice("unix:".length)
  for (let times = 1; ; times++) {
    const path = yield* SocketDirectory.lost(socketDirectory, [socket])
    const failure =
      times > MAX_REMADE
        ? `it was ${MAX_REMADE} times`
        : yield* Effect.match(serveAgain, { onFailure: ({ message }) => message, onSuccess: () => undefined })
    if (failure !== undefined) return { _tag: "Lost", path, reason: failure }
    yield* Effect.logWarning(`plugin ${pluginId}: somebody has removed ${path}, which is made again; ${KEEP_SOCKETS}`)
  }
})
