/** What the generic host costs: beside a Go host on go-plugin's own client, both on the same Go plugin. */
import { execFileSync, spawnSync } from "node:child_process"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { GoPluginClient, PluginProcess } from "../src/goplugin/index.ts"
import { root } from "../scripts/python.ts"
import { Test } from "../test/fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import { compare, report } from "./measure.ts"
import { program } from "./program.ts"

const { double, payload } = Test.method
const KIB = 1024
const STARTS = 5
const CALLS = 500
const SMALL = { size: 64 * KIB, count: 50 }
const LARGE = { size: 16 * KIB * KIB, count: 3 }

const each = (count: number) => (millis: number) => `${(millis / count).toFixed(2)} ms`
const throughput =
  ({ count, size }: typeof SMALL) =>
  (millis: number) =>
    // Both ways.
    `${((2 * count * size) / KIB / KIB / (millis / 1000)).toFixed(0)} MiB/s`

const folder = join(root, ".cache/go-fixtures")
const executable = join(folder, "fixture")
/** The same calls, answered by a plugin on our Go package. */
const supervised = join(folder, "supervised")
const env = { PATH: process.env["PATH"], FIXTURE_UNLIMITED: "1" }

const options = {
  process: { pluginId: "bench", executable, args: [], cwd: folder, env },
  handshake: { magicCookieKey: "FIXTURE_COOKIE", magicCookieValue: "conformance", protocolVersions: [1] },
}

const times = <E, R>(count: number, call: Effect.Effect<unknown, E, R>) => Effect.repeat(call, { times: count - 1 })

/** Rows of ours beside Go's, in turns on two processes of the same plugin. */
const rows = Effect.gen(function* () {
  execFileSync(join(root, "test/fixtures/goplugin/go/build.sh"), [folder], { stdio: "inherit" })
  // It measures what it is told to, and answers the milliseconds.
  const { ask: go } = yield* program(join(folder, "host"), ["-bench", "--", executable], { ...process.env, ...env })
  const goPlugins = yield* GoPluginClient
  const { client, ping } = yield* goPlugins.start(options)
  const overTtrpc = yield* goPlugins.start({
    ...options,
    process: { ...options.process, executable: supervised },
    ttrpc: { isRequired: true },
  })
  const transfer = ({ count, size }: typeof SMALL) =>
    times(
      count,
      Effect.suspend(() => client.unary(payload, { data: new Uint8Array(size), size })),
    )
  return [
    yield* compare(
      "start to ready, and a ping",
      // Those that were started end with the bench: stopping is not measured, here or there.
      times(
        STARTS,
        Effect.flatMap(goPlugins.start(options), ({ ping }) => ping),
      ),
      go(`start ${STARTS}`),
      each(STARTS),
    ),
    yield* compare("ping", times(CALLS, ping), go(`ping ${CALLS}`), each(CALLS)),
    yield* compare(
      "unary call",
      times(CALLS, client.unary(double, { number: 21 })),
      go(`double ${CALLS}`),
      each(CALLS),
    ),
    yield* compare(
      "unary call over ttrpc",
      times(CALLS, overTtrpc.client.unary(double, { number: 21 })),
      go(`double ${CALLS}`),
      each(CALLS),
    ),
    yield* compare("64 KiB both ways", transfer(SMALL), go(`payload ${SMALL.size} ${SMALL.count}`), throughput(SMALL)),
    yield* compare("16 MiB both ways", transfer(LARGE), go(`payload ${LARGE.size} ${LARGE.count}`), throughput(LARGE)),
  ]
}).pipe(
  Effect.scoped,
  Effect.orDie,
  Effect.provide(GoPluginClient.layer.pipe(Layer.provide([PluginProcess.layer, NodeServices.layer]))),
)

/** The report on the generic host. */
export const goPluginReport: Effect.Effect<string> = Effect.suspend(() =>
  spawnSync("go", ["version"]).status === 0
    ? Effect.map(rows, (rows) => report(rows, "Go host"))
    : Effect.succeed("The generic host is not measured: there is no go on the PATH to build what it is compared with"),
)
