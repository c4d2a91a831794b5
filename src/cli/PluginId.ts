import { Argument } from "effect/cli"

/** The plugin that a command is for. */
export const pluginId = Argument.String("id").pipe(Argument.withDescription("Id of the plugin, from its manifest"))
