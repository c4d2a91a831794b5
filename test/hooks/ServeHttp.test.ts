/** ServeHTTP's rules against plugins that keep them, and some that don't. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Metric, Option, Stream } from "effect"
import type { ServeHTTPRequest } from "../../src/generated/mattermost/pluginapi/v1/hooks_http_pb.js"
import { RpcStatus, statusCode } from "../../src/rpc/RpcError.ts"
import { Hooks } from "../../src/hooks/Hooks.ts"
import { CHUNK_SIZE, serveHttp } from "../../src/hooks/ServeHttp.ts"
import { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import * as FakePlugin from "../../src/testing/FakePlugin.ts"

type Call = Parameters<NonNullable<FakePlugin.FakeHooks<MattermostContract>["serveHTTP"]>>[0]
type Message = Parameters<Call["send"]>[0]

/** What a handler may do; what the transport says of it is the host's affair here. */
const handled = (handler: (call: Call) => Effect.Effect<void, unknown>) => (call: Call) =>
  Effect.mapError(handler(call), (error) =>
    error instanceof RpcStatus ? error : new RpcStatus({ code: statusCode.INTERNAL, details: String(error) }),
  )

const connect = Effect.fnUntraced(function* (handler: (call: Call) => Effect.Effect<void, unknown>, pluginId = "fake") {
  const { client } = yield* FakePlugin.start(MattermostContract, { serveHTTP: handled(handler) })
  return yield* (yield* Hooks).connect(MattermostContract, client, pluginId)
})
const answers = (...messages: ReadonlyArray<Message>) =>
  connect((call) => Effect.forEach(messages, (message) => call.send(message), { discard: true }))
const init = { method: "GET", url: "/" }
const text = <E>(body: Stream.Stream<Uint8Array, E>) =>
  Effect.map(Stream.mkUint8Array(body), (all) => Buffer.from(all).toString())

describe("serveHttp", () => {
  const live = (name: string, effect: Effect.Effect<void, unknown, Hooks | import("effect").Scope.Scope>) =>
    it.live(name, () => effect.pipe(Effect.scoped, Effect.provide(Hooks.layer)))

  live(
    "takes a head, with or without a first chunk, and several values of a header",
    Effect.gen(function* () {
      const headers = [{ key: "X", values: ["1", "2"] }]
      const hooks = yield* answers(
        { init: { statusCode: 201, headers }, bodyChunk: Buffer.from("a") },
        { flush: true },
        { bodyChunk: Buffer.from("b") },
        { bodyComplete: true, bodyChunk: Buffer.from("c") },
      )
      const response = yield* serveHttp(hooks, { init })
      assert.strictEqual(response.status, 201)
      assert.deepStrictEqual(response.headers, [["X", ["1", "2"]]])
      assert.strictEqual(yield* text(response.body), "abc")
    }),
  )

  live(
    "takes status 0 for 200, and an answer in one message",
    Effect.gen(function* () {
      const response = yield* serveHttp(yield* answers({ init: {}, bodyComplete: true }), { init })
      assert.strictEqual(response.status, 200)
      assert.strictEqual(yield* text(response.body), "")
    }),
  )

  const broken: ReadonlyArray<readonly [name: string, messages: ReadonlyArray<Message>, statusCode: number]> = [
    ["no message at all", [], 502],
    ["no head", [{ bodyChunk: Buffer.from("x"), bodyComplete: true }], 502],
    ["status 99", [{ init: { statusCode: 99 }, bodyComplete: true }], 500],
    ["status 101", [{ init: { statusCode: 101 }, bodyComplete: true }], 500],
    ["status 1000", [{ init: { statusCode: 1000 }, bodyComplete: true }], 500],
    ["a negative status", [{ init: { statusCode: -1 }, bodyComplete: true }], 500],
  ]
  it.live.each(broken)("refuses %s", ([, messages, expected]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(serveHttp(yield* answers(...messages), { init }))
      assert.deepInclude(error, { _tag: "HookPluginError", statusCode: expected })
    }).pipe(Effect.scoped, Effect.provide(Hooks.layer)),
  )

  const cut: ReadonlyArray<readonly [name: string, messages: ReadonlyArray<Message>]> = [
    ["ends without body_complete", [{ init: {} }, { bodyChunk: Buffer.from("x") }]],
    ["has a second head", [{ init: {} }, { init: {}, bodyComplete: true }]],
  ]
  it.live.each(cut)("fails the body of a response that %s", ([, messages]) =>
    Effect.gen(function* () {
      const response = yield* serveHttp(yield* answers(...messages), { init })
      assert.strictEqual((yield* Effect.flip(text(response.body)))._tag, "HookPluginError")
    }).pipe(Effect.scoped, Effect.provide(Hooks.layer)),
  )

  live(
    "does not mind a status after the end of the body, as the published SDK sends one with its 500",
    Effect.gen(function* () {
      const hooks = yield* connect((call) =>
        Effect.andThen(
          call.send({ init: { statusCode: 500 }, bodyChunk: Buffer.from("x"), bodyComplete: true }),
          Effect.fail(new RpcStatus({ code: statusCode.INTERNAL, details: "the exception" })),
        ),
      )
      const response = yield* serveHttp(hooks, { init })
      assert.strictEqual(response.status, 500)
      assert.strictEqual(yield* text(response.body), "x")
    }),
  )

  live(
    "counts and times requests, as all calls of hooks",
    Effect.gen(function* () {
      const hooks = yield* connect((call) => call.send({ init: {}, bodyComplete: true }), "counted")
      yield* serveHttp(hooks, { init })
      yield* serveHttp(hooks, { init })
      yield* Effect.flip(serveHttp({ ...hooks, implemented: new Set() }, { init }))
      const counted = (yield* Metric.snapshot)
        .filter(({ attributes }) => attributes?.["plugin"] === "counted")
        .map(({ attributes, state }) => [attributes?.["outcome"], "count" in state && state.count])
      assert.sameDeepMembers(counted, [
        ["ok", 2],
        ["notimplemented", 1],
        [undefined, 3],
      ])
    }),
  )

  live(
    "tells a status before the head",
    Effect.gen(function* () {
      const status = (code: number) => connect(() => Effect.fail(new RpcStatus({ code, details: "x" })))
      const failed = yield* Effect.flip(serveHttp(yield* status(statusCode.INTERNAL), { init }))
      assert.deepInclude(failed, { _tag: "HookPluginError", statusCode: 502 })
      const gone = yield* Effect.flip(serveHttp(yield* status(statusCode.UNAVAILABLE), { init }))
      assert.strictEqual(gone._tag, "HookTransportError")
    }),
  )

  live(
    "sends the body in chunks of 64 KiB, its head first and its end last",
    Effect.gen(function* () {
      const received: Array<ServeHTTPRequest> = []
      const hooks = yield* connect((call) =>
        Effect.gen(function* () {
          while (true) {
            const message = yield* call.receive
            if (Option.isNone(message)) break
            received.push(message.value)
          }
          yield* call.send({ init: {}, bodyComplete: true })
        }),
      )
      const body = Stream.fromIterable([new Uint8Array(CHUNK_SIZE * 2 + 1), new Uint8Array(3), new Uint8Array(0)])
      yield* serveHttp(hooks, { init, body })
      assert.deepStrictEqual(
        received.map(({ bodyChunk }) => bodyChunk.length),
        [0, CHUNK_SIZE, CHUNK_SIZE, 1, 3, 0],
      )
      assert.deepStrictEqual(
        received.map(({ bodyComplete, init }) => [init !== undefined, bodyComplete]),
        [[true, false], ...Array.from({ length: 4 }, () => [false, false]), [false, true]],
      )
    }),
  )

  live(
    "ends its direction behind the request, whether that has a body or none",
    Effect.gen(function* () {
      const hooks = yield* connect((call) =>
        Effect.gen(function* () {
          while (Option.isSome(yield* call.receive)) {
            // Reads to the end, not to `body_complete`.
          }
          yield* call.send({ init: {}, bodyComplete: true })
        }),
      )
      for (const body of [undefined, Stream.empty, Stream.succeed(new Uint8Array(1))]) {
        assert.strictEqual((yield* Effect.scoped(serveHttp(hooks, { init, body }))).status, 200)
      }
    }),
  )

  live(
    "lets a handler go on that has ended its response",
    Effect.gen(function* () {
      const mayGoOn = yield* Deferred.make<void>()
      const wentOn = yield* Deferred.make<boolean>()
      const hooks = yield* connect((call) =>
        call.send({ init: {}, bodyComplete: true }).pipe(
          Effect.andThen(Deferred.await(mayGoOn)),
          Effect.onExit((exit) => Deferred.succeed(wentOn, Exit.isSuccess(exit))),
        ),
      )
      yield* Effect.scoped(Effect.flatMap(serveHttp(hooks, { init }), ({ body }) => Stream.runDrain(body)))
      // Long enough for a cancellation to arrive.
      yield* Effect.sleep("200 millis")
      yield* Deferred.succeed(mayGoOn, undefined)
      assert.isTrue(yield* Deferred.await(wentOn))
    }),
  )

  live(
    "stops the upload when the answer is complete",
    Effect.gen(function* () {
      const stopped = yield* Deferred.make<void>()
      const hooks = yield* answers({ init: { statusCode: 413 }, bodyComplete: true })
      const endless = Stream.fromEffectRepeat(Effect.as(Effect.sleep("1 millis"), new Uint8Array(1))).pipe(
        Stream.ensuring(Deferred.succeed(stopped, undefined)),
      )
      yield* Effect.scoped(
        Effect.gen(function* () {
          const response = yield* serveHttp(hooks, { init, body: endless })
          assert.strictEqual(response.status, 413)
          yield* Stream.runDrain(response.body)
        }),
      )
      yield* Effect.timeout(Deferred.await(stopped), "60 seconds")
    }),
  )

  live(
    "does not wait for ever for a plugin that is silent, nor for one that does not read",
    Effect.gen(function* () {
      const hooks = yield* connect(() => Effect.never)
      const silent = yield* Effect.flip(serveHttp(hooks, { init }, "100 millis"))
      assert.strictEqual(silent._tag, "HookDeadlineError")
      const flood = Stream.fromEffectRepeat(Effect.succeed(new Uint8Array(CHUNK_SIZE)))
      const deaf = yield* Effect.flip(serveHttp(hooks, { init, body: flood }, "300 millis")).pipe(
        Effect.timeout("60 seconds"),
      )
      assert.strictEqual(deaf._tag, "HookDeadlineError")
    }),
  )

  live(
    "takes no answer to a request that was not read in time",
    Effect.gen(function* () {
      const lost = yield* Deferred.make<void>()
      const hooks = yield* connect((call) =>
        Effect.andThen(Deferred.await(lost), Effect.andThen(call.send({ init: {} }), Effect.never)),
      )
      const flood = Stream.fromEffectRepeat(Effect.succeed(new Uint8Array(CHUNK_SIZE))).pipe(
        Stream.ensuring(Deferred.succeed(lost, undefined)),
      )
      const late = yield* Effect.flip(serveHttp(hooks, { init, body: flood }, "1 second"))
      assert.strictEqual(late._tag, "HookDeadlineError")
    }),
  )

  live(
    "cancels the call when its Scope closes",
    Effect.gen(function* () {
      const cancelled = yield* Deferred.make<void>()
      const hooks = yield* connect((call) =>
        Effect.andThen(call.send({ init: {} }), Effect.never).pipe(
          Effect.onInterrupt(() => Deferred.succeed(cancelled, undefined)),
        ),
      )
      yield* Effect.scoped(serveHttp(hooks, { init }))
      yield* Effect.timeout(Deferred.await(cancelled), "60 seconds")
    }),
  )
})
