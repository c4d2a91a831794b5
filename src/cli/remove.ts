import { Effect } from "effect"
import { Command, Flag, Prompt, TerminalCapabilities } from "effect/cli"
import { HttpClientRequest } from "effect/http"
import { CommandError, EXIT, failed } from "./CommandError.ts"
import { daemonFlags, pluginPath, START_LIMIT, withDaemon } from "./Daemon.ts"
import { printJson, printLine, working } from "./Output.ts"
import { pluginId } from "./PluginId.ts"

/** `plugin-supervisor remove ID`. */
export const remove = Command.make(
  "remove",
  {
    id: pluginId,
    yes: Flag.Boolean("yes").pipe(
      Flag.withAlias("y"),
      Flag.withDescription("Do not ask. Needed where there is no terminal to ask on"),
      Flag.withDefault(false),
    ),
    ...daemonFlags,
  },
  ({ id, yes, ...flags }) =>
    withDaemon(
      flags,
      Effect.fnUntraced(function* ({ ask, url }) {
        if (!yes) {
          const { canPrompt } = yield* TerminalCapabilities.TerminalCapabilities
          if (!canPrompt || flags.json) {
            return yield* new CommandError({
              message: `there is no terminal to ask on whether ${id} is to be removed: say so with --yes`,
              exitCode: EXIT.usage,
            })
          }
          const message = `Remove the plugin ${id} from ${url}? Its keys, values and settings stay.`
          if (!(yield* Prompt.run(Prompt.Confirm({ message })))) return yield* failed(`${id} was not removed`)
        }
        const request = HttpClientRequest.delete(pluginPath(id))
        const answer = yield* working(`remove ${id}`, ask(request, START_LIMIT))
        yield* flags.json ? printJson(answer) : printLine(id, { text: "is removed", paint: "green" })
      }),
    ),
).pipe(Command.withDescription("Stop an installed plugin, and remove it"))
