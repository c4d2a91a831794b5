/** Hosts in this process, as a backend has one, each with one plugin of the bench. */
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { Context, Effect, Layer, Option, type Scope } from "effect"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import type { Post } from "../../src/generated/mattermost/pluginapi/v1/post_pb.js"
import type { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import type { SupervisorOptions } from "../../src/supervisor/SupervisorOptions.ts"
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

/** A host, and what starts a plugin from its folder. */
export const hostWith = Effect.gen(function* () {
  const context = yield* Layer.build(Layer.fresh(live))
  const supervisor = Context.get(context, MattermostPlugins.Supervisor)
  const bundles = Context.get(context, PluginBundles)
  return {
    plugins: Context.get(context, MattermostPlugins),
    start: (folder: string, options?: SupervisorOptions<MattermostContract>) =>
      Effect.flatMap(bundles.load(folder), (bundle) => supervisor.start(bundle, options)),
  }
})

const folderOf = (id: "async" | "sync") => join(root, "bench/ratios/plugins", id)

/** The same as the reference is asked, of plugins on the SDK. */
export interface Ours {
  /** Asks about a post. */
  readonly asking: (post: Post) => Effect.Effect<unknown, unknown>
  readonly ask: (count: number, inFlight: number) => Effect.Effect<Took, unknown>
  /** Milliseconds in which the plugin has heard of so many events. */
  readonly tell: (count: number) => Effect.Effect<number, unknown>
  /** Milliseconds of so many pairs of KVSet and KVGet, by the plugin's own clock. */
  readonly pairs: (count: number, inFlight: number) => Effect.Effect<number, unknown>
  /** The plugin's process. */
  readonly pid: Effect.Effect<number, unknown>
}

export const ours = Effect.fnUntraced(function* (
  id: "async" | "sync",
  options?: SupervisorOptions<MattermostContract>,
): Effect.fn.Return<Ours, unknown, Scope.Scope> {
  const { plugins, start } = yield* hostWith
  yield* start(folderOf(id), options)
  const say = (command: string) =>
    Effect.map(
      plugins.call(id, "executeCommand", { args: { command } }),
      (answer) => Option.getOrThrow(answer).response!.text,
    )
  const tell = plugins.notify("messageHasBeenPosted", { post })
  const burst = (count: number) => Effect.andThen(Effect.repeat(tell, { times: count - 1 }), say(`/told ${count}`))
  const asking = (about: Post) => plugins.decide("messageWillBePosted", { post: about })
  return {
    asking,
    ask: (count, inFlight) => took(asking(post), count, inFlight),
    tell: (count) => Effect.map(took(burst(BURST), count / BURST, 1), ({ total }) => total),
    pairs: (count, inFlight) => Effect.map(say(`/pairs ${count} ${inFlight}`), Number),
    pid: Effect.map(say("/pid"), Number),
  }
})

/** Milliseconds from a plugin's start until it is active. It is stopped after. */
export const startToActive = Effect.map(hostWith, ({ start }) =>
  Effect.scoped(
    Effect.suspend(() => {
      const began = performance.now()
      return Effect.map(start(folderOf("async")), () => performance.now() - began)
    }),
  ),
)
