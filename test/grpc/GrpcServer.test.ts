/** Our servers and our clients, over real sockets; TLS and the streams of other people's servers are in conformance. */
import { webcrypto } from "node:crypto"
import { existsSync, readdirSync, statSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Option, Scope, Stream, Tracer } from "effect"
import * as AutoMtls from "../../src/goplugin/AutoMtls.ts"
import { RpcStatus, statusCode } from "../../src/rpc/RpcError.ts"
import * as GrpcClient from "../../src/grpc/GrpcClient.ts"
import { implement } from "../../src/rpc/RpcHandler.ts"
import { serve } from "../../src/grpc/GrpcServer.ts"
import { Test } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import { MAX_CONNECTIONS } from "../../src/grpc/GrpcLimits.ts"
import { PREFACE } from "../fixtures/http2/frames.ts"
import { temporaryFolder } from "../support/folder.ts"
import { recordLog } from "../support/log.ts"
import { sumOf } from "../support/ttrpc.ts"

const { count, double, environment, stream, sum } = Test.method

const service = implement(Test, {
  double: ({ number }) =>
    number < 0
      ? Effect.fail(new RpcStatus({ code: statusCode.OUT_OF_RANGE, details: "too small" }))
      : Effect.succeed({ number: 2 * number }),
  count: ({ number }) =>
    number < 0
      ? Stream.concat(
          Stream.make({ number: 1 }),
          Stream.fail(new RpcStatus({ code: statusCode.ABORTED, details: "enough" })),
        )
      : Stream.map(Stream.range(1, number), (number) => ({ number })),
  sum: sumOf,
  stream: (call) =>
    Effect.ignore(
      Effect.flatMap(
        call.receive,
        Option.match({
          onNone: () => Effect.void,
          onSome: ({ number }) => call.send({ number: -number }),
        }),
      ),
    ),
})

const served = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  return yield* GrpcClient.make(yield* serve({ unix: join(folder, "socket") }, [service]))
})

describe.skipIf(process.platform === "win32")("GrpcServer", () => {
  it.live("serves all four kinds of rpc", () =>
    Effect.gen(function* () {
      const client = yield* served
      assert.strictEqual((yield* client.unary(double, { number: 4 })).number, 8)
      const counted = yield* Stream.runCollect(client.serverStream(count, { number: 500 }))
      assert.strictEqual([...counted].at(-1)?.number, 500)
      const numbers = Stream.map(Stream.range(1, 500), (number) => ({ number }))
      assert.strictEqual((yield* client.clientStream(sum, numbers)).sum, 125_250)
      const call = yield* client.bidi(stream)
      yield* call.send({ number: 3 })
      assert.strictEqual(Option.getOrThrow(yield* call.receive).number, -3)
      assert.isTrue(Option.isNone(yield* call.receive))
    }).pipe(Effect.scoped),
  )

  it.live("tells a handler's status, and of what has no handler that it has none", () =>
    Effect.gen(function* () {
      const client = yield* served
      const refused = yield* Effect.flip(client.unary(double, { number: -1 }))
      assert.deepStrictEqual([refused.code, refused.details], [statusCode.OUT_OF_RANGE, "too small"])
      const seen: Array<number> = []
      const aborted = yield* client.serverStream(count, { number: -1 }).pipe(
        Stream.runForEach(({ number }) => Effect.sync(() => seen.push(number))),
        Effect.flip,
      )
      assert.deepStrictEqual([seen, aborted.code, aborted.details], [[1], statusCode.ABORTED, "enough"])
      assert.isTrue((yield* Effect.flip(client.unary(environment, { name: "X" }))).isUnimplemented)
    }).pipe(Effect.scoped),
  )

  it.live("lets only those in whose certificate it knows", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const [ours, theirs, stranger] = yield* Effect.all(
        Array.from({ length: 3 }, () => AutoMtls.makeCertificate("P-256")),
      )
      const target = yield* serve({ unix: join(folder, "socket") }, [service], {
        tls: { authorities: theirs!.certificate, identity: ours! },
      })
      const answer = (identity: AutoMtls.HostCertificate | undefined, authorities = ours!.certificate) =>
        Effect.scoped(
          Effect.flatMap(GrpcClient.make(target, { tls: { authorities, identity } }), (client) =>
            Effect.exit(client.unary(double, { number: 1 }, { deadline: "20 seconds" })),
          ),
        )
      assert.strictEqual((yield* answer(theirs))._tag, "Success")
      assert.strictEqual((yield* answer(stranger))._tag, "Failure")
      assert.strictEqual((yield* answer(undefined))._tag, "Failure")
      assert.strictEqual((yield* answer(theirs, stranger!.certificate))._tag, "Failure")
    }).pipe(Effect.scoped),
  )

  it.live("leaves no socket, and refuses a path that Node would cut off", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* Effect.scoped(serve({ unix: join(folder, "socket") }, [service]))
      assert.isFalse(existsSync(join(folder, "socket")))
      const error = yield* Effect.scoped(Effect.flip(serve({ unix: join(folder, "x".repeat(108)) }, [service])))
      assert.include(error.message, "longer than")
      assert.deepStrictEqual(readdirSync(folder), [])
    }).pipe(Effect.scoped),
  )

  it.live("shows handlers what was sent along, and sends what they say beside their answers", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const details = new Uint8Array([8, 9])
      const target = yield* serve({ unix: join(folder, "socket") }, [
        implement(Test, {
          reflect: Effect.fnUntraced(function* ({ key }, { metadata, sendHeaders, setTrailers }) {
            yield* sendHeaders({ "x-header": "h" })
            yield* setTrailers({ "x-bin": details })
            return { text: String(metadata[key]) }
          }),
          reflectStream: (_, { metadata }) =>
            Stream.fail(
              new RpcStatus({
                code: statusCode.ABORTED,
                // Half an emoji, which can't be encoded, and more than fits into a header.
                details: `\ud83d${"x".repeat(50_000)}`,
                trailers: { "x-seen": String(metadata["x-id"]) },
                statusDetails: details,
              }),
            ),
          double: () => Effect.fail(new RpcStatus({ code: 0, details: "", trailers: { "no good": "" } })),
          sum: (_, { sendHeaders }) => Effect.as(sendHeaders({ "content-type": "x" }), { sum: 1 }),
        }),
      ])
      const client = yield* GrpcClient.make(target)
      const options = { metadata: { "x-id": "5" } }
      const answer = yield* client.unaryAnswer(Test.method.reflect, { key: "x-id" }, options)
      assert.deepStrictEqual([answer.message.text, answer.headers["x-header"]], ["5", "h"])
      assert.deepStrictEqual(answer.trailers["x-bin"], details)
      const failed = yield* Effect.flip(Stream.runDrain(client.serverStream(Test.method.reflectStream, {}, options)))
      assert.deepStrictEqual([failed.code, failed.trailers["x-seen"]], [statusCode.ABORTED, "5"])
      assert.deepStrictEqual(failed.statusDetails, details)
      assert.match(failed.details, /^\ufffdx{1000,}…$/)
      // What can't be sent is a failure of the handler's, and never success.
      assert.strictEqual((yield* Effect.flip(client.unary(double, { number: 1 }))).code, statusCode.UNKNOWN)
      assert.strictEqual(
        (yield* Effect.flip(client.clientStream(sum, Stream.make({ number: 1 })))).code,
        statusCode.INTERNAL,
      )
    }).pipe(Effect.scoped),
  )

  it.live("logs what a handler does wrong, and tells the other side only that its call failed", () => {
    const { layer, messages } = recordLog()
    return Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const target = yield* serve({ unix: join(folder, "socket") }, [
        implement(Test, {
          double: ({ number }) =>
            number === 1 ? Effect.die(new Error("a secret")) : Effect.succeed({ number: 2 ** 40 }),
          count: () => Stream.make({ number: "x" as unknown as number }),
        }),
      ])
      const client = yield* GrpcClient.make(target)
      for (const call of [
        client.unary(double, { number: 1 }),
        client.unary(double, { number: 2 }),
        Stream.runDrain(client.serverStream(count, { number: 1 })),
      ]) {
        const error = yield* Effect.flip(Effect.asVoid(call))
        assert.deepStrictEqual([error.code, error.details], [statusCode.INTERNAL, "internal error of the host"])
      }
      assert.strictEqual(messages().filter((message) => message.includes("failed unexpectedly")).length, 3)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.live("serves a call that is part of no trace in one of its own, whatever it was made in itself", () => {
    const spans: Array<Tracer.Span> = []
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      },
    })
    return Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const target = yield* Effect.withSpan(serve({ unix: join(folder, "socket") }, [service]), "server")
      const client = yield* GrpcClient.make(target)
      yield* client.unary(double, { number: 1 })
      yield* Effect.withSpan(client.unary(double, { number: 1 }), "caller")
      yield* client.unary(double, { number: 1 }, { metadata: { traceparent: "garbage" } })
      const handled = spans.filter(({ name }) => name === "/grpctest.Test/Double")
      const caller = spans.find(({ name }) => name === "caller")
      assert.deepStrictEqual(
        handled.map(({ parent }) => Option.getOrUndefined(parent)?.spanId),
        [undefined, caller!.spanId, undefined],
      )
    }).pipe(Effect.scoped, Effect.provideService(Tracer.Tracer, tracer))
  })

  it.live("closes in time whoever is connected: idle, in the middle of something, or deaf", () =>
    Effect.gen(function* () {
      for (const tls of [undefined, yield* pair]) {
        const folder = yield* temporaryFolder
        const path = join(folder, "socket")
        const scope = yield* Scope.make()
        const target = yield* Scope.provide(serve({ unix: path }, [service], { tls: tls?.server }), scope)
        const idle = yield* GrpcClient.make(target, { tls: tls?.client })
        yield* idle.unary(double, { number: 1 })
        const talking = yield* idle.bidi(stream)
        yield* Effect.forkScoped(Stream.runDrain(idle.serverStream(count, { number: 1_000_000 })))
        const silent = yield* connected(path)
        const deaf = yield* connected(path)
        deaf.pause()
        deaf.write(PREFACE)
        yield* Effect.timeout(Scope.close(scope, Exit.void), "20 seconds")
        assert.isFalse(existsSync(path))
        // Both are cut off.
        for (const socket of [silent, deaf]) {
          socket.resume()
          yield* Effect.sleep("10 millis").pipe(
            Effect.repeat({ while: () => !socket.destroyed }),
            Effect.timeout("20 seconds"),
          )
        }
        assert.include([statusCode.UNAVAILABLE, statusCode.CANCELLED], (yield* Effect.flip(talking.receive)).code)
      }
    }).pipe(Effect.scoped),
  )

  it.live("holds so many connections and no more, and has a socket that is its user's alone", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "socket")
      const client = yield* GrpcClient.make(yield* serve({ unix: path }, [service]))
      yield* client.unary(double, { number: 1 })
      assert.strictEqual(statSync(path).mode & 0o777, 0o600)
      const sockets = yield* Effect.forEach(Array.from({ length: MAX_CONNECTIONS + 20 }), () => connected(path))
      yield* Effect.sleep("10 millis").pipe(
        Effect.repeat({ while: () => sockets.filter((socket) => !socket.destroyed).length >= MAX_CONNECTIONS }),
        Effect.timeout("20 seconds"),
      )
      assert.strictEqual((yield* client.unary(double, { number: 4 })).number, 8)
    }).pipe(Effect.scoped),
  )

  it.live("takes a service without handlers, and says so of one that is served twice", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const client = yield* GrpcClient.make(yield* serve({ unix: join(folder, "none") }, [implement(Test, {})]))
      assert.isTrue((yield* Effect.flip(client.unary(double, { number: 1 }))).isUnimplemented)
      const twice = yield* Effect.flip(serve({ unix: join(folder, "twice") }, [service, service]))
      assert.include(twice.message, "/grpctest.Test/Double already provided")
      const broken = { authorities: "none", identity: { certificate: "none", privateKey: "none" } }
      assert.strictEqual(
        (yield* Effect.flip(serve({ unix: join(folder, "tls") }, [service], { tls: broken })))._tag,
        "RpcServerError",
      )
    }).pipe(Effect.scoped),
  )

  it.live("serves from the first connection on where it is seldom used, and ends those that it can't serve", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const target = yield* serve({ unix: join(folder, "seldom") }, [service], { isSeldomUsed: true })
      assert.strictEqual((yield* (yield* GrpcClient.make(target)).unary(double, { number: 4 })).number, 8)
      const twice = join(folder, "twice")
      yield* serve({ unix: twice }, [service, service], { isSeldomUsed: true })
      const ended = yield* connected(twice)
      yield* Effect.sleep("10 millis").pipe(
        Effect.repeat({ while: () => !ended.destroyed }),
        Effect.timeout("20 seconds"),
      )
      // One to which nobody has ever connected ends, too.
      yield* serve({ unix: join(folder, "never") }, [service], { isSeldomUsed: true })
    }).pipe(Effect.scoped),
  )

  it.live("is known by an IP address as well, and Node has nothing against it", () =>
    Effect.gen(function* () {
      const warnings: Array<string> = []
      const note = (warning: Error) => warnings.push(warning.message)
      yield* Effect.acquireRelease(
        Effect.sync(() => process.on("warning", note)),
        () => Effect.sync(() => process.off("warning", note)),
      )
      const { client, server } = yield* pair
      const target = yield* serve({ loopbackPort: 0 }, [service], { tls: server })
      const named = (serverName: string) =>
        Effect.exit(
          Effect.scoped(
            Effect.flatMap(GrpcClient.make(target, { tls: { ...client, serverName } }), (client) =>
              client.unary(double, { number: 1 }, { deadline: "20 seconds" }),
            ),
          ),
        )
      assert.isTrue(Exit.isSuccess(yield* named("127.0.0.1")))
      assert.isTrue(Exit.isFailure(yield* named("127.0.0.2")))
      assert.isTrue(Exit.isSuccess(yield* named("localhost")))
      assert.deepStrictEqual(warnings, [])
    }).pipe(Effect.scoped),
  )
})

/** A connection by hand. */
const connected = (path: string) =>
  Effect.acquireRelease(
    Effect.callback<Socket>((resume) => {
      const socket = connect(path)
      socket.on("error", () => {})
      socket.once("connect", () => resume(Effect.succeed(socket)))
    }),
    (socket) => Effect.sync(() => socket.destroy()),
  )

/** Both sides of a TLS connection, with one certificate for `localhost` and `127.0.0.1`. */
const pair = Effect.promise(async () => {
  await import("reflect-metadata")
  const x509 = await import("@peculiar/x509")
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" }
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"])
  const names = [
    { type: "dns", value: "localhost" },
    { type: "ip", value: "127.0.0.1" },
  ] as const
  const made = await x509.X509CertificateGenerator.createSelfSigned({
    name: "CN=localhost",
    keys,
    signingAlgorithm: algorithm,
    extensions: [new x509.SubjectAlternativeNameExtension([...names])],
  })
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)
  const certificate = made.toString("pem")
  const identity = { certificate, privateKey: x509.PemConverter.encode(pkcs8, "PRIVATE KEY") }
  return { server: { authorities: certificate, identity }, client: { authorities: certificate, identity } }
})
