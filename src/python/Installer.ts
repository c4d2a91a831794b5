import { Effect, FileSystem, Path } from "effect"
import type { PythonInstallError, PythonToolError } from "../command/PythonEnvironment.ts"
import type { EnvironmentSettings } from "./EnvironmentSettings.ts"
import { type HostRequirement, normalName, NOT_READ } from "./RequirementContent.ts"
import { namesAny, type Requirements, WHEELS } from "./Requirements.ts"
import type { ToolCommand, ToolRun } from "./ToolRun.ts"

/** What an environment is made by: uv, by its path, or pip, which comes with each environment. */
export type Tool = { readonly name: "uv"; readonly executable: string } | { readonly name: "pip" }

/** Where and of what an environment is made. */
export interface Plan {
  readonly tool: Tool
  /** The base interpreter. */
  readonly python: string
  readonly requirements: Requirements
  /** What the host adds: the SDK, and the packages that all plugins have. */
  readonly sdk: HostRequirement | undefined
  readonly packages: ReadonlyArray<HostRequirement>
  /** The environment itself; not there yet. */
  readonly venv: string
  /** A folder of its own, which goes when the environment is finished. */
  readonly scratch: string
  readonly cache: string
  /** The absolute path of the environment's interpreter. */
  readonly interpreter: string
  readonly isWindows: boolean
}

/** Prints what is installed, as constraints. */
const INSTALLED = `
from importlib.metadata import distributions
for one in distributions():
    print(f"{one.metadata['Name']}=={one.version}")
`

/** Makes environments by running tools, whose surroundings are `command`'s. */
export const makeInstaller = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path

  return (
    run: ToolRun["Service"]["run"],
    command: Omit<ToolCommand, "step" | "executable" | "args" | "cwd">,
    settings: EnvironmentSettings,
    plan: Plan,
  ) => {
    const { cache, interpreter, python, requirements, scratch, tool, venv } = plan
    const bundle = path.join(scratch, "bundle")
    const projects = path.join(scratch, "projects")
    const tmp = path.join(scratch, "tmp")
    const env: { readonly [name: string]: string } = {
      ...command.env,
      // What builds leave lies in a folder that goes; nothing of the user's is read.
      HOME: scratch,
      TMPDIR: tmp,
      NO_COLOR: "1",
      // An SDK that is built from its folder is left as it was, as far as that is ours.
      PYTHONDONTWRITEBYTECODE: "1",
      PIP_CONFIG_FILE: plan.isWindows ? "nul" : "/dev/null",
      UV_PYTHON_DOWNLOADS: "never",
    }
    const { indexUrl, extraIndexUrls } = settings
    // Not among the arguments, which every user of the machine can read.
    const indexes: { readonly [name: string]: string } = {
      ...(indexUrl === undefined ? {} : { PIP_INDEX_URL: indexUrl, UV_DEFAULT_INDEX: indexUrl }),
      ...(extraIndexUrls.length === 0
        ? {}
        : { PIP_EXTRA_INDEX_URL: extraIndexUrls.join(" "), UV_INDEX: extraIndexUrls.join(" ") }),
    }
    const runTool = (step: string, executable: string, args: ReadonlyArray<string>, more = {}) =>
      run({ ...command, step, executable, args, cwd: bundle, env: { ...env, ...more } })

    const projectOf = (folder: string) =>
      path.join(projects, String(plan.packages.findIndex(({ requirement }) => requirement === folder)))

    /** Copies what decides to where tools may write beside it: nothing is ever written into the bundle. */
    const prepare = Effect.gen(function* () {
      yield* fs.makeDirectory(bundle, { recursive: true })
      yield* fs.makeDirectory(tmp)
      for (const { content, path: name } of requirements.files) {
        const target = path.join(bundle, name)
        yield* fs.makeDirectory(path.dirname(target), { recursive: true })
        yield* "text" in content ? fs.writeFileString(target, content.text) : fs.copyFile(content.source, target)
      }
      // Builds write into their folders, and two of them at once would write into the same one.
      for (const { isFolder, requirement } of plan.packages) {
        if (!isFolder) continue
        const project = projectOf(requirement)
        yield* fs.makeDirectory(project, { recursive: true })
        for (const name of yield* fs.readDirectory(requirement)) {
          if (!NOT_READ.test(name)) yield* fs.copy(path.join(requirement, name), path.join(project, name))
        }
      }
    })

    // Packages of the host's Python served plugins that ask for nothing before there were environments.
    const venvOptions = requirements.kind === "none" ? ["--system-site-packages", venv] : [venv]
    const uv = (step: string, executable: string, words: string, args: ReadonlyArray<string>, more = {}) => {
      const cacheFolder = path.join(cache, "uv")
      const online = settings.offline ? ["--offline"] : []
      return runTool(step, executable, [...words.split(" "), "--cache-dir", cacheFolder, ...online, ...args], more)
    }
    const create =
      tool.name === "uv"
        ? uv("uv venv", tool.executable, "venv --no-config --no-project", ["--python", python, ...venvOptions])
        : runTool("python -m venv", python, ["-I", "-m", "venv", ...venvOptions])

    /** Installs what `what` names; from nowhere else than the bundle's wheels where that is said. */
    const install = (what: ReadonlyArray<string>, from: "wheels" | "anywhere") => {
      const isLocal = from === "wheels"
      const args = [
        ...(requirements.wheels.size === 0 ? [] : ["--find-links", path.join(bundle, WHEELS)]),
        ...(isLocal ? [] : settings.findLinks.flatMap((place) => ["--find-links", place])),
        ...what,
      ]
      const index = isLocal ? {} : indexes
      if (tool.name === "uv") {
        const own = [
          ...(isLocal ? ["--no-index"] : []),
          ...(settings.allowBuilds ? [] : ["--no-build"]),
          "--python",
          interpreter,
          ...args,
        ]
        // Links would share their files with all other environments, and with those to come.
        const words = "pip install --no-config --no-progress --link-mode copy --compile-bytecode"
        return uv(`uv pip install ${what.join(" ")}`, tool.executable, words, own, index)
      }
      const words =
        "-I -m pip install --no-input --disable-pip-version-check --no-warn-script-location --progress-bar off"
      const own = [
        ...(settings.offline || isLocal ? ["--no-index"] : []),
        ...(settings.allowBuilds ? [] : ["--only-binary", ":all:"]),
        "--cache-dir",
        path.join(cache, "pip"),
        ...args,
      ]
      return runTool(`pip install ${what.join(" ")}`, interpreter, [...words.split(" "), ...own], index)
    }

    const exported = path.join(scratch, "locked.txt")
    const exportLock = Effect.suspend(() => {
      if (tool.name !== "uv") return Effect.void
      const words = "export --no-config --frozen --no-dev --no-emit-project --format requirements-txt --quiet"
      return uv("uv export (uv.lock)", tool.executable, words, ["--python", python, "--output-file", exported])
    })

    const { sdk } = settings
    const hasWheels = requirements.wheels.size > 0
    const from = hasWheels ? "wheels" : "anywhere"
    const wheels = new Map([...requirements.wheels].map(([name, versions]) => [normalName(name), [...versions]]))
    const requirementOf = ({ isFolder, requirement }: HostRequirement) =>
      isFolder ? projectOf(requirement) : requirement
    /** The host's packages, but for those that the plugin has in a version of its own. */
    const packagesBut = (own: (distribution: string) => boolean) =>
      plan.packages.filter(({ distribution }) => distribution === undefined || !own(distribution)).map(requirementOf)
    const sdkOf = (isThere: boolean) => (plan.sdk === undefined || isThere ? [] : [plan.sdk.requirement])
    const namesSdk = sdk !== undefined && namesAny(requirements, sdk.distributions)
    const isUnambiguous = [...wheels.values()].every((versions) => versions.length === 1)
    /**
     * When what the host adds is installed. With what a plugin names, all is found together. A lock and hashes are for
     * exactly what they name, and what is added must not change it. Wheels of a bundle may need the SDK, and are the only
     * source for the rest of it: then the host's comes first, with what the wheels fix fixed for it already.
     */
    const when = requirements.isLocked || !isUnambiguous ? "after" : hasWheels ? "before" : "together"

    const constraints = path.join(scratch, "constraints.txt")
    /** Installs what the host adds where these packages are fixed. */
    const installHosts = (fixed: string, what: ReadonlyArray<string>) =>
      what.length === 0
        ? Effect.void
        : Effect.andThen(
            fs.writeFileString(constraints, fixed),
            install(["--constraint", constraints, ...what], "anywhere"),
          )

    const before = Effect.suspend(() => {
      const fixed = [...wheels].map(([name, [version]]) => `${name}==${version}\n`).join("")
      const hasSdk = sdk?.distributions.some((name) => wheels.has(normalName(name))) === true
      return installHosts(fixed, [...sdkOf(hasSdk), ...packagesBut((name) => wheels.has(name))])
    })

    const installNamed = Effect.suspend(() => {
      const added = when === "together" ? [...sdkOf(namesSdk), ...packagesBut(() => false)] : []
      switch (requirements.kind) {
        case "uv.lock":
          return Effect.andThen(exportLock, install(["-r", exported], from))
        case "pylock.toml":
          return install(["-r", "pylock.toml"], from)
        case "requirements.txt":
        case "pyproject.toml":
          return install(["-r", "requirements.txt", ...added], from)
        case "wheels":
          return install([...requirements.wheels.keys()], from)
        case "none":
          return added.length === 0 ? Effect.void : install(added, from)
      }
    })

    const after = Effect.gen(function* () {
      if (sdk === undefined && plan.packages.length === 0) return
      const installed = yield* runTool("listing what is installed", interpreter, ["-I", "-c", INSTALLED])
      const names = new Set(installed.split("\n").map((line) => normalName(line.split("==")[0]!)))
      yield* installHosts(installed, [...sdkOf(yield* hasModule), ...packagesBut((name) => names.has(name))])
    })
    const hasModule = Effect.suspend(() => {
      const has = `import importlib.util, sys; print(importlib.util.find_spec(sys.argv[1]) is not None)`
      return sdk === undefined
        ? Effect.succeed(false)
        : Effect.map(
            runTool("looking for the SDK", interpreter, ["-I", "-c", has, sdk.module]),
            (answer) => answer.trim() === "True",
          )
    })
    const installAll = {
      before: Effect.andThen(before, installNamed),
      together: installNamed,
      after: Effect.andThen(installNamed, after),
    }[when]

    /** A killed or failed install may have left anything: what is taken for good has been imported. */
    const check = runTool(
      sdk === undefined ? "starting the environment's interpreter" : `importing ${sdk.module}`,
      interpreter,
      ["-I", "-c", sdk === undefined ? "" : `import ${sdk.module}`],
    )

    return { prepare, create, install: installAll, check }
  }
})

export type InstallError = PythonInstallError | PythonToolError
