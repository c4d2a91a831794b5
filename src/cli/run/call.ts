import { fromJson, type JsonValue, toJson } from "@bufbuild/protobuf"
import { Effect, Option, Schema } from "effect"
import { PluginBundles } from "../../bundle/PluginBundle.ts"
import type { AnyContract } from "../../contract/Contract.ts"
import { CHANNEL_NAME, TEAM_NAME, Workspace } from "../../workspace/Workspace.ts"
import { CommandError, EXIT, failed } from "../CommandError.ts"
import { locally, localHost, startProblem } from "../LocalHost.ts"
import type { LocalFlags } from "../localFlags.ts"
import * as Output from "../Output.ts"

const usage = (message: string) => new CommandError({ message, exitCode: EXIT.usage })

/** What it was given. */
interface CallInput extends LocalFlags {
  readonly data: Option.Option<string>
  readonly folder: string
  readonly hook: string
  readonly json: boolean
  readonly request: string
}

/** Carries out `plugin-supervisor call`. */
export const run = ({ data, folder, hook: named, json, request, ...flags }: CallInput) =>
  Effect.gen(function* () {
    const { host, isMattermost, supervisor } = yield* localHost(flags.backend, data)
    const { input, key, output } = yield* findHook(host.contract, named)
    const given = yield* Effect.mapError(parseJson(request), () => usage(`what ${named} is called with is no JSON`))
    const messageOf = (json: JsonValue) =>
      Effect.try({
        try: () => fromJson(input, json),
        catch: (error) => usage(`${named} can't be called with that: ${(error as Error).message}`),
      })
    // First, since a plugin's start takes longer.
    yield* messageOf(given as JsonValue)
    const answer = yield* Effect.gen(function* () {
      const message = yield* messageOf(yield* withIds(given as JsonValue))
      const bundle = yield* (yield* PluginBundles).load(folder)
      const { client } = yield* Output.working(`start ${bundle.manifest.id}`, (yield* host.Supervisor).start(bundle))
      return yield* client.call(key, message)
    }).pipe(
      Effect.provide(supervisor),
      Effect.mapError((error) => (error instanceof CommandError ? error : startProblem(error, isMattermost))),
    )
    const value = toJson(output, answer as never, { useProtoFieldName: true })
    yield* json ? Output.printJsonLine(value) : Output.printJson(value)
  }).pipe((command) => locally(flags, command))

/** Puts the ids of the embedded workspace's user, team and channel where they are asked for. */
const withIds = Effect.fnUntraced(function* (given: JsonValue) {
  const workspace = yield* Effect.serviceOption(Workspace)
  if (Option.isNone(workspace)) return given
  const { channels, me, teams } = workspace.value
  const user = yield* me
  const team = yield* teams.getByName(TEAM_NAME)
  const channel = yield* channels.getByName(team.id, CHANNEL_NAME)
  const ids = new Map<unknown, string>([
    ["$user_id", user.id],
    ["$team_id", team.id],
    ["$channel_id", channel.id],
  ])
  return JSON.parse(JSON.stringify(given, (_, value: unknown) => ids.get(value) ?? value)) as JsonValue
})

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
