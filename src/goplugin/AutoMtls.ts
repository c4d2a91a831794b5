import { webcrypto, X509Certificate } from "node:crypto"
import { Effect, Result } from "effect"
import type { TlsConfig } from "../grpc/Tls.ts"

/**
 * The curves of the host's key. P-256 is understood by every plugin; grpcio's BoringSSL can't verify the P-521 keys that
 * go-plugin's own host makes.
 */
export type Curve = "P-256" | "P-384" | "P-521"

/**
 * The host's side of AutoMTLS, as PEM: a key made for one plugin start, which never leaves the process, and its
 * self-signed certificate, the value of `PLUGIN_CLIENT_CERT`.
 */
export type HostCertificate = NonNullable<TlsConfig["identity"]>

/** The hash that goes with each curve (FIPS 186-5 §6.1.1 pairs them by strength). */
const HASH: { readonly [C in Curve]: string } = { "P-256": "SHA-256", "P-384": "SHA-384", "P-521": "SHA-512" }

/** The slack for clocks that differ, as in go-plugin (1.8, `mtls.go`). */
const NOT_BEFORE_MILLIS = 30_000
/** As long as go-plugin's certificates live, about thirty years: a plugin may run as long as its host. */
const NOT_AFTER_MILLIS = 262_980 * 3_600_000

/**
 * Makes a certificate as go-plugin's own hosts do (go-plugin 1.8, `mtls.go`): self-signed, for `localhost`, as server and
 * as client, since one certificate serves every connection of the pair. Unlike go-plugin's it does not say that it is an
 * authority: whoever is given it trusts it itself, and rustls takes no authority's certificate for a peer's
 * (`CaUsedAsEndEntity`). With go-plugin's P-521 keys that shows only where the plugin insists on a certificate, since
 * rustls does not know the curve, and none is sent.
 */
export const makeCertificate = (curve: Curve = "P-256"): Effect.Effect<HostCertificate> =>
  Effect.promise(async () => {
    // Loaded by hosts that use it: most connections are sockets in private folders and need no TLS.
    await import("reflect-metadata")
    const x509 = await import("@peculiar/x509")
    const algorithm = { name: "ECDSA", namedCurve: curve, hash: HASH[curve] }
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"])
    const now = Date.now()
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: "CN=localhost",
      keys,
      signingAlgorithm: algorithm,
      notBefore: new Date(now - NOT_BEFORE_MILLIS),
      notAfter: new Date(now + NOT_AFTER_MILLIS),
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(
          x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment | x509.KeyUsageFlags.keyAgreement,
          true,
        ),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth, x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension([{ type: "dns", value: "localhost" }]),
      ],
    })
    const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)
    return { certificate: certificate.toString("pem"), privateKey: x509.PemConverter.encode(pkcs8, "PRIVATE KEY") }
  })

/** The certificate in a handshake line, as PEM: base64 of the DER, with or without padding, and nothing else. */
export const parsePluginCertificate = (field: string): Result.Result<string, string> => {
  // Node's own decoder takes any garbage.
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(field)) return Result.fail("its certificate is not base64")
  return Result.try({
    try: () => new X509Certificate(Buffer.from(field, "base64")).toString(),
    catch: (error) => `its certificate can't be read: ${(error as Error).message}`,
  })
}
