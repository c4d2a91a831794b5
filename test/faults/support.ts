/**
 * Bad plugins beside a healthy one, in a host with all its layers: what is bad comes to its end, the healthy one is not
 * harmed, and nothing is left.
 */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Logger, Option, Scope, SubscriptionRef } from "effect"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { PluginLogRate } from "../../src/goplugin/LogBudget.ts"
import { RuntimeDirectory } from "../../src/goplugin/SocketDirectory.ts"
import * as ControlGroup from "../../src/process/ControlGroup.ts"
import { VARIABLES } from "../../src/command/Variables.ts"
import type { SupervisorOptions } from "../../src/supervisor/SupervisorOptions.ts"
import type { UnaryHooks } from "../../src/hooks/Hooks.ts"
import type { PluginState } from "../../src/supervisor/PluginLife.ts"
import type { SupervisedPlugin } from "../../src/supervisor/PluginSupervisor.ts"
import { Workspace } from "../../src/workspace/Workspace.ts"
import type { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { type MattermostApiMethods, MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import { WorkspacePluginApi } from "../../src/workspace/WorkspacePluginApi.ts"
import { folder, type Node } from "../support/folder.ts"
import { eventually, hostEnvironment, isAlive, noPython } from "../support/host.ts"
import { recordLog } from "../support/log.ts"
import { rounds } from "../support/soak.ts"
import type { faults } from "./programs/faults.ts"

/** How long anything that has a bound may take, on a machine that does other things too. */
const BOUND: `${number} seconds` = "60 seconds"

/** How often each kind has its turn. */
const ROUNDS = rounds(1, 10)

/** The files of a plugin's bundle. */
export interface Bundle {
  readonly [path: string]: Node
}

/** A bundle in a folder. */
export const under = (name: string, files: Bundle): Bundle =>
  Object.fromEntries(Object.entries(files).map(([path, node]) => [`${name}/${path}`, node]))

const manifest = (id: string, server: object) => JSON.stringify({ id, name: id, server })

/** A plugin that is a shell script. */
export const sh = (script: string, id = "hostile"): Bundle => ({
  "plugin.json": manifest(id, { executable: "plugin" }),
  plugin: { executable: `#!/bin/sh\n${script}\n` },
})

/** The faults of `programs/faults.ts`. */
export type FaultName = keyof typeof faults

/** A plugin of `programs/peer.ts`, with a fault; the shell may do something before. */
export const peer = (fault: FaultName, { before = "", id = "hostile" } = {}): Bundle =>
  sh(
    `export NODE_COMPILE_CACHE='${process.env["NODE_COMPILE_CACHE"] ?? ""}'
${before}
exec '${process.execPath}' '${join(import.meta.dirname, "programs/peer.ts")}' "${fault}" "$0"`,
    id,
  )

/** A plugin on the Python SDK. */
export const python = (code: string, id = "hostile"): Bundle => ({
  "plugin.json": manifest(id, { executable: "plugin.py" }),
  "plugin.py": code,
})

/** A host as in production, on a workspace in a folder of its own. `methods` take the place of some of its API's. */
export const host = (root: string, methods: MattermostApiMethods = {}) => {
  const workspace = Workspace.layerIn(join(root, "data")).pipe(Layer.provide(MattermostPlugins.layer))
  const api = Layer.effect(
    MattermostPlugins.Api,
    Effect.map(MattermostPlugins.Api, (own) => ({ ...own, ...methods })),
  ).pipe(Layer.provide(WorkspacePluginApi.layer), Layer.provide(MattermostPlugins.layer))
  return MattermostPlugins.layerSupervisor.pipe(
    Layer.provide(api),
    Layer.provide(PluginBundles.layer),
    Layer.provideMerge(workspace),
    Layer.provide(hostEnvironment),
    Layer.provideMerge(NodeServices.layer),
  )
}

/** What a test can use. */
export type Host = Layer.Success<ReturnType<typeof host>> | Scope.Scope

/** A bad plugin that has not been started yet, and who is beside it. */
export interface Situation {
  /** The folder with the bundles `hostile` and `bystander`, and the sockets in `run`. */
  readonly root: string
  /** Loads, supervises and starts the bad one. */
  readonly start: Effect.Effect<Started, { readonly _tag: string; readonly message: string }, Host>
  /** Stops it, once it was started; nothing of it is left then. */
  readonly stop: Effect.Effect<void>
  readonly state: () => Partial<PluginState> & { readonly name: string }
  /** The messages that were logged so far. */
  readonly messages: () => ReadonlyArray<string>
  /** Waits until something that matches is logged. */
  readonly logged: (pattern: RegExp) => Effect.Effect<void, Error>
}

type Supervised = SupervisedPlugin<UnaryHooks<MattermostContract>>
type Started = Effect.Success<Supervised["start"]>

/** A kind of bad plugin. */
export interface Kind {
  readonly bundle: Bundle
  readonly options?: SupervisorOptions<MattermostContract>
  readonly methods?: MattermostApiMethods
  /** Who is beside it: a plugin that answers commands with `well`. */
  readonly bystander?: Bundle
  /** What comes of it. */
  readonly outcome: (situation: Situation) => Effect.Effect<unknown, unknown, Host>
}

/** Within a bound that is no measure of speed. */
export const bounded = <A, E, R>(what: string, effect: Effect.Effect<A, E, R>, duration = BOUND) =>
  Effect.timeoutOrElse(effect, { duration, orElse: () => Effect.die(new Error(`${what}: not within ${duration}`)) })

/** Asks the healthy plugin. */
const bystanderAnswers = Effect.gen(function* () {
  const { call } = yield* MattermostPlugins
  const answer = yield* bounded("the bystander's answer", call("bystander", "executeCommand", {}))
  assert.strictEqual(Option.getOrUndefined(answer)?.response?.text, "well")
})

const textOf = (pid: number, file: "cmdline" | "environ"): string => {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1")
  } catch {
    return ""
  }
}

/** The processes that have a text among their arguments, or in their environment. */
export const processesWith = (text: string): ReadonlyArray<number> =>
  readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid)
    .filter((pid) => (["cmdline", "environ"] as const).some((file) => textOf(pid, file).includes(text)))
    .filter(isAlive)

/** Waits until no process has a text among its arguments, or in its environment. */
export const nobodyHas = (text: string) =>
  eventually(`nobody has ${text}`, () => processesWith(text).length === 0, 30_000)

/** What all markers of a host begin with, as one of its plugins shows it. */
const hostOf = (pid: number): string =>
  new RegExp(`(?:^|\0)${VARIABLES.marker}=([^:\0]+):`).exec(textOf(pid, "environ"))?.[1] ?? ""

const controlGroupsOf = (host: string) =>
  Effect.map(ControlGroup.baseGroup, (base) =>
    base === undefined ? [] : readdirSync(base).filter((name) => name.includes(host)),
  )

const ending = (messages: ReadonlyArray<string>): string =>
  messages
    .slice(-20)
    .map((message) => message.slice(0, 500))
    .join("\n")

/** Lines a second: so few that a plugin that prints without end has more, however busy the machine is. */
const LOG_RATE = 50

/** Runs a test in its situation. */
const situated = Effect.fnUntraced(function* ({ bundle, bystander, methods, options, outcome }: Kind) {
  const root = yield* folder({
    ...under("hostile", bundle),
    ...under("bystander", bystander ?? peer("well", { id: "bystander" })),
    run: { folder: true },
  })
  // Whatever it leaves in spite of all is not left on the machine.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => processesWith(root).forEach((pid) => process.kill(pid, "SIGKILL"))),
  )
  const sockets = () => readdirSync(join(root, "run"))
  const log = recordLog()
  // Entries are written as `serve` does.
  const written = Logger.layer([Logger.map(Logger.formatJson, () => {})], { mergeWithExisting: true })

  const beside = Effect.gen(function* () {
    const { load } = yield* PluginBundles
    const supervisor = yield* MattermostPlugins.Supervisor
    const { process: healthy } = yield* supervisor.start(yield* load(join(root, "bystander")))
    const name = hostOf(healthy.pid)
    assert.notStrictEqual(name, "")
    const scope = yield* Scope.make()
    let plugin: Supervised | undefined
    const situation: Situation = {
      root,
      start: bounded(
        "its start",
        Effect.gen(function* () {
          plugin ??= yield* Scope.provide(supervisor.supervise(yield* load(join(root, "hostile")), options), scope)
          return yield* plugin.start
        }),
      ),
      stop: bounded(
        "its stop",
        Effect.suspend(() => plugin?.stop ?? Effect.void),
      ),
      state: () => (plugin === undefined ? { name: "NotRunning" } : SubscriptionRef.getUnsafe(plugin.state)),
      messages: log.messages,
      logged: (pattern) =>
        Effect.mapError(
          eventually(`${pattern} is logged`, () => log.messages().some((line) => pattern.test(line)), 30_000),
          ({ message }) => new Error(`${message}; the log's end:\n${ending(log.messages())}`),
        ),
    }
    const meanwhile = Effect.forever(Effect.andThen(bystanderAnswers, Effect.sleep("20 millis")))
    yield* Effect.raceFirst(outcome(situation), meanwhile)
    yield* bounded("its end", Scope.close(scope, Exit.void))
    yield* nobodyHas(join(root, "hostile"))
    assert.lengthOf(sockets(), 1, "only the bystander has a folder for sockets")
    yield* bystanderAnswers
    return name
  })
  const name = yield* bounded(
    "all of it",
    Effect.provide(Effect.scoped(beside), host(root, methods)),
    "150 seconds",
  ).pipe(
    Effect.provideService(RuntimeDirectory, join(root, "run")),
    Effect.provideService(PluginLogRate, LOG_RATE),
    Effect.provide(Layer.provideMerge(written, log.layer)),
  )
  yield* nobodyHas(root)
  yield* nobodyHas(name)
  assert.deepStrictEqual(sockets(), [])
  assert.deepStrictEqual(yield* controlGroupsOf(name), [])
}, Effect.scoped)

/** The limits of a stop, for plugins that make use of them. */
export const brief = {
  drainLimit: "300 millis",
  deactivateLimit: "300 millis",
  shutdownLimit: "300 millis",
  waitDelay: "300 millis",
} as const

/** A test for each kind of bad plugin, by name; a few at a time. */
export const kinds = (name: string, table: { readonly [name: string]: Kind }): void => {
  describe.skipIf(process.platform !== "linux" || noPython).concurrent(name, () => {
    for (const [kind, situation] of Object.entries(table)) {
      const run = Effect.repeat(
        Effect.suspend(() => situated(situation)),
        { times: ROUNDS - 1 },
      )
      it.live(ROUNDS === 1 ? kind : `${kind} (${ROUNDS} times)`, () => run, 180_000 * ROUNDS)
    }
  })
}

const UNREAD: ReadonlySet<string> = new Set(["BundleError", "ManifestError"])

/** A plugin that does not start: why, by the error's tag and by what its message has to say; and the same as its state. */
export const fails = (
  bundle: Bundle,
  tag: string,
  words: ReadonlyArray<RegExp>,
  options: SupervisorOptions<MattermostContract> = {},
): Kind => ({
  bundle,
  options,
  outcome: ({ start, state }) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(start)
      assert.strictEqual(error._tag, tag, error.message)
      for (const pattern of [/hostile/, ...words]) assert.match(error.message, pattern)
      // A bundle that can't be read has no state yet.
      if (!UNREAD.has(tag)) assert.deepInclude(state(), { name: "FailedToStart", error: error.message })
    }),
})

/** A plugin that starts all the same, and can be used and stopped. */
export const starts = (
  bundle: Bundle,
  options: SupervisorOptions<MattermostContract> = {},
  logged: ReadonlyArray<RegExp> = [],
): Kind => ({
  bundle,
  options,
  outcome: ({ logged: isLogged, start, state, stop }) =>
    Effect.gen(function* () {
      const { hooks } = yield* start
      yield* hooks.executeCommand({})
      for (const pattern of logged) yield* isLogged(pattern)
      yield* stop
      assert.strictEqual(state().name, "NotRunning")
    }),
})
