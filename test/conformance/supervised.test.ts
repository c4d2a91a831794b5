/** A plugin on our Go package, over ttrpc and over gRPC: what it serves and what it asks means the same on both. */
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { type Handlers, implement, RpcStatus, statusCode } from "../../src/goplugin/index.ts"
import * as GrpcServer from "../../src/grpc/GrpcServer.ts"
import { MAX_CONCURRENT_STREAMS } from "../../src/rpc/RpcLimits.ts"
import * as TtrpcServer from "../../src/ttrpc/TtrpcServer.ts"
import { Test } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import { temporaryFolder } from "../support/folder.ts"
import { goPluginHost, recorded, start, supervisedKind } from "../support/goplugin.ts"
import { BUSY, eventually } from "../support/host.ts"
import type { Entry } from "../support/log.ts"

const { double, environment, leave, payload, printStdio, reflect } = Test.method

const MIB = 1024 * 1024

/** What the plugin asks many times at once. */
const FANNED = 7777

/** What the host answers when the plugin asks it. */
const host = (): Handlers<typeof Test> => {
  const crowded = Deferred.makeUnsafe<void>()
  let waiting = 0
  /** Waits until as many wait as a host takes, and then a little, so that any further ones come. */
  const crowd = Effect.suspend(() => {
    if (++waiting === MAX_CONCURRENT_STREAMS) Deferred.doneUnsafe(crowded, Effect.void)
    return Effect.delay(Deferred.await(crowded), "100 millis")
  })
  return {
    double: ({ number }) => {
      if (number === 1000) return Effect.never
      if (number < 0) return Effect.fail(new RpcStatus({ code: statusCode.OUT_OF_RANGE, details: "too small" }))
      return number === FANNED ? Effect.as(crowd, { number }) : Effect.succeed({ number: 2 * number })
    },
    reflect: ({ key }, { metadata }) =>
      Effect.sync(() => {
        const value = metadata[key]
        if (value === undefined) return { text: "nothing" }
        return { text: Buffer.from(value).toString(key.endsWith("-bin") ? "hex" : "utf8") }
      }),
    payload: ({ data, size }) => Effect.sync(() => ({ data: new Uint8Array(size), received: data.length })),
  }
}

type Transport = "ttrpc" | "grpc"

/** Starts the plugin, with the host's answers within its reach. */
const running = (transport: Transport, env: { readonly [name: string]: string } = {}) =>
  Effect.gen(function* () {
    const services = [implement(Test, host())]
    const target = yield* GrpcServer.serve({ unix: join(yield* temporaryFolder, "api.sock") }, services)
    const serve = (connection: Parameters<typeof TtrpcServer.serve>[0]) =>
      Effect.asVoid(TtrpcServer.serve(connection, services, { maxFrameSize: 32 * MIB }))
    const plugin = yield* start(supervisedKind, {
      env: { FIXTURE_API: target, ...env },
      ttrpc: transport === "ttrpc" ? { serve, isRequired: true } : undefined,
    })
    assert.strictEqual(plugin.reattachConfig.Protocol, transport)
    return plugin
  })

/** Has the plugin ask its host. */
const asked = { metadata: { "x-forward": "yes" } }

describe.skipIf(supervisedKind.missing !== undefined || process.platform === "win32").each(["ttrpc", "grpc"] as const)(
  "a Go plugin over %s",
  (transport) => {
    const live = <E>(name: string, test: (log: ReadonlyArray<Entry>) => Effect.Effect<unknown, E, any>) =>
      it.live(name, () => recorded(test).pipe(Effect.provide(goPluginHost)) as Effect.Effect<unknown, E>)

    live("is told the metadata of a call, text and bytes, and its deadline", () =>
      Effect.gen(function* () {
        const { client } = yield* running(transport)
        const metadata = { "X-Id": "seven", "x-bytes-bin": new Uint8Array([0, 255, 7]) }
        const told = (key: string) => Effect.map(client.unary(reflect, { key }, { metadata }), ({ text }) => text)
        assert.strictEqual(yield* told("x-id"), "seven")
        assert.strictEqual(yield* told("x-bytes-bin"), "00ff07")
        assert.strictEqual(yield* told("deadline"), "false false")
        const { text } = yield* client.unary(reflect, { key: "deadline" }, { deadline: "2 minutes" })
        assert.strictEqual(text, "true true")
        const trace = yield* Effect.withSpan(client.unary(reflect, { key: "traceparent" }), "of the host")
        assert.match(trace.text, /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/)
      }),
    )

    live("fails with the same codes, texts and details", () =>
      Effect.gen(function* () {
        const { client } = yield* running(transport)
        const refused = yield* Effect.flip(client.unary(double, { number: -1 }))
        assert.strictEqual(refused.code, statusCode.OUT_OF_RANGE)
        // As a wrapped error's status is told by grpc-go.
        assert.include(refused.details, "refused: ")
        assert.include(Buffer.from(refused.statusDetails ?? []).toString(), "google.protobuf.Duration")
        const plain = yield* Effect.flip(client.unary(double, { number: 404 }))
        assert.deepStrictEqual([plain.code, plain.details], [statusCode.UNKNOWN, "file does not exist"])
        const unknown = yield* Effect.flip(client.unary(Test.method.stopServing, {}))
        assert.strictEqual(unknown.code, statusCode.UNIMPLEMENTED)
      }),
    )

    live("gives a call up at its deadline", (log) =>
      Effect.gen(function* () {
        const { client } = yield* running(transport)
        const late = yield* Effect.flip(client.unary(double, { number: 1000 }, { deadline: "200 millis" }))
        assert.strictEqual(late.code, statusCode.DEADLINE_EXCEEDED)
        yield* eventually("its handler has", () =>
          log.some(({ message }) => /^given up: context (deadline exceeded|canceled)$/.test(message)),
        )
        // One whose caller leaves before that goes on until then at most.
        const left = yield* Effect.forkScoped(client.unary(double, { number: 1000 }, { deadline: "2 seconds" }))
        yield* eventually("it has begun", () => log.filter(({ message }) => message === "waiting").length === 2)
        yield* Fiber.interrupt(left)
        assert.strictEqual((yield* client.unary(double, { number: 21 })).number, 42)
        const handlers = () => log.filter(({ message }) => message.startsWith("given up: ")).length
        yield* eventually("its handler has as well", () => handlers() === 2)
      }),
    )

    live("asks its host: answers, errors, metadata, and the deadline that it has itself", () =>
      Effect.gen(function* () {
        const { client } = yield* running(transport)
        assert.strictEqual((yield* client.unary(double, { number: 21 }, asked)).number, 42)
        const refused = yield* Effect.flip(client.unary(double, { number: -1 }, asked))
        assert.deepStrictEqual([refused.code, refused.details], [statusCode.OUT_OF_RANGE, "too small"])
        const told = (key: string) => Effect.map(client.unary(reflect, { key }, asked), ({ text }) => text)
        assert.strictEqual(yield* told("x-id"), "mine")
        assert.strictEqual(yield* told("x-bytes-bin"), "00ff")
        assert.strictEqual(yield* told("x-forward"), "nothing", "what it was told itself does not go on")
        const late = yield* Effect.flip(client.unary(double, { number: 1000 }, { ...asked, deadline: "300 millis" }))
        assert.strictEqual(late.code, statusCode.DEADLINE_EXCEEDED)
        assert.strictEqual((yield* client.unary(double, { number: 1 }, asked)).number, 2)
      }),
    )

    live("answers hundreds of calls at once, and makes more than a host takes at once", () =>
      Effect.gen(function* () {
        const { client } = yield* running(transport)
        const answers = yield* Effect.forEach(
          Array.from({ length: 400 }, (_, number) => number),
          (number) => client.unary(double, { number }, number % 2 === 0 ? {} : asked),
          { concurrency: "unbounded" },
        )
        assert.deepStrictEqual(
          answers.map(({ number }) => number),
          answers.map((_, index) => 2 * index),
        )
        const { number } = yield* client.unary(double, { number: 2500 }, { metadata: { "x-fan": "out" } })
        assert.strictEqual(number, 2500)
      }),
    )

    live("takes messages of nearly 4 MiB, and what is larger fails its call alone", () =>
      Effect.gen(function* () {
        const { client } = yield* running(transport)
        const sent = (data: number, size: number, options = {}) =>
          client.unary(payload, { data: new Uint8Array(data), size }, options).pipe(
            Effect.map((answer) => answer.received + answer.data.length),
            Effect.catch(({ code, details }) => Effect.succeed(`${code}: ${details}`)),
          )
        const most = 4 * MIB - 64 * 1024 - 16
        assert.strictEqual(yield* sent(most, most), 2 * most)
        assert.strictEqual(yield* sent(0, most, asked), most)
        assert.strictEqual(yield* sent(0, -most, asked), most)
        const over = 5 * MIB
        const refused = new RegExp(`^${statusCode.RESOURCE_EXHAUSTED}: .*(maximum|at most|larger than max)`)
        assert.match(String(yield* sent(over, 1)), refused)
        const answers = [yield* sent(1, over), yield* sent(0, -over, asked)]
        // What it sends grpc-go does not limit.
        if (transport === "grpc") assert.deepStrictEqual(answers, [over + 1, over])
        else for (const answer of answers) assert.match(String(answer), /at most.*Config\.MaxMessageSize/)
        assert.match(String(yield* sent(0, over, asked)), refused)
        // Over gRPC such a text ends the connection.
        if (transport === "ttrpc") {
          const long = yield* Effect.flip(client.unary(double, { number: 405 }))
          assert.match(long.details, /^the error has \d+ bytes/)
        }
        assert.strictEqual((yield* client.unary(double, { number: 21 }, asked)).number, 42)
      }),
    )

    live("has what it prints logged, line by line", (log) =>
      Effect.gen(function* () {
        const { client } = yield* running(transport)
        const [stdout, stderr] = ["one\ntwo\n", "three\n"].map((text) => new Uint8Array(Buffer.from(text)))
        yield* client.unary(printStdio, { stdout: stdout!, stderr: stderr! })
        const levels = () =>
          ["one", "two", "three"].map((line) => log.find(({ message }) => message === line)?.level ?? "")
        yield* eventually("all are there", () => levels().every((level) => level !== ""))
        assert.deepStrictEqual(levels(), ["Info", "Info", "Info"])
      }),
    )

    live("hands its sockets down to nobody", () =>
      Effect.gen(function* () {
        const { client } = yield* running(transport)
        const { value } = yield* client.unary(environment, { name: "descriptors" })
        assert.include(value, " 0 -> ")
        assert.notInclude(value, "socket:")
        assert.isFalse((yield* client.unary(environment, { name: "PLUGIN_SUPERVISOR_TTRPC" })).exists)
      }),
    )

    live("is missed when it has ended by itself", () =>
      Effect.gen(function* () {
        const { client, disconnected, process } = yield* running(transport)
        const waiting = yield* Effect.forkScoped(Effect.flip(client.unary(double, { number: 1000 })))
        yield* Effect.ignore(client.unary(leave, { code: 7 }))
        assert.deepStrictEqual(yield* Effect.timeout(process.exit, BUSY), { code: 7, signal: null })
        const { code, details } = yield* Fiber.join(waiting)
        assert.include([statusCode.UNAVAILABLE, statusCode.CANCELLED], code)
        assert.include(details, "exit code 7")
        yield* Effect.timeout(disconnected, BUSY)
      }),
    )
  },
)
