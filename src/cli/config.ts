import { Effect, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { HttpBody, HttpClientRequest } from "effect/http"
import { CommandError, EXIT } from "./CommandError.ts"
import { type Daemon, daemonFlags, pluginPath, withDaemon } from "./Daemon.ts"
import { type Cell, printJson, printLine, printTable } from "./Output.ts"
import { pluginId } from "./PluginId.ts"

const Settings = Schema.Record(Schema.String, Schema.Unknown)
type Settings = typeof Settings.Type

const decodeSettings = Schema.decodeUnknownEffect(Settings)

const usage = (message: string) => new CommandError({ message, exitCode: EXIT.usage })

const print = (id: string, settings: Settings, isJson: boolean) => {
  if (isJson) return printJson(settings)
  const rows = Object.entries(settings).map(([name, value]): ReadonlyArray<Cell> => [
    name,
    value === null ? { text: "not set", paint: "dim" } : JSON.stringify(value),
  ])
  return rows.length === 0 ? printLine(`${id} has no settings`) : printTable(["SETTING", "VALUE"], rows)
}

const get = Command.make("get", { id: pluginId, ...daemonFlags }, ({ id, ...flags }) =>
  withDaemon(flags, ({ read }) =>
    Effect.flatMap(read(HttpClientRequest.get(pluginPath(id, "/config")), Settings), (settings) =>
      print(id, settings, flags.json),
    ),
  ),
).pipe(Command.withDescription("Tell the settings of a plugin; secrets are masked"))

const set = Command.make(
  "set",
  {
    id: pluginId,
    settings: Argument.String("setting=value").pipe(
      Argument.withDescription(
        'What is set: text, or JSON (5, true, ["a"]); text that looks like JSON in quotes: \'"5"\'',
      ),
      Argument.variadic(),
    ),
    file: Flag.FileParse("file").pipe(
      Flag.withDescription("JSON, YAML or TOML file of all settings, in place of what is set"),
      Flag.optional,
    ),
    ...daemonFlags,
  },
  ({ file, id, settings, ...flags }) =>
    withDaemon(
      flags,
      Effect.fnUntraced(function* (daemon) {
        if (Option.isSome(file) === settings.length > 0) {
          return yield* usage("say what is set, either by --file or by setting=value")
        }
        if (Option.isNone(file)) {
          const changes = yield* Effect.forEach(settings, parse)
          const twice = changes.find(([name], index) => changes.findIndex(([other]) => other === name) < index)
          if (twice !== undefined) return yield* usage(`${twice[0]} is set twice`)
          return yield* send(daemon, id, HttpClientRequest.patch, Object.fromEntries(changes), flags.json)
        }
        const wanted = yield* Effect.mapError(decodeSettings(file.value), () =>
          usage("the file of --file holds no settings: names and their values"),
        )
        yield* send(daemon, id, HttpClientRequest.put, wanted, flags.json)
      }),
    ),
).pipe(Command.withDescription("Change settings of a plugin, and tell it"))

const unset = Command.make(
  "unset",
  {
    id: pluginId,
    names: Argument.String("setting").pipe(
      Argument.withDescription("Name of a setting that is to have its default again"),
      Argument.variadic({ min: 1 }),
    ),
    ...daemonFlags,
  },
  ({ id, names, ...flags }) =>
    withDaemon(flags, (daemon) => {
      const changes = Object.fromEntries(names.map((name) => [name, null]))
      return send(daemon, id, HttpClientRequest.patch, changes, flags.json)
    }),
).pipe(Command.withDescription("Forget what was set, so that the manifest's defaults count, and tell the plugin"))

/** Sends settings, and prints what they are then. */
const send = Effect.fnUntraced(function* (
  { read }: Daemon,
  id: string,
  method: typeof HttpClientRequest.put,
  settings: Settings,
  isJson: boolean,
) {
  const request = method(pluginPath(id, "/config"), { body: HttpBody.jsonUnsafe(settings) })
  yield* print(id, yield* read(request, Settings), isJson)
})

const parse = (given: string): Effect.Effect<readonly [string, unknown], CommandError> => {
  const [, name, value = ""] = /^([^=]+)=(.*)$/s.exec(given) ?? []
  if (name === undefined) return Effect.fail(usage(`${given} sets nothing: write setting=value`))
  try {
    return Effect.succeed([name, JSON.parse(value)])
  } catch {
    return Effect.succeed([name, value])
  }
}

/** `plugin-supervisor config get|set|unset`. */
export const config = Command.make("config").pipe(
  Command.withDescription("The settings of a plugin"),
  Command.withSubcommands([get, set, unset]),
)
