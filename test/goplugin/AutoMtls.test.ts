import { X509Certificate } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as AutoMtls from "../../src/goplugin/AutoMtls.ts"

describe("AutoMtls", () => {
  for (const curve of ["P-256", "P-384", "P-521"] as const) {
    it.effect(`makes a certificate for both sides that is no authority's, on ${curve}`, () =>
      Effect.gen(function* () {
        const { certificate } = yield* AutoMtls.makeCertificate(curve)
        const made = new X509Certificate(certificate)
        // What rustls refuses as a peer's (CaUsedAsEndEntity).
        assert.isFalse(made.ca)
        assert.strictEqual(made.subjectAltName, "DNS:localhost")
        // clientAuth and serverAuth.
        assert.sameMembers(made.keyUsage, ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"])
        assert.strictEqual(made.verify(made.publicKey), true)
      }),
    )
  }
})
