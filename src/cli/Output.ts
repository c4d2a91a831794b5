import { Console, Duration, Effect, Schedule } from "effect"
import { CliOutput, Flag, TerminalCapabilities } from "effect/cli"
import { shown } from "./StderrLog.ts"

/** `--json`, which every command has. */
export const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print the result as JSON, for programs"),
  Flag.withDefault(false),
)

/** How a text looks on a terminal, by the codes of ANSI. */
const PAINTS = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 } as const
export type Paint = keyof typeof PAINTS

/** A piece of text, which may be anybody's: what would be a command to the terminal is written out. */
export type Cell = string | { readonly text: string; readonly paint: Paint }

const textOf = (cell: Cell): string => shown(typeof cell === "string" ? cell : cell.text)

/** Whether a plugin is enabled. */
export const enabledCell = (isEnabled: boolean): Cell => (isEnabled ? "enabled" : { text: "disabled", paint: "dim" })

/** Paints where the output is a terminal that can show it, and nobody has asked for none (`NO_COLOR`). */
const painter = Effect.map(
  TerminalCapabilities.TerminalCapabilities,
  ({ canColor }) =>
    (cell: Cell, text = textOf(cell)): string =>
      typeof cell === "string" || !canColor ? text : `\u001b[${PAINTS[cell.paint]}m${text}\u001b[0m`,
)

/** Prints a line of pieces. */
export const printLine = (...cells: ReadonlyArray<Cell>): Effect.Effect<void> =>
  Effect.flatMap(painter, (paint) => Console.log(cells.map((cell) => paint(cell)).join(" ")))

/** Prints rows with their columns one below the other; a line break in a cell is a blank. */
export const printTable = Effect.fnUntraced(function* (
  head: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<Cell>>,
) {
  const paint = yield* painter
  const all = [head.map((text): Cell => ({ text, paint: "bold" })), ...rows]
  const texts = all.map((row) => row.map((cell) => textOf(cell).replaceAll(/\s*\n\s*/g, " ")))
  const widths = head.map((_, column) => Math.max(...texts.map((row) => CliOutput.displayWidth(row[column] ?? ""))))
  for (const [index, row] of all.entries()) {
    const line = row.map((cell, column) => {
      const text = texts[index]![column]!
      const isLast = column === row.length - 1
      return paint(cell, text) + (isLast ? "" : " ".repeat(widths[column]! - CliOutput.displayWidth(text)))
    })
    yield* Console.log(line.join("  ").trimEnd())
  }
})

/** Prints a value as JSON. */
export const printJson = (value: unknown): Effect.Effect<void> =>
  Console.log(shown(JSON.stringify(value, undefined, 2)))

/** Prints a value as one line of JSON. */
export const printJsonLine = (value: unknown): Effect.Effect<void> => Console.log(shown(JSON.stringify(value)))

const FRAMES = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]

const FRAME = Duration.millis(100)

/** How often it is asked how far something is. */
const ASK_EVERY = Duration.seconds(1)

/** Shows on stderr that something is being done, while it is, if that is a terminal; and how far it is, where that can be asked. */
export const working = <A, E, R, R2 = never>(
  what: string,
  effect: Effect.Effect<A, E, R>,
  progress: Effect.Effect<string, unknown, R2> = Effect.succeed(""),
  stderr: Pick<NodeJS.WriteStream, "isTTY" | "columns" | "write"> = process.stderr,
): Effect.Effect<A, E, R | R2> => {
  if (!stderr.isTTY) return effect
  let frame = 0
  let told = ""
  const show = Effect.sync(() => {
    const text = shown(`${FRAMES[frame++ % FRAMES.length]} ${what}${told === "" ? "" : `: ${told}`}`)
    // What needs two lines could not be taken back.
    const width = (stderr.columns || 80) - 1
    let line = text.slice(0, width)
    while (CliOutput.displayWidth(line) > width) line = line.slice(0, -1)
    stderr.write(`\r${line}\u001b[K`)
  })
  const ask = Effect.ignore(Effect.tap(progress, (text) => Effect.sync(() => (told = text))))
  return Effect.gen(function* () {
    yield* Effect.addFinalizer(() => Effect.sync(() => stderr.write("\r\u001b[K")))
    yield* Effect.forkScoped(Effect.repeat(show, Schedule.spaced(FRAME)))
    yield* Effect.forkScoped(Effect.repeat(ask, Schedule.spaced(ASK_EVERY)))
    return yield* effect
  }).pipe(Effect.scoped)
}

/** The same for what takes long: where stderr is no terminal, it says once what is being done. */
export const atLength = <A, E, R>(what: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  process.stderr.isTTY ? working(what, effect) : Effect.andThen(Console.error(what), effect)
