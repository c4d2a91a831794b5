import { assert, describe, it } from "@effect/vitest"
import { pluginVariables } from "../../src/command/PluginVariables.ts"

const host = {
  PATH: "/bin",
  HOME: "/home/me",
  LANG: "C",
  LC_ALL: "C",
  TZ: "UTC",
  TMPDIR: "/tmp",
  AWS_SECRET_ACCESS_KEY: "secret",
  AWS_REGION: "x",
  DATABASE_URL: "secret",
  PYTHONPATH: "/x",
  LD_PRELOAD: "/x.so",
  PLUGIN_CLIENT_CERT: "x",
  PLUGIN_UNIX_SOCKET_DIR: "/x",
  MATTERMOST_PLUGIN: "x",
  MATTERMOST_PLUGIN_API_TARGET: "x",
  MATTERMOST_API_TARGET: "x",
  UNSET: undefined,
}
const basic = { PATH: "/bin", HOME: "/home/me", LANG: "C", LC_ALL: "C", TZ: "UTC", TMPDIR: "/tmp" }

describe("pluginVariables", () => {
  it("denies by default", () => {
    assert.deepStrictEqual(pluginVariables(host, "linux"), basic)
  })

  it("allows names and prefixes", () => {
    assert.deepStrictEqual(pluginVariables(host, "linux", ["DATABASE_URL", "UNSET", "ABSENT"]), {
      ...basic,
      DATABASE_URL: "secret",
    })
    assert.deepStrictEqual(pluginVariables(host, "linux", ["AWS_*"]), {
      ...basic,
      AWS_SECRET_ACCESS_KEY: "secret",
      AWS_REGION: "x",
    })
  })

  it("lets the operator's values win over the host's", () => {
    assert.strictEqual(pluginVariables(host, "linux", ["AWS_REGION"], { AWS_REGION: "own" })["AWS_REGION"], "own")
    assert.strictEqual(pluginVariables(host, "linux", [], { PATH: "/own" })["PATH"], "/own")
  })

  it("takes the protocol's variables from nobody but the protocol", () => {
    assert.deepStrictEqual(
      pluginVariables(host, "linux", ["*"], { PLUGIN_MULTIPLEX_GRPC: "1", MATTERMOST_PLUGIN_ID: "x" }),
      {
        ...basic,
        AWS_SECRET_ACCESS_KEY: "secret",
        AWS_REGION: "x",
        DATABASE_URL: "secret",
        PYTHONPATH: "/x",
        LD_PRELOAD: "/x.so",
      },
    )
  })

  it("knows Windows' variables in any case", () => {
    const windows = {
      Path: "C:\\bin",
      SYSTEMROOT: "C:\\Windows",
      systemdrive: "C:",
      Plugin_Client_Cert: "x",
      Other: "x",
    }
    assert.deepStrictEqual(pluginVariables(windows, "win32"), {
      Path: "C:\\bin",
      SYSTEMROOT: "C:\\Windows",
      systemdrive: "C:",
    })
  })
})
