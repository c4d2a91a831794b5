/** The broker's rules on a stream that the test plays; real plugins are in test/conformance. */
import { create } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option, Queue, Scope, Exit } from "effect"
import { TestClock } from "effect/testing"
import { ConnInfoSchema, type ConnInfo } from "../../src/generated/plugin/grpc_broker_pb.js"
import * as Broker from "../../src/goplugin/Broker.ts"
import type { RpcClient } from "../../src/rpc/RpcClient.ts"
import { RpcError, statusCode } from "../../src/rpc/RpcError.ts"

const transport: Broker.BrokerTransport = {
  onMessage: () => Effect.succeed(false),
  listen: (id) => Effect.succeed({ serviceId: id, network: "unix", address: `/ours${id}` }),
  dial: (id, wire) => Effect.map(wire.answer(id, "word"), ({ address }) => `unix:${address}`),
}

const played = Effect.gen(function* () {
  const incoming = yield* Queue.unbounded<ConnInfo>()
  const ended = yield* Deferred.make<Option.Option<ConnInfo>, RpcError>()
  const sent: Array<unknown> = []
  const client = {
    bidi: () =>
      Effect.succeed({
        send: (message: unknown) => Effect.sync(() => sent.push(message)),
        end: Effect.void,
        receive: Effect.raceFirst(Effect.map(Queue.take(incoming), Option.some), Deferred.await(ended)),
      }),
  } as unknown as RpcClient
  const broker = yield* Broker.make("played", client, transport, {})
  const announce = (serviceId: number, address: string) =>
    Effect.andThen(
      Queue.offer(incoming, create(ConnInfoSchema, { serviceId, network: "unix", address })),
      // Lets the broker take it.
      Effect.repeat(Effect.yieldNow, { times: 20 }),
    )
  const connect = (id: number) => Effect.map(Effect.scoped(broker.connect(id)), ({ target }) => target)
  return { broker, announce, connect, sent, ended }
})

describe("Broker", () => {
  it.effect("keeps an announcement for whoever comes within five seconds, once", () =>
    Effect.gen(function* () {
      const { announce, connect } = yield* played
      yield* announce(1, "/a")
      yield* TestClock.adjust("4900 millis")
      assert.strictEqual(yield* connect(1), "unix:/a")
      const again = yield* Effect.forkChild(Effect.flip(connect(1)))
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* Fiber.join(again)).kind, "timeout")
      yield* announce(2, "/b")
      yield* TestClock.adjust("5100 millis")
      const late = yield* Effect.forkChild(Effect.flip(connect(2)))
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* Fiber.join(late)).kind, "timeout")
    }).pipe(Effect.scoped),
  )

  it.effect("takes the first of two announcements, and one that comes while it is waited for", () =>
    Effect.gen(function* () {
      const { announce, connect } = yield* played
      yield* announce(1, "/first")
      yield* announce(1, "/second")
      assert.strictEqual(yield* connect(1), "unix:/first")
      const waiting = yield* Effect.forkChild(connect(2))
      yield* TestClock.adjust("3 seconds")
      yield* announce(2, "/c")
      assert.strictEqual(yield* Fiber.join(waiting), "unix:/c")
    }).pipe(Effect.scoped),
  )

  it.effect("does not keep what a plugin announces without end", () =>
    Effect.gen(function* () {
      const { announce, connect } = yield* played
      for (let id = 1; id <= 1100; id++) yield* announce(id, `/${id}`)
      assert.strictEqual((yield* Effect.flip(connect(1100))).kind, "refused")
      assert.strictEqual(yield* connect(1024), "unix:/1024")
    }).pipe(Effect.scoped),
  )

  it.effect("announces what it serves, and ends it with the plugin's scope or the caller's", () =>
    Effect.gen(function* () {
      const plugin = yield* Scope.make()
      const { broker, sent } = yield* Scope.provide(played, plugin)
      const caller = yield* Scope.make()
      yield* Scope.provide(broker.serve(yield* broker.nextId, []), caller)
      assert.deepStrictEqual(sent, [{ serviceId: 1, network: "unix", address: "/ours1" }])
      yield* Scope.close(plugin, Exit.void)
      assert.strictEqual((yield* Effect.flip(Scope.provide(broker.serve(2, []), caller))).kind, "closed")
      yield* Scope.close(caller, Exit.void)
    }),
  )

  it.effect("tells everybody why it is closed", () =>
    Effect.gen(function* () {
      const { broker, connect, ended } = yield* played
      const waiting = yield* Effect.forkChild(Effect.flip(connect(1)))
      yield* Effect.repeat(Effect.yieldNow, { times: 20 })
      yield* Deferred.fail(ended, new RpcError({ method: "/x", code: statusCode.UNAVAILABLE, details: "gone" }))
      const error = yield* Fiber.join(waiting)
      assert.strictEqual(error.kind, "closed")
      assert.include(error.message, "plugin played: brokered connection 1")
      assert.include(error.message, "gone")
      assert.include((yield* Effect.flip(Effect.scoped(broker.serve(1, [])))).message, "gone")
    }).pipe(Effect.scoped),
  )
})
