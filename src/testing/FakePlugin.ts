import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { DescMethod, DescService } from "@bufbuild/protobuf"
import { Deferred, Effect, Layer, type Scope } from "effect"
import { PluginApiServer } from "../api/PluginApiServer.ts"
import { PluginCommand } from "../command/PluginCommand.ts"
import { allHooks, type AnyContract, hookName } from "../contract/Contract.ts"
import { Health, HealthCheckResponse_ServingStatus } from "../generated/grpc/health/v1/health_pb.js"
import type { PluginHttp } from "../generated/plugin_supervisor/v1/plugin_http_pb.js"
import type { PluginLifecycle } from "../generated/plugin_supervisor/v1/plugin_lifecycle_pb.js"
import * as BrokerSockets from "../goplugin/BrokerSockets.ts"
import * as Connection from "../goplugin/Connection.ts"
import type { GoPlugin } from "../goplugin/GoPlugin.ts"
import { GoPluginClient } from "../goplugin/GoPluginClient.ts"
import * as PluginLog from "../goplugin/PluginLog.ts"
import { type Handlers, implement } from "../rpc/RpcHandler.ts"
import * as PluginHost from "../environment/PluginHost.ts"
import * as GrpcServer from "../grpc/GrpcServer.ts"
import { Hooks } from "../hooks/Hooks.ts"
import type { ProcessExit } from "../process/ProcessSpec.ts"
import { PluginRuns } from "../supervisor/PluginRuns.ts"

/** Handlers of the hooks that every contract has. */
type StandardHandlers = Handlers<typeof PluginLifecycle> & Handlers<typeof PluginHttp>

/** The hooks of a fake plugin: handlers of the hooks service, and of what every contract has, `serveHTTP` among it. */
export type FakeHooks<C extends AnyContract> = Handlers<C["hooks"]> & Omit<StandardHandlers, keyof C["hooks"]["method"]>

/** A plugin that lives in this process. */
export interface FakePlugin extends GoPlugin {
  /** Makes the plugin "die": its process exit is seen. */
  readonly die: (exit: ProcessExit) => Effect.Effect<void>
}

/**
 * Serves hooks over real gRPC from this very process, in place of a plugin's. It implements the hooks it has handlers
 * for; its health is well. It ends with the Scope.
 */
export const start = Effect.fn("FakePlugin.start")(function* <C extends AnyContract>(
  contract: C,
  hooks: FakeHooks<C>,
): Effect.fn.Return<FakePlugin, never, Scope.Scope> {
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "fake-"))),
    (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true })),
  )
  const names = allHooks(contract)
    .filter((hook) => hook in hooks)
    .map((hook) => hookName(contract, hook))
  const handlers = { [contract.lifecycle.implemented.localName]: () => Effect.succeed({ hooks: names }), ...hooks }
  const exit = yield* Deferred.make<ProcessExit>()
  const target = yield* Effect.orDie(
    GrpcServer.serve(process.platform === "win32" ? { loopbackPort: 0 } : { unix: join(folder, "plugin") }, [
      ...[...servicesOf(contract)].map((service) => implement(service, handlers as Handlers<DescService>)),
      implement(Health, {
        check: () => Effect.succeed({ status: HealthCheckResponse_ServingStatus.SERVING }),
      }),
    ]),
  )
  const connection = yield* Connection.open({
    pluginId: "fake",
    target,
    tls: undefined,
    transport: BrokerSockets.make("fake", folder, undefined, {
      pid: process.pid,
      folders: [folder],
      allowForeignAddress: true,
    }),
    exit: Deferred.await(exit),
    shutDown: false,
    log: yield* PluginLog.make("fake"),
    options: {},
  }).pipe(Effect.orDie)
  return {
    ...connection,
    process: {
      pid: process.pid,
      exit: Deferred.await(exit),
      stderrTail: Effect.succeed([]),
      secretTaken: Effect.succeed(false),
      limits: [],
    },
    protocolVersion: 1,
    reattachConfig: {
      Protocol: "grpc",
      ProtocolVersion: 1,
      Pid: process.pid,
      Test: true,
      Addr: { Network: "unix", String: target.replace(/^unix:/, "") },
    },
    die: (how) => Effect.asVoid(Deferred.succeed(exit, how)),
  }
})

/** The services of a plugin. */
const servicesOf = ({ hooks, lifecycle }: AnyContract): ReadonlySet<DescService> =>
  new Set([hooks, ...Object.values(lifecycle).map(({ parent }: DescMethod) => parent)])

/** For tests: every plugin that is started is a fake one with these hooks; no process is. */
export const layer = <C extends AnyContract>(contract: C, hooks: FakeHooks<C>): Layer.Layer<GoPluginClient> =>
  GoPluginClient.layerTest(() => start(contract, hooks))

/**
 * For tests of a backend: its host, whose every plugin is a fake one with these hooks. All that lies between the backend and
 * the plugin's process is real: the supervisor, gRPC both ways, the backend's host API.
 */
export const supervisor = <Self, Id extends string, C extends AnyContract>(
  host: PluginHost.HostClass<Self, Id, C>,
  hooks: FakeHooks<C>,
): Layer.Layer<Self | PluginHost.Supervisor<Self>, never, PluginHost.Api<Self>> =>
  PluginHost.supervisorOn(host).pipe(
    // Its own: another host's in the same program starts other plugins.
    Layer.provide(Layer.fresh(PluginRuns.layer)),
    Layer.provide([
      PluginApiServer.layer.pipe(Layer.provide(GrpcServer.layer)),
      PluginCommand.layerTest,
      Hooks.layer,
      layer(host.contract, hooks),
    ]),
    Layer.provideMerge(host.layer),
  )
