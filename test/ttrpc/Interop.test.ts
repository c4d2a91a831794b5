/** Our client and our server with containerd's ttrpc, in Go, and with that of the SDK, in Python; and those two. */
import { type ChildProcess, spawn } from "node:child_process"
import { type Duplex, pipeline } from "node:stream"
import { createInterface } from "node:readline"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option, type Scope, Stream } from "effect"
import { messages } from "../../src/rpc/RpcClient.ts"
import { RpcStatus, statusCode } from "../../src/rpc/RpcError.ts"
import { implement } from "../../src/rpc/RpcHandler.ts"
import * as TtrpcClient from "../../src/ttrpc/TtrpcClient.ts"
import * as TtrpcServer from "../../src/ttrpc/TtrpcServer.ts"
import { Test } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import { VARIABLES } from "../../src/command/Variables.ts"
import { frameSizeFor, PROTOCOL_FRAME_SIZE } from "../../src/ttrpc/TtrpcLimits.ts"
import { goProgram, noGo, pythonKind, pythonProgram } from "../support/goplugin.ts"
import { eventually } from "../support/host.ts"
import { sumOf } from "../support/ttrpc.ts"

const { count, double, environment, hang, leave, payload, reflect, stream, sum } = Test.method
const DEADLINE = { deadline: "20 seconds" } as const

/** What the client in Go tells of its calls, whichever server answers. */
const TOLD_OF_ALL = {
  double: "42",
  empty: "0",
  "after deadline": "2",
  "4 MiB less a little": "4194204 4194204",
  // It is its own client that does not send it.
  "too large a request": "ResourceExhausted",
  "too large a response": "ResourceExhausted",
  "after too large": "4",
  "server stream": "1000",
  "empty server stream": "0",
  "server stream that fails": "0, Aborted: enough",
  "client stream": "500500",
  "empty client stream": "0",
  "both ways": ["0", "2", "4", "EOF"],
}

const live = <E>(name: string, test: Effect.Effect<unknown, E, Scope.Scope>) => it.live(name, () => Effect.scoped(test))

/** A program that speaks ttrpc, and what it is called in tests. */
interface Language {
  readonly name: string
  readonly missing: string | undefined
  readonly command: ReadonlyArray<string>
}

const go: Language = { name: "Go", missing: noGo, command: [goProgram("ttrpc")] }
const python: Language = { name: "Python", missing: pythonKind.missing, command: pythonProgram("ttrpc") }
const onThread: Language = {
  ...python,
  name: "Python, where a thread reads",
  command: [...pythonProgram("ttrpc"), "--thread"],
}

/** Has the SDK take frames as large as the protocol's. */
const env = {
  ...process.env,
  [VARIABLES.messageLimit]: String(2 * PROTOCOL_FRAME_SIZE - frameSizeFor(PROTOCOL_FRAME_SIZE)),
}

/** Starts such a program, with one end of a connection. Where it has `errors`, what it writes to stderr is put there. */
const peer = (
  { command: [program = "", ...args] }: Language,
  mode: "serve" | "answer" | "call",
  errors?: Array<Buffer>,
) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const stdio = ["ignore", "pipe", errors === undefined ? "inherit" : "pipe", "pipe"] as const
        return spawn(program, [...args, mode], { env, stdio: [...stdio] })
      }),
      (child) => Effect.sync(() => child.kill("SIGKILL")),
    ),
    (child: ChildProcess) => {
      child.stderr?.on("data", (chunk: Buffer) => errors?.push(chunk))
      const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
      return {
        socket: child.stdio[3] as Duplex,
        line: Effect.map(
          Effect.promise(() => lines.next()),
          ({ value }): any => JSON.parse(String(value)),
        ),
      }
    },
  )

/** What a caller reports of a server in another language, whose stderr goes to `errors`, if there are any. */
const reports = Effect.fnUntraced(function* (caller: Language, server: Language, errors?: Array<Buffer>) {
  const calling = yield* peer(caller, "call")
  const serving = yield* peer(server, server === go ? "serve" : "answer", errors)
  pipeline(calling.socket, serving.socket, calling.socket, () => {})
  return calling
})

describe.each([go, python, onThread])("our client of a server in $name", (language) => {
  const server = Effect.flatMap(peer(language, "serve"), ({ socket }) => TtrpcClient.make(socket))
  const live = <E>(name: string, test: Effect.Effect<unknown, E, Scope.Scope>) =>
    it.live.skipIf(language.missing !== undefined)(name, () => Effect.scoped(test))

  live(
    "calls it, and is told what is wrong",
    Effect.gen(function* () {
      const client = yield* server
      assert.strictEqual((yield* client.unary(double, { number: 21 }, DEADLINE)).number, 42)
      assert.strictEqual((yield* client.unary(double, {}, DEADLINE)).number, 0)
      const answers = yield* Effect.forEach(
        Array.from({ length: 500 }, (_, number) => number % 400),
        (number) => Effect.map(client.unary(double, { number }, DEADLINE), (answer) => [number, answer.number]),
        { concurrency: "unbounded" },
      )
      for (const [number, answer] of answers) assert.strictEqual(answer, 2 * number!)
      const refused = yield* Effect.flip(client.unary(double, { number: -1 }, DEADLINE))
      assert.deepStrictEqual([refused.code, refused.details], [statusCode.OUT_OF_RANGE, "too small"])
      assert.include(Buffer.from(refused.statusDetails!).toString("latin1"), "google.protobuf.Duration")
      const missing = yield* Effect.flip(client.unary(double, { number: 404 }, DEADLINE))
      assert.strictEqual(missing.code, statusCode.NOT_FOUND)
      assert.isTrue((yield* Effect.flip(client.unary(environment, {}, DEADLINE))).isUnimplemented)
    }),
  )

  live(
    "sends what goes along, and the deadline",
    Effect.gen(function* () {
      const client = yield* server
      const metadata = { "X-Id": "a, b", "x-bin": new Uint8Array([0, 255, 7]) }
      const asked = (key: string, options: object) =>
        Effect.map(client.unary(reflect, { key }, options), ({ text }) => text)
      assert.strictEqual(yield* asked("x-id", { ...DEADLINE, metadata }), "a, b")
      assert.strictEqual(yield* asked("x-bin", { ...DEADLINE, metadata }), "AP8H")
      assert.strictEqual(yield* asked("deadline", { deadline: "2 minutes" }), "true true")
      assert.strictEqual(yield* asked("deadline", {}), "false false")
      const late = yield* Effect.flip(client.unary(double, { number: 1000 }, { deadline: 100 }))
      assert.isTrue(late.isDeadline)
      // It does not know the call by which one is given up.
      assert.strictEqual((yield* client.unary(double, { number: 1 }, DEADLINE)).number, 2)
    }),
  )

  live(
    "streams every way",
    Effect.gen(function* () {
      const client = yield* server
      const counted = yield* Stream.runCollect(client.serverStream(count, { number: 1000 }, DEADLINE))
      assert.deepStrictEqual([counted.length, counted.at(-1)?.number], [1000, 1000])
      const aborted = yield* Effect.flip(Stream.runDrain(client.serverStream(count, { number: -1 }, DEADLINE)))
      assert.deepStrictEqual([aborted.code, aborted.details], [statusCode.ABORTED, "enough"])
      const numbers = Stream.map(Stream.range(1, 1000), (number) => ({ number }))
      assert.strictEqual((yield* client.clientStream(sum, numbers, DEADLINE)).sum, 500_500)
      assert.strictEqual((yield* client.clientStream(sum, Stream.empty, DEADLINE)).sum, 0)
      const call = yield* client.bidi(stream, DEADLINE)
      for (const number of [0, 1, 2]) {
        yield* call.send({ number })
        assert.strictEqual(Option.getOrThrow(yield* call.receive).number, 2 * number)
      }
      yield* call.end
      assert.isTrue(Option.isNone(yield* call.receive))
      const late = yield* Effect.flip(Stream.runDrain(client.serverStream(hang, {}, { deadline: 100 })))
      assert.isTrue(late.isDeadline)
    }),
  )

  live(
    "sends nothing that is too large, and outlives a server that does",
    Effect.gen(function* () {
      const client = yield* server
      const fits = 4 * 1024 * 1024 - 100
      const answer = yield* client.unary(payload, { data: new Uint8Array(fits), size: fits }, DEADLINE)
      assert.deepStrictEqual([answer.received, answer.data.length], [fits, fits])
      const refused = yield* Effect.flip(client.unary(payload, { data: new Uint8Array(5_000_000) }, DEADLINE))
      assert.strictEqual(refused.code, statusCode.RESOURCE_EXHAUSTED)
      assert.strictEqual((yield* client.unary(double, { number: 1 }, DEADLINE)).number, 2)
      // Go's server drops the connection when its own answer is too large.
      const dropped = yield* Effect.flip(client.unary(payload, { size: 5_000_000 }, DEADLINE))
      assert.strictEqual(dropped.code, language === go ? statusCode.UNAVAILABLE : statusCode.RESOURCE_EXHAUSTED)
      if (language === go) yield* client.disconnected
      else assert.strictEqual((yield* client.unary(double, { number: 1 }, DEADLINE)).number, 2)
    }),
  )

  live(
    "is told of the end of the connection",
    Effect.gen(function* () {
      const client = yield* server
      const waiting = yield* Effect.forkChild(Effect.flip(client.unary(double, { number: 1000 }, DEADLINE)))
      const streaming = yield* Effect.forkChild(Effect.flip(Stream.runDrain(client.serverStream(hang, {}, DEADLINE))))
      assert.strictEqual((yield* client.unary(double, { number: 1 }, DEADLINE)).number, 2)
      const left = yield* Effect.flip(client.unary(leave, {}, DEADLINE))
      for (const { code } of [left, yield* Fiber.join(waiting), yield* Fiber.join(streaming)]) {
        assert.strictEqual(code, statusCode.UNAVAILABLE)
      }
      yield* client.disconnected
    }),
  )
})

describe.skipIf(noGo !== undefined)("our server of a client in Go", () => {
  live(
    "answers all that it asks",
    Effect.gen(function* () {
      const interrupted = yield* Deferred.make<void>()
      const asked = yield* Deferred.make<void>()
      let waiting = 0
      const { line, socket } = yield* peer(go, "call")
      const server = yield* Effect.forkChild(
        Effect.scoped(
          Effect.andThen(
            TtrpcServer.serve(socket, [
              implement(Test, {
                double: ({ number }) => {
                  if (number === 13) return Effect.die(new Error("a secret"))
                  if (number < 0) return Effect.fail(new RpcStatus({ code: statusCode.ABORTED, details: "enough" }))
                  if (number < 1000) return Effect.succeed({ number: 2 * number })
                  const begun = ++waiting === 2 ? Deferred.succeed(asked, undefined) : Effect.void
                  return Effect.onInterrupt(Effect.andThen(begun, Effect.never), () =>
                    Deferred.succeed(interrupted, undefined),
                  )
                },
                reflect: ({ key }, { metadata }) =>
                  Effect.succeed({ text: `${String(metadata[key])} ${String(metadata["x-bin"])}` }),
                payload: ({ data, size }) => Effect.succeed({ data: new Uint8Array(size), received: data.length }),
                count: ({ number }) =>
                  number < 0
                    ? Stream.fail(new RpcStatus({ code: statusCode.ABORTED, details: "enough" }))
                    : Stream.map(Stream.range(1, number), (number) => ({ number })),
                sum: sumOf,
                stream: (call) => Stream.runForEach(messages(call), ({ number }) => call.send({ number: 2 * number })),
              }),
            ]),
            Effect.never,
          ),
        ),
      )
      const { deadline, ...told } = yield* line
      // Both sides keep it, and either may be the first.
      assert.include(["context deadline exceeded", "DeadlineExceeded: the call's deadline has passed"], deadline)
      assert.deepStrictEqual(told, {
        ...TOLD_OF_ALL,
        error: "Aborted: enough",
        unexpected: "Internal: internal error of the host",
        "unknown method": "Unimplemented: grpctest.Test has no method Leave",
        "unknown service": "Unimplemented: there is no service x.Y",
        metadata: ["OK", "a, b 0,255,7"],
      })
      // The first one was, by its deadline.
      yield* Deferred.await(interrupted)
      yield* Deferred.await(asked)
      yield* Fiber.interrupt(server)
      assert.strictEqual(yield* line, "Canceled: the call was cancelled")
    }),
  )
})

describe.skipIf(noGo !== undefined || python.missing !== undefined)("the SDK's server of a client in Go", () => {
  for (const server of [python, onThread]) {
    live(
      `answers all that it asks: ${server.name}`,
      Effect.gen(function* () {
        const errors: Array<Buffer> = []
        const { line } = yield* reports(go, server, errors)
        const { deadline, ...told } = yield* line
        assert.include(["context deadline exceeded", "DeadlineExceeded: Deadline Exceeded"], deadline)
        assert.deepStrictEqual(told, {
          ...TOLD_OF_ALL,
          error: "OutOfRange: too small",
          unexpected: "Unknown: Unexpected <class 'RuntimeError'>",
          "unknown method": "Unimplemented: Method not implemented!",
          "unknown service": "Unimplemented: service x.Y",
          metadata: ["OK", "a|b"],
        })
        // What its caller is not told is in the log.
        const logged = () => Buffer.concat(errors).toString()
        yield* eventually("the traceback has come", () => logged().includes("RuntimeError: a secret\n"))
        assert.match(logged(), /^a call has failed: grpctest\.Test\/Double\nTraceback [^]*\nRuntimeError: a secret\n$/)
      }),
    )
  }
})

/** What the SDK's client reports of any server. */
const REPORT = {
  double: "42",
  error: "OUT_OF_RANGE: too small and details",
  metadata: "a|b",
  deadline: "DEADLINE_EXCEEDED",
  "after deadline": "2",
  "4 MiB less a little": "4194204 4194204",
  "too large a request": "RESOURCE_EXHAUSTED",
  "server stream": "1000",
  "empty server stream": "0",
  "server stream that fails": "0, ABORTED: enough",
  "client stream": "500500",
  "empty client stream": "0",
  "both ways": ["0", "2", "4", "end"],
  "many at once": true,
  "late stream": "DEADLINE_EXCEEDED",
  "unread stream": ["RESOURCE_EXHAUSTED: the stream's messages were not read", "6"],
  "after all": "4",
}

describe.skipIf(python.missing !== undefined)("the SDK's client", () => {
  for (const server of [go, python]) {
    it.live.skipIf(server.missing !== undefined)(`calls a server in ${server.name}, whose connection ends`, () =>
      Effect.gen(function* () {
        const { line, socket } = yield* reports(python, server)
        assert.deepStrictEqual(yield* line, REPORT)
        assert.strictEqual(yield* line, "asked")
        socket.destroy()
        assert.deepStrictEqual(yield* line, ["UNAVAILABLE", "UNAVAILABLE"])
      }).pipe(Effect.scoped),
    )
  }

  live(
    "calls our server, whose connection ends",
    Effect.gen(function* () {
      const interrupted = yield* Deferred.make<void>()
      const { line, socket } = yield* peer(python, "call")
      const details = Buffer.from(
        "CAsSCXRvbyBzbWFsbBoyCix0eXBlLmdvb2dsZWFwaXMuY29tL2dvb2dsZS5wcm90b2J1Zi5EdXJhdGlvbhICCAE=",
        "base64",
      )
      yield* TtrpcServer.serve(socket, [
        implement(Test, {
          double: ({ number }) => {
            if (number < 0) {
              return Effect.fail(
                new RpcStatus({ code: statusCode.OUT_OF_RANGE, details: "too small", statusDetails: details }),
              )
            }
            return number < 1000 ? Effect.succeed({ number: 2 * number }) : Effect.never
          },
          reflect: (_, { metadata }) => Effect.succeed({ text: String(metadata["x-id"]).replace(", ", "|") }),
          payload: ({ data, size }) => Effect.succeed({ data: new Uint8Array(size), received: data.length }),
          count: ({ number }) =>
            number < 0
              ? Stream.fail(new RpcStatus({ code: statusCode.ABORTED, details: "enough" }))
              : Stream.map(Stream.range(1, number), (number) => ({ number })),
          sum: sumOf,
          stream: (call) => Stream.runForEach(messages(call), ({ number }) => call.send({ number: 2 * number })),
          hang: () => Stream.onExit(Stream.never, () => Deferred.succeed(interrupted, undefined)),
        }),
      ])
      assert.deepStrictEqual(yield* line, REPORT)
      // By its deadline, of which the client tells as well.
      yield* Deferred.await(interrupted)
      assert.strictEqual(yield* line, "asked")
      socket.destroy()
      assert.deepStrictEqual(yield* line, ["UNAVAILABLE", "UNAVAILABLE"])
    }),
  )
})
