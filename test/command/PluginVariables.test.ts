import { resolve } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { ownVariables } from "../../src/contract/Contract.ts"
import { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
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

/** Those of a contract, in upper case. */
const reserved = ownVariables(MattermostContract).map((name) => name.toUpperCase())

describe("pluginVariables", () => {
  it("denies by default", () => {
    assert.deepStrictEqual(pluginVariables(host, "linux"), basic)
  })

  it("has a temporary folder that does not depend on the working directory", () => {
    assert.deepStrictEqual(pluginVariables({ TMPDIR: "tmp" }, "linux"), { TMPDIR: resolve("tmp") })
    assert.deepStrictEqual(pluginVariables({ TMPDIR: "" }, "linux"), { TMPDIR: "" })
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

  it("takes a star at the end alone for a prefix", () => {
    for (const pattern of ["*_REGION", "AWS", "A*S_REGION", "aws_*", ""]) {
      assert.deepStrictEqual(pluginVariables(host, "linux", [pattern]), basic, pattern)
    }
    assert.deepStrictEqual(pluginVariables({ LCX: "1", LC_TIME: "2", Path: "3" }, "linux"), { LC_TIME: "2" })
  })

  it("lets the operator's values win over the host's", () => {
    assert.strictEqual(pluginVariables(host, "linux", ["AWS_REGION"], { AWS_REGION: "own" })["AWS_REGION"], "own")
    assert.strictEqual(pluginVariables(host, "linux", [], { PATH: "/own" })["PATH"], "/own")
  })

  it("leaves the operator variables that only look like the protocol's, but no secret of the host's", () => {
    const values = { PLUGIN_DB_URL: "db", MATTERMOST_PLUGINS_KEY: "key" }
    assert.deepStrictEqual(pluginVariables({}, "linux", [], values), values)
    for (const name of ["PLUGIN_SUPERVISOR_TOKEN", "PLUGIN_SUPERVISOR_TOKEN_FILE", "PLUGIN_SUPERVISOR_API_TOKEN_FD"]) {
      assert.deepStrictEqual(pluginVariables({ [name]: "x" }, "linux", ["PLUGIN_*"], { [name]: "y" }), {})
    }
  })

  it("takes the variables of the protocol and of the contract from nobody but those", () => {
    assert.deepStrictEqual(
      pluginVariables(host, "linux", ["*"], { PLUGIN_MULTIPLEX_GRPC: "1", MATTERMOST_PLUGIN_ID: "x" }, reserved),
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

  it.each([
    "PLUGIN_CLIENT_CERT",
    "PLUGIN_MIN_PORT",
    "plugin_protocol_versions",
    "MATTERMOST_PLUGIN",
    "MATTERMOST_PLUGIN_API_TARGET",
    "Mattermost_Api_Target",
  ])("neither inherits nor lets the operator set %s", (name) => {
    for (const platform of ["linux", "win32"]) {
      const found = pluginVariables({ [name]: "host" }, platform, [name, "PLUGIN_*"], { [name]: "own" }, reserved)
      assert.deepStrictEqual(found, {})
    }
  })

  it("has each variable of Windows once, the operator's", () => {
    const variables = { Path: "C:\\host", SYSTEMROOT: "C:\\Windows" }
    assert.deepStrictEqual(pluginVariables(variables, "win32", ["path"], { PATH: "C:\\own" }), {
      SYSTEMROOT: "C:\\Windows",
      PATH: "C:\\own",
    })
    assert.deepStrictEqual(pluginVariables({ PATH: "/host", LANG: "C" }, "linux", [], { path: "own" }), {
      PATH: "/host",
      LANG: "C",
      path: "own",
    })
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
