import { Context, Effect, type FileSystem, Layer, Option, type Path } from "effect"
import {
  type AnyApiMethods,
  type ApiHandlers,
  type ApiMethods,
  complete,
  type NeedsOf,
  type NoOthers,
} from "../api/PluginApi.ts"
import { hostServices } from "../api/HostServices.ts"
import { PluginApiServer } from "../api/PluginApiServer.ts"
import { BundleStore } from "../bundle/BundleStore.ts"
import { holdStorage } from "../bundle/HeldStorage.ts"
import { PathSanitizer } from "../bundle/PathSanitizer.ts"
import { type BundleError, PluginBundles } from "../bundle/PluginBundle.ts"
import { PluginCommand } from "../command/PluginCommand.ts"
import { PythonInterpreter } from "../command/PythonInterpreter.ts"
import type { AnyContract } from "../contract/Contract.ts"
import { GoPluginClient } from "../goplugin/GoPluginClient.ts"
import * as HostServer from "../goplugin/HostServer.ts"
import * as ActivePlugins from "../hooks/ActivePlugins.ts"
import { NotificationLimits } from "../hooks/NotificationQueue.ts"
import * as HookDispatcher from "../hooks/HookDispatcher.ts"
import { type AnyHookHandlers, type HookHandlers, Hooks, testClient, type UnaryHooks } from "../hooks/Hooks.ts"
import { PluginProcess } from "../process/PluginProcess.ts"
import { KeyValues } from "../storage/KeyValues.ts"
import { PluginSettings } from "../storage/PluginSettings.ts"
import { PluginStates } from "../storage/PluginStates.ts"
import type { HostSide } from "../supervisor/HostSide.ts"
import { PluginRuns } from "../supervisor/PluginRuns.ts"
import * as PluginSupervisor from "../supervisor/PluginSupervisor.ts"
import { logFacts } from "./HostFacts.ts"
import { environmentOf, make as makeEnvironment } from "./ManagedPlugins.ts"
import type * as PluginEnvironment from "./PluginEnvironment.ts"

/** What a backend calls its plugins by: the four verbs of {@link HookDispatcher.HookDispatcher}, and who is active. */
export interface PluginHost<C extends AnyContract> extends HookDispatcher.HookDispatcher<C> {
  /** The plugins that hooks and HTTP requests reach now. */
  readonly active: ActivePlugins.ActivePlugins
}

/** The host API of a host's plugins, as a service. */
export interface Api<in out Self> {
  readonly "~effect-plugin-supervisor/PluginHost/Api": Self
}

/** The supervisor of a host's plugins, as a service. */
export interface Supervisor<in out Self> {
  readonly "~effect-plugin-supervisor/PluginHost/Supervisor": Self
}

/** All plugins of a host's folder, as a service. */
export interface Environment<in out Self> {
  readonly "~effect-plugin-supervisor/PluginHost/Environment": Self
}

/** What running plugins needs of the machine: `NodeServices.layer` has it. */
type Platform = FileSystem.FileSystem | Path.Path

/** The host of the plugins of one contract; made by {@link Service}. */
export interface HostClass<Self, Id extends string, C extends AnyContract> extends Context.ServiceClass<
  Self,
  Id,
  PluginHost<C>
> {
  readonly contract: C
  /** What plugins may call. */
  readonly Api: Context.Service<Api<Self>, ApiMethods<C>>
  /** Starts and stops single plugins. */
  readonly Supervisor: Context.Service<Supervisor<Self>, PluginSupervisor.PluginSupervisor<C>>
  /** The plugins of a folder, with their states. */
  readonly Environment: Context.Service<Environment<Self>, PluginEnvironment.PluginEnvironment<UnaryHooks<C>>>
  /**
   * The host without plugins yet: for what calls hooks, and for a host API that does. There is one for each class, whoever
   * provides it.
   */
  readonly layer: Layer.Layer<Self>
  /**
   * Offers methods of the host API, which may need services; what is left out answers "not implemented". Answers travel as
   * they are, a `PluginApiError` as the contract says, and what nobody has foreseen as an internal error, which is logged.
   */
  readonly layerApi: <M extends ApiHandlers<C>>(
    methods: M & NoOthers<C, M>,
  ) => Layer.Layer<Api<Self>, never, NeedsOf<M>>
  /** Offers the methods that an effect makes. */
  readonly layerApiEffect: <M extends ApiHandlers<C>, E, R>(
    methods: Effect.Effect<M & NoOthers<C, M>, E, R>,
  ) => Layer.Layer<Api<Self>, E, R | NeedsOf<M>>
  /** The supervisor of single plugins, with everything below it. */
  readonly layerSupervisor: Layer.Layer<Self | Supervisor<Self> | PluginBundles, never, Api<Self> | Platform>
  /** All plugins of a folder, supervised. Fails where the folder can't be read. */
  readonly layerFolder: (
    options: PluginEnvironment.EnvironmentOptions<C>,
  ) => Layer.Layer<Self | Supervisor<Self> | Environment<Self> | PluginBundles, BundleError, Api<Self> | Platform>
  /**
   * For tests of a backend: one plugin called `mock` answers with `handlers` and implements exactly those hooks, without
   * a process or a connection. Without handlers nobody has an opinion. A handler has 30 seconds, as a plugin has, and one that
   * dies is logged, and has failed.
   */
  readonly layerTest: (handlers?: HookHandlers<C>) => Layer.Layer<Self>
  /** For tests: an environment of these plugins. */
  readonly layerEnvironmentTest: (
    plugins: ReadonlyArray<PluginSupervisor.SupervisedPlugin<UnaryHooks<C>>>,
  ) => Layer.Layer<Environment<Self>>
}

/** What serves the plugins of any host needs of it. `Self` is the class that is made of it. */
export interface AnyHost<Self> extends Effect.Effect<Pick<PluginHost<AnyContract>, "active">, never, Self> {
  readonly Environment: Effect.Effect<PluginEnvironment.PluginEnvironment, never, Environment<Self>>
}

/**
 * Makes the service of a contract's plugins:
 *
 * ```ts
 * class BillingPlugins extends PluginHost.Service<BillingPlugins>()("billing/BillingPlugins", Billing) {}
 * ```
 *
 * A backend calls hooks on it, answers the host API by `layerApi`, and runs a folder of plugins by `layerFolder`. Hosts of
 * different contracts live side by side in one program; each has an id of its own.
 */
export const Service =
  <Self>() =>
  <const Id extends string, C extends AnyContract>(id: Id, contract: C): HostClass<Self, Id, C> => {
    const key = Context.Service<Self, PluginHost<C>>()(id)
    const Api = Context.Service<Api<Self>, ApiMethods<C>>(`${id}/Api`)
    const Supervisor = Context.Service<Supervisor<Self>, PluginSupervisor.PluginSupervisor<C>>(`${id}/Supervisor`)
    const Environment = Context.Service<Environment<Self>, PluginEnvironment.PluginEnvironment<UnaryHooks<C>>>(
      `${id}/Environment`,
    )
    const layer = Layer.effect(
      key,
      Effect.map(NotificationLimits, (limits) => {
        const active = ActivePlugins.make(limits)
        return { active, ...HookDispatcher.make(contract, active) }
      }),
    )
    const offered = <M extends ApiHandlers<C>>(methods: M) =>
      Effect.contextWith((context: Context.Context<NeedsOf<M>>) =>
        Effect.succeed(
          complete(contract, provided(methods as unknown as AnyApiMethods, context) as unknown as ApiHandlers<C>),
        ),
      )
    const host = Object.assign(key, { contract, Api, Supervisor })
    const layerSupervisor = supervisorOn(host).pipe(
      // Its own: what another host of the program is provided with, a version or Python environments, is not this one's.
      Layer.provide(Layer.suspend(() => Layer.fresh(runs))),
      Layer.provideMerge([PluginBundles.layer, layer]),
    )
    return Object.assign(host, {
      Environment,
      layer,
      layerApi: (methods: ApiHandlers<C>) => Layer.effect(Api, offered(methods)),
      layerApiEffect: (methods: Effect.Effect<ApiHandlers<C>>) => Layer.effect(Api, Effect.flatMap(methods, offered)),
      layerSupervisor,
      layerFolder: (options: PluginEnvironment.EnvironmentOptions<C>) =>
        Layer.effect(
          Environment,
          Effect.gen(function* () {
            const side = yield* hostSide(host)
            yield* logFacts(side)
            return yield* makeEnvironment(side, yield* Supervisor, options)
          }),
        ).pipe(Layer.provideMerge(layerSupervisor)),
      layerTest: (handlers: HookHandlers<C> = {}) =>
        Layer.effectDiscard(
          Effect.flatMap(key, ({ active }) =>
            active.register(testClient(contract, undefined as never, "mock", handlers as AnyHookHandlers)),
          ),
        ).pipe(Layer.provideMerge(layer)),
      layerEnvironmentTest: (plugins: ReadonlyArray<PluginSupervisor.SupervisedPlugin<UnaryHooks<C>>>) =>
        Layer.succeed(Environment, environmentOf(plugins)),
    }) as unknown as HostClass<Self, Id, C>
  }

/** What runs plugins, whatever their contract. */
const runs: Layer.Layer<PluginRuns, never, Platform> = PluginRuns.layer.pipe(
  Layer.provide([
    PluginApiServer.layer.pipe(Layer.provide(HostServer.layer)),
    PluginCommand.layer,
    GoPluginClient.layer,
    Hooks.layer,
  ]),
  Layer.provide([PathSanitizer.layer, PythonInterpreter.layer, PluginProcess.layer]),
)

/** Methods whose needs are met. */
const provided = (methods: AnyApiMethods, context: Context.Context<never>): AnyApiMethods => {
  /** By what calls bring along: without a span that is the same for all calls of a plugin, and a merge copies all services. */
  const known = new WeakMap<Context.Context<never>, Context.Context<never>>()
  // What a call brings along, its span and the annotations of its log lines, stays.
  const withOwn = (own: Context.Context<never>): Context.Context<never> => {
    let merged = known.get(own)
    if (merged === undefined) {
      merged = Context.merge(context, own)
      known.set(own, merged)
    }
    return merged
  }
  return Object.fromEntries(
    Object.entries(methods).map(([name, method]) => [
      name,
      (request, caller) => Effect.updateContext(method(request, caller), withOwn),
    ]),
  )
}

/** A host's tags. */
export interface Tags<Self, C extends AnyContract> extends Context.Service<Self, PluginHost<C>> {
  readonly contract: C
  readonly Api: Context.Service<Api<Self>, ApiMethods<C>>
  readonly Supervisor: Context.Service<Supervisor<Self>, PluginSupervisor.PluginSupervisor<C>>
}

/** The supervisor of a host's plugins, on what runs them. */
export const supervisorOn = <Self, C extends AnyContract>(
  host: Tags<Self, C>,
): Layer.Layer<Supervisor<Self>, never, Self | Api<Self> | PluginRuns> =>
  Layer.effect(
    host.Supervisor,
    Effect.gen(function* () {
      // Before anything is read in there, or swept away.
      yield* holdStorage(host.key, yield* storageServices)
      return yield* PluginSupervisor.make<C>(yield* hostSide(host))
    }),
  )

/** Whatever there is of what a host stores things in. */
const storageServices: Effect.Effect<ReadonlyArray<object>> = Effect.gen(function* () {
  const values = yield* Effect.serviceOption(KeyValues)
  const settings = yield* Effect.serviceOption(PluginSettings)
  const states = yield* Effect.serviceOption(PluginStates)
  const bundles = yield* Effect.serviceOption(BundleStore)
  const found: ReadonlyArray<Option.Option<object>> = [values, settings, states, bundles]
  return found.flatMap(Option.toArray)
})

/** What runs of plugins need of their host. */
const hostSide = <Self, C extends AnyContract>(host: Tags<Self, C>): Effect.Effect<HostSide, never, Self | Api<Self>> =>
  Effect.gen(function* () {
    const { contract } = host
    const { active, require } = yield* host
    const methods = yield* host.Api
    return {
      api: { contract, methods, others: yield* hostServices(contract) },
      active,
      require: require as unknown as HostSide["require"],
    }
  })
