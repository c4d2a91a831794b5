import { Effect } from "effect"
import { Command } from "effect/cli"
import { HttpClientRequest } from "effect/http"
import { daemonFlags, pluginPath, START_LIMIT, withDaemon } from "./Daemon.ts"
import { printJson, printLine, working } from "./Output.ts"
import { provisioning } from "./provisioning.ts"
import { pluginId } from "./PluginId.ts"

/** A command that is a word to the supervisor about one plugin. */
const word = <const Name extends string>(name: Name, done: string, description: string) =>
  Command.make(name, { id: pluginId, ...daemonFlags }, ({ id, ...flags }) =>
    withDaemon(
      flags,
      Effect.fnUntraced(function* (daemon) {
        const request = HttpClientRequest.post(pluginPath(id, `/${name}`))
        const answer = yield* working(`${name} ${id}`, daemon.ask(request, START_LIMIT), provisioning(daemon, id))
        yield* flags.json ? printJson(answer) : printLine(id, { text: done, paint: "green" })
      }),
    ),
  ).pipe(Command.withDescription(description))

/** `plugin-supervisor enable ID`. */
export const enable = word("enable", "is enabled and runs", "Enable a plugin, and start it")

/** `plugin-supervisor disable ID`. */
export const disable = word("disable", "is disabled", "Stop a plugin, and do not start it again")

/** `plugin-supervisor restart ID`. */
export const restart = word("restart", "was restarted", "Stop a plugin, and start it")

/** `plugin-supervisor reload ID`. */
export const reload = word(
  "reload",
  "was reloaded",
  "Start a plugin anew without a drop: the run before ends when the new one is well",
)
