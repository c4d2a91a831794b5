/** docs/cli.md: every command in it is run, and every command and flag that there is, is in it. */
import { execFileSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Console, Effect } from "effect"
import { Command } from "effect/cli"
import { command } from "../../src/cli/commands.ts"
import { cliEnvironment, installedCli } from "../support/cli.ts"
import { read } from "../support/documents.ts"
import { temporaryFolder } from "../support/folder.ts"
import { eventually, noPython } from "../support/host.ts"
import { program } from "../support/program.ts"

const text = read("docs/cli.md")

/** The commands of a snippet. */
const snippet = (name: string): string => new RegExp(`^\`\`\`sh ${name}\n(.*?)^\`\`\``, "ms").exec(text)![1]!

/** What `--help` prints for a command. */
const helpOf = Effect.fnUntraced(function* (path: ReadonlyArray<string>) {
  const lines: Array<string> = []
  const console = { ...globalThis.console, log: (line: string) => void lines.push(line) }
  yield* Command.runWith(command, { version: "" })([...path, "--help"]).pipe(
    Effect.provideService(Console.Console, console),
    Effect.provide(NodeServices.layer),
  )
  return lines.join("\n")
})

const subcommands = (help: string): ReadonlyArray<string> =>
  [...help.split(/^GLOBAL FLAGS$/m)[1]!.matchAll(/^ {2}([a-z]+) {2,}\S/gm)].map(([, name]) => name!)

describe("docs/cli.md", () => {
  it.live("has every command, with its flags", () =>
    Effect.gen(function* () {
      const [common = ""] = /^## What all commands[^]*?(?=^## Running)/m.exec(text)!
      const parts = text.split(/^(?=## )/m)
      const names = subcommands(yield* helpOf([]))
      assert.include(names, "install")
      const paths = [
        ...names.filter((name) => name !== "config").map((name) => [name]),
        ["config", "get"],
        ["config", "set"],
        ["config", "unset"],
      ]
      for (const path of paths) {
        const title = path.join(" ")
        const part = parts.find((one) => one.includes(`\n### ${title}\n`)) ?? assert.fail(`there is no ${title}`)
        const section = part.split(/^(?=### )/m).find((one) => one.startsWith(`### ${title}\n`))!
        // What is said before the first command is about all of its part.
        const told = common + part.split(/^### /m)[0]! + section
        const help = (yield* helpOf(path)).split(/^GLOBAL FLAGS$/m)[0]!
        for (const [flag] of help.matchAll(/(?<=^ {2})--[a-z-]+/gm)) assert.include(told, flag, `${title} ${flag}`)
      }
      const headings = [...text.matchAll(/^### (.+)$/gm)].map(([, heading]) => heading)
      assert.sameMembers(
        headings,
        paths.map((path) => path.join(" ")),
      )
    }),
  )

  it.live.skipIf(noPython)("has commands that do what it says", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const PATH = installedCli(folder)
      const env = (variables: NodeJS.ProcessEnv = {}) => ({ ...cliEnvironment(variables), PATH })
      const run = (name: string, variables: NodeJS.ProcessEnv = {}) =>
        Effect.sync(() =>
          execFileSync("bash", ["-ec", snippet(name)], { cwd: folder, env: env(variables), encoding: "utf8" }),
        )
      const start = (name: string) =>
        program(
          "sh",
          [
            "-ec",
            `${snippet(name)
              .trim()
              .replace(/^plugin-supervisor/m, "exec $&")} --port 0`,
          ],
          {
            cwd: folder,
            env: env(),
          },
        )

      const author = yield* run("author")
      assert.include(author, `"rejection_reason": "secrets don't belong here"`)
      const manifest = join(folder, "hello/plugin.json")
      const dev = yield* start("dev")
      yield* eventually("it runs", () => dev.child.exitCode !== null || dev.output().includes("Try:"))
      assert.isNull(dev.child.exitCode, dev.log())
      assert.isTrue(existsSync(manifest))

      const supervisor = yield* start("serve")
      yield* eventually("it listens", () => supervisor.child.exitCode !== null || supervisor.output().includes("Try:"))
      assert.isNull(supervisor.child.exitCode, supervisor.log())
      const url = /listens on (\S+)/.exec(supervisor.output())![1]!
      const operator = yield* run("operator", { PLUGIN_SUPERVISOR_URL: url })
      assert.match(operator, /^hello +0\.1\.0 +Running +enabled/m)
      assert.match(operator, /hello is active/)
      assert.match(operator, /hello is removed\n$/)
      yield* run("completions")
      assert.include(readFileSync(join(folder, "completions.bash"), "utf8"), "plugin-supervisor")
    }).pipe(Effect.scoped),
  )
})
