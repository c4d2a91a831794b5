/** Hosts in this process, as a backend has one, each with one plugin of the bench. */
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { Context, Effect, Layer, Option, type Scope } from "effect"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { root } from "../../scripts/python.ts"
import { environment } from "../python.ts"
import { post } from "./post.ts"
import { type Took, took } from "./took.ts"

/** Events of one burst: fewer than may wait for a plugin. */
const BURST = 900

const VALUE = Buffer.from("value")

/** The host API answers constants, as the reference's does. */
const api = MattermostPlugins.layerApi({
  kVSet: () => Effect.succeed({}),
  kVGet: () => Effect.succeed({ value: VALUE }),
})

const live = MattermostPlugins.layerSupervisor.pipe(
  Layer.provide(api),
  Layer.provide(environment),
  Layer.provide(NodeServices.layer),
)

/** A host, and what it takes to start its plugin. */
const hostWith = Effect.fnUntraced(function* (id: "async" | "sync") {
  const context = yield* Layer.build(Layer.fresh(live))
  const supervisor = Context.get(context, MattermostPlugins.Supervisor)
  const bundle = yield* Context.get(context, PluginBundles).load(join(root, "bench/ratios/plugins", id))
  return { plugins: Context.get(context, MattermostPlugins), start: supervisor.start(bundle) }
})

/** The same as the reference is asked, of plugins on the SDK. */
export interface Ours {
  readonly ask: (count: number, inFlight: number) => Effect.Effect<Took, unknown>
  /** Milliseconds in which the plugin has heard of so many events. */
  readonly tell: (count: number) => Effect.Effect<number, unknown>
  /** Milliseconds of so many pairs of KVSet and KVGet, by the plugin's own clock. */
  readonly pairs: (count: number, inFlight: number) => Effect.Effect<number, unknown>
  /** The plugin's process. */
  readonly pid: Effect.Effect<number, unknown>
}

export const ours = Effect.fnUntraced(function* (id: "async" | "sync"): Effect.fn.Return<Ours, unknown, Scope.Scope> {
  const { plugins, start } = yield* hostWith(id)
  yield* start
  const say = (command: string) =>
    Effect.map(
      plugins.call(id, "executeCommand", { args: { command } }),
      (answer) => Option.getOrThrow(answer).response!.text,
    )
  const tell = plugins.notify("messageHasBeenPosted", { post })
  const burst = (count: number) => Effect.andThen(Effect.repeat(tell, { times: count - 1 }), say(`/told ${count}`))
  return {
    ask: (count, inFlight) => took(plugins.decide("messageWillBePosted", { post }), count, inFlight),
    tell: (count) => Effect.map(took(burst(BURST), count / BURST, 1), ({ total }) => total),
    pairs: (count, inFlight) => Effect.map(say(`/pairs ${count} ${inFlight}`), Number),
    pid: Effect.map(say("/pid"), Number),
  }
})

/** Milliseconds from a plugin's start until it is active. It is stopped after. */
export const startToActive = Effect.map(hostWith("async"), ({ start }) =>
  Effect.scoped(
    Effect.suspend(() => {
      const began = performance.now()
      return Effect.map(start, () => performance.now() - began)
    }),
  ),
)
