import { Command } from "effect/cli"
import { lazily } from "./lazily.ts"
import { localFlags } from "./localFlags.ts"
import * as Output from "./Output.ts"
import { folder } from "./pack.ts"

/** `plugin-supervisor check FOLDER`. */
export const check = Command.make(
  "check",
  { folder, ...localFlags, json: Output.json },
  lazily(() => import("./run/check.ts")),
).pipe(Command.withDescription("Check a plugin step by step, from its manifest to its hooks"))
