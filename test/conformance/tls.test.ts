/** TLS with certificates of one's own, and AutoMTLS where one side does not speak it. */
import { createHash } from "node:crypto"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { ChecksumError, HandshakeError, TlsConfig } from "../../src/goplugin/index.ts"
import * as AutoMtls from "../../src/goplugin/AutoMtls.ts"
import { Test } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"
import { temporaryFolder } from "../support/folder.ts"
import { goKind, goPluginHost, noGo, start, startError } from "../support/goplugin.ts"

const { double } = Test.method

/** Certificates for both sides, and the plugin's in a folder that the fixture reads. */
const certificates = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  const [host, plugin] = yield* Effect.all([AutoMtls.makeCertificate(), AutoMtls.makeCertificate()])
  writeFileSync(join(folder, "server.pem"), plugin.certificate)
  writeFileSync(join(folder, "server.key"), plugin.privateKey, { mode: 0o600 })
  writeFileSync(join(folder, "client-ca.pem"), host.certificate)
  return { env: { FIXTURE_TLS: folder }, tls: { authorities: plugin.certificate, identity: host } satisfies TlsConfig }
})

describe.skipIf(noGo !== undefined)("TLS with certificates of one's own", () => {
  const live = <E>(name: string, test: Effect.Effect<unknown, E, any>) =>
    it.live(name, () => test.pipe(Effect.scoped, Effect.provide(goPluginHost)) as Effect.Effect<unknown, E>)

  live(
    "both sides have them: it works",
    Effect.gen(function* () {
      const { client } = yield* start(goKind, yield* certificates)
      assert.strictEqual((yield* client.unary(double, { number: 21 })).number, 42)
    }),
  )

  live(
    "the host has none, or shows none: it is not let in",
    Effect.gen(function* () {
      const { env, tls } = yield* certificates
      const clear = (yield* startError(goKind, { env })) as HandshakeError
      assert.strictEqual(clear.kind, "unhealthy")
      assert.include(clear.message, "it speaks TLS, this host does not: set tls")
      const anonymous = (yield* startError(goKind, { env, tls: { authorities: tls.authorities } })) as HandshakeError
      assert.strictEqual(anonymous.kind, "unhealthy")
    }),
  )

  live(
    "the plugin has none: it is said what to do",
    Effect.gen(function* () {
      const { tls } = yield* certificates
      const error = (yield* startError(goKind, { tls })) as HandshakeError
      assert.strictEqual(error.kind, "unhealthy")
      assert.include(error.message, "it does not speak TLS: leave tls out")
    }),
  )

  live(
    "certificates that are none are refused before anything is started",
    Effect.gen(function* () {
      const { tls } = yield* certificates
      for (const broken of [
        { ...tls, authorities: "x" },
        { ...tls, identity: { certificate: "x", privateKey: "y" } },
      ]) {
        const error = (yield* startError(goKind, { tls: broken })) as HandshakeError
        assert.strictEqual(error.kind, "config")
        assert.include(error.message, "tls setting can't be used")
      }
    }),
  )

  live(
    "the plugin's is another's, or for another name: it is not trusted",
    Effect.gen(function* () {
      const { env, tls } = yield* certificates
      const other = yield* AutoMtls.makeCertificate()
      const foreign = (yield* startError(goKind, {
        env,
        tls: { ...tls, authorities: other.certificate },
      })) as HandshakeError
      assert.strictEqual(foreign.kind, "unhealthy")
      const renamed = (yield* startError(goKind, { env, tls: { ...tls, serverName: "example.org" } })) as HandshakeError
      assert.strictEqual(renamed.kind, "unhealthy")
    }),
  )
})

describe.skipIf(noGo !== undefined)("checksums", () => {
  const sha256 = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex")

  it.live("a file that is not the one that was meant keeps everything from starting; the right ones start", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const [mark, library] = [join(folder, "started"), join(folder, "library")]
      writeFileSync(library, "as it should be")
      const { executable } = goKind.options().process
      const checksums = [
        { file: executable, sha256: sha256(executable) },
        { file: library, sha256: sha256(library) },
      ]
      const settings = { checksums, env: { FIXTURE_CLEANUP: mark } }
      writeFileSync(library, "changed")
      const error = (yield* startError(goKind, settings)) as ChecksumError
      assert.strictEqual(error._tag, "ChecksumError")
      assert.strictEqual(error.file, library)
      assert.isFalse(existsSync(mark))
      writeFileSync(library, "as it should be")
      yield* Effect.scoped(start(goKind, settings))
      assert.isTrue(existsSync(mark))
    }).pipe(Effect.scoped, Effect.provide(goPluginHost)),
  )
})
