/** `npm run check`: types, lint and format of everything; `--fix` mends what can be mended. */
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { ensureDevVenv, findPython, root } from "./python.ts"

const fix = process.argv.includes("--fix")
const found = findPython()
if ("missing" in found) {
  process.stderr.write(`The Python side can't be checked: ${found.missing}.\n`)
  process.exit(1)
}
const interpreter = ensureDevVenv(found.command)

/** All Python of the repository, by the SDK's own rules. */
const python = ["--config", "pyproject.toml", ".", "../examples", "../test/fixtures", "../bench"]

const checks: ReadonlyArray<readonly [string, ReadonlyArray<string>, string]> = [
  ["tsc", ["-p", "."], root],
  ["oxlint", fix ? ["--fix"] : [], root],
  ["oxfmt", fix ? [] : ["--check"], root],
  ["buf", ["lint"], root],
  ["buf", ["format", ...(fix ? ["--write"] : ["--diff", "--exit-code"])], root],
  [interpreter, ["-m", "ruff", "check", ...(fix ? ["--fix"] : []), ...python], join(root, "python-sdk")],
  [interpreter, ["-m", "ruff", "format", ...(fix ? [] : ["--check"]), ...python], join(root, "python-sdk")],
  [interpreter, ["-m", "mypy"], join(root, "python-sdk")],
  ["pyright", ["-p", "python-sdk"], root],
  ...(spawnSync("go", ["version"]).status === 0
    ? ([
        ["gofmt", [fix ? "-w" : "-d", "go-sdk", "examples", "test/fixtures", "bench/reference"], root],
        ["go", ["vet", "./..."], join(root, "go-sdk")],
      ] as const)
    : []),
]

const failed = checks.filter(([command, args, cwd]) => {
  process.stdout.write(`> ${command.includes("python") ? "python" : command} ${args.join(" ")}\n`)
  return spawnSync(command, args, { cwd, stdio: "inherit" }).status !== 0
})
if (failed.length > 0) {
  process.stderr.write(`${failed.length} of ${checks.length} checks failed\n`)
  process.exit(1)
}
process.stdout.write(`all ${checks.length} checks passed\n`)
