/** Makes the virtual environments that the scripts need; used by `npm start`, `npm test`, `npm run check` and `npm run bench`. */
import { execFileSync, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, globSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"

export const root = resolve(import.meta.dirname, "..")

/** The oldest Python that the SDK supports. */
const OLDEST = [3, 9]

/** A Python of this machine, by its command; or why there is none that will do. */
export const findPython = (): { readonly command: string } | { readonly missing: string } => {
  for (const command of ["python3", "python"]) {
    const probe = spawnSync(command, ["-c", "import sys, venv, ensurepip; print(*sys.version_info[:2])"], {
      encoding: "utf8",
    })
    const [major = 0, minor = 0] = (probe.stdout ?? "").trim().split(" ").map(Number)
    if (probe.status === 0 && major === OLDEST[0] && minor >= OLDEST[1]!) return { command }
  }
  return { missing: "there is no Python 3.9 or later with venv and pip on the PATH" }
}

/** What the installed SDK is made of: when it changes, an environment is made anew. */
const fingerprint = (requirement: string): string => {
  const hash = createHash("sha256").update(requirement)
  const files = globSync(["proto/**/*.proto", "python-sdk/{pyproject.toml,setup.py,generate.py}"], { cwd: root })
  const sources = requirement.includes("-e ") ? [] : globSync("python-sdk/src/mattermost_plugin/*.py", { cwd: root })
  for (const file of [...files, ...sources].toSorted()) hash.update(file).update(readFileSync(join(root, file)))
  return hash.digest("hex")
}

/**
 * Makes sure that `folder` holds a virtual environment with the SDK in it, and answers its interpreter. `requirement` is
 * pip's, run in the repository's root: `./python-sdk`, or `-e ./python-sdk[dev]`.
 */
export const ensureVenv = (folder: string, requirement: string, python: string): string => {
  const venv = join(root, folder)
  const bin = process.platform === "win32" ? "Scripts" : "bin"
  const interpreter = join(venv, bin, process.platform === "win32" ? "python.exe" : "python")
  const mark = join(venv, ".installed")
  const wanted = fingerprint(requirement)
  if (existsSync(mark) && readFileSync(mark, "utf8") === wanted) return interpreter
  process.stderr.write(`Setting up ${folder} (once): pip install ${requirement}\n`)
  rmSync(venv, { recursive: true, force: true })
  execFileSync(python, ["-m", "venv", venv], { stdio: ["ignore", 2, 2] })
  execFileSync(
    interpreter,
    ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...requirement.split(" ")],
    {
      cwd: root,
      stdio: ["ignore", 2, 2],
    },
  )
  writeFileSync(mark, wanted)
  return interpreter
}

/** The environment of the SDK's own development, which the tests use as well. */
export const ensureDevVenv = (python: string): string => ensureVenv("python-sdk/.venv", "-e ./python-sdk[dev]", python)
