import { Effect } from "effect"
import { Command } from "effect/cli"
import { ownSdk } from "../python/OwnSdk.ts"
import { failed } from "./CommandError.ts"
import * as Output from "./Output.ts"

/** `plugin-supervisor sdk`. */
export const sdk = Command.make("sdk", { json: Output.json }, ({ json }) =>
  Effect.gen(function* () {
    const path = yield* ownSdk
    if (path === undefined) return yield* failed("no Python SDK came with this program; install the package again")
    yield* json ? Output.printJson({ sdk: path }) : Output.printLine(path)
  }),
).pipe(Command.withDescription("Print where the Python SDK is that came with this program, for pip"))
