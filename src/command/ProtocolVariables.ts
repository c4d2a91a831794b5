/** Every variable of go-plugin's protocol (go-plugin 1.8, `client.go`), but for the magic cookie, which the app names. */
export const PROTOCOL_VARIABLES: ReadonlySet<string> = new Set([
  "PLUGIN_MIN_PORT",
  "PLUGIN_MAX_PORT",
  "PLUGIN_PROTOCOL_VERSIONS",
  "PLUGIN_CLIENT_CERT",
  "PLUGIN_MULTIPLEX_GRPC",
  "PLUGIN_UNIX_SOCKET_DIR",
  "PLUGIN_UNIX_SOCKET_GROUP",
])
