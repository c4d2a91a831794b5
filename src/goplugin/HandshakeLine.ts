import { isIPv6 } from "node:net"
import { Result } from "effect"
import { parsePluginCertificate } from "./AutoMtls.ts"

/** The one core protocol version there is (go-plugin 1.8). */
export const CORE_PROTOCOL_VERSION = 1

/** What a plugin says about itself in the first line of its stdout. */
export interface HandshakeLine {
  /** The app protocol version the plugin chose among the host's. */
  readonly protocolVersion: number
  /** grpc-js target of the plugin's server. */
  readonly target: string
  /** The plugin's certificate as PEM, where the host asked for AutoMTLS. */
  readonly certificate?: string | undefined
}

/** Why a line was refused: the check that failed, and what it found. */
export interface HandshakeProblem {
  readonly kind: "unrecognized" | "coreVersion" | "protocolVersion" | "network" | "protocol" | "certificate"
  readonly detail: string
}

const problem = (kind: HandshakeProblem["kind"], detail: string) => Result.fail<HandshakeProblem>({ kind, detail })

/** A certificate field shorter than this is legacy extra data and ignored (go-plugin, `client.go`). */
const MIN_CERTIFICATE_LENGTH = 50

/** Longest part of a foreign line repeated in an error. */
const QUOTE_LENGTH = 200

/**
 * Reads a handshake line, `core|app|network|address[|protocol[|cert[|mux…]]]`, making go-plugin's checks in go-plugin's
 * order. `versions` are the app protocol versions the host offers. Beyond go-plugin, AutoMTLS that only one side speaks is
 * found here: a Go host fails at the first call when its plugin has no certificate, and crashes on one it didn't ask for.
 */
export const parse = (
  line: string,
  versions: ReadonlyArray<number>,
  autoMtls = false,
): Result.Result<HandshakeLine, HandshakeProblem> => {
  const [core, app, network, address, protocol = "netrpc", certificate = ""] = line.trim().split("|")
  if (core === undefined || app === undefined || network === undefined || address === undefined) {
    return problem(
      "unrecognized",
      `the first line on its stdout is not a go-plugin handshake: ${JSON.stringify(line.slice(0, QUOTE_LENGTH))}; nothing may be printed to stdout before the handshake`,
    )
  }
  if (!isDecimal(core)) return problem("coreVersion", `its core protocol version ${JSON.stringify(core)} is no number`)
  if (Number(core) !== CORE_PROTOCOL_VERSION) {
    return problem(
      "coreVersion",
      `it speaks core protocol version ${core}, this host speaks ${CORE_PROTOCOL_VERSION}; rebuild it with a current go-plugin or SDK`,
    )
  }
  if (!isDecimal(app)) return problem("protocolVersion", `its protocol version ${JSON.stringify(app)} is no number`)
  if (!versions.includes(Number(app))) {
    return problem("protocolVersion", `it speaks protocol version ${app}, this host offers ${versions.join(", ")}`)
  }
  const target = toTarget(network, address)
  if (target === undefined) {
    return problem(
      "network",
      `it listens on ${JSON.stringify(`${network} ${address}`)}, which is no unix socket path or TCP address`,
    )
  }
  if (protocol !== "grpc") {
    return problem("protocol", `it speaks ${protocol}, this host speaks grpc only; build the plugin with a gRPC server`)
  }
  const hasCertificate = certificate.length > MIN_CERTIFICATE_LENGTH
  if (autoMtls !== hasCertificate) {
    return problem(
      "certificate",
      hasCertificate
        ? "it answers with a TLS certificate although the host did not ask for TLS"
        : "it has no TLS certificate although the host asked for AutoMTLS; turn AutoMTLS off for a plugin that does not speak it",
    )
  }
  const protocolVersion = Number(app)
  if (!hasCertificate) return Result.succeed({ protocolVersion, target })
  const parsed = parsePluginCertificate(certificate)
  return Result.isFailure(parsed)
    ? problem("certificate", parsed.failure)
    : Result.succeed({ protocolVersion, target, certificate: parsed.success })
}

const isDecimal = (text: string): boolean => /^-?\d+$/.test(text)

const toTarget = (network: string, address: string): string | undefined => {
  if (network === "unix") return address.startsWith("/") ? `unix:${address}` : undefined
  if (network !== "tcp") return undefined
  const match = /^(?:\[(?<v6>[^\]]*)\]|(?<host>[^:[\]]*)):(?<port>\d{1,5})$/.exec(address)
  const port = Number(match?.groups?.["port"])
  if (match === null || port < 1 || port > 65535) return undefined
  const v6 = match.groups?.["v6"]
  if (v6 !== undefined) return isIPv6(v6) ? `ipv6:[${v6}]:${port}` : undefined
  // Go prints ":1234" for a listener on every interface; it is reached on this machine's own.
  return `${match.groups?.["host"] || "127.0.0.1"}:${port}`
}
