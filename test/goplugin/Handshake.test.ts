import { assert, describe, it } from "vitest"
import { environment } from "../../src/goplugin/Handshake.ts"
import * as SocketAddress from "../../src/goplugin/SocketAddress.ts"

const config = { magicCookieKey: "COOKIE", magicCookieValue: "value", protocolVersions: [2, 10] }

describe("Handshake.environment", () => {
  it("is the given one, then the protocol's", () => {
    assert.deepStrictEqual(environment({ PATH: "/bin", UNSET: undefined }, config, { socketDirectory: "/run/x" }), {
      PATH: "/bin",
      UNSET: undefined,
      COOKIE: "value",
      PLUGIN_PROTOCOL_VERSIONS: "2,10",
      PLUGIN_MIN_PORT: "10000",
      PLUGIN_MAX_PORT: "25000",
      PLUGIN_UNIX_SOCKET_DIR: "/run/x",
    })
  })

  it("says what is asked for", () => {
    const all = environment(
      {},
      { ...config, ports: { min: 0, max: 0 } },
      { socketDirectory: "/run/x", socketGroup: 42, multiplex: true, hostCertificate: "PEM" },
    )
    assert.deepStrictEqual(
      [all["PLUGIN_MIN_PORT"], all["PLUGIN_MAX_PORT"], all["PLUGIN_UNIX_SOCKET_GROUP"]],
      ["0", "0", "42"],
    )
    assert.deepStrictEqual([all["PLUGIN_MULTIPLEX_GRPC"], all["PLUGIN_CLIENT_CERT"]], ["true", "PEM"])
  })

  it("hands none of the protocol's variables down, in whatever case", () => {
    const inherited = {
      PLUGIN_CLIENT_CERT: "PEM",
      plugin_multiplex_grpc: "true",
      PLUGIN_UNIX_SOCKET_GROUP: "staff",
      PLUGIN_OF_MINE: "kept",
    }
    const { PLUGIN_OF_MINE, ...rest } = environment(inherited, config, { socketDirectory: "/run/x" })
    assert.strictEqual(PLUGIN_OF_MINE, "kept")
    assert.notExists(rest["PLUGIN_CLIENT_CERT"] ?? rest["plugin_multiplex_grpc"] ?? rest["PLUGIN_UNIX_SOCKET_GROUP"])
  })
})

describe("SocketAddress", () => {
  const addresses = [
    ["unix", "/tmp/plugin1", "unix:/tmp/plugin1"],
    ["tcp", "127.0.0.1:1234", "127.0.0.1:1234"],
    ["tcp", "[::1]:1234", "ipv6:[::1]:1234"],
    // Linux' abstract namespace.
    ...(process.platform === "linux" ? ([["unix", "@plugin", "unix:\0plugin"]] as const) : []),
  ] as const
  it.each(addresses)("reads and writes %s %s", (Network, String, target) => {
    const address = SocketAddress.parse(Network, String)
    assert.isObject(address)
    if (typeof address === "string") return
    assert.strictEqual(SocketAddress.target(address), target)
    assert.deepStrictEqual(SocketAddress.format(address), { Network, String })
  })

  it.each([
    ["unix", "plugin"],
    ["unix", "/tmp/\0"],
    ["unix", "/tmp/a\nb"],
    ["unix", "@"],
    ["tcp", "a b:1"],
    ["unix", `/${"x".repeat(107)}`],
    ["tcp", "127.0.0.1"],
    ["tcp", "127.0.0.1:x"],
    ["tcp", "[::g]:1"],
    ["udp", "127.0.0.1:1"],
  ])("refuses %s %j", (network, address) => {
    assert.isString(SocketAddress.parse(network, address))
  })
})
