/** Makes the virtual environments that the scripts need; used by `npm start`, `npm test`, `npm run check` and `npm run bench`. */
import { execFileSync, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, globSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"

export const root = resolve(import.meta.dirname, "..")

/** The oldest Python that the SDK supports. */
const OLDEST = [3, 9]

/** The newest Python for which there are wheels of the oldest grpcio that the SDK supports. */
const NEWEST_OF_LOWEST = 12

/** A Python of this machine, by its command; or why there is none that will do. */
export const findPython = (): { readonly command: string; readonly minor: number } | { readonly missing: string } => {
  for (const command of ["python3", "python"]) {
    const probe = spawnSync(command, ["-c", "import sys, venv, ensurepip; print(*sys.version_info[:2])"], {
      encoding: "utf8",
    })
    const [major = 0, minor = 0] = (probe.stdout ?? "").trim().split(" ").map(Number)
    if (probe.status === 0 && major === OLDEST[0] && minor >= OLDEST[1]!) return { command, minor }
  }
  return { missing: "there is no Python 3.9 or later with venv and pip on the PATH" }
}

const digestOf = (seed: string, patterns: ReadonlyArray<string>): string => {
  const hash = createHash("sha256").update(seed)
  for (const file of globSync(patterns, { cwd: root }).toSorted()) {
    hash.update(file).update(readFileSync(join(root, file)))
  }
  return hash.digest("hex")
}

const PROTOS = ["proto/**/*.proto", "python-sdk/{generate.py,generator/*.{py,txt},src/effect_plugin/_generator/*.py}"]
const PACKAGING = ["python-sdk/{pyproject.toml,setup.py}"]
const SOURCES = [
  "python-sdk/src/{*.py,mattermost_plugin/{*,[!_]*/*,_internal/*}.py,effect_plugin/{*,[!_]*/*,_serving/*,_ttrpc/*}.py}",
]

const run = (command: string, ...args: ReadonlyArray<string>) =>
  execFileSync(command, args, { cwd: root, stdio: ["ignore", 2, 2] })

/** Runs `make` unless it has run for this very `digest`, which is kept in `mark`. */
const once = (mark: string, digest: string, make: () => void): void => {
  if (existsSync(mark) && readFileSync(mark, "utf8") === digest) return
  make()
  writeFileSync(mark, digest)
}

/**
 * Makes sure that `folder` holds a virtual environment in which pip has installed `requirement` (`./python-sdk`, say), and
 * answers its interpreter. It is made anew when what it was made of has changed.
 */
export const ensureVenv = (
  folder: string,
  requirement: string,
  python: string,
  madeOf: ReadonlyArray<string> = [...PROTOS, ...PACKAGING, ...SOURCES],
): string => {
  const venv = join(root, folder)
  const isWindows = process.platform === "win32"
  const interpreter = join(venv, isWindows ? "Scripts" : "bin", isWindows ? "python.exe" : "python")
  once(join(venv, ".installed"), digestOf(requirement, madeOf), () => {
    process.stderr.write(`Setting up ${folder} (once): pip install ${requirement}\n`)
    rmSync(venv, { recursive: true, force: true })
    run(python, "-m", "venv", venv)
    run(interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...requirement.split(" "))
  })
  return interpreter
}

/**
 * The environment of the SDK's own development, which the tests use as well. The SDK's sources are used as they are; only
 * what is generated from the contract has to be made anew when it changes.
 */
export const ensureDevVenv = (python: string): string => {
  const folder = "python-sdk/.venv"
  const interpreter = ensureVenv(folder, "-e ./python-sdk[dev]", python, PACKAGING)
  once(join(root, folder, ".generated"), digestOf("generated", PROTOS), () =>
    run(interpreter, join(root, "python-sdk/generate.py")),
  )
  return interpreter
}

/** Builds the SDK's wheel into a folder, with what the environment of this interpreter has for that. */
export const buildWheel = (interpreter: string, folder: string): void => {
  const options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"]
  run(interpreter, "-m", "pip", "wheel", ...options, "--wheel-dir", folder, "./python-sdk")
}

/** Makes sure that there is a wheel of the SDK as it is now, and answers its path. It is built in `ensureDevVenv`. */
export const ensureWheel = (interpreter: string): string => {
  const folder = join(root, ".cache/sdk")
  once(join(folder, ".built"), digestOf("wheel", [...PROTOS, ...PACKAGING, ...SOURCES]), () => {
    rmSync(folder, { recursive: true, force: true })
    buildWheel(interpreter, folder)
  })
  return join(folder, globSync("*.whl", { cwd: folder })[0]!)
}

/**
 * An environment with the oldest versions of what the SDK needs; or why this Python can't have it.
 */
export const ensureLowestVenv = (python: {
  readonly command: string
  readonly minor: number
}): { readonly interpreter: string } | { readonly missing: string } => {
  if (python.minor > NEWEST_OF_LOWEST) return { missing: `there is no grpcio 1.60 for Python 3.${python.minor}` }
  const lowest = "python-sdk/lowest-versions.txt"
  const madeOf = [...PACKAGING, lowest]
  const requirement = `-e ./python-sdk[test] -c ${lowest}`
  return { interpreter: ensureVenv("python-sdk/.venv-lowest", requirement, python.command, madeOf) }
}
