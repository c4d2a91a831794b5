import { Result } from "effect"
import { parsePluginCertificate } from "./AutoMtls.ts"
import type { HandshakeError } from "./Handshake.ts"
import * as SocketAddress from "./SocketAddress.ts"

/** The one core protocol version there is (go-plugin 1.8). */
export const CORE_PROTOCOL_VERSION = 1

/** What a plugin says about itself in the first line of its stdout. */
export type HandshakeLine = GrpcLine | TtrpcLine

/** Of a plugin that speaks gRPC, as go-plugin's do. */
export interface GrpcLine {
  readonly protocol: "grpc"
  /** The app protocol version the plugin chose among the host's. */
  readonly protocolVersion: number
  /** Where the plugin's server listens. */
  readonly address: SocketAddress.SocketAddress
  /** The plugin's certificate as PEM, where it sent one. */
  readonly certificate?: string | undefined
}

/** Of a plugin that speaks ttrpc over what it has inherited. */
export interface TtrpcLine {
  readonly protocol: "ttrpc"
  readonly protocolVersion: number
}

/** What a host may ask of a plugin's line. */
export interface HandshakeExpectations {
  /** The app protocol versions the host offers. */
  readonly versions: ReadonlyArray<number>
  /** Whether the line has a certificate: with AutoMTLS it must, with TLS of the user's own it may. Default `refused`. */
  readonly certificate?: "required" | "optional" | "refused" | undefined
  /** Whether the host wants the broker multiplexed. */
  readonly multiplex?: boolean | undefined
  /** Whether the plugin speaks ttrpc: where the host offers it, it may. Default `refused`. */
  readonly ttrpc?: "required" | "optional" | "refused" | undefined
}

/** Why a line was refused: the check that failed, and what it found. */
export interface HandshakeProblem {
  readonly kind: HandshakeError["kind"]
  readonly detail: string
}

/** A line has as many characters as a plugin likes. What is too long of a problem is left out in the middle: the cure is at the end. */
const problem = (kind: HandshakeProblem["kind"], detail: string) =>
  Result.fail<HandshakeProblem>({
    kind,
    detail: detail.length > MAX_DETAIL ? `${detail.slice(0, MAX_DETAIL / 2)}…${detail.slice(-MAX_DETAIL / 2)}` : detail,
  })

/** Characters of a problem; a longest path with all that is said of it fits. */
const MAX_DETAIL = 1000

/** A certificate field shorter than this is legacy extra data and ignored (go-plugin 1.8, `client.go`). */
const MIN_CERTIFICATE_LENGTH = 50

/** Longest part of a foreign line repeated in an error. */
const QUOTE_LENGTH = 200

/** Whether a line looks like a handshake, whatever it says. */
export const isHandshake = (line: string): boolean => /^\s*\d+\|\d+\|(unix|tcp|fd)\|/.test(line)

/**
 * Reads a handshake line, `core|app|network|address[|protocol[|cert[|mux…]]]`, making go-plugin's checks in go-plugin's
 * order (1.8, `Client.Start`). Beyond go-plugin, TLS that only one side speaks is found here: a Go host fails at the
 * first call when its plugin has no certificate, and crashes on one it didn't ask for.
 */
export const parse = (
  line: string,
  { certificate: expected = "refused", multiplex = false, ttrpc = "refused", versions }: HandshakeExpectations,
): Result.Result<HandshakeLine, HandshakeProblem> => {
  const [core, app, network, socket, protocol = "netrpc", certificate = "", mux = ""] = line.trim().split("|")
  if (core === undefined || app === undefined || network === undefined || socket === undefined) {
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
  if (network === "fd" && protocol === "ttrpc" && ttrpc !== "refused") {
    return Result.succeed({ protocol, protocolVersion: Number(app) })
  }
  if (ttrpc === "required") {
    return problem(
      "protocol",
      `it speaks ${protocol}, and is to speak ttrpc; give it a current SDK, or let it speak what it can`,
    )
  }
  const address = SocketAddress.parse(network, socket)
  if (typeof address === "string") return problem("network", `it says where it listens, but ${address}`)
  if (protocol !== "grpc") {
    return problem("protocol", `it speaks ${protocol}, this host speaks grpc only; build the plugin with a gRPC server`)
  }
  const hasCertificate = certificate.length > MIN_CERTIFICATE_LENGTH
  if (hasCertificate && expected === "refused") {
    return problem("certificate", "it answers with a TLS certificate although the host did not ask for TLS")
  }
  if (!hasCertificate && expected === "required") {
    return problem(
      "certificate",
      "it has no TLS certificate although the host asked for AutoMTLS; turn AutoMTLS off for a plugin that does not speak it",
    )
  }
  const parsed = hasCertificate ? parsePluginCertificate(certificate) : undefined
  if (parsed !== undefined && Result.isFailure(parsed)) return problem("certificate", parsed.failure)
  if (multiplex && !/^(1|t|T|true|TRUE|True)$/.test(mux)) {
    return problem(
      "multiplex",
      "it does not multiplex its broker's connections although the host asked for it; turn multiplexing off, or build the plugin with go-plugin 1.6 or newer",
    )
  }
  return Result.succeed({ protocol, protocolVersion: Number(app), address, certificate: parsed?.success })
}

const isDecimal = (text: string): boolean => /^-?\d+$/.test(text)
