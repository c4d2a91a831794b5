/** A host on current go-plugin starts plugins on our SDK, with AutoMTLS and without; and, to compare, one in Go. */
import { execFile } from "node:child_process"
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { assert, describe, it, onTestFinished } from "vitest"
import { goKind, goProgram, type Kind, noGo, pythonKind, supervisedKind } from "../support/goplugin.ts"
import { examples } from "../support/host.ts"

interface Report {
  readonly error?: string
  readonly steps?: { readonly [step: string]: string }
  readonly version?: number
  readonly exited: boolean
  readonly killedForcibly: boolean
  readonly log: string
}

/** Runs the host; a plugin that it ends gracefully must leave nothing in its temporary folder. */
const run = async (flags: ReadonlyArray<string>, kind: Kind, env: NodeJS.ProcessEnv = {}): Promise<Report> => {
  const TMPDIR = mkdtempSync(join(tmpdir(), "gohost-"))
  onTestFinished(() => rmSync(TMPDIR, { recursive: true }))
  const { args, cwd, executable } = kind.options().process
  const { stdout } = await promisify(execFile)(goProgram("host"), [...flags, "--", executable, ...args], {
    cwd,
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], TMPDIR, ...env },
    timeout: 150_000,
  })
  const report: Report = JSON.parse(stdout)
  // One that is refused is killed, and what go-plugin's own plugins leave is theirs.
  if (kind === pythonKind && report.error === undefined) assert.deepStrictEqual(readdirSync(TMPDIR), [])
  return report
}

const ALL = {
  ping: "ok",
  double: "42",
  stream: "[42 44 46 48 50 52]",
  log: "ok",
  stdio: "byte for byte",
  dialHost: "pong from the host",
  serveBack: "pong from the plugin",
  payload: "ok",
}

const suite = (kind: Kind) => {
  // go-plugin's host always makes P-521 keys.
  for (const flags of [[], ["-automtls"]]) {
    it(`does everything, and ends gracefully: ${flags.join() || "in the clear"}`, async () => {
      const report = await run(flags, kind)
      assert.isUndefined(report.error)
      assert.deepStrictEqual(report.steps, ALL)
      assert.isTrue(report.exited)
      assert.isFalse(report.killedForcibly)
      assert.match(report.log, /"foo": ?"bar"/)
      assert.notMatch(report.log, /WARNING|Traceback|panic/)
    })
  }

  it("negotiates the version", async () => {
    const report = await run(["-versions", "1,2,9,10"], kind, { FIXTURE_VERSIONS: "2,9,10,11" })
    assert.deepStrictEqual([report.version, report.steps?.["double"]], [10, "942"])
    const refused = await run(["-versions", "1"], kind, { FIXTURE_VERSIONS: "2,4" })
    assert.include(refused.error, "incompatible API version with plugin. Plugin version: 2, Client versions: [1]")
  })
}

for (const kind of [goKind, pythonKind]) {
  describe.skipIf(noGo !== undefined || kind.missing !== undefined)(`a Go host, a plugin in ${kind.name}`, () =>
    suite(kind),
  )
}

describe.skipIf(noGo !== undefined || pythonKind.missing !== undefined)("a Go host", () => {
  it("multiplexes with plugins that do, and is told by those that don't", async () => {
    assert.deepStrictEqual((await run(["-mux", "-automtls"], goKind)).steps, ALL)
    const { error } = await run(["-mux"], pythonKind)
    assert.include(error, "multiplexing")
  })

  for (const flags of [[], ["-automtls"]]) {
    it(`runs a plugin with hooks: ${flags.join() || "in the clear"}`, async () => {
      const plugin: Kind = {
        ...pythonKind,
        options: () => {
          const options = pythonKind.options()
          const args = [join(examples, "hello-python/plugin.py")]
          return { ...options, process: { ...options.process, args, cwd: join(examples, "hello-python") } }
        },
      }
      const cookie = "MATTERMOST_PLUGIN=Securely message teams, anywhere."
      const invoke = "/mattermost.pluginapi.v1.PluginHooks/Implemented"
      const report = await run([...flags, "-cookie", cookie, "-invoke", invoke], plugin)
      assert.deepStrictEqual(report.steps, { ping: "ok", invoke: "ok" })
      assert.isTrue(report.exited)
      assert.isFalse(report.killedForcibly)
    })
  }
})

describe.skipIf(noGo !== undefined)("a Go host, a plugin on our Go package", () => {
  for (const flags of [[], ["-automtls"], ["-mux", "-automtls"]]) {
    it(`calls it, and ends it gracefully: ${flags.join() || "in the clear"}`, async () => {
      const report = await run([...flags, "-invoke", "/grpctest.Test/Double"], supervisedKind)
      assert.deepStrictEqual(report.steps, { ping: "ok", invoke: "ok" })
      assert.isTrue(report.exited)
      assert.isFalse(report.killedForcibly)
    })
  }
})
