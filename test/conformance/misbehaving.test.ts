/** What a host must live through: plugins that break the protocol, as real processes. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Scope } from "effect"
import type { Misbehaviour } from "../fixtures/goplugin/misbehaving.ts"
import type { HandshakeError } from "../../src/goplugin/index.ts"
import { ownTemporaryFolder } from "../support/folder.ts"
import type { Entry } from "../support/log.ts"
import { BUSY, eventually, isAlive, socketFolders } from "../support/host.ts"
import { goPluginHost, misbehaving, recorded, start, startError } from "../support/goplugin.ts"

const doing = (MISBEHAVIOUR: Misbehaviour) => ({ env: { MISBEHAVIOUR } })

/** Starts a plugin in a scope of its own, to be stopped and timed. */
const stoppable = Effect.fnUntraced(function* (
  misbehaviour: Misbehaviour | undefined,
  settings: Parameters<typeof start>[1] = {},
) {
  const scope = yield* Scope.make()
  const plugin = yield* start(misbehaving, {
    ...(misbehaviour === undefined ? {} : doing(misbehaviour)),
    ...settings,
  }).pipe(Scope.provide(scope))
  const stop = Effect.suspend(() => {
    const began = Date.now()
    return Effect.map(Scope.close(scope, Exit.void), () => Date.now() - began)
  })
  return { plugin, stop }
})

const logged = (log: ReadonlyArray<Entry>, part: string) => log.some(({ message }) => message.includes(part))

ownTemporaryFolder()

describe.skipIf(process.platform === "win32")("a plugin that misbehaves", () => {
  const live = <E>(name: string, test: (log: ReadonlyArray<Entry>) => Effect.Effect<unknown, E, any>) =>
    it.live(name, () => recorded(test).pipe(Effect.provide(goPluginHost)) as Effect.Effect<unknown, E>)

  live("stop: a plugin that does what it is asked is not signalled", () =>
    Effect.gen(function* () {
      const { plugin, stop } = yield* stoppable(undefined, { shutdownLimit: "60 seconds" })
      assert.isBelow(yield* stop, BUSY)
      assert.deepStrictEqual(yield* plugin.process.exit, { code: 0, signal: null })
    }),
  )

  live("stop: Shutdown that is never answered is waited for within its limit, then SIGTERM", () =>
    Effect.gen(function* () {
      const { plugin, stop } = yield* stoppable("never answers Shutdown", {
        shutdownLimit: "300 millis",
        process: { waitDelay: "60 seconds" },
      })
      const took = yield* stop
      assert.isAtLeast(took, 290)
      assert.isBelow(took, BUSY)
      assert.deepStrictEqual(yield* plugin.process.exit, { code: null, signal: "SIGTERM" })
    }),
  )

  live("stop: SIGTERM that is ignored is waited for within the wait delay, then SIGKILL", (log) =>
    Effect.gen(function* () {
      const { plugin, stop } = yield* stoppable("never answers Shutdown and ignores SIGTERM", {
        shutdownLimit: "200 millis",
        process: { waitDelay: "300 millis" },
      })
      const took = yield* stop
      assert.isAtLeast(took, 490)
      assert.isBelow(took, BUSY)
      assert.deepStrictEqual(yield* plugin.process.exit, { code: null, signal: "SIGKILL" })
      assert.isTrue(logged(log, "did not end within its wait delay"))
    }),
  )

  live("stop: a plugin without a controller gets SIGTERM at once", () =>
    Effect.gen(function* () {
      const { plugin, stop } = yield* stoppable("has no controller", {
        shutdownLimit: "60 seconds",
        process: { waitDelay: "60 seconds" },
      })
      assert.isBelow(yield* stop, BUSY)
      assert.deepStrictEqual(yield* plugin.process.exit, { code: null, signal: "SIGTERM" })
    }),
  )

  live("stop: twice, and by two at once, is stopping once", () =>
    Effect.gen(function* () {
      const { plugin, stop } = yield* stoppable(undefined)
      yield* Effect.all([stop, stop], { concurrency: 2 })
      yield* stop
      assert.isFalse(isAlive(plugin.process.pid))
    }),
  )

  live("stop: during the start ends the start and the process", () =>
    Effect.gen(function* () {
      const before = socketFolders()
      const fiber = yield* Effect.forkChild(Effect.scoped(start(misbehaving, doing("is slow to print its handshake"))))
      yield* eventually("the plugin's folder is there", () => socketFolders().length > before.length)
      const began = Date.now()
      yield* Fiber.interrupt(fiber)
      assert.isBelow(Date.now() - began, BUSY)
      const exit = yield* Fiber.await(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.deepStrictEqual(socketFolders(), before)
    }),
  )

  live("stop: a grandchild that holds the pipes holds up nobody", () =>
    Effect.gen(function* () {
      const { stop } = yield* stoppable("leaves a child that holds its pipes", {
        process: { waitDelay: "60 seconds" },
      })
      assert.isBelow(yield* stop, BUSY)
    }),
  )

  live("start: a plugin that is too slow is given up after the start timeout, and is gone", () =>
    Effect.gen(function* () {
      const before = socketFolders()
      const began = Date.now()
      const error = (yield* startError(misbehaving, {
        ...doing("is slow to print its handshake"),
        startTimeout: "50 millis",
      })) as HandshakeError
      assert.strictEqual(error.kind, "timeout")
      assert.isBelow(Date.now() - began, BUSY)
      assert.deepStrictEqual(socketFolders(), before)
    }),
  )

  live("ping: a plugin that reports that it does not serve is not well, unless any answer will do", () =>
    Effect.gen(function* () {
      const error = (yield* startError(misbehaving, doing("does not serve"))) as HandshakeError
      assert.strictEqual(error.kind, "unhealthy")
      assert.include(error.message, "NOT_SERVING")
      yield* start(misbehaving, { ...doing("does not serve"), requireServing: false })
    }),
  )

  live("stdio: a plugin without the service works, and so does one without broker and controller", () =>
    Effect.gen(function* () {
      const plugin = yield* start(misbehaving, doing("has only health"))
      yield* plugin.ping
      const error = yield* Effect.flip(Effect.scoped(plugin.broker.connect(1)))
      assert.strictEqual(error.kind, "closed")
      assert.include(error.message, "has no broker")
    }),
  )

  live("stdio: output that comes late, without response headers before it, comes", (log) =>
    Effect.gen(function* () {
      const plugin = yield* start(misbehaving, doing("sends output late"))
      yield* plugin.ping
      yield* eventually("it is logged", () => log.some(({ message }) => message === "said"))
      assert.strictEqual(log.find(({ message }) => message === "said")?.fields["source"], "plugin_stdout")
    }),
  )

  live("stdio: an unknown channel is reported, and what follows is not lost", (log) =>
    Effect.gen(function* () {
      yield* start(misbehaving, doing("sends on an unknown channel"))
      yield* eventually("it is logged", () => log.some(({ message }) => message === "said"))
      assert.isTrue(logged(log, "output channel 7"))
    }),
  )

  live("stdio: megabytes on the real stdout after the handshake don't block the plugin", (log) =>
    Effect.gen(function* () {
      yield* start(misbehaving, doing("floods its stdout"))
      yield* eventually("all is written", () => log.some(({ message }) => message === "flooded"))
    }),
  )

  live("broker: the end of its stream ends all waiting, at once", () =>
    Effect.gen(function* () {
      const plugin = yield* start(misbehaving, doing("ends its broker"))
      const error = yield* Effect.flip(Effect.scoped(plugin.broker.connect(1)))
      assert.strictEqual(error.kind, "closed", "and not a timeout")
      const serving = yield* Effect.flip(Effect.scoped(plugin.broker.serve(1, [])))
      assert.strictEqual(serving.kind, "closed")
    }),
  )

  live("broker: addresses that are none are refused by name", () =>
    Effect.gen(function* () {
      const plugin = yield* start(misbehaving, doing("announces garbage"))
      for (const [id, detail] of [
        [1, "carrier pigeon"],
        [2, "relative"],
        [3, "longer than"],
      ] as const) {
        const error = yield* Effect.flip(Effect.scoped(plugin.broker.connect(id)))
        assert.strictEqual(error.kind, "refused")
        assert.include(error.message, detail)
      }
    }),
  )

  const autoMtls = { tls: { autoMtls: "P-256" } } as const
  const refusedWith = (name: string, misbehaviour: Misbehaviour, kind: HandshakeError["kind"], detail: string) =>
    live(name, () =>
      Effect.gen(function* () {
        const unasked = misbehaviour === "shows a certificate unasked"
        const error = (yield* startError(misbehaving, {
          ...doing(misbehaviour),
          ...(unasked ? {} : autoMtls),
        })) as HandshakeError
        assert.strictEqual(error.kind, kind)
        assert.include(error.message, detail)
      }),
    )
  refusedWith("tls: another's certificate is found out", "shows another's certificate", "unhealthy", "health check")
  refusedWith("tls: an expired certificate is refused", "shows an expired certificate", "unhealthy", "expired")
  refusedWith(
    "tls: a certificate that nobody asked for is refused, and crashes nobody",
    "shows a certificate unasked",
    "certificate",
    "did not ask for TLS",
  )

  live("tls: a certificate with padding is read all the same", () =>
    Effect.gen(function* () {
      const plugin = yield* start(misbehaving, { ...doing("pads its certificate"), ...autoMtls })
      yield* plugin.ping
    }),
  )

  live("config: settings that no plugin could be started with are refused before anything is", () =>
    Effect.gen(function* () {
      const good = { magicCookieKey: "KEY", magicCookieValue: "value", protocolVersions: [1] }
      for (const bad of [
        { magicCookieKey: "" },
        { magicCookieKey: "A=B" },
        { magicCookieValue: "" },
        { protocolVersions: [] },
        { protocolVersions: [1.5] },
        { ports: { min: 2, max: 1 } },
        { ports: { min: 0, max: 70_000 } },
      ]) {
        const error = (yield* startError(misbehaving, { handshake: { ...good, ...bad } })) as HandshakeError
        assert.strictEqual(error.kind, "config", JSON.stringify(bad))
      }
    }),
  )
})
