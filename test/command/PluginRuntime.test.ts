import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import type { Manifest } from "../../src/bundle/Manifest.ts"
import { detectRuntime, platformKey } from "../../src/command/PluginRuntime.ts"

const linux = { platform: "linux", arch: "x64" }
const detect = (fields: Partial<Manifest>, platform = linux) =>
  detectRuntime({ id: "my-plugin", name: "x", ...fields }, platform)

describe("detectRuntime", () => {
  const cases: ReadonlyArray<readonly [manifest: Partial<Manifest>, kind: string, executable: string]> = [
    [{ server: { runtime: "python", executable: "main" } }, "python", "main"],
    [{ server: { executable: "main" }, props: { runtime: "python" } }, "python", "main"],
    [{ server: { executable: "plugin.py" } }, "python", "plugin.py"],
    [{ server: { executables: { "linux-amd64": "plugin.py" } } }, "python", "plugin.py"],
    [{ server: { python: { entry_point: "app/main.py" } } }, "python", "app/main.py"],
    [{ server: { runtime: "python", python: { entry_point: "main" } } }, "python", "main"],
    [{ server: { executable: "main" } }, "native", "main"],
    [{ server: { runtime: "go", executable: "main" } }, "native", "main"],
    [{ server: { executable: "main.pyc" } }, "native", "main.pyc"],
    [{ server: { executable: "main" }, props: { runtime: "Python" } }, "native", "main"],
    [{ server: { executables: { "linux-amd64": "l", "darwin-arm64": "d" }, executable: "e" } }, "native", "l"],
    [{ server: { executables: { "darwin-arm64": "d" }, executable: "e" } }, "native", "e"],
    [{ server: { executables: { "linux-amd64": "" }, executable: "e" } }, "native", "e"],
  ]
  it.each(cases)("%j is %s", (manifest, kind, executable) => {
    assert.deepStrictEqual(Result.getOrThrow(detect(manifest)), { kind: kind as "native", executable })
  })

  it("tells which platforms there is an executable for", () => {
    const nothing: ReadonlyArray<Partial<Manifest>> = [
      {},
      { server: {} },
      { server: { runtime: "python" } },
      { server: { executable: "", python: { entry_point: "" } } },
      { webapp: { bundle_path: "x" } },
    ]
    for (const manifest of nothing) {
      assert.isTrue(Result.isFailure(detect(manifest)))
    }
    const missing = detect({ server: { executables: { "darwin-arm64": "d", "windows-amd64": "w" } } })
    assert.isTrue(Result.isFailure(missing))
    if (Result.isFailure(missing)) {
      assert.include(missing.failure.message, "plugin my-plugin names no executable for linux-amd64")
      assert.include(missing.failure.message, "darwin-arm64, windows-amd64")
    }
  })
})

describe("platformKey", () => {
  it.each([
    ["linux", "x64", "linux-amd64"],
    ["linux", "arm64", "linux-arm64"],
    ["darwin", "arm64", "darwin-arm64"],
    ["darwin", "x64", "darwin-amd64"],
    ["win32", "x64", "windows-amd64"],
    ["win32", "arm64", "windows-arm64"],
    ["sunos", "x64", "solaris-amd64"],
    ["linux", "ia32", "linux-386"],
    ["freebsd", "x64", "freebsd-amd64"],
  ])("%s %s is %s", (platform, arch, key) => {
    assert.strictEqual(platformKey({ platform, arch }), key)
  })
})
