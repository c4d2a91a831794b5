import { Command, Flag } from "effect/cli"
import { lazily } from "./lazily.ts"
import { localFlags } from "./localFlags.ts"
import * as Output from "./Output.ts"
import { folder } from "./pack.ts"
import { tokenFlag } from "./tokenFlag.ts"

/** `plugin-supervisor dev FOLDER`. */
export const dev = Command.make(
  "dev",
  {
    folder,
    port: Flag.Int("port").pipe(
      Flag.withDescription("TCP port of the plugin's pages; 0 picks a free one. Default 8066"),
      Flag.filter(
        (port) => port >= 0 && port <= 65_535,
        () => "a TCP port, from 0 to 65535",
      ),
      Flag.withDefault(8066),
    ),
    build: Flag.String("build").pipe(
      Flag.withDescription("Command that builds the plugin, run in its folder before each start"),
      Flag.optional,
    ),
    data: Flag.String("data").pipe(
      Flag.withDescription("Folder of what is stored; made when it is missing. Default: one that goes at the end"),
      Flag.optional,
    ),
    tokenFile: tokenFlag,
    allowEnv: Flag.String("allow-env").pipe(
      Flag.withDescription("Environment variable that the plugin may see, NAME or PREFIX_*; may be repeated"),
      Flag.atLeast(0),
    ),
    ...localFlags,
    json: Output.json,
  },
  lazily(() => import("./run/dev.ts")),
).pipe(Command.withDescription("Run a plugin while it is written: what changes is loaded without a drop"))
