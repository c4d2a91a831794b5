import { Argument, Command, Flag } from "effect/cli"
import { lazily } from "./lazily.ts"
import { backendFlag } from "./localFlags.ts"
import * as Output from "./Output.ts"

/** `plugin-supervisor new NAME`. */
export const newPlugin = Command.make(
  "new",
  {
    name: Argument.String("name").pipe(
      Argument.withDescription("Id of the plugin, and its folder, which is made here"),
    ),
    go: Flag.Boolean("go").pipe(
      Flag.withDescription("Write it in Go, which has to be installed. Default: in Python"),
      Flag.withDefault(false),
    ),
    backend: backendFlag,
    contract: Flag.Literals("contract", ["mattermost"]).pipe(
      Flag.withDescription("A contract that needs no --backend. Default mattermost"),
      Flag.optional,
    ),
    package: Flag.String("package").pipe(
      Flag.withDescription(
        "Python package of the contract of --backend. Default: NAME_plugin, by the name of its .proto package",
      ),
      Flag.optional,
    ),
    json: Output.json,
  },
  lazily(() => import("./run/new.ts")),
).pipe(Command.withDescription("Make a new plugin that runs as it is"))
