/** Plugins that print without end. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Sink } from "effect"
import { goPluginHost, type Kind, misbehaving, recorded, startError } from "../support/goplugin.ts"

const MIB = 1024 * 1024

const shell = (script: string): Kind => ({
  ...misbehaving,
  options: (settings) => ({
    ...misbehaving.options(settings),
    process: { ...misbehaving.options(settings).process, executable: "/bin/sh", args: ["-c", script] },
  }),
})

describe.skipIf(process.platform === "win32")("a plugin that floods", () => {
  it.live("its stderr is logged as far as its budget goes, and its last words are known", () =>
    recorded((log) =>
      Effect.gen(function* () {
        const error = yield* startError(
          shell(`yes flood | head -c ${24 * MIB} >&2; echo; echo last words >&2; exit 3`),
          {
            startTimeout: "60 seconds",
          },
        )
        assert.include(error.message, "last words")
        const flooded = log.filter(({ message }) => message === "flood").length
        assert.isAtLeast(flooded, 10_000)
        const told = log.flatMap(
          ({ message }) => /: (\d+) lines, (\d+) bytes were left out/.exec(message)?.slice(1) ?? [],
        )
        const left = told.filter((_, index) => index % 2 === 0).reduce((sum, lines) => sum + Number(lines), 0)
        // "last words" may be among them.
        assert.approximately(flooded + left, (24 * MIB) / 6, 1)
      }),
    ).pipe(Effect.provide(goPluginHost)),
  )

  it.live("holds up nobody where the sink of its stderr does not read, and loses what that can't take", () =>
    recorded((log) =>
      Effect.gen(function* () {
        const error = yield* startError(shell(`yes flood | head -c ${24 * MIB} >&2; echo last words >&2; exit 3`), {
          startTimeout: "60 seconds",
          output: { processStderr: Sink.forEach(() => Effect.never) },
        })
        assert.include(error.message, "last words")
        assert.isTrue(log.some(({ message }) => message === "flood"))
      }),
    ).pipe(Effect.provide(goPluginHost)),
  )
})
