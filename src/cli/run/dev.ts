import { execFile } from "node:child_process"
import { resolve } from "node:path"
import { Duration, Effect, Option, SubscriptionRef } from "effect"
import { type PluginBundle, PluginBundles } from "../../bundle/PluginBundle.ts"
import type { AnyHost } from "../../environment/PluginHost.ts"
import { MattermostPlugins } from "../../mattermost/MattermostPlugins.ts"
import { announce, postLine } from "../Announcement.ts"
import { baseUrl } from "../BaseUrl.ts"
import { lookAt, untilChanged } from "../Changes.ts"
import { type CommandError, failed, told } from "../CommandError.ts"
import type { DaemonOptions } from "../DaemonLayer.ts"
import { backendDev, mattermostDev } from "../DevLayer.ts"
import { limitsOf } from "../Limits.ts"
import { dataFolder, loadHost, locally, startProblem } from "../LocalHost.ts"
import type { LocalFlags } from "../localFlags.ts"
import * as Output from "../Output.ts"

/** What it was given. */
interface DevInput extends LocalFlags {
  readonly allowEnv: ReadonlyArray<string>
  readonly build: Option.Option<string>
  readonly data: Option.Option<string>
  readonly folder: string
  readonly json: boolean
  readonly port: number
  readonly tokenFile: Option.Option<string>
}

/** Carries out `plugin-supervisor dev`. */
export const run = ({ allowEnv, build, data, folder, json, port, tokenFile, ...flags }: DevInput) =>
  Effect.gen(function* () {
    const source = makeSource(resolve(folder), build, makeTell(json))
    const bundle = yield* source.first
    const options: DaemonOptions = {
      plugins: resolve(folder),
      data: yield* dataFolder(data),
      host: "127.0.0.1",
      port,
      siteUrl: Option.none(),
      tokenFile,
      allowEnv,
      allowHost: [],
      trustedProxies: [],
      pluginLogLevel: "DEBUG",
      runtimeDirectory: Option.none(),
      limits: yield* Effect.mapError(limitsOf({}), told),
      ...flags,
      // Those there are already.
      provision: false,
      install: false,
      insecureDownloads: false,
    }
    const loaded = yield* loadHost(flags.backend)
    return yield* Effect.gen(function* () {
      if (Option.isNone(flags.backend)) {
        const told = tellAddress(MattermostPlugins, json, postLine)
        return yield* Effect.provide(follow(MattermostPlugins, source, told, true), mattermostDev(bundle, options))
      }
      const told = tellAddress(loaded.host, json, () => Effect.succeed([]))
      return yield* Effect.provide(follow(loaded.host, source, told, false), backendDev(loaded, bundle, options))
    }).pipe(
      Effect.catchTag("ServeError", ({ cause }) => {
        const reason = cause instanceof Error ? cause.message : String(cause)
        return Effect.fail(failed(`can't listen on port ${port} (${reason}); choose another --port`))
      }),
      Effect.mapError((error) => (error._tag === "CommandError" ? error : told(error))),
    )
  }).pipe(Effect.provide(PluginBundles.layer), (command) => locally(flags, command, "Info"))

/** What becomes of the plugin. */
type Event = "listening" | "waiting" | "active" | "reloaded" | "failed"

const PAINTS = { listening: "dim", waiting: "yellow", active: "green", reloaded: "green", failed: "red" } as const

type Tell = (event: Event, message: string) => Effect.Effect<void>

const makeTell =
  (json: boolean): Tell =>
  (event, message) =>
    json ? Output.printJsonLine({ event, message }) : Output.printLine({ text: event, paint: PAINTS[event] }, message)

/** Where a plugin is written. */
interface Source {
  readonly tell: Tell
  /** The first state that can be loaded; what is wrong with those before is told. */
  readonly first: Effect.Effect<PluginBundle, never, PluginBundles>
  /** Waits for a change since it was loaded last, and loads that. */
  readonly next: Effect.Effect<PluginBundle, CommandError, PluginBundles>
}

const makeSource = (directory: string, build: Option.Option<string>, tell: Tell): Source => {
  let seen = ""
  const look = lookAt(directory)
  const load = Effect.gen(function* () {
    const bundles = yield* PluginBundles
    seen = yield* look
    if (Option.isSome(build)) {
      yield* runBuild(build.value, directory)
      // What was built is no change of the author's.
      seen = yield* look
    }
    // What changes from now on is a change to come.
    return yield* Effect.mapError(bundles.load(directory), told)
  })
  const next = Effect.andThen(
    Effect.suspend(() => untilChanged(seen, look)),
    load,
  )
  const wait = (error: CommandError): Effect.Effect<PluginBundle, never, PluginBundles> =>
    tell("failed", error.message).pipe(
      Effect.andThen(tell("waiting", "for the next change")),
      Effect.andThen(Effect.catch(next, wait)),
    )
  return { tell, next, first: Effect.catch(load, wait) }
}

/** Builds a plugin by its author's own command. */
const runBuild = (command: string, cwd: string): Effect.Effect<void, CommandError> =>
  Effect.callback<void, CommandError>((resume) => {
    const child = execFile(command, { cwd, shell: true }, (error, stdout, stderr) =>
      resume(
        error === null
          ? Effect.void
          : Effect.fail(failed(`${command}: ${`${stdout}${stderr}`.trim() || error.message}`)),
      ),
    )
    return Effect.sync(() => child.kill())
  })

/** Tells where the plugin is reached: a program the address alone, people also lines to try. */
const tellAddress = <Self, R>(
  host: AnyHost<Self>,
  json: boolean,
  more: (authorization: string, base: string) => Effect.Effect<ReadonlyArray<string>, never, R>,
) =>
  json
    ? Effect.flatMap(baseUrl("127.0.0.1"), (base) => makeTell(true)("listening", base))
    : announce(host, "127.0.0.1", more)

/** Starts the plugin, and for each change another run of it in the place of the one before. */
const follow = Effect.fnUntraced(function* <Self, E, R>(
  host: AnyHost<Self>,
  { next, tell }: Source,
  address: Effect.Effect<void, E, R>,
  isMattermost: boolean,
) {
  const { plugins } = yield* host.Environment
  const [plugin] = yield* plugins
  if (plugin === undefined) return yield* Effect.die("there is no plugin")
  const { id } = plugin.bundle.manifest
  const started = yield* Effect.result(plugin.start)
  if (started._tag === "Success") yield* tell("active", id)
  else
    yield* Effect.andThen(
      tell("failed", startProblem(started.failure, isMattermost).message),
      tell("waiting", "for the next change"),
    )
  yield* address
  while (true) {
    const outcome = yield* Effect.result(
      Effect.gen(function* () {
        const bundle = yield* next
        if (bundle.manifest.id !== id) {
          return yield* failed(`it is called ${bundle.manifest.id} now, and was ${id}: start dev again`)
        }
        return yield* Effect.timed(Effect.mapError(plugin.replace(bundle), told))
      }),
    )
    if (outcome._tag === "Success") yield* tell("reloaded", `${id} in ${seconds(outcome.success[0])}`)
    else {
      yield* tell("failed", outcome.failure.message)
      const isRunning = SubscriptionRef.getUnsafe(plugin.state).name === "Running"
      yield* tell("waiting", `for the next change${isRunning ? "; the one before goes on" : ""}`)
    }
  }
})

const seconds = (duration: Duration.Duration): string => `${(Duration.toMillis(duration) / 1000).toFixed(1)} s`
