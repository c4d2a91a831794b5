import { CliError } from "effect/cli"
import { type Problem, toldProblems } from "../bundle/Problem.ts"

/** A flag whose value holds mistakes, each of which is told in a line of its own. */
export const wrongFlag =
  (flag: string) =>
  ({ problems }: { readonly problems: ReadonlyArray<Problem> }): CliError.UserError =>
    new CliError.UserError({ cause: [`${flag}:`, ...toldProblems(problems)].join("\n    ") })
