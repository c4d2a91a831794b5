import { connect } from "node:tls"
import { Duration, Effect } from "effect"
import type { TlsConfig } from "../grpc/Tls.ts"
import type { SocketAddress } from "./SocketAddress.ts"

/** How long a server may take to answer the first bytes of a TLS connection; it is asked when all else has failed. */
const PROBE_LIMIT = Duration.seconds(1)

/** What OpenSSL says of an answer that is no TLS, and of the other side's word that it does not like our certificate. */
const IN_THE_CLEAR = /wrong version number|packet length too long|record layer/i
const REFUSED_CERTIFICATE =
  /alert (bad certificate|unsupported certificate|certificate (revoked|expired|unknown|required)|unknown ca|decrypt error)/i

/** What to do about a connection that failed, where it looks as if host and plugin don't agree about TLS. */
export const tlsAdvice = (
  error: string,
  address: SocketAddress,
  tls: TlsConfig | undefined,
): Effect.Effect<string | undefined> => {
  if (tls === undefined) {
    return Effect.map(speaksTls(address), (speaks) =>
      speaks ? "it speaks TLS, this host does not: set tls, with AutoMTLS or with certificates of your own" : undefined,
    )
  }
  if (IN_THE_CLEAR.test(error)) return Effect.succeed("it does not speak TLS: leave tls out")
  if (REFUSED_CERTIFICATE.test(error)) {
    return Effect.succeed(
      "it does not take the host's certificate: with AutoMTLS another curve may help (P-256, P-384, P-521), otherwise see which authorities it trusts",
    )
  }
  return Effect.undefined
}

/** Whether somebody answers TLS with TLS. */
const speaksTls = (address: SocketAddress): Effect.Effect<boolean> =>
  Effect.callback<boolean>((resume) => {
    const socket = connect({ ...address, rejectUnauthorized: false, ALPNProtocols: ["h2"] })
    const answer = (speaks: boolean) => {
      socket.destroy()
      resume(Effect.succeed(speaks))
    }
    socket.once("secureConnect", () => answer(true))
    // An alert is TLS as well.
    socket.on("error", (error: NodeJS.ErrnoException) => answer(/_ALERT_/.test(error.code ?? "")))
    return Effect.sync(() => socket.destroy())
  }).pipe(Effect.timeoutOrElse({ duration: PROBE_LIMIT, orElse: () => Effect.succeed(false) }))
