/** The plugins' routes in front of a plugin that serves HTTP itself, in this process, so that it can lie in every byte. */
import { createServer as createHttpServer, type RequestListener, type Server as HttpServerOfNode } from "node:http"
import { createServer as createNetServer, type Server, type Socket } from "node:net"
import { join } from "node:path"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Option, Scope } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { type Registration } from "../../src/hooks/ActivePlugins.ts"
import type { HooksOptions } from "../../src/hooks/HookPolicy.ts"
import { type HookClient, Hooks } from "../../src/hooks/Hooks.ts"
import { connectTo, type PluginHttpServer } from "../../src/hooks/PluginHttpServer.ts"
import { createServer } from "../../src/http/NodeServer.ts"
import * as PluginRoutes from "../../src/http/PluginRoutes.ts"
import { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import * as FakePlugin from "../../src/testing/FakePlugin.ts"
import { temporaryFolder } from "./folder.ts"
import { eventually } from "./host.ts"
import { type Wire, wire } from "./rawHttp.ts"

/** The one token that is somebody's. */
export const TOKEN = "token-of-a-user"

export interface Settings {
  /** What the plugin is; nobody listens without one. */
  readonly plugin?: Server | HttpServerOfNode | undefined
  readonly hooks?: HooksOptions<MattermostContract>
  readonly routes?: PluginRoutes.PluginRoutesOptions
  /** Routes beside the plugins'. */
  readonly others?: Layer.Layer<never, never, HttpRouter.HttpRouter>
  /** Makes the host's server; default: the one that takes WebSockets. */
  readonly server?: typeof createServer
  /** How long the host's stop waits. */
  readonly stopLimit?: number
}

/** A host with the plugin `fake`. */
export interface Direct {
  readonly port: number
  readonly connect: Effect.Effect<Wire, never, Scope.Scope>
  readonly hooks: HookClient
  readonly http: PluginHttpServer
  readonly registration: Registration
  /** Where the plugin listens. */
  readonly path: string
  /** Ends the host, as its operator does. */
  readonly stop: Effect.Effect<void>
  /** Waits until nothing is in flight. */
  readonly idle: Effect.Effect<void, Error>
}

/** A plugin that is a script on raw connections: called for each, and with each piece that comes. */
export const rawPlugin = (onConnection: (socket: Socket, count: number) => void): Server => {
  let count = 0
  return createNetServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {})
    onConnection(socket, ++count)
  })
}

/** A plugin that answers each head that comes with these bytes, and ends the connection if asked to. */
export const answering = (bytes: string, { end = false } = {}): Server =>
  rawPlugin((socket) => {
    let text = ""
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1")
      if (!text.includes("\r\n\r\n")) return
      text = ""
      socket.write(bytes, "latin1")
      if (end) socket.end()
    })
  })

/** A plugin on Node's own server. */
export const nodePlugin = (listener: RequestListener): HttpServerOfNode =>
  createHttpServer({ keepAliveTimeout: 600_000, noDelay: true }, listener)

const started = Effect.fnUntraced(function* (
  { hooks: options, others = Layer.empty, plugin, routes, server: make = createServer, stopLimit = 500 }: Settings,
  entrance: (typeof ENTRANCES)[number],
): Effect.fn.Return<Direct, Error, Scope.Scope> {
  const path = join(yield* temporaryFolder, "http.sock")
  const sockets = new Set<Socket>()
  if (plugin !== undefined) {
    plugin.on("connection", (socket: Socket) => {
      sockets.add(socket)
      socket.on("close", () => sockets.delete(socket))
    })
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => void plugin.listen(path, () => resume(Effect.void))),
      () =>
        Effect.sync(() => {
          plugin.close()
          for (const socket of sockets) socket.destroy()
        }),
    )
  }
  const context = yield* Layer.build(Layer.mergeAll(Hooks.layer, MattermostPlugins.layer))
  const { client } = yield* FakePlugin.start(MattermostContract, {
    serveHTTP: () => Effect.die(new Error("not by gRPC")),
  })
  const connected = yield* Context.get(context, Hooks).connect(MattermostContract, client, "fake", options)
  const http = yield* connectTo(path)
  const hooks = { ...connected, http }
  const host = Context.get(context, MattermostPlugins)
  const registration = yield* host.active.register(hooks)
  const authenticate: PluginRoutes.Authenticate = (token) =>
    Effect.succeed(token === TOKEN ? Option.some("user-1") : Option.none())
  const server = make()
  const plugins = PluginRoutes.layer(MattermostPlugins, authenticate, {
    ...routes,
    ...(entrance === "door" && { server }),
  })
  const served = HttpRouter.serve(Layer.merge(plugins, others), {
    disableLogger: true,
    disableListenLog: true,
  }).pipe(
    Layer.provideMerge(
      NodeHttpServer.layer(() => server, { host: "127.0.0.1", port: 0, gracefulShutdownTimeout: stopLimit }),
    ),
    Layer.provide(MattermostPlugins.layerEnvironmentTest([])),
    Layer.provide(Layer.succeed(MattermostPlugins, host)),
  )
  const scope = yield* Scope.make()
  yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
  const running = yield* Effect.orDie(Scope.provide(Layer.build(served), scope))
  const { address } = Context.get(running, HttpServer.HttpServer)
  const port = "port" in address ? address.port : 0
  return {
    port,
    connect: wire(port),
    hooks,
    http,
    registration,
    path,
    stop: Scope.close(scope, Exit.void),
    idle: eventually("nothing is in flight", () => hooks.inFlight.count() === 0, 20_000),
  }
})

/** Where requests come in: at the door of the host's server, or by its router. */
export const ENTRANCES = ["door", "router"] as const

/** Starts the plugin and the host in front of it, whose requests come in there. */
export const directBy = (entrance: (typeof ENTRANCES)[number]) => (settings: Settings) => started(settings, entrance)

/** {@link directBy} the router. */
export const direct = directBy("router")

/** A response's head and what came behind it. */
export const parts = (answer: string): { readonly status: number; readonly head: string; readonly body: string } => {
  const [head = "", ...rest] = answer.split("\r\n\r\n")
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]), head, body: rest.join("\r\n\r\n") }
}

/** Sends a request on a connection of its own, and waits until that is closed. */
export const asked = (host: Direct, bytes: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { untilClosed, write } = yield* host.connect
      write(Buffer.from(bytes, "latin1"))
      return parts(yield* untilClosed)
    }),
  )

/** Its answer, and that the host serves on. */
export const isStatus = (host: Direct, bytes: string, status: number) =>
  Effect.map(asked(host, bytes), (answer) => {
    assert.strictEqual(answer.status, status, JSON.stringify(answer))
    return answer
  })
