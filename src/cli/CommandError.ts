import { Runtime, Schema } from "effect"
import { CliError } from "effect/cli"

/** What exit codes say of a command; 0 is success. docs/cli.md tells them. */
export const EXIT = {
  /** It was not done, or the verdict is bad. */
  failed: 1,
  /** What was asked for makes no command. */
  usage: 2,
  /** The supervisor can't be reached, or has gone. */
  unreachable: 3,
  /** The supervisor refuses the token. */
  unauthorized: 4,
} as const

/** A command that was not carried out, in words for whoever gave it. They are on stderr; stdout holds results alone. */
export class CommandError extends Schema.TaggedError<CommandError>()("CommandError", {
  message: Schema.String,
  exitCode: Schema.Literals([EXIT.failed, EXIT.usage, EXIT.unreachable, EXIT.unauthorized]),
}) {
  override readonly [CliError.userMessage] = this.message
  override readonly [Runtime.errorExitCode] = this.exitCode
}

/** The usual failure. */
export const failed = (message: string): CommandError => new CommandError({ message, exitCode: EXIT.failed })

/** A failure of another part, in its own words. */
export const told = ({ message }: { readonly message: string }): CommandError => failed(message)
