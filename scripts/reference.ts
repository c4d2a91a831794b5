/**
 * Makes the reference pages for plugin authors, `docs/reference`: a part of `npm run generate`. The SDK's generator writes
 * them from the contract and the SDK; which hooks and methods this host has it is told from here.
 */
import { execFileSync } from "node:child_process"
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { create } from "@bufbuild/protobuf"
import { Effect, References } from "effect"
import { type PluginApiError } from "../src/api/PluginApi.ts"
import { PluginAPI } from "../src/generated/mattermost/pluginapi/v1/plugin_api_pb.js"
import { MattermostContract } from "../src/mattermost/MattermostContract.ts"
import { MattermostPlugins } from "../src/mattermost/MattermostPlugins.ts"
import type { ApiMethods } from "../src/api/PluginApi.ts"
import { allHooks, hookName, type HookKind } from "../src/contract/Contract.ts"
import { caller, workspaceLayer } from "../test/workspace/fixture.ts"
import { ensureDevVenv, findPython, root } from "./python.ts"

/** Where the pages are. */
export const referenceFolder = join(root, "docs/reference")

/** The rpcs that the embedded workspace answers, if only with an error about what they were given: here, nothing. */
const answered = Effect.gen(function* () {
  const api = yield* MattermostPlugins.Api
  const names: Array<string> = []
  for (const method of PluginAPI.methods) {
    const call = api[method.localName as keyof ApiMethods<MattermostContract>] as (
      request: object,
      of: typeof caller,
    ) => Effect.Effect<object, PluginApiError>
    const error = yield* Effect.flip(call(create(method.input), caller)).pipe(Effect.option)
    if (!(error._tag === "Some" && error.value.id === "api.plugin.not_implemented")) names.push(method.name)
  }
  return names
}).pipe(Effect.provide(workspaceLayer), Effect.provideService(References.MinimumLogLevel, "None"))

const nameOf = (hook: string) => hookName(MattermostContract, hook)

/** The hooks of a kind. */
const ofKind = (kind: HookKind): ReadonlyArray<string> =>
  [...MattermostContract.unary.values()].filter((hook) => hook.kind === kind).map(({ name }) => name)

/** The hooks that `plugin-supervisor serve` calls: those that its sources name. */
const called = (): ReadonlyArray<string> => {
  const sources = globSync("src/{workspace,supervisor}/*.ts", { cwd: root }).map((file) =>
    readFileSync(join(root, file), "utf8"),
  )
  const isNamed = (hook: string) =>
    sources.some((source) => new RegExp(`\\b(?:plugins|hooks)\\.\\w+\\((?:\\w+, )?"${hook}"`).test(source))
  return allHooks(MattermostContract)
    .filter((hook) => hook === "serveHTTP" || isNamed(hook))
    .map(nameOf)
}

/** The pages' texts by their file names, made by the SDK in the environment of this interpreter. */
export const referencePages = async (interpreter: string): Promise<{ readonly [file: string]: string }> => {
  const host = {
    deciding: ofKind("decides"),
    notifications: ofKind("tells"),
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
