/**
 * Makes the reference pages for plugin authors, `docs/reference`: a part of `npm run generate`. The SDK's generator writes
 * them from the contract and the SDK; which hooks and methods this host has it is told from here.
 */
import { execFileSync } from "node:child_process"
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { create } from "@bufbuild/protobuf"
import { Effect, References } from "effect"
import { PluginApi, type PluginApiError, type PluginApiMethods } from "../src/api/PluginApi.ts"
import { PluginAPI } from "../src/generated/mattermost/pluginapi/v1/plugin_api_pb.js"
import { deciding, notifications } from "../src/hooks/HookKind.ts"
import { type Hook, hookName, unaryHooks } from "../src/hooks/HookName.ts"
import { caller, workspaceLayer } from "../test/workspace/fixture.ts"
import { ensureDevVenv, findPython, root } from "./python.ts"

/** Where the pages are. */
export const referenceFolder = join(root, "docs/reference")

/** The rpcs that the embedded workspace answers, if only with an error about what they were given: here, nothing. */
const answered = Effect.gen(function* () {
  const api = yield* PluginApi
  const names: Array<string> = []
  for (const method of PluginAPI.methods) {
    const call = api[method.localName as keyof PluginApiMethods] as (
      request: object,
      of: typeof caller,
    ) => Effect.Effect<object, PluginApiError>
    const error = yield* Effect.flip(call(create(method.input), caller)).pipe(Effect.option)
    if (!(error._tag === "Some" && error.value.id === "api.plugin.not_implemented")) names.push(method.name)
  }
  return names
}).pipe(Effect.provide(workspaceLayer), Effect.provideService(References.MinimumLogLevel, "None"))

/** The hooks that `plugin-supervisor serve` calls: those that its sources name. */
const called = (): ReadonlyArray<string> => {
  const sources = globSync("src/{workspace,supervisor}/*.ts", { cwd: root }).map((file) =>
    readFileSync(join(root, file), "utf8"),
  )
  const isNamed = (hook: Hook) =>
    sources.some((source) =>
      new RegExp(`\\bdispatcher\\.\\w+\\((?:\\w+, )?"${hook}"|\\bhooks\\.${hook}\\(`).test(source),
    )
  return [...unaryHooks.filter(isNamed), "serveHTTP" as const].map(hookName)
}

/** The pages' texts by their file names, made by the SDK in the environment of this interpreter. */
export const referencePages = async (interpreter: string): Promise<{ readonly [file: string]: string }> => {
  const host = {
    deciding: Object.keys(deciding).map((hook) => hookName(hook as Hook)),
    notifications: [...notifications].map(hookName),
    called: called(),
    answered: await Effect.runPromise(answered),
  }
  const made = execFileSync(interpreter, ["-m", "generator.reference"], {
    cwd: join(root, "python-sdk"),
    encoding: "utf8",
    input: JSON.stringify(host),
    maxBuffer: 64 * 1024 * 1024,
  })
  return JSON.parse(made) as { readonly [file: string]: string }
}

if (import.meta.main) {
  const python = findPython()
  if ("missing" in python) {
    process.stderr.write(`The reference pages can't be made: ${python.missing}.\n`)
    process.exit(1)
  }
  const pages = await referencePages(ensureDevVenv(python.command))
  rmSync(referenceFolder, { recursive: true, force: true })
  mkdirSync(referenceFolder, { recursive: true })
  for (const [file, text] of Object.entries(pages)) writeFileSync(join(referenceFolder, file), text)
}
