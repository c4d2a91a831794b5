/** docs/tutorial.md, done as a reader would: its files are written, its commands run, and they print what it says. */
import { execFileSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { cliEnvironment, installedCli } from "../support/cli.ts"
import { read } from "../support/documents.ts"
import { temporaryFolder } from "../support/folder.ts"
import { eventually, noPython } from "../support/host.ts"
import { program } from "../support/program.ts"
import { installedSdk, makePackages } from "../support/wheels.ts"

interface Block {
  readonly language: string
  /** The file that it is in, of those in files. */
  readonly info: string
  readonly body: string
}

const blocks: ReadonlyArray<Block> = [...read("docs/tutorial.md").matchAll(/^```(\w+) ?(.*)\n([^]*?)^```/gm)].map(
  ([, language = "", info = "", body = ""]) => ({ language, info, body }),
)

const isImport = (line: string) => line.startsWith("from ")
/** The groups that imports are in: Python's own, packages, the SDK. */
const groupOf = (line: string) =>
  line.startsWith("from mattermost_plugin") ? 2 : line.startsWith("from humanize") ? 1 : 0
const moduleOf = (line: string) => line.split(" ")[1]
const nameOf = (method: string) => /^ {4}def (\w+)/m.exec(method)![1]

/** New members of a list, each in place of the one with its name, or at the end. */
const replacing = (known: ReadonlyArray<string>, added: ReadonlyArray<string>, name: (member: string) => unknown) => [
  ...known.map((member) => added.find((other) => name(other) === name(member)) ?? member),
  ...added.filter((member) => !known.some((other) => name(other) === name(member))),
]

/** `plugin.py` with a piece of new code in it, put where the document says that it goes; a whole program takes its place. */
const withPiece = (file: string, piece: string): string => {
  if (piece.includes("__main__")) return piece
  const [, top = "", plugin = "", end = ""] = /^(.*?\n)(class \w+\(Plugin\):\n.*?)\n\n\n(if __name__.*)$/s.exec(file)!
  const begin = piece.search(/^ {4}[@d]/m)
  const newTop = begin === -1 ? piece : piece.slice(0, begin)
  const methodsOf = (code: string) => code.trimEnd().split(/\n\n(?= {4}[@d])/)
  const newMethods = begin === -1 ? [] : methodsOf(piece.slice(begin))

  const importsOf = (code: string) => code.split("\n").filter(isImport)
  const imports = replacing(importsOf(top), importsOf(newTop), moduleOf).toSorted()
  const definitions = [top, newTop].map((code) => code.replaceAll(/^from .*\n/gm, "").trim())
  const [head = "", ...body] = plugin.split("\n")
  const methods = replacing(methodsOf(body.join("\n")), newMethods, nameOf)
  return [
    [0, 1, 2]
      .map((group) => imports.filter((line) => groupOf(line) === group).join("\n"))
      .filter((lines) => lines !== "")
      .join("\n\n"),
    ...definitions.filter((code) => code !== ""),
    `${head}\n${methods.join("\n\n")}`,
    end,
  ].join("\n\n\n")
}

/** Whether a text has each of these lines, in this order. */
const hasLines = (text: string, lines: string): boolean => {
  let from = 0
  return lines
    .trim()
    .split("\n")
    .every((line) => {
      const at = text.indexOf(line, from)
      from = at + line.length
      return at !== -1
    })
}

/** A command that runs until it is stopped. */
const RUNS = /^plugin-supervisor (dev|serve) .*/m

describe.skipIf(noPython)("docs/tutorial.md", () => {
  it.live(
    "makes a plugin that runs, whose tests pass, and that is installed",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        yield* Effect.addFinalizer(() => Effect.sync(() => execFileSync("chmod", ["-R", "u+w", folder])))
        makePackages(join(folder, "packages"), [
          {
            name: "humanize",
            version: "4.1",
            files: { "humanize.py": "def intcomma(value):\n    return f'{value:,}'\n" },
          },
          installedSdk(),
        ])
        const env = { ...cliEnvironment(), PATH: installedCli(folder) }
        // Built once for all tests: building the SDK takes a network and a minute.
        const more =
          "--port 0 --environments environments --python-sdk effect-plugin-supervisor-sdk --offline --find-links packages"

        /** Where the document says that hosts are, and where they are. */
        const bases = new Map<string, string>()
        let host = { scope: yield* Scope.make(), output: () => "" }
        let printed = host.output
        /** What the reader's terminal has set so far. */
        writeFileSync(join(folder, "variables"), "")

        const start = Effect.fnUntraced(function* (line: string) {
          // Whoever reads it has one terminal for hosts.
          yield* Scope.close(host.scope, Exit.void)
          const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
          const { child, log, output } = yield* Scope.provide(
            program("sh", ["-c", `exec ${line} ${more}`], { cwd: folder, env }),
            scope,
          )
          yield* eventually("it serves", () => child.exitCode !== null || output().includes("Try:"), 120_000)
          assert.isNull(child.exitCode, log())
          bases.set(
            line.startsWith("plugin-supervisor dev") ? "http://127.0.0.1:8066" : "http://127.0.0.1:8065",
            /listens on (\S+)/.exec(output())![1]!,
          )
          host = { scope, output: () => output() + log() }
          printed = host.output
        })
        const run = (body: string): void => {
          let text = `. ./variables\n${body}\nset | grep -E '^(AUTH|CHANNEL)=' > variables || true`
          for (const [said, is] of bases) text = text.replaceAll(said, is)
          const url = bases.get("http://127.0.0.1:8065")
          const answer = execFileSync("sh", ["-ec", text], {
            cwd: folder,
            env: { ...env, ...(url !== undefined && { PLUGIN_SUPERVISOR_URL: url }) },
            encoding: "utf8",
            timeout: 590_000,
          })
          printed = () => answer
        }
        const write = Effect.fnUntraced(function* ({ body, info }: Block) {
          const file = join(folder, info)
          const events = () => [...host.output().matchAll(/^(?:reloaded|failed) .*/gm)]
          const before = events().length
          const isProgram = file.endsWith("/plugin.py")
          writeFileSync(file, isProgram ? withPiece(readFileSync(file, "utf8"), body) : body)
          printed = host.output
          if (bases.size === 0) return
          yield* eventually(`${info} is loaded`, () => events().length > before, 120_000)
          assert.match(events().at(-1)![0], /^reloaded/, info)
        })

        for (const block of blocks) {
          if (block.info === "setup") continue
          if (block.language === "text") {
            yield* eventually(`it prints ${block.body}`, () => hasLines(printed(), block.body))
          } else if (block.language === "sh") {
            const lines = block.body.trim().split("\n")
            const runs = lines.findIndex((line) => RUNS.test(line))
            if (runs !== 0) run(lines.slice(0, runs === -1 ? lines.length : runs).join("\n"))
            if (runs !== -1) yield* start(lines[runs]!)
          } else yield* write(block)
        }
        assert.strictEqual(bases.size, 2)
        for (const file of ["plugin.json", "plugin.py", "requirements.txt", "test_plugin.py"]) {
          const made = readFileSync(join(folder, "thanks", file), "utf8")
          assert.strictEqual(made, read(`examples/tutorial/thanks/${file}`), file)
        }
      }).pipe(Effect.scoped),
    600_000,
  )
})
