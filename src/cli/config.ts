import { Effect, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { HttpBody, HttpClientRequest } from "effect/http"
import { CommandError, EXIT } from "./CommandError.ts"
import { daemonFlags, pluginPath, withDaemon } from "./Daemon.ts"
import { printJson, printLine, printTable } from "./Output.ts"
import { pluginId } from "./PluginId.ts"

const Settings = Schema.Record(Schema.String, Schema.Unknown)
type Settings = typeof Settings.Type

const usage = (message: string) => new CommandError({ message, exitCode: EXIT.usage })

const print = (id: string, settings: Settings, isJson: boolean) => {
  if (isJson) return printJson(settings)
  const rows = Object.entries(settings).map(([name, value]) => [name, JSON.stringify(value)])
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
      Flag.withDescription("JSON, YAML or TOML file of all settings, in place of single ones"),
      Flag.optional,
    ),
    ...daemonFlags,
  },
  ({ file, id, settings, ...flags }) =>
    withDaemon(
      flags,
      Effect.fnUntraced(function* ({ ask, read }) {
        const path = pluginPath(id, "/config")
        if (Option.isSome(file) === settings.length > 0) {
          return yield* usage("say what is set, either by --file or by setting=value")
        }
        const changes = yield* Effect.forEach(settings, parse)
        // Secrets come masked, and stay as they are when they are sent back so.
        const wanted = Option.isSome(file)
          ? yield* Effect.mapError(Schema.decodeUnknownEffect(Settings)(file.value), () =>
              usage("the file of --file holds no settings: names and their values"),
            )
          : { ...(yield* read(HttpClientRequest.get(path), Settings)), ...Object.fromEntries(changes) }
        const answer = yield* ask(HttpClientRequest.put(path, { body: HttpBody.jsonUnsafe(wanted) }))
        const saved = Option.getOrElse(Schema.decodeUnknownOption(Settings)(answer), () => ({}))
        yield* print(id, saved, flags.json)
      }),
    ),
).pipe(Command.withDescription("Change settings of a plugin, and tell it"))

const parse = (given: string): Effect.Effect<readonly [string, unknown], CommandError> => {
  const [, name, value = ""] = /^([^=]+)=(.*)$/s.exec(given) ?? []
  if (name === undefined) return Effect.fail(usage(`${given} sets nothing: write setting=value`))
  try {
    return Effect.succeed([name, JSON.parse(value)])
  } catch {
    return Effect.succeed([name, value])
  }
}

/** `plugin-supervisor config get|set`. */
export const config = Command.make("config").pipe(
  Command.withDescription("The settings of a plugin"),
  Command.withSubcommands([get, set]),
)
