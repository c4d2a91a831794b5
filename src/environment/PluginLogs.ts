import { Cause, Context, Effect, Layer, Logger, type LogLevel, PubSub, References, Stream } from "effect"

/** Lines that are kept of each plugin, and of how many bytes in all: enough to see what led to an end. */
const MAX_LINES = 1000
const MAX_BYTES = 1024 * 1024

/** Plugins whose lines are kept; of more, those that have said nothing for the longest time are forgotten. */
const MAX_PLUGINS = 1000

/** Lines that wait for a reader who follows a plugin and is slow; older ones are left out then. */
const MAX_BEHIND = 1000

/** What counts for a line beside its text. */
const LINE_OVERHEAD = 100

/** A line of the host's log that is a plugin's, or about one. */
export interface PluginLogLine {
  /** When, in milliseconds since the epoch. */
  readonly at: number
  readonly level: LogLevel.LogLevel
  readonly message: string
  /** What goes along, without the plugin's id. */
  readonly fields: { readonly [name: string]: unknown }
}

interface Kept {
  readonly lines: Array<PluginLogLine>
  readonly sizes: Array<number>
  bytes: number
  readonly followers: PubSub.PubSub<PluginLogLine>
}

const last = ({ lines }: Kept, count: number): ReadonlyArray<PluginLogLine> => (count > 0 ? lines.slice(-count) : [])

const textOf = (part: unknown): string =>
  typeof part === "string" ? part : part instanceof Error ? (part.stack ?? part.message) : JSON.stringify(part)

/** The last lines of the host's log that name a plugin (`plugin_id`), for operators who look at one. */
export class PluginLogs extends Context.Service<
  PluginLogs,
  {
    /** The last lines of a plugin, oldest first; at most `count`, and 1000 or a MiB. */
    readonly tail: (pluginId: string, count: number) => Effect.Effect<ReadonlyArray<PluginLogLine>>
    /** The last `count` lines of a plugin (default 0), and those from now on. Whoever is slow loses the oldest. */
    readonly follow: (pluginId: string, count?: number) => Stream.Stream<PluginLogLine>
  }
>()("effect-plugin-supervisor/environment/PluginLogs") {
  /** Beside the loggers there are: what is built on this layer logs to it as well. */
  static readonly layer: Layer.Layer<PluginLogs> = Layer.unwrap(
    Effect.sync(() => {
      const kept = new Map<string, Kept>()
      const keptOf = (pluginId: string): Kept => {
        const known = kept.get(pluginId) ?? {
          lines: [],
          sizes: [],
          bytes: 0,
          followers: Effect.runSync(PubSub.sliding<PluginLogLine>(MAX_BEHIND)),
        }
        // The last one is whoever has said something last.
        kept.delete(pluginId)
        kept.set(pluginId, known)
        if (kept.size > MAX_PLUGINS) kept.delete(kept.keys().next().value!)
        return known
      }
      const keep = (pluginId: string, line: PluginLogLine) => {
        const of = keptOf(pluginId)
        const size = LINE_OVERHEAD + line.message.length
        of.lines.push(line)
        of.sizes.push(size)
        of.bytes += size
        while (of.lines.length > MAX_LINES || (of.bytes > MAX_BYTES && of.lines.length > 1)) {
          of.lines.shift()
          of.bytes -= of.sizes.shift()!
        }
        PubSub.publishUnsafe(of.followers, line)
      }
      const logger = Logger.make<unknown, void>(({ cause, date, fiber, logLevel, message }) => {
        const { plugin_id: pluginId, ...fields } = fiber.getRef(References.CurrentLogAnnotations)
        if (typeof pluginId !== "string") return
        const words = [message].flat().map(textOf)
        if (cause.reasons.length > 0) words.push(Cause.pretty(cause))
        keep(pluginId, { at: date.getTime(), level: logLevel, message: words.join(" "), fields })
      })
      return Layer.merge(
        Logger.layer([logger], { mergeWithExisting: true }),
        Layer.succeed(PluginLogs, {
          tail: (pluginId, count) => Effect.sync(() => last(keptOf(pluginId), count)),
          follow: (pluginId, count = 0) =>
            Stream.unwrap(
              Effect.gen(function* () {
                const of = keptOf(pluginId)
                const followed = yield* PubSub.subscribe(of.followers)
                const before = last(of, count)
                // A line that came after the subscription and before this is in both.
                const known = new Set(before)
                return Stream.concat(
                  Stream.fromIterable(before),
                  Stream.filter(Stream.fromSubscription(followed), (line) => !known.has(line)),
                )
              }),
            ),
        }),
      )
    }),
  )
}
