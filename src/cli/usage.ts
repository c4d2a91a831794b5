import { Console, Effect, Runtime } from "effect"
import { CliError, CliOutput } from "effect/cli"
import { EXIT } from "./CommandError.ts"

/** What a value is not that has to be the path of something, in words that fit behind "Expected:". */
const PATH_PROBLEMS: ReadonlyArray<readonly [begins: string, expected: string]> = [
  ["Path does not exist: ", "a path that exists; there is no "],
  ["Path is not a directory: ", "a folder, and not the file "],
  ["Path is not a file: ", "a file, and not the folder "],
]

const inWords = (error: CliError.CliError): CliError.CliError => {
  if (error._tag !== "InvalidValue") return error
  const [begins = "", expected = ""] = PATH_PROBLEMS.find(([begins]) => error.expected.startsWith(begins)) ?? []
  const { kind, option, value } = error
  return new CliError.InvalidValue({ kind, option, value, expected: expected + error.expected.slice(begins.length) })
}

/** Tells on stderr what is wrong with a command; stdout is for results, and for help that was asked for. */
const presenter: CliOutput.Presenter = {
  present: Effect.fnUntraced(function* (event) {
    if (event._tag !== "InvalidInvocation") return yield* CliOutput.defaultPresenter.present(event)
    const formatter = yield* CliOutput.Formatter
    yield* Console.error(formatter.formatErrors(event.errors.map(inWords)))
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
