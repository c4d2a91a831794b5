import { Layer, Logger } from "effect"

/**
 * Bytes of the log that wait for whoever reads stderr. A pipe that nobody reads from would otherwise keep all of it in
 * memory: Node writes to pipes when there is room, and keeps the rest without a limit.
 */
const MAX_UNREAD = 8 * 1024 * 1024

/**
 * What a plugin writes must not be a command to a terminal that shows the log: characters that are none are written as in
 * JSON, where they mean the same.
 */
export const shown = (text: string): string =>
  text.replace(/[^\P{Cc}\n\t]/gu, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`)

/** Writes to stderr as far as it is read; how much was not is told when it is again. */
export const toStderr = <Message>(
  format: Logger.Logger<Message, string>,
  stderr: Pick<NodeJS.WriteStream, "write" | "writableLength"> = process.stderr,
): Logger.Logger<Message, void> => {
  let lost = 0
  return Logger.make<Message, void>((options) => {
    if (stderr.writableLength > MAX_UNREAD) {
      lost++
      return
    }
    if (lost > 0) {
      const message = `nobody read the log: ${lost} entries are lost`
      lost = 0
      stderr.write(`${format.log({ ...options, logLevel: "Warn", message: message as Message })}\n`)
    }
    stderr.write(`${shown(format.log(options))}\n`)
  })
}

/** People read pretty logs, programs JSON; both are on stderr, so that stdout holds only what was asked for. */
export const layer: Layer.Layer<never> = Logger.layer([
  toStderr(process.stderr.isTTY ? Logger.formatLogFmt : Logger.formatJson),
])
