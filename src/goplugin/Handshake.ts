import { PROTOCOL_VARIABLES, VARIABLES } from "../command/Variables.ts"
import { Duration, Effect, Result, Schema } from "effect"
import * as Tls from "../grpc/Tls.ts"
import type { TlsConfig } from "../grpc/Tls.ts"
import type { ProcessSpec } from "../process/ProcessSpec.ts"

/**
 * What host and plugin must agree on before they talk.
 *
 * `V` are the app protocol versions as a type: with `protocolVersions: [1, 2] as const` a started plugin's
 * `protocolVersion` is `1 | 2`, and a `switch` over it, or a record of clients by version, is checked to be complete.
 */
export interface HandshakeConfig<V extends number = number> {
  /** Name of the variable that tells a plugin it was started by its host. A courtesy to users, not a secret. */
  readonly magicCookieKey: string
  readonly magicCookieValue: string
  /** App protocol versions the host can speak. The plugin chooses the highest that it speaks too. */
  readonly protocolVersions: ReadonlyArray<V>
  /** The TCP ports a plugin without unix sockets may listen on, both included. Default {@link PORT_RANGE}. */
  readonly ports?: PortRange | undefined
}

/** TCP ports, both included. 0 and 0: any that is free. */
export interface PortRange {
  readonly min: number
  readonly max: number
}

/** Default of go-plugin (1.8, `ClientConfig.StartTimeout`): how long a plugin may take to print its handshake. */
export const START_TIMEOUT: Duration.Duration = Duration.seconds(60)

/** Default of go-plugin (1.8, `ClientConfig.MinPort` and `MaxPort`). */
export const PORT_RANGE: PortRange = { min: 10_000, max: 25_000 }

/** What the protocol's variables say beside the handshake itself. */
export interface ProtocolVariables {
  readonly socketDirectory: string
  /** The group that may use the plugin's sockets, by name or number. */
  readonly socketGroup?: string | number | undefined
  /** The host's certificate as PEM, where it asks for AutoMTLS. */
  readonly hostCertificate?: string | undefined
  readonly multiplex?: boolean | undefined
}

/**
 * A plugin's environment: `given`, then the protocol's variables, which nothing can change. Those in `given` are taken
 * out first: a host that is itself somebody's plugin has some in its own environment, and handed down they would make
 * the plugin answer to a host that is not its own (go-plugin 1.8 hands them down).
 */
export const environment = (
  given: ProcessSpec["env"],
  { magicCookieKey, magicCookieValue, ports = PORT_RANGE, protocolVersions }: HandshakeConfig,
  { hostCertificate, multiplex = false, socketDirectory, socketGroup }: ProtocolVariables,
): ProcessSpec["env"] => ({
  ...Object.fromEntries(Object.entries(given).filter(([name]) => !PROTOCOL_VARIABLES.has(name.toUpperCase()))),
  [magicCookieKey]: magicCookieValue,
  [VARIABLES.protocolVersions]: protocolVersions.join(","),
  [VARIABLES.minPort]: String(ports.min),
  [VARIABLES.maxPort]: String(ports.max),
  [VARIABLES.socketDirectory]: socketDirectory,
  ...(socketGroup === undefined ? {} : { [VARIABLES.socketGroup]: String(socketGroup) }),
  ...(hostCertificate === undefined ? {} : { [VARIABLES.clientCertificate]: hostCertificate }),
  ...(multiplex ? { [VARIABLES.multiplex]: "true" } : {}),
})

/** No usable connection came of a plugin. */
export class HandshakeError extends Schema.TaggedError<HandshakeError>()("HandshakeError", {
  pluginId: Schema.String,
  /**
   * Which check failed. `config`: the host's own settings, and nothing was started; `exited`: the plugin ended before
   * its handshake; `cookie`: it did so since it expects another magic cookie; `address`: it names an address that is not
   * its own; `unhealthy`: it does not answer the health check.
   */
  kind: Schema.Literals([
    "config",
    "timeout",
    "exited",
    "cookie",
    "unhealthy",
    "unrecognized",
    "coreVersion",
    "protocolVersion",
    "network",
    "address",
    "protocol",
    "certificate",
    "multiplex",
  ]),
  /** What was found, and the cure where one is known. */
  detail: Schema.String,
  /** What was executed; absent where nothing was. */
  executable: Schema.optional(Schema.String),
  /** How the process ended, if it has: `exit code 1`, `signal SIGSEGV`. */
  exit: Schema.optional(Schema.String),
  /** The last lines the plugin wrote to stderr, oldest first. */
  stderr: Schema.Array(Schema.String),
  /** What is known of the executable, where it looks as if it could not even begin to run. */
  diagnosis: Schema.Array(Schema.String),
}) {
  override get message(): string {
    const ended = this.exit === undefined ? "" : ` (${this.exit})`
    const diagnosis = this.diagnosis.map((note) => `\n  ${note}`).join("")
    const stderr =
      this.stderr.length === 0
        ? "; it wrote nothing to stderr"
        : `; the end of its stderr:\n  ${this.stderr.join("\n  ")}`
    const heard = this.kind === "config" ? "" : stderr
    const what = this.executable === undefined ? "" : ` (${this.executable})`
    return `plugin ${this.pluginId}${what} did not start: ${this.detail}${ended}${heard}${diagnosis}`
  }
}

/** The error of settings that can't be. */
export const refuseConfig = (pluginId: string, detail: string): Effect.Effect<never, HandshakeError> =>
  Effect.fail(new HandshakeError({ pluginId, kind: "config", detail, stderr: [], diagnosis: [] }))

/** Refuses settings that no plugin could be started with. */
export const checkConfig = (
  pluginId: string,
  { magicCookieKey, magicCookieValue, ports, protocolVersions }: HandshakeConfig,
  multiplex: boolean,
  tls: TlsConfig | undefined,
): Effect.Effect<void, HandshakeError> => {
  const refuse = (detail: string) => refuseConfig(pluginId, detail)
  if (!/^[^=\0]+$/.test(magicCookieKey) || magicCookieValue === "") {
    return refuse("the handshake needs a magic cookie: the name of a variable, and a value")
  }
  if (protocolVersions.length === 0 || !protocolVersions.every(Number.isSafeInteger)) {
    return refuse("the handshake needs one protocol version or more, all of them whole numbers")
  }
  const inRange = (port: number) => Number.isInteger(port) && port >= 0 && port <= 65_535
  if (ports !== undefined && !(inRange(ports.min) && inRange(ports.max) && ports.min <= ports.max)) {
    return refuse(`there are no ports between ${ports.min} and ${ports.max}`)
  }
  if (multiplex && process.platform === "win32")
    return refuse("multiplexing needs unix sockets, which this host has not")
  const checked = tls === undefined ? Result.void : Tls.check(tls)
  if (Result.isFailure(checked)) return refuse(`the certificates of its tls setting can't be used: ${checked.failure}`)
  return Effect.void
}
