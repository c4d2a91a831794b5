/** Plugins of the fixtures' own protocol, on the generic host. */
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Layer, type Scope, Sink } from "effect"
import { inject } from "vitest"
import { GoPluginClient, type GoPluginOptions, PluginProcess } from "../../src/goplugin/index.ts"
import { type Entry, recordLog } from "./log.ts"

/** The generic host with all below it. */
export const goPluginHost = GoPluginClient.layer.pipe(Layer.provide([PluginProcess.layer, NodeServices.layer]))

const fixtures = join(import.meta.dirname, "../fixtures/goplugin")
const python = inject("python")
const go = inject("goFixtures")

/** Why there is no Go, or undefined; the global setup has printed it. */
export const noGo = "missing" in go ? go.missing : undefined

/** A program of the Go fixtures. */
export const goProgram = (name: "fixture" | "host" | "supervised" | "ttrpc"): string =>
  "missing" in go ? "" : join(go.directory, name)

/** A program of the Python fixtures, as a command. */
export const pythonProgram = (name: "fixture" | "forwarding" | "ttrpc"): readonly [string, string] => [
  "missing" in python ? "" : join(python.bin, "python"),
  join(fixtures, `python/${name}.py`),
]

/** The magic cookie of all fixtures. */
export const handshake = {
  magicCookieKey: "FIXTURE_COOKIE",
  magicCookieValue: "conformance",
  protocolVersions: [1],
} as const

type Settings = Partial<Omit<GoPluginOptions, "process">> & {
  readonly env?: { readonly [name: string]: string } | undefined
  readonly process?: Partial<GoPluginOptions["process"]> | undefined
}

/** A kind of plugin that can be started. */
export interface Kind {
  readonly name: string
  /** Why it can't be tried here. */
  readonly missing: string | undefined
  readonly options: (settings?: Settings) => GoPluginOptions
}

const kind = (
  name: string,
  missing: string | undefined,
  executable: string,
  args: ReadonlyArray<string>,
  own: { readonly [name: string]: string } = {},
): Kind => ({
  name,
  missing,
  options: ({ env, process: spec, ...settings } = {}) => ({
    handshake,
    startTimeout: "20 seconds",
    ...settings,
    process: {
      pluginId: `${name}-fixture`,
      executable,
      args,
      cwd: fixtures,
      env: { PATH: process.env["PATH"], TMPDIR: process.env["TMPDIR"], ...own, ...env },
      waitDelay: "2 seconds",
      ...spec,
    },
  }),
})

/** A plugin on current go-plugin. */
export const goKind = kind("go", noGo, goProgram("fixture"), [])

/** A plugin on our Go package, which takes an offer of ttrpc. */
export const supervisedKind = kind("supervised", noGo, goProgram("supervised"), [])

/** A plugin on our Python SDK. */
export const pythonKind = kind(
  "python",
  "missing" in python ? python.missing : undefined,
  pythonProgram("fixture")[0],
  [pythonProgram("fixture")[1]],
)

/** The same over ttrpc. */
export const ttrpcKind: Kind = {
  ...pythonKind,
  name: "python over ttrpc",
  options: ({ env, ...settings } = {}) =>
    pythonKind.options({ ttrpc: { isRequired: true }, ...settings, env: { FIXTURE_TTRPC: "1", ...env } }),
}

/** One that asks its host, over ttrpc, whatever it is asked itself. */
export const forwardingKind = kind("forwarding", pythonKind.missing, pythonProgram("forwarding")[0], [
  pythonProgram("forwarding")[1],
])

/** A plugin that misbehaves. */
export const misbehaving = kind("misbehaving", undefined, process.execPath, [join(fixtures, "misbehaving.ts")], {
  NODE_NO_WARNINGS: "1",
  NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"] ?? "",
})

/** Starts a plugin in the Scope. */
export const start = (kind: Kind, settings?: Settings) =>
  Effect.flatMap(GoPluginClient, (client) => client.start(kind.options(settings)))

/** Why a plugin does not start; it fails if it does. */
export const startError = (kind: Kind, settings?: Settings) => Effect.scoped(Effect.flip(start(kind, settings)))

/** A sink that keeps what it is given. */
export const collect = () => {
  const chunks: Array<Uint8Array> = []
  return {
    sink: Sink.forEach((chunk: Uint8Array) => Effect.sync(() => chunks.push(chunk))),
    bytes: () => Buffer.concat(chunks),
    text: () => Buffer.concat(chunks).toString(),
  }
}

/** Runs a test with its log recorded. */
export const recorded = <A, E, R>(
  test: (log: ReadonlyArray<Entry>) => Effect.Effect<A, E, R>,
): Effect.Effect<A, E, Exclude<R, Scope.Scope>> =>
  Effect.suspend(() => {
    const { entries, layer } = recordLog()
    return Effect.provide(Effect.scoped(test(entries)), layer)
  })
