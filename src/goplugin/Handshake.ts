import { Duration, Schema } from "effect"

/** What host and plugin must agree on before they talk. */
export interface HandshakeConfig {
  /** Name of the variable that tells a plugin it was started by its host. A courtesy to users, not a secret. */
  readonly magicCookieKey: string
  readonly magicCookieValue: string
  /** App protocol versions the host can speak. */
  readonly protocolVersions: ReadonlyArray<number>
}

/** Default of go-plugin (1.8, `ClientConfig.StartTimeout`): how long a plugin may take to print its handshake. */
export const START_TIMEOUT: Duration.Duration = Duration.seconds(60)

/**
 * The TCP ports a plugin without unix sockets may listen on: go-plugin's defaults (1.8, `ClientConfig.MinPort` and
 * `MaxPort`).
 */
const PORT_RANGE = { min: 10_000, max: 25_000 }

/**
 * The variables the protocol sets for a plugin (go-plugin 1.8, `client.go`). They come last, so that neither the host's
 * environment nor an operator's setting can change them.
 */
export const environment = (
  config: HandshakeConfig,
  socketDirectory: string | undefined,
  hostCertificate?: string,
): { readonly [name: string]: string } => ({
  [config.magicCookieKey]: config.magicCookieValue,
  PLUGIN_PROTOCOL_VERSIONS: config.protocolVersions.join(","),
  PLUGIN_MIN_PORT: String(PORT_RANGE.min),
  PLUGIN_MAX_PORT: String(PORT_RANGE.max),
  ...(socketDirectory === undefined ? {} : { PLUGIN_UNIX_SOCKET_DIR: socketDirectory }),
  ...(hostCertificate === undefined ? {} : { PLUGIN_CLIENT_CERT: hostCertificate }),
})

/** A plugin's process started, but no usable connection came of it. */
export class HandshakeError extends Schema.TaggedError<HandshakeError>()("HandshakeError", {
  pluginId: Schema.String,
  /** Which check failed. `exited`: it ended before the handshake; `unhealthy`: it does not answer the health check. */
  kind: Schema.Literals([
    "timeout",
    "exited",
    "unhealthy",
    "unrecognized",
    "coreVersion",
    "protocolVersion",
    "network",
    "protocol",
    "certificate",
  ]),
  /** What was found, and the cure where one is known. */
  detail: Schema.String,
  /** How the process ended, if it has: `exit code 1`, `signal SIGSEGV`. */
  exit: Schema.optional(Schema.String),
  /** The last lines the plugin wrote to stderr, oldest first. */
  stderr: Schema.Array(Schema.String),
}) {
  override get message(): string {
    const ended = this.exit === undefined ? "" : ` (${this.exit})`
    const stderr =
      this.stderr.length === 0
        ? "; it wrote nothing to stderr"
        : `; the end of its stderr:\n  ${this.stderr.join("\n  ")}`
    return `plugin ${this.pluginId} did not start: ${this.detail}${ended}${stderr}`
  }
}
