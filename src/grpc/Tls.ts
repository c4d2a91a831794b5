import { X509Certificate } from "node:crypto"
import { isIP } from "node:net"
import { checkServerIdentity, createSecureContext } from "node:tls"
import * as grpc from "@grpc/grpc-js"
import { Result } from "effect"

/** One side of a TLS connection. All texts are PEM. */
export interface TlsConfig {
  /** The certificates of those the other side's certificate must come from; nobody else is trusted. */
  readonly authorities: string
  /** What this side proves itself with. A server needs it; a client where its server asks for it. */
  readonly identity?: { readonly certificate: string; readonly privateKey: string } | undefined
  /** The name, or the IP address, that the server's certificate must have. Default: `localhost`, as on go-plugin's own. */
  readonly serverName?: string | undefined
}

/** The name in go-plugin's own certificates (go-plugin 1.8, `mtls.go`), wherever their owner listens. */
export const DEFAULT_SERVER_NAME = "localhost"

/** What is wrong with certificates or a key, of which OpenSSL is the judge. Its texts have no part of a key in them. */
export const check = ({ authorities, identity }: TlsConfig): Result.Result<void, string> =>
  Result.try({
    try: () => {
      // Node passes over authorities that are none.
      void new X509Certificate(authorities)
      createSecureContext({ ca: authorities, cert: identity?.certificate, key: identity?.privateKey })
    },
    catch: (error) => (error instanceof Error ? error.message : String(error)),
  })

/** A client's credentials; throws where {@link check} fails. */
export const clientCredentials = (tls: TlsConfig | undefined): grpc.ChannelCredentials => {
  if (tls === undefined) return grpc.credentials.createInsecure()
  const { authorities, identity, serverName } = tls
  return grpc.credentials.createSsl(
    Buffer.from(authorities),
    identity === undefined ? null : Buffer.from(identity.privateKey),
    identity === undefined ? null : Buffer.from(identity.certificate),
    isIP(serverName ?? "") === 0
      ? {}
      : { checkServerIdentity: (_, certificate) => checkServerIdentity(serverName!, certificate) },
  )
}

/** The name that a client asks its server for (SNI), which can't be an IP address (RFC 6066 §3). */
export const askedName = ({ serverName = DEFAULT_SERVER_NAME }: Partial<TlsConfig> = {}): string =>
  isIP(serverName) === 0 ? serverName : DEFAULT_SERVER_NAME

/** A server's credentials: every client must have a certificate of the authorities. Throws where {@link check} fails. */
export const serverCredentials = (tls: TlsConfig | undefined): grpc.ServerCredentials =>
  tls === undefined
    ? grpc.ServerCredentials.createInsecure()
    : grpc.ServerCredentials.createSsl(
        Buffer.from(tls.authorities),
        tls.identity === undefined
          ? []
          : [{ private_key: Buffer.from(tls.identity.privateKey), cert_chain: Buffer.from(tls.identity.certificate) }],
        true,
      )
