import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Deferred, Effect, Layer, type Scope } from "effect"
import type { PluginApi } from "../api/PluginApi.ts"
import { PluginApiServer } from "../api/PluginApiServer.ts"
import { PluginCommand } from "../command/PluginCommand.ts"
import { Health, HealthCheckResponse_ServingStatus } from "../generated/grpc/health/v1/health_pb.js"
import { PluginHooks } from "../generated/mattermost/pluginapi/v1/plugin_hooks_pb.js"
import * as BrokerSockets from "../goplugin/BrokerSockets.ts"
import * as Connection from "../goplugin/Connection.ts"
import type { GoPlugin } from "../goplugin/GoPlugin.ts"
import { GoPluginClient } from "../goplugin/GoPluginClient.ts"
import * as PluginLog from "../goplugin/PluginLog.ts"
import { type Handlers, implement } from "../rpc/RpcHandler.ts"
import { serve } from "../grpc/GrpcServer.ts"
import type { ActivePlugins } from "../hooks/ActivePlugins.ts"
import type { HookDispatcher } from "../hooks/HookDispatcher.ts"
import { Hooks } from "../hooks/Hooks.ts"
import type { ProcessExit } from "../process/ProcessSpec.ts"
import { PluginRuns } from "../supervisor/PluginRuns.ts"
import { PluginSupervisor } from "../supervisor/PluginSupervisor.ts"

/** The hooks of a fake plugin: handlers of the hooks service, `serveHTTP` included. */
export type FakeHooks = Handlers<typeof PluginHooks>

/** A plugin that lives in this process. */
export interface FakePlugin extends GoPlugin {
  /** Makes the plugin "die": its process exit is seen. */
  readonly die: (exit: ProcessExit) => Effect.Effect<void>
}

/**
 * Serves hooks over real gRPC from this very process, in place of a plugin's. It implements the hooks it has handlers
 * for; its health is well. It ends with the Scope.
 */
export const start = Effect.fn("FakePlugin.start")(function* (
  hooks: FakeHooks,
): Effect.fn.Return<FakePlugin, never, Scope.Scope> {
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "fake-"))),
    (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true })),
  )
  const implemented = PluginHooks.methods.filter(({ localName }) => localName in hooks).map(({ name }) => name)
  const exit = yield* Deferred.make<ProcessExit>()
  const target = yield* Effect.orDie(
    serve(process.platform === "win32" ? { loopbackPort: 0 } : { unix: join(folder, "plugin") }, [
      implement(PluginHooks, { implemented: () => Effect.succeed({ hooks: implemented }), ...hooks }),
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

/** For tests: every plugin that is started is a fake one with these hooks; no process is. */
export const layer = (hooks: FakeHooks): Layer.Layer<GoPluginClient> => GoPluginClient.layerTest(() => start(hooks))

/**
 * For tests of a backend: a supervisor whose every plugin is a fake one with these hooks. All that lies between the
 * backend and the plugin's process is real: the supervisor, gRPC both ways, the backend's `PluginApi`.
 */
export const supervisor = (
  hooks: FakeHooks,
): Layer.Layer<PluginSupervisor, never, PluginApi | HookDispatcher | ActivePlugins> =>
  PluginSupervisor.layer.pipe(
    Layer.provide(PluginRuns.layer),
    Layer.provide([PluginApiServer.layer, PluginCommand.layerTest, Hooks.layer, layer(hooks)]),
  )
