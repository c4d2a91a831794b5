/** Plugins that somebody else has started: a debugger, a test, another host. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, readFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { GoPluginClient, ReattachConfigs, type ReattachConfig } from "../../src/goplugin/index.ts"
import { Test } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import { temporaryFolder } from "../support/folder.ts"
import { goKind, goPluginHost, type Kind, pythonKind, start } from "../support/goplugin.ts"
import { BUSY, eventually, isAlive } from "../support/host.ts"

const { double } = Test.method

/** Starts a plugin in test mode, without a host, and reads where it is. */
const inTestMode = Effect.fnUntraced(function* (kind: Kind) {
  const folder = yield* temporaryFolder
  const file = join(folder, "reattach.json")
  // Its socket goes with the folder, however it ends.
  const { args, cwd, env, executable } = kind.options({ env: { FIXTURE_TEST: file, TMPDIR: folder } }).process
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(executable, args, { cwd, env: env, stdio: "ignore", detached: true })),
    (child) => Effect.sync(() => child.kill("SIGKILL")),
  )
  yield* eventually("it says where it is", () => existsSync(file))
  const { fixture } = yield* Schema.decodeUnknownEffect(ReattachConfigs)(readFileSync(file, "utf8"))
  assert.isDefined(fixture)
  return { child, config: fixture }
})

const onLinux = process.platform === "linux"

/** The id of a process that is no plugin. */
const sleeping = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => spawn("sleep", ["300"])),
    (child) => Effect.sync(() => child.kill("SIGKILL")),
  ),
  ({ pid }) => pid!,
)

const reattach = (config: ReattachConfig) =>
  Effect.flatMap(GoPluginClient, (client) => client.reattach({ pluginId: "attached", config }))

for (const kind of [goKind, pythonKind]) {
  describe.skipIf(kind.missing !== undefined)(`reattaching to a plugin in ${kind.name}`, () => {
    const live = <E>(name: string, test: Effect.Effect<unknown, E, any>) =>
      it.live(name, () => test.pipe(Effect.scoped, Effect.provide(goPluginHost)) as Effect.Effect<unknown, E>)

    live(
      "in test mode: it is called, and let be at the end",
      Effect.gen(function* () {
        const { child, config } = yield* inTestMode(kind)
        assert.deepStrictEqual([config.Protocol, config.ProtocolVersion, config.Test], ["grpc", 1, true])
        assert.strictEqual(config.Pid, child.pid)
        for (let host = 0; host < 2; host++) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const { client, ping, protocolVersion } = yield* reattach(config)
              assert.strictEqual(protocolVersion, 1)
              assert.strictEqual((yield* client.unary(double, { number: 4 })).number, 8)
              yield* ping
            }),
          )
        }
        assert.isTrue(isAlive(config.Pid))
        const ended = once(child, "exit")
        child.kill("SIGTERM")
        assert.deepStrictEqual((yield* Effect.promise(() => ended))[0], 0)
      }),
    )

    live(
      "not in test mode: it is ended, and its end is seen",
      Effect.gen(function* () {
        const { child, config } = yield* inTestMode(kind)
        const { process } = yield* Effect.scoped(reattach({ ...config, Test: false }))
        assert.deepStrictEqual(yield* Effect.timeout(process.exit, BUSY), { code: null, signal: null })
        assert.isFalse(isAlive(child.pid!))
      }),
    )

    live(
      "in test mode: leaving it takes no time",
      Effect.gen(function* () {
        const { config } = yield* inTestMode(kind)
        const began = Date.now()
        for (let host = 0; host < 60; host++) yield* Effect.scoped(reattach(config))
        // Half a second each, were its output waited for.
        assert.isBelow(Date.now() - began, BUSY)
      }),
    )

    live(
      "with a stranger's process id is refused, and nobody is killed",
      Effect.gen(function* () {
        const { child, config } = yield* inTestMode(kind)
        const stranger = yield* sleeping
        const error = yield* Effect.flip(Effect.scoped(reattach({ ...config, Test: false, Pid: stranger })))
        assert.strictEqual(error._tag === "ReattachError" && error.kind, "notFound")
        assert.include(error.message, "its id is another's")
        assert.isTrue(isAlive(stranger))
        assert.isTrue(isAlive(child.pid!))
      }),
    )

    live(
      "a plugin that dies is seen",
      Effect.gen(function* () {
        const { child, config } = yield* inTestMode(kind)
        const { ping, process } = yield* reattach(config)
        child.kill("SIGKILL")
        yield* Effect.timeout(process.exit, BUSY)
        yield* Effect.flip(ping)
      }),
    )
  })
}

describe("reattaching", () => {
  const config = { Protocol: "grpc", Pid: process.pid, Addr: { Network: "unix", String: "/no/such/socket" } }
  const refused = (name: string, given: Partial<ReattachConfig>, kind: string, detail: string) =>
    it.live(name, () =>
      Effect.gen(function* () {
        const error = yield* Effect.scoped(Effect.flip(reattach({ ...config, ...given })))
        assert.strictEqual(error._tag, "ReattachError")
        if (error._tag === "ReattachError") assert.strictEqual(error.kind, kind)
        assert.include(error.message, detail)
      }).pipe(Effect.provide(goPluginHost)),
    )
  refused("to a process that is gone is refused", { Pid: 2 ** 22 + 1 }, "notFound", "no process 4194305 runs")
  refused("to an address where nobody listens is refused, and nobody is killed", {}, "notFound", "nobody listens")
  refused("without a protocol means net/rpc, which is refused", { Protocol: "" }, "config", "it speaks netrpc")
  refused("to all processes of the machine is refused", { Pid: -1 }, "config", "-1 is no process id")
  refused("to a network that is none is refused", { Addr: { Network: "udp", String: ":1" } }, "config", "udp :1")

  it.live("to somebody who is no plugin is refused, and kills nobody", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "stranger")
      yield* Effect.acquireRelease(
        Effect.callback<ReturnType<typeof createServer>>((resume) => {
          const server = createServer((socket) => socket.on("error", () => {}).end("hello")).listen(path, () =>
            resume(Effect.succeed(server)),
          )
        }),
        (server) => Effect.sync(() => server.close()),
      )
      const stranger = yield* sleeping
      const address = { Network: "unix", String: path }
      const error = yield* Effect.scoped(Effect.flip(reattach({ ...config, Pid: stranger, Addr: address })))
      assert.strictEqual(error._tag === "ReattachError" && error.kind, onLinux ? "notFound" : "unhealthy")
      assert.isTrue(isAlive(stranger))
      // This process listens there, and is no plugin.
      const itself = yield* Effect.scoped(Effect.flip(reattach({ ...config, Pid: process.pid, Addr: address })))
      assert.strictEqual(itself._tag === "ReattachError" && itself.kind, "unhealthy")
    }).pipe(Effect.scoped, Effect.provide(goPluginHost)),
  )

  it.live("with a process of one's own, where its id means nothing here", () =>
    Effect.gen(function* () {
      if (goKind.missing !== undefined) return
      const plugin = yield* start(goKind)
      let killed = 0
      yield* Effect.scoped(
        Effect.flatMap(GoPluginClient, (client) =>
          client.reattach({
            pluginId: "container",
            config: { ...plugin.reattachConfig, Pid: 0 },
            process: { pid: 0, exit: plugin.process.exit, kill: Effect.sync(() => killed++) },
          }),
        ),
      )
      assert.deepStrictEqual(yield* plugin.process.exit, { code: 0, signal: null })
      assert.strictEqual(killed, 1)
    }).pipe(Effect.scoped, Effect.provide(goPluginHost)),
  )

  it.effect("reads what Terraform's variable holds, and says what is wrong with what it does not", () =>
    Effect.gen(function* () {
      const decode = Schema.decodeUnknownEffect(ReattachConfigs)
      const text =
        '{"registry/x":{"Protocol":"grpc","ProtocolVersion":6,"Pid":1,"Test":true,"Addr":{"Network":"unix","String":"/tmp/p"}}}'
      assert.deepStrictEqual((yield* decode(text))["registry/x"]?.Addr, { Network: "unix", String: "/tmp/p" })
      const error = yield* Effect.flip(decode('{"x":{"Protocol":"grpc","Pid":"one"}}'))
      assert.include(error.message, "Pid")
    }),
  )
})
