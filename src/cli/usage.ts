import { Console, Effect, Runtime } from "effect"
import { CliError, CliOutput } from "effect/cli"
import { EXIT } from "./CommandError.ts"

/** What the formatter puts before every reason, before those too that say what is, and not what should be. */
const NO_EXPECTATION = /Expected: (?=(?:Path|File) (?:does not exist|is not a)\b)/g

/** Tells on stderr what is wrong with a command; stdout is for results, and for help that was asked for. */
const presenter: CliOutput.Presenter = {
  present: Effect.fnUntraced(function* (event) {
    if (event._tag !== "InvalidInvocation") return yield* CliOutput.defaultPresenter.present(event)
    const formatter = yield* CliOutput.Formatter
    yield* Console.error(formatter.formatErrors(event.errors).replaceAll(NO_EXPECTATION, ""))
    yield* Console.error(`\n  ${event.commandPath.join(" ")} --help tells how it is used`)
  }),
}

/** Gives what makes no command an exit code of its own. */
export const withUsage = <A, E, R>(run: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  run.pipe(
    Effect.tapError((error) =>
      Effect.sync(() => {
        if (CliError.isCliError(error) && error._tag === "ShowHelp" && error.errors.length > 0) {
          Object.assign(error, { [Runtime.errorExitCode]: EXIT.usage })
        }
      }),
    ),
    Effect.provideService(CliOutput.Presenter, presenter),
  )
