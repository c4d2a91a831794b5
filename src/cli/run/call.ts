import { fromJson, type JsonValue, toJson } from "@bufbuild/protobuf"
import { Effect, Schema } from "effect"
import { PluginBundles } from "../../bundle/PluginBundle.ts"
import type { AnyContract } from "../../contract/Contract.ts"
import { CommandError, EXIT, failed } from "../CommandError.ts"
import { locally, localHost, startProblem } from "../LocalHost.ts"
import type { LocalFlags } from "../localFlags.ts"
import * as Output from "../Output.ts"

const usage = (message: string) => new CommandError({ message, exitCode: EXIT.usage })

/** What it was given. */
interface CallInput extends LocalFlags {
  readonly folder: string
  readonly hook: string
  readonly json: boolean
  readonly request: string
}

/** Carries out `plugin-supervisor call`. */
export const run = ({ folder, hook: named, json, request, ...flags }: CallInput) =>
  Effect.gen(function* () {
    const { host, isMattermost, supervisor } = yield* localHost(flags.backend)
    const { input, key, output } = yield* findHook(host.contract, named)
    const given = yield* Effect.mapError(parseJson(request), () => usage(`what ${named} is called with is no JSON`))
    const message = yield* Effect.try({
      try: () => fromJson(input, given as JsonValue),
      catch: (error) => usage(`${named} can't be called with that: ${(error as Error).message}`),
    })
    const answer = yield* Effect.gen(function* () {
      const bundle = yield* (yield* PluginBundles).load(folder)
      const { client } = yield* Output.working(`start ${bundle.manifest.id}`, (yield* host.Supervisor).start(bundle))
      return yield* client.call(key, message)
    }).pipe(
      Effect.provide(supervisor),
      Effect.mapError((error) => startProblem(error, isMattermost)),
    )
    const value = toJson(output, answer as never, { useProtoFieldName: true })
    yield* json ? Output.printJsonLine(value) : Output.printJson(value)
  }).pipe((command) => locally(flags, command))

const parseJson = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Unknown))

/** A hook that takes one message and answers one, by its name in any of its forms. */
const findHook = (contract: AnyContract, named: string) => {
  const known = [...contract.unary].map(([key, { method, name }]) => ({
    key,
    name,
    input: method.input,
    output: method.output,
  }))
  const wanted = named.replaceAll("_", "").toLowerCase()
  const found = known.find(({ name }) => name.toLowerCase() === wanted)
  return Effect.mapError(Effect.fromNullishOr(found), () => {
    if (wanted === contract.lifecycle.serveHTTP.name.toLowerCase()) {
      return usage(`${named} is a stream of HTTP requests; plugin-supervisor dev serves the plugin's pages`)
    }
    return failed(`there is no hook ${named}; there are ${known.map(({ name }) => name).join(", ")}`)
  })
}
