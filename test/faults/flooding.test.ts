/** Plugins that want more than there is: of the log, of the host API, of its memory and its descriptors. */
import { join } from "node:path"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { brief, type Bundle, type FaultName, fails, type Kind, kinds, peer, sh, starts } from "./support.ts"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"

const LEFT_OUT = /hostile wrote more than \d+ lines a second: \d+ lines, \d+ bytes were left out of the log/
const MIB = 1024 * 1024
const flood = join(import.meta.dirname, "programs/flood.py")

/** Another process beside the plugin. */
const beside = (command: string, logged: ReadonlyArray<RegExp> = []): Kind =>
  starts(peer("well", { before: `${command} &` }), brief, logged)
/** Prints on the plugin's stderr, so many bytes in all. */
const prints = (text: string, bytes?: number): Kind =>
  beside(`python3 -IS '${flood}' 2 '${text}' ${bytes ?? ""}`, [LEFT_OUT])

kinds("a plugin that prints too much:", {
  "20 MiB of lines on its stderr": prints("flood\\n", 20 * MIB),
  "lines on its stderr without end": prints("flood\\n"),
  "a line of 20 MiB on its stderr": prints("x", 20 * MIB),
  "a line without end on its stderr": prints("x"),
  "a line without end on its stdout, before its handshake": fails(sh("tr '\\0' x </dev/zero"), "HandshakeError", [
    /not a go-plugin handshake: "x{200}"; nothing may be printed to stdout before the handshake/,
  ]),
  "on its stdout, after its handshake": starts(peer("prints without end")),
  "by go-plugin's stdio": starts(peer("prints without end by go-plugin"), brief, [LEFT_OUT]),
  "records that are nested 30,000 deep": starts(peer("logs what is nested deep"), {}, [/^and then$/]),
})

/** A plugin that is told to call its host, and what it was answered. */
const calls = (fault: FaultName, answers: RegExp): Kind => ({
  bundle: peer(fault),
  options: { hooks: { deadline: "60 seconds" } },
  outcome: ({ messages, start, stop }) =>
    Effect.gen(function* () {
      const { hooks } = yield* start
      const { response } = yield* hooks.executeCommand({})
      assert.match(response?.text ?? "", answers)
      assert.deepStrictEqual(
        messages().filter((message) => message.includes("of the host API failed")),
        [],
      )
      yield* stop
    }),
})

kinds("a plugin that asks too much of its host:", {
  "5,000 calls at once": calls("calls 5,000 times at once", /^5000×0$/),
  "garbage, of every kind that the contract has": calls(
    "calls everything with garbage",
    /^2\d{3} calls, 0 without an answer$/,
  ),
  "a value of 9 MiB": calls("stores 9 MiB", /^1×413$/),
  "settings of 2 MiB": calls("saves 2 MiB of settings", /^1×4\d\d$/),
  "700 commands": calls("registers 700 commands", /^500×0 200×4\d\d$/),
  "a post with 3 MB of props": calls("posts 3 MB of props", /^1×4\d\d$/),
  "metadata of a megabyte": calls("sends metadata of a megabyte", /^refused, then 0$/),
  "500 connections": calls("holds 500 connections", /^held$/),
  "2,000 calls that never come": calls("begins 2,000 calls that it never sends", /^then 0$/),
})

const events = (bundle: Bundle, count: number): Kind => ({
  bundle,
  options: brief,
  outcome: ({ logged, start, stop }) =>
    Effect.gen(function* () {
      yield* start
      const { notify } = yield* MattermostPlugins
      yield* Effect.repeat(notify("messageHasBeenPosted", {}), { times: count })
      yield* logged(/plugin hostile is \d+ events \(\d+ bytes\) behind; MessageHasBeenPosted and more are lost/)
      yield* stop
      yield* logged(/plugin hostile: \d+ events are lost, since it has ended/)
    }),
})

kinds("a plugin that has too much:", {
  "events that it never takes": events(peer("never takes an event"), 1100),
  "hooks, 100,000 of them": starts(peer("has 100,000 hooks")),
  "announcements of connections": starts(peer("announces without end"), brief),
  "files in its folder for sockets": starts(peer("fills its folder for sockets")),
  "children, 300 of them": beside("i=0; while [ $i -lt 300 ]; do sleep 600 & i=$((i + 1)); done"),
  "sessions, 50 of them": beside("i=0; while [ $i -lt 50 ]; do setsid sleep 600 & i=$((i + 1)); done"),
  "manifest, 2 MiB of it": fails(
    { ...sh("exit 0"), "plugin.json": `{"id":"hostile","x":"${"x".repeat(2 * MIB)}"}` },
    "BundleError",
    [/has more than 1048576 bytes; keep other data in files of its own/],
  ),
  "levels in its manifest": fails(
    { ...sh("exit 0"), "plugin.json": `{"id":"hostile","x":${"[".repeat(50_000)}${"]".repeat(50_000)}}` },
    "ManifestError",
    [/hostile/],
  ),
})
