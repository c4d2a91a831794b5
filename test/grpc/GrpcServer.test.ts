/** Our servers and our clients, over real sockets; TLS and the streams of other people's servers are in conformance. */
import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import * as AutoMtls from "../../src/goplugin/AutoMtls.ts"
import { GrpcStatus, statusCode } from "../../src/grpc/GrpcError.ts"
import * as GrpcClient from "../../src/grpc/GrpcClient.ts"
import { implement } from "../../src/grpc/GrpcHandler.ts"
import { serve } from "../../src/grpc/GrpcServer.ts"
import { Test } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import { temporaryFolder } from "../support/folder.ts"

const { count, double, environment, stream, sum } = Test.method

const service = implement(Test, {
  double: ({ number }) =>
    number < 0
      ? Effect.fail(new GrpcStatus({ code: statusCode.OUT_OF_RANGE, details: "too small" }))
      : Effect.succeed({ number: 2 * number }),
  count: ({ number }) =>
    number < 0
      ? Stream.concat(
          Stream.make({ number: 1 }),
          Stream.fail(new GrpcStatus({ code: statusCode.ABORTED, details: "enough" })),
        )
      : Stream.map(Stream.range(1, number), (number) => ({ number })),
  sum: (requests) =>
    Effect.orDie(
      Stream.runFold(
        requests,
        () => ({ sum: 0 }),
        ({ sum }, { number }) => ({ sum: sum + number }),
      ),
    ),
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

const connected = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  return yield* GrpcClient.make(yield* serve({ unix: join(folder, "socket") }, [service]))
})

describe.skipIf(process.platform === "win32")("GrpcServer", () => {
  it.live("serves all four kinds of rpc", () =>
    Effect.gen(function* () {
      const client = yield* connected
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
      const client = yield* connected
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
            Effect.exit(client.unary(double, { number: 1 }, { deadline: "5 seconds" })),
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
})
