import { fromJson, type JsonValue, toJson } from "@bufbuild/protobuf"
import { Effect, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { PluginBundles } from "../bundle/PluginBundle.ts"
import type { AnyContract } from "../contract/Contract.ts"
import { CommandError, EXIT, failed, told } from "./CommandError.ts"
import { localFlags, locally, localHost } from "./LocalHost.ts"
import * as Output from "./Output.ts"

const usage = (message: string) => new CommandError({ message, exitCode: EXIT.usage })

/** `plugin-supervisor call HOOK [JSON]`. */
export const call = Command.make(
  "call",
  {
    hook: Argument.String("hook").pipe(Argument.withDescription("Name of the hook, as the contract has it")),
    request: Argument.String("json").pipe(
      Argument.withDescription("What it is called with, by the contract's names. Default {}"),
      Argument.withDefault("{}"),
    ),
    folder: Flag.Directory("folder", { mustExist: true }).pipe(
      Flag.withDescription("Folder of the plugin. Default: the current one"),
      Flag.withDefault("."),
    ),
    ...localFlags,
    json: Output.json,
  },
  ({ folder, hook: named, json, request, ...flags }) =>
    Effect.gen(function* () {
      const { host, supervisor } = yield* localHost(flags.backend)
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
      }).pipe(Effect.provide(supervisor), Effect.mapError(told))
      const value = toJson(output, answer as never, { useProtoFieldName: true })
      yield* json ? Output.printJsonLine(value) : Output.printJson(value)
    }).pipe((command) => locally(flags, command)),
).pipe(Command.withDescription("Start a plugin by itself, call one of its hooks, and print the answer"))

const parseJson = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Unknown))

/** A hook that takes one message and answers one, by its name in any of its forms. */
const findHook = (contract: AnyContract, named: string) => {
  const known = [...contract.unary].map(([key, { method, name }]) => ({ ...method, key, name }))
  const wanted = named.replaceAll("_", "").toLowerCase()
  const found = known.find(({ name }) => name.toLowerCase() === wanted)
  return Effect.mapError(Effect.fromNullishOr(found), () => {
    if (wanted === contract.lifecycle.serveHTTP.name.toLowerCase()) {
      return usage(`${named} is a stream of HTTP requests; plugin-supervisor dev serves the plugin's pages`)
    }
    return failed(`there is no hook ${named}; there are ${known.map(({ name }) => name).join(", ")}`)
  })
}
