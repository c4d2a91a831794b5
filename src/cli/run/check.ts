import { Effect, Layer } from "effect"
import { listFolder } from "../../bundle/BundleFolder.ts"
import { BundleLimits } from "../../bundle/BundleLimits.ts"
import { refused } from "../../bundle/BundleRefusedError.ts"
import type { Manifest } from "../../bundle/Manifest.ts"
import { PathSanitizer } from "../../bundle/PathSanitizer.ts"
import { type PluginBundle, PluginBundles } from "../../bundle/PluginBundle.ts"
import { PluginCommand } from "../../command/PluginCommand.ts"
import { detectRuntime } from "../../command/PluginRuntime.ts"
import { PythonInterpreter } from "../../command/PythonInterpreter.ts"
import { type AnyContract, hookName } from "../../contract/Contract.ts"
import { CommandError, EXIT, failed, told } from "../CommandError.ts"
import { checkImports } from "../importCheck.ts"
import { type LocalHost, locally, localHost, startProblem } from "../LocalHost.ts"
import type { LocalFlags } from "../localFlags.ts"
import * as Output from "../Output.ts"
import { packageOf } from "../scaffold/pythonPlugin.ts"

/** What is found at each step. */
interface Verdict {
  readonly step: "manifest" | "paths" | "interpreter" | "environment" | "imports" | "handshake" | "hooks"
  readonly verdict: "ok" | "failed" | "skipped"
  readonly message: string
}

/** Carries out `plugin-supervisor check`. */
export const run = ({ folder, json, ...flags }: LocalFlags & { readonly folder: string; readonly json: boolean }) =>
  Effect.gen(function* () {
    const verdicts: Array<Verdict> = []
    const host = yield* localHost(flags.backend)
    const tell = Effect.fnUntraced(function* (verdict: Verdict) {
      verdicts.push(verdict)
      if (!json) yield* print(verdict)
    })
    yield* Effect.provide(steps(host, folder, tell), tools)
    const isGood = verdicts.every(({ verdict }) => verdict !== "failed")
    if (json) yield* Output.printJson({ ok: isGood, steps: verdicts })
    if (!isGood) {
      return yield* new CommandError({
        message: `${folder} is no plugin that runs yet: ${verdicts
          .filter(({ verdict }) => verdict === "failed")
          .map(({ step }) => step)
          .join(", ")}`,
        exitCode: EXIT.failed,
      })
    }
  }).pipe((command) => locally(flags, command))

const MARKS = {
  ok: { text: "✓", paint: "green" },
  failed: { text: "✗", paint: "red" },
  skipped: { text: "-", paint: "dim" },
} as const

const print = ({ message, step, verdict }: Verdict) =>
  Output.printLine(MARKS[verdict], step.padEnd(11), message.replaceAll("\n", `\n${" ".repeat(14)}`))

/** What looks at a bundle without running it. */
const tools = Layer.mergeAll(PluginBundles.layer, PluginCommand.layer).pipe(
  Layer.provideMerge(PythonInterpreter.layer),
  Layer.provideMerge(PathSanitizer.layer),
)

/** The paths that a manifest names. */
const pathsOf = ({ icon_path, server, webapp }: Manifest): ReadonlyArray<string> =>
  [
    server?.executable,
    ...Object.values(server?.executables ?? {}),
    server?.python?.entry_point,
    webapp?.bundle_path,
    icon_path,
  ].filter((path): path is string => path !== undefined && path !== "")

const steps = Effect.fnUntraced(function* (
  { host, isMattermost, supervisor }: LocalHost,
  folder: string,
  tell: (verdict: Verdict) => Effect.Effect<void>,
) {
  /** Carries out a step; nothing when it has failed. */
  const step = <A, E extends { readonly message: string }, R>(
    name: Verdict["step"],
    run: Effect.Effect<A, E, R>,
    message: (result: A) => string,
  ) =>
    Output.working(name, run).pipe(
      Effect.tap((result) => tell({ step: name, verdict: "ok", message: message(result) })),
      Effect.catch((error) => Effect.as(tell({ step: name, verdict: "failed", message: error.message }), undefined)),
    )
  const skip = (why: string, ...names: ReadonlyArray<Verdict["step"]>) =>
    Effect.forEach(names, (name) => tell({ step: name, verdict: "skipped", message: why }), { discard: true })

  const bundle = yield* step(
    "manifest",
    (yield* PluginBundles).load(folder),
    ({ manifest }) => `${[manifest.id, manifest.version ?? ""].join(" ").trim()}: ${manifest.name}`,
  )
  if (bundle === undefined) {
    return yield* skip(
      "there is no manifest to go by",
      "paths",
      "interpreter",
      "environment",
      "imports",
      "handshake",
      "hooks",
    )
  }
  yield* step("paths", checkPaths(bundle), (count) => `${count} files, as a bundle would have them`)

  const runtime = detectRuntime(bundle.manifest)
  const isPython = runtime._tag === "Success" && runtime.success.kind === "python"
  const sanitizer = yield* PathSanitizer
  const venvPath = bundle.manifest.server?.python?.venv_path ?? ""
  const interpreters = yield* PythonInterpreter
  const found = yield* step(
    "interpreter",
    Effect.gen(function* () {
      if (!isPython) return (yield* (yield* PluginCommand).fromManifest(bundle)).executable
      const venv = venvPath === "" ? undefined : yield* sanitizer.resolve(bundle.directory, venvPath)
      return yield* interpreters.find(bundle.directory, venv)
    }),
    (executable) => executable,
  )
  if (found === undefined) {
    return yield* skip("there is nothing to run it by", "environment", "imports", "handshake", "hooks")
  }
  if (isPython) {
    const command = yield* step("environment", (yield* PluginCommand).fromManifest(bundle), ({ executable }) =>
      executable === found ? "it has what it needs already" : executable,
    )
    if (command === undefined) return yield* skip("it lacks what it needs", "imports", "handshake", "hooks")
    const imported = Effect.mapError(checkImports(command), (error) => withCure(error, host.contract, isMattermost))
    const version = yield* step("imports", imported, (version) => `all of them, by Python ${version}`)
    if (version === undefined) return yield* skip("its program can't be loaded", "handshake", "hooks")
  } else yield* skip("it is not written in Python", "environment", "imports")
  yield* Effect.scoped(
    Effect.gen(function* () {
      const started = yield* Effect.result(Effect.flatMap(host.Supervisor, (plugins) => plugins.start(bundle)))
      // A hook fails only behind the handshake.
      const isShaken = started._tag === "Success" || BEHIND_HANDSHAKE.has(started.failure._tag)
      yield* step(
        "handshake",
        isShaken
          ? Effect.void
          : Effect.mapError(Effect.fromResult(started), (error) => startProblem(error, isMattermost)),
        () => "it speaks the protocol",
      )
      if (!isShaken) return yield* skip("it can't be asked", "hooks")
      const active = Effect.tap(Effect.mapError(Effect.fromResult(started), told), ({ client }) => {
        const problem = client.calls.settingsProblem()
        return problem === undefined
          ? Effect.void
          : Effect.fail(failed(`it is active, but not with its settings: ${problem}`))
      })
      yield* step("hooks", active, ({ client }) => {
        if (!client.hasTold) return "it is active, and has not told what it implements"
        const names = [...client.implemented].map((hook) => hookName(host.contract, hook))
        return names.length === 0
          ? "it is active, and implements none"
          : `it is active, and implements ${names.join(", ")}`
      })
    }),
  ).pipe(
    Effect.provide(supervisor),
    Effect.catch((error) => tell({ step: "handshake", verdict: "failed", message: error.message })),
  )
})

/** What to do where a module is missing: whose it is, is known by its name alone. */
const withCure = (error: CommandError, contract: AnyContract, isMattermost: boolean): CommandError => {
  const missing = /No module named '([^'.]+)/.exec(error.message)?.[1]
  if (missing === undefined) return error
  const others = "packages that it imports go into its requirements.txt"
  if (isMattermost) {
    return failed(`${error.message}\n${others}; a plugin for another contract needs --backend`)
  }
  const cure = `its package has to be among the pythonPackages that the module of --backend exports`
  return failed(
    missing === packageOf(contract)
      ? `${error.message}\n${missing} is the contract's: ${cure}`
      : `${error.message}\n${others}; if ${missing} is the contract's, ${cure}`,
  )
}

/** The errors of a start that come from a hook: from what it implements, or from its activation. */
const BEHIND_HANDSHAKE: ReadonlySet<string> = new Set([
  "HookTransportError",
  "HookDeadlineError",
  "HookPluginError",
  "HookNotImplementedError",
  "HookSuspendedError",
  "PluginExitedError",
])

/** Whether the paths of a manifest lead to files, and the folder makes a bundle; answers how many files that has. */
const checkPaths = Effect.fnUntraced(function* ({ directory, manifest }: PluginBundle) {
  const sanitizer = yield* PathSanitizer
  const limits = yield* BundleLimits
  const problems: Array<string> = []
  for (const path of new Set(pathsOf(manifest))) {
    const found = yield* Effect.result(sanitizer.resolve(directory, path))
    if (found._tag === "Failure") problems.push(found.failure.message)
  }
  const files = yield* Effect.result(
    Effect.tryPromise({ try: () => listFolder(directory, limits), catch: (error) => refused(directory, error) }),
  )
  if (files._tag === "Failure") problems.push(files.failure.message)
  return files._tag === "Success" && problems.length === 0 ? files.success.length : yield* failed(problems.join("\n"))
})
