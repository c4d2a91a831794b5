/** The same cases against a plugin on current go-plugin and one on our Python SDK, as real processes. */
import { spawn } from "node:child_process"
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scope, Stream } from "effect"
import { type GoPlugin, GoPluginClient, type HandshakeError, implement, statusCode } from "../../src/goplugin/index.ts"
import { PingPong, Test } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import { ownTemporaryFolder, temporaryFolder } from "../support/folder.ts"
import {
  goKind,
  goPluginHost,
  handshake,
  type Kind,
  pythonKind,
  recorded,
  start,
  startError,
  ttrpcKind,
} from "../support/goplugin.ts"
import type { Entry } from "../support/log.ts"
import { BUSY, eventually, isAlive, socketFolders } from "../support/host.ts"

const { count, double, stream, sum, payload, dialHost, serveBack, environment, leave } = Test.method

const offering = (...protocolVersions: ReadonlyArray<number>) => ({ handshake: { ...handshake, protocolVersions } })
const MIB = 1024 * 1024

const pong = implement(PingPong, { ping: () => Effect.succeed({ message: "pong from the host" }) })

/** Asks a plugin to connect back to the host, and the host to connect to what the plugin serves. */
const bothDirections = Effect.fnUntraced(function* ({ broker, client }: GoPlugin) {
  const id = yield* broker.nextId
  yield* broker.serve(id, [pong])
  const { message } = yield* client.unary(dialHost, { id })
  const served = yield* client.unary(serveBack, {})
  const back = yield* broker.connect(served.id)
  const answer = yield* back.unary(PingPong.method.ping, {})
  return [message, answer.message]
})

const BOTH = ["pong from the host", "pong from the plugin"]

const suite = (kind: Kind) => {
  const live = <E>(name: string, test: (log: ReadonlyArray<Entry>) => Effect.Effect<unknown, E, any>) =>
    it.live(name, () => recorded(test).pipe(Effect.provide(goPluginHost)) as Effect.Effect<unknown, E>)
  const isGo = kind === goKind

  live("round trip: handshake, a call, a graceful end with exit code 0", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const plugin = yield* Scope.provide(start(kind), scope)
      assert.strictEqual(plugin.protocolVersion, 1)
      assert.strictEqual((yield* plugin.client.unary(double, { number: 21 })).number, 42)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* plugin.process.exit, { code: 0, signal: null })
    }),
  )

  live("round trip: a stream of the app's own, both ways, in order", () =>
    Effect.gen(function* () {
      const { client } = yield* start(kind)
      const call = yield* client.bidi(stream)
      const answers: Array<number> = []
      for (const number of [21, 22, 23, 24, 25, 26]) {
        yield* call.send({ number })
        answers.push(Option.getOrThrow(yield* call.receive).number)
      }
      yield* call.end
      assert.isTrue(Option.isNone(yield* call.receive))
      assert.deepStrictEqual(answers, [42, 44, 46, 48, 50, 52])
    }),
  )

  live("round trip: streams in one direction, and what keeps them from ending well", () =>
    Effect.gen(function* () {
      const { client } = yield* start(kind)
      const counted = yield* Stream.runCollect(client.serverStream(count, { number: 1000 }))
      assert.deepStrictEqual(
        [...counted].map(({ number }) => number),
        Array.from({ length: 1000 }, (_, index) => index + 1),
      )
      const first = yield* Stream.runHead(client.serverStream(count, { number: 1_000_000 }))
      assert.strictEqual(Option.getOrThrow(first).number, 1)
      const numbers = Stream.map(Stream.range(1, 1000), (number) => ({ number }))
      assert.strictEqual((yield* client.clientStream(sum, numbers)).sum, 500_500)
      const broken = Stream.concat(numbers, Stream.fail("no more numbers"))
      assert.strictEqual(yield* Effect.flip(client.clientStream(sum, broken)), "no more numbers")
      const other = { ...count, name: "NoSuchRpc" } as typeof count
      const error = yield* Effect.flip(Stream.runDrain(client.serverStream(other, { number: 1 })))
      assert.isTrue(error.isUnimplemented)
    }),
  )

  live("round trip: the plugin's own clean-up runs when it is stopped", () =>
    Effect.gen(function* () {
      const file = join(yield* temporaryFolder, "cleaned-up")
      yield* Effect.scoped(start(kind, { env: { FIXTURE_CLEANUP: file } }))
      assert.isTrue(existsSync(file))
    }),
  )

  live("messages: 16 MiB both ways", () =>
    Effect.gen(function* () {
      const { client } = yield* start(kind, { env: { FIXTURE_UNLIMITED: "1" } })
      const { data, received } = yield* client.unary(payload, { data: new Uint8Array(16 * MIB), size: 16 * MIB })
      assert.deepStrictEqual([data.length, received], [16 * MIB, 16 * MIB])
    }),
  )

  live("messages: what is larger than a plugin's own limit is its error, and our side has none", () =>
    Effect.gen(function* () {
      const { client } = yield* start(kind)
      assert.strictEqual((yield* client.unary(payload, { size: 8 * MIB })).data.length, 8 * MIB)
      const sent = yield* Effect.exit(client.unary(payload, { data: new Uint8Array(5 * MIB) }))
      // Go's servers take 4 MiB unless told otherwise; the SDK's have no limit.
      assert.strictEqual(Exit.isFailure(sent), isGo)
      if (isGo) {
        const error = yield* Effect.flip(client.unary(payload, { data: new Uint8Array(5 * MIB) }))
        assert.strictEqual(error.code, statusCode.RESOURCE_EXHAUSTED)
      }
    }),
  )

  live("versions: the highest that both speak, by number", () =>
    Effect.gen(function* () {
      const negotiated = (offered: ReadonlyArray<number>, FIXTURE_VERSIONS: string) =>
        Effect.scoped(
          Effect.gen(function* () {
            const plugin = yield* start(kind, { ...offering(...offered), env: { FIXTURE_VERSIONS } })
            const { number } = yield* plugin.client.unary(double, { number: 0 })
            return [plugin.protocolVersion, number / 100 + 1]
          }),
        )
      assert.deepStrictEqual(yield* negotiated([1], "1,2"), [1, 1])
      assert.deepStrictEqual(yield* negotiated([1, 2], "2"), [2, 2])
      assert.deepStrictEqual(yield* negotiated([9, 2, 10], "9,10,11"), [10, 10])
    }),
  )

  live("versions: none in common is refused, naming both sides'", () =>
    Effect.gen(function* () {
      const error = (yield* startError(kind, { ...offering(1, 3), env: { FIXTURE_VERSIONS: "2,4" } })) as HandshakeError
      assert.strictEqual(error.kind, "protocolVersion")
      assert.include(error.message, "it speaks protocol version 2, this host offers 1, 3")
    }),
  )

  live("handshake: without the magic cookie it says so on stderr, and nothing on stdout", () =>
    Effect.gen(function* () {
      const error = (yield* startError(kind, {
        handshake: { ...handshake, magicCookieValue: "other" },
      })) as HandshakeError
      assert.strictEqual(error.kind, "cookie")
      assert.strictEqual(error.exit, "exit code 1")
      assert.include(error.stderr.join("\n"), "This binary is a plugin")
    }),
  )

  live("handshake: a line before it is refused, or skipped and logged where that is asked for", (log) =>
    Effect.gen(function* () {
      const banner = { env: { FIXTURE_BANNER: "Loading plugins…\nalmost there\n" } }
      const error = (yield* startError(kind, banner)) as HandshakeError
      assert.strictEqual(error.kind, "unrecognized")
      assert.include(error.message, "Loading plugins…")
      const { client } = yield* start(kind, { ...banner, skipStrayLines: true })
      assert.strictEqual((yield* client.unary(double, { number: 1 })).number, 2)
      assert.isTrue(log.some(({ message }) => message === "almost there"))
    }),
  )

  live("handshake: a failed start is not followed by a second one, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const folders = socketFolders()
      const marks = join(yield* temporaryFolder, "starts")
      const options = kind.options({ startTimeout: "20 seconds" })
      yield* startError(kind, {
        process: {
          executable: "/bin/sh",
          args: ["-c", `echo started >> "${marks}"; FIXTURE_COOKIE= exec "$0" "$@"`, options.process.executable].concat(
            options.process.args,
          ),
        },
      })
      assert.strictEqual(readFileSync(marks, "utf8"), "started\n")
      assert.deepStrictEqual(socketFolders(), folders)
    }),
  )

  live("environment: the host's is not inherited, what is given is, and the protocol's comes last", () =>
    Effect.gen(function* () {
      process.env["CONFORMANCE_HOST_VARIABLE"] = "of the host"
      const { client } = yield* start(kind, {
        env: {
          GIVEN: "given",
          PLUGIN_PROTOCOL_VERSIONS: "7",
          // A host that is a plugin itself has these; handed down they would turn on TLS and multiplexing.
          PLUGIN_CLIENT_CERT: "-----BEGIN CERTIFICATE-----",
          PLUGIN_MULTIPLEX_GRPC: "true",
          FIXTURE_COOKIE: "not this",
        },
      })
      const value = (name: string) =>
        Effect.map(client.unary(environment, { name }), ({ exists, value }) => (exists ? value : undefined))
      assert.strictEqual(yield* value("CONFORMANCE_HOST_VARIABLE"), undefined)
      assert.strictEqual(yield* value("GIVEN"), "given")
      // Our SDK takes it, so that no program that the plugin starts takes itself for one.
      assert.strictEqual(yield* value("PLUGIN_PROTOCOL_VERSIONS"), isGo ? "1" : undefined)
      assert.strictEqual(yield* value("PLUGIN_CLIENT_CERT"), undefined)
      assert.strictEqual(yield* value("PLUGIN_MULTIPLEX_GRPC"), undefined)
      assert.strictEqual(yield* value("FIXTURE_COOKIE"), "conformance")
    }),
  )

  live("environment: the host's can be handed down", () =>
    Effect.gen(function* () {
      process.env["CONFORMANCE_HOST_VARIABLE"] = "of the host"
      const { client } = yield* start(kind, { env: { ...(process.env as Record<string, string>) } })
      assert.strictEqual((yield* client.unary(environment, { name: "CONFORMANCE_HOST_VARIABLE" })).value, "of the host")
    }),
  )

  live("exit: is seen at once with its code, calls in flight fail, and so does the next ping", () =>
    Effect.gen(function* () {
      const { client, ping, process } = yield* start(kind)
      const call = yield* client.bidi(stream)
      const waiting = yield* Effect.forkChild(Effect.flip(call.receive))
      yield* ping
      yield* ping
      yield* Effect.ignore(client.unary(leave, { code: 7 }))
      const exit = yield* Effect.timeout(process.exit, BUSY)
      assert.deepStrictEqual(exit, { code: 7, signal: null })
      assert.include([statusCode.UNAVAILABLE, statusCode.CANCELLED], (yield* Fiber.join(waiting)).code)
      yield* Effect.flip(ping)
    }),
  )

  live("exit: a plugin that is killed is seen, with the signal", () =>
    Effect.gen(function* () {
      const plugin = yield* start(kind)
      yield* Effect.sync(() => process.kill(plugin.process.pid, "SIGKILL"))
      assert.deepStrictEqual(yield* Effect.timeout(plugin.process.exit, BUSY), { code: null, signal: "SIGKILL" })
    }),
  )

  live("exit: a host that is killed takes its plugin along", () =>
    Effect.gen(function* () {
      const script = join(import.meta.dirname, "../fixtures/goplugin/hostThatDies.ts")
      const socketDirectory = yield* temporaryFolder
      const host = yield* Effect.acquireRelease(
        Effect.sync(() =>
          spawn(process.execPath, [script, JSON.stringify({ ...kind.options(), socketDirectory })], {
            stdio: ["ignore", "pipe", "ignore"],
          }),
        ),
        (host) => Effect.sync(() => host.kill("SIGKILL")),
      )
      let pid = ""
      host.stdout.on("data", (chunk) => (pid += String(chunk)))
      yield* eventually("the plugin runs", () => /\d+\n/.test(pid), 20_000)
      assert.isTrue(isAlive(Number(pid)))
      host.kill("SIGKILL")
      yield* eventually("the plugin is gone", () => !isAlive(Number(pid)), 5000)
    }),
  )
}

/** What there is over gRPC only. */
const overGrpc = (kind: Kind) => {
  const live = <E>(name: string, test: () => Effect.Effect<unknown, E, any>) =>
    it.live(name, () => recorded(test).pipe(Effect.provide(goPluginHost)) as Effect.Effect<unknown, E>)
  const isGo = kind === goKind

  live("sockets: a private folder, for the group where one is named, and nothing left of it", () =>
    Effect.gen(function* () {
      const folders = socketFolders()
      const modes = (socketGroup?: number) =>
        Effect.scoped(
          Effect.gen(function* () {
            const plugin = yield* start(kind, { socketGroup })
            const { value: folder } = yield* plugin.client.unary(environment, { name: "PLUGIN_UNIX_SOCKET_DIR" })
            yield* plugin.broker.serve(1, [pong])
            const mode = (path: string) => (statSync(path).mode & 0o777).toString(8)
            const sockets = readdirSync(folder).map((name) => join(folder, name))
            return {
              folder: mode(folder),
              group: [...new Set([folder, ...sockets].map((path) => statSync(path).gid))],
              sockets: [...new Set(sockets.map(mode))],
            }
          }),
        )
      assert.strictEqual((yield* modes()).folder, "700")
      if (process.getuid?.() === 0) {
        assert.deepStrictEqual(yield* modes(4242), { folder: "770", group: [4242], sockets: ["660"] })
      }
      assert.deepStrictEqual(socketFolders(), folders)
    }),
  )

  live("broker: both directions", () =>
    Effect.gen(function* () {
      const plugin = yield* start(kind)
      assert.deepStrictEqual(yield* bothDirections(plugin), BOTH)
      assert.deepStrictEqual(yield* bothDirections(plugin), BOTH)
      assert.strictEqual(yield* plugin.broker.nextId, 3)
    }),
  )

  live("broker: an id that nobody serves is waited for, for five seconds", () =>
    Effect.gen(function* () {
      const { broker, client } = yield* start(kind)
      const [ours, theirs] = yield* Effect.all(
        [Effect.flip(Effect.scoped(broker.connect(4711))), Effect.flip(client.unary(dialHost, { id: 4711 }))],
        { concurrency: 2 },
      )
      assert.strictEqual(ours.kind, "timeout")
      assert.include(ours.message, "no word of where the plugin serves it within 5s")
      assert.notStrictEqual(theirs.code, statusCode.OK)
    }),
  )

  live("broker: what the host serves ends with its own Scope, and all of it with the plugin's", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { broker, client } = yield* Scope.provide(start(kind), scope)
      const { value: folder } = yield* client.unary(environment, { name: "PLUGIN_UNIX_SOCKET_DIR" })
      const sockets = () => readdirSync(folder).filter((name) => name.startsWith("broker"))
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* broker.serve(1, [pong])
          assert.strictEqual(sockets().length, 1)
        }),
      )
      assert.deepStrictEqual(sockets(), [])
      const longer = yield* Scope.make()
      yield* Scope.provide(broker.serve(2, [pong]), longer)
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(existsSync(folder))
      assert.strictEqual((yield* Effect.flip(Scope.provide(broker.serve(3, [pong]), longer))).kind, "closed")
      assert.strictEqual((yield* Effect.flip(Effect.scoped(broker.connect(1)))).kind, "closed")
      yield* Scope.close(longer, Exit.void)
    }),
  )

  it.each(isGo ? (["P-256", "P-384", "P-521"] as const) : (["P-256", "P-384"] as const))(
    "tls: AutoMTLS on %s, broker included",
    (autoMtls) =>
      Effect.runPromise(
        Effect.scoped(
          Effect.gen(function* () {
            const plugin = yield* start(kind, { tls: { autoMtls } })
            assert.strictEqual((yield* plugin.client.unary(double, { number: 21 })).number, 42)
            assert.deepStrictEqual(yield* bothDirections(plugin), BOTH)
          }),
        ).pipe(Effect.provide(goPluginHost)),
      ),
  )

  live("reattach: a second host calls the plugin and ends it gracefully", () =>
    Effect.gen(function* () {
      const { reattach } = yield* GoPluginClient
      const first = yield* start(kind)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const second = yield* reattach({ pluginId: "again", config: first.reattachConfig })
          assert.deepStrictEqual(second.reattachConfig, first.reattachConfig)
          assert.strictEqual((yield* second.client.unary(double, { number: 4 })).number, 8)
          yield* second.ping
        }),
      )
      assert.deepStrictEqual(yield* Effect.timeout(first.process.exit, BUSY), { code: 0, signal: null })
      assert.isFalse(isAlive(first.process.pid))
    }),
  )
}

ownTemporaryFolder()

for (const kind of [goKind, pythonKind, ttrpcKind]) {
  describe.skipIf(kind.missing !== undefined)(`a plugin in ${kind.name}`, () => {
    suite(kind)
    if (kind !== ttrpcKind) overGrpc(kind)
  })
}
