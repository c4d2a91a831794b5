import { resolve } from "node:path"
import { Effect } from "effect"
import { CliError } from "effect/cli"
import { makeFolder } from "../bundle/PrivateFolder.ts"

/** Makes the folder of what is stored, for its user only, where it is not there: before anybody puts something into it. */
export const makeDataFolder = (data: string): Effect.Effect<void, CliError.UserError> =>
  Effect.try({
    try: () => makeFolder(resolve(data)),
    catch: (error) =>
      new CliError.UserError({
        cause: `the data folder ${data} can't be made: ${(error as Error).message}; make it, or use another one (--data)`,
      }),
  })
