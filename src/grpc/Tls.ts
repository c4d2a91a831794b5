import * as grpc from "@grpc/grpc-js"

/** One side of a TLS connection. All texts are PEM. */
export interface TlsConfig {
  /** The certificates of those the other side's certificate must come from; nobody else is trusted. */
  readonly authorities: string
  /** What this side proves itself with. A server needs it; a client where its server asks for it. */
  readonly identity?: { readonly certificate: string; readonly privateKey: string } | undefined
  /** The name the server's certificate must have. Default: `localhost`, as on go-plugin's own. */
  readonly serverName?: string | undefined
}

/** The name in go-plugin's own certificates (go-plugin 1.8, `mtls.go`), wherever their owner listens. */
export const DEFAULT_SERVER_NAME = "localhost"

/** A client's credentials. */
export const clientCredentials = (tls: TlsConfig | undefined): grpc.ChannelCredentials =>
  tls === undefined
    ? grpc.credentials.createInsecure()
    : grpc.credentials.createSsl(
        Buffer.from(tls.authorities),
        tls.identity === undefined ? null : Buffer.from(tls.identity.privateKey),
        tls.identity === undefined ? null : Buffer.from(tls.identity.certificate),
      )

/** A server's credentials: every client must have a certificate of the authorities. */
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
