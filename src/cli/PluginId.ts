import { Argument } from "effect/cli"

/** The plugin that a command is for. Ids count in any case, and are told as the supervisor has them. */
export const pluginId = Argument.String("id").pipe(
  Argument.withDescription("Id of the plugin, from its manifest"),
  Argument.map((id) => id.toLowerCase()),
)
