import { Argument, Command, Flag } from "effect/cli"
import { lazily } from "./lazily.ts"
import { localFlags } from "./localFlags.ts"
import * as Output from "./Output.ts"

/** `plugin-supervisor call HOOK [JSON]`. */
export const call = Command.make(
  "call",
  {
    hook: Argument.String("hook").pipe(Argument.withDescription("Name of the hook, as the contract has it")),
    request: Argument.String("json").pipe(
      Argument.withDescription(
        "What it is called with, by the contract's names; $user_id, $channel_id and $team_id stand for ids that there are. Default {}",
      ),
      Argument.withDefault("{}"),
    ),
    folder: Flag.Directory("folder", { mustExist: true }).pipe(
      Flag.withDescription("Folder of the plugin. Default: the current one"),
      Flag.withDefault("."),
    ),
    data: Flag.String("data").pipe(
      Flag.withDescription("Folder of what is stored; made when it is missing. Default: one that goes at the end"),
      Flag.optional,
    ),
    ...localFlags,
    json: Output.json,
  },
  lazily(() => import("./run/call.ts")),
).pipe(Command.withDescription("Start a plugin by itself, call one of its hooks, and print the answer"))
