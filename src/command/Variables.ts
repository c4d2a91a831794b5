/**
 * The variables of the environment that this project reads or sets. Those by which plugins of one contract find their host
 * are that contract's (`Contract.variables`).
 */
export const VARIABLES = {
  /** Names the descriptor whose end of file tells a plugin that its host is gone. */
  lifeline: "PLUGIN_LIFELINE_FD",
  /** Marks the processes of a plugin, and all that descends from them. */
  marker: "PLUGIN_SUPERVISOR_PROCESS",
  /** Names the descriptor over which a plugin is handed its token for the host API. */
  apiToken: "PLUGIN_SUPERVISOR_API_TOKEN_FD",
  /** Names the descriptors over which host and plugin speak ttrpc: the host calls on the first, the plugin on the second. */
  ttrpc: "PLUGIN_SUPERVISOR_TTRPC",
  /** The largest message in bytes, where it is not the default. */
  messageLimit: "PLUGIN_SUPERVISOR_MESSAGE_LIMIT",

  // How plugins find their host, where their contract has no variables of its own.
  pluginId: "PLUGIN_SUPERVISOR_PLUGIN_ID",
  pluginPath: "PLUGIN_SUPERVISOR_PLUGIN_PATH",
  apiTarget: "PLUGIN_SUPERVISOR_API_TARGET",
  logLevel: "PLUGIN_SUPERVISOR_LOG_LEVEL",
  hookTimeout: "PLUGIN_SUPERVISOR_HOOK_TIMEOUT",

  // What an operator sets.
  accessToken: "PLUGIN_SUPERVISOR_TOKEN",
  trustedProxies: "PLUGIN_SUPERVISOR_TRUSTED_PROXIES",
  /** Where commands find a running supervisor. */
  url: "PLUGIN_SUPERVISOR_URL",
  /** The index of Python packages. */
  pythonIndex: "PLUGIN_SUPERVISOR_PYTHON_INDEX",
  /** Where sockets are kept (systemd's variable). */
  runtimeDirectory: "RUNTIME_DIRECTORY",

  // go-plugin's (1.8, `client.go`), but for the magic cookie, which the contract names.
  minPort: "PLUGIN_MIN_PORT",
  maxPort: "PLUGIN_MAX_PORT",
  protocolVersions: "PLUGIN_PROTOCOL_VERSIONS",
  clientCertificate: "PLUGIN_CLIENT_CERT",
  multiplex: "PLUGIN_MULTIPLEX_GRPC",
  socketDirectory: "PLUGIN_UNIX_SOCKET_DIR",
  socketGroup: "PLUGIN_UNIX_SOCKET_GROUP",
} as const

/** What the names of the supervisor's own variables begin with: only the host sets them. */
export const OWN_PREFIX = "PLUGIN_SUPERVISOR_"

/** Every variable of go-plugin's protocol. */
export const PROTOCOL_VARIABLES: ReadonlySet<string> = new Set([
  VARIABLES.minPort,
  VARIABLES.maxPort,
  VARIABLES.protocolVersions,
  VARIABLES.clientCertificate,
  VARIABLES.multiplex,
  VARIABLES.socketDirectory,
  VARIABLES.socketGroup,
])
