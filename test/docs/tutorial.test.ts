/** docs/tutorial.md, done as a reader would: its files are written, its commands run, and they print what it says. */
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { checkout, served } from "../support/checkout.ts"
import { read } from "../support/documents.ts"
import { eventually, noPython } from "../support/host.ts"

/** Where the document says that the host is. */
const BASE = "http://127.0.0.1:8065"

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
const isOfTheSdk = (line: string) => line.startsWith("from mattermost_plugin")
const moduleOf = (line: string) => line.split(" ")[1]
const nameOf = (method: string) => /^ {4}def (\w+)/m.exec(method)![1]

/** New members of a list, each in place of the one with its name, or at the end. */
const replacing = (known: ReadonlyArray<string>, added: ReadonlyArray<string>, name: (member: string) => unknown) => [
  ...known.map((member) => added.find((other) => name(other) === name(member)) ?? member),
  ...added.filter((member) => !known.some((other) => name(other) === name(member))),
]

/** `plugin.py` with a piece of new code in it, put where the document says that it goes. */
const withPiece = (file: string, piece: string): string => {
  const [, top = "", plugin = "", end = ""] = /^(.*?\n)(class \w+\(Plugin\):\n.*?)\n\n\n(if __name__.*)$/s.exec(file)!
  const begin = piece.search(/^ {4}[@d]/m)
  const newTop = begin === -1 ? piece : piece.slice(0, begin)
  const methodsOf = (code: string) => code.trimEnd().split(/\n\n(?= {4}[@d])/)
  const newMethods = begin === -1 ? [] : methodsOf(piece.slice(begin))

  const importsOf = (code: string) => code.split("\n").filter(isImport)
  const imports = replacing(importsOf(top), importsOf(newTop), moduleOf).toSorted()
  const [ofTheSdk, others] = [imports.filter(isOfTheSdk), imports.filter((line) => !isOfTheSdk(line))]
  const definitions = [top, newTop].map((code) => code.replaceAll(/^from .*\n/gm, "").trim())
  const [head = "", ...body] = plugin.split("\n")
  const methods = replacing(methodsOf(body.join("\n")), newMethods, nameOf)
  return [
    [others, ofTheSdk]
      .map((lines) => lines.join("\n"))
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

/** What comes before the host is started, and then each start with what comes after it. */
const phases = blocks
  .filter(({ info }) => info !== "setup")
  .reduce<Array<Array<Block>>>(
    (all, block) => {
      if (/^npx node .* serve /m.test(block.body)) all.push([])
      all.at(-1)!.push(block)
      return all
    },
    [[]],
  )

describe.skipIf(noPython)("docs/tutorial.md", () => {
  it.live(
    "makes a plugin that runs, and whose tests pass",
    () =>
      Effect.gen(function* () {
        const folder = yield* checkout
        const write = ({ body, info }: Block): void => {
          const file = join(folder, info)
          mkdirSync(dirname(file), { recursive: true })
          const isPiece = existsSync(file) && file.endsWith("/plugin.py")
          writeFileSync(file, isPiece ? withPiece(readFileSync(file, "utf8"), body) : body)
        }
        /** What the reader's terminal has set so far. */
        const variables: Array<string> = []
        const run = (body: string, base: string): string => {
          const script = [...variables, body].join("\n").replaceAll(BASE, base)
          variables.push(...body.split("\n").filter((line) => /^[A-Z]+=/.test(line)))
          return execFileSync("sh", ["-ec", script], { cwd: folder, encoding: "utf8", timeout: 590_000 })
        }
        const [before, ...starts] = phases
        assert.strictEqual(starts.length, 6)
        before!.forEach(write)
        for (const [start, ...after] of starts) {
          const phase = Effect.gen(function* () {
            const { base, log, output } = yield* served(start!.body, folder)
            let printed = () => output() + log()
            for (const block of after) {
              if (block.language === "text") {
                yield* eventually(`it prints ${block.body}`, () => hasLines(printed(), block.body))
              } else if (block.language === "sh") {
                const answer = run(block.body, base)
                printed = () => answer
              } else {
                write(block)
              }
            }
          })
          yield* Effect.scoped(phase)
        }
        for (const file of ["plugin.json", "plugin.py", "test_plugin.py"]) {
          const made = readFileSync(join(folder, "plugins/thanks", file), "utf8")
          assert.strictEqual(made, read(`examples/tutorial/thanks/${file}`), file)
        }
      }).pipe(Effect.scoped),
    600_000,
  )
})
