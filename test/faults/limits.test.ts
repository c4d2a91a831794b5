/** Plugins that take too much of the machine, or are another user's there, as their host's operator sees them. */
import { spawnSync } from "node:child_process"
import { chmodSync, existsSync, globSync, readFileSync, rmSync, statSync } from "node:fs"
import { dirname, join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { setprivAs } from "../../src/process/ProcessUser.ts"
import type { ProcessLimits } from "../../src/process/ProcessLimits.ts"
import { snippets } from "../support/documents.ts"
import { eventually } from "../support/host.ts"
import { CONTROLLERS, mayChangeUser, NOBODY } from "../support/privileges.ts"
import { serving } from "./serving.ts"
import { brief, fails, type Kind, kinds, peer, processesWith, python } from "./support.ts"

const MIB = 1024 ** 2

/** A plugin that does something when it gets a command, for as long as it takes. */
const greedy = (what: string, limits: ProcessLimits, reason: RegExp): Kind => ({
  bundle: python(`
import os, time
from mattermost_plugin import HookName, Plugin, hook, run_plugin

class Hostile(Plugin):
    @hook(HookName.ExecuteCommand)
    def command(self, ctx, args):
${what}

run_plugin(Hostile)
`),
  options: { ...brief, limits, restart: { delay: "50 millis" } },
  outcome: ({ logged, start, state }) =>
    Effect.gen(function* () {
      const { hooks, process } = yield* start
      assert.lengthOf(process.limits, 1)
      yield* Effect.flip(hooks.executeCommand({}))
      yield* logged(reason)
      yield* eventually("it runs again", () => state().name === "Running" && state().restarts === 1)
      assert.match(state().lastFailure?.reason ?? "", reason)
    }),
})

/** Whether another user gets at the program of `peer`, and what runs it. */
const mayReachPeers =
  mayChangeUser &&
  spawnSync("setpriv", [
    ...setprivAs(NOBODY),
    "--",
    process.execPath,
    "-e",
    `require("node:fs").accessSync(${JSON.stringify(join(import.meta.dirname, "programs/peer.ts"))})`,
  ]).status === 0

const callsBack = (): Kind => {
  let isCalled = false
  return {
    bundle: peer("asks its host back, and waits"),
    methods: { getDiagnosticId: () => Effect.sync(() => (isCalled = true)).pipe(Effect.as({ diagnosticId: "" })) },
    options: { ...brief, limits: { user: "nobody", openFiles: 200 } },
    outcome: ({ root, start }) =>
      Effect.gen(function* () {
        chmodSync(root, 0o755)
        const { hooks, process } = yield* start
        const status = readFileSync(`/proc/${process.pid}/status`, "utf8")
        assert.match(status, new RegExp(`^Uid:\\t${NOBODY.uid}\\t${NOBODY.uid}\\t`, "m"))
        yield* Effect.forkChild(Effect.exit(hooks.executeCommand({})))
        yield* eventually("it gets at the socket of its host", () => isCalled)
        // What somebody removes is made again for the same user.
        const socket = globSync(join(root, "run/*/api.sock")).find((path) => statSync(path).gid === NOBODY.gid)!
        assert.strictEqual(statSync(socket).mode & 0o777, 0o660)
        rmSync(dirname(socket), { recursive: true })
        yield* eventually(
          "the socket is there again",
          () => existsSync(socket) && (statSync(socket).mode & 0o777) === 0o660,
        )
        for (const path of [socket, dirname(socket)]) assert.strictEqual(statSync(path).gid, NOBODY.gid)
        assert.strictEqual(statSync(dirname(socket)).mode & 0o777, 0o770)
      }),
  }
}

kinds("a plugin with limits", {
  "whose children take too much memory is ended by a reason, and started again": greedy(
    `
        for _ in range(4):
            if os.fork() == 0:
                kept = b"x" * ${150 * MIB}
                time.sleep(300)
        time.sleep(300)`,
    { memory: 400 * MIB },
    /plugin hostile was ended, since it used more than 400 MiB of memory/,
  ),
  // Where the kernel holds them, a fork fails, and the plugin goes on: see ProcessLimits.test.ts.
  ...(CONTROLLERS.has("pids")
    ? {}
    : {
        "that is a fork bomb is ended by a reason, and started again": greedy(
          `
        for _ in range(300):
            if os.fork() == 0:
                time.sleep(300)
        time.sleep(300)`,
          { processes: 150 },
          /plugin hostile was ended, since it ran more than 150 processes and threads/,
        ),
      }),
  "that is to run as a user that there is not does not start": fails(
    peer("well"),
    "PluginUserError",
    [/can't run as user nobody-of-that-name: the machine knows no such user/],
    { limits: { user: "nobody-of-that-name" } },
  ),
  "that is to have a limit that makes no sense does not start": fails(
    peer("well"),
    "PluginSpawnError",
    [/its limit memory is 0: expected a whole number, from 1; set another limit/],
    { limits: { memory: 0 } },
  ),
  ...(mayChangeUser
    ? {
        "whose user may not go to its bundle does not start": fails(
          peer("well"),
          "PluginUserError",
          [/can't run as user nobody: it may not read \S+hostile; `namei -l \S+hostile` shows which folder is closed/],
          { limits: { user: "nobody" } },
        ),
      }
    : {}),
  ...(mayReachPeers ? { "of another user serves its host, and asks it": callsBack() } : {}),
})

describe.skipIf(process.platform !== "linux")("serve", () => {
  it.live("holds plugins to what the documents show", () =>
    Effect.gen(function* () {
      const flags = snippets("docs/limits.md", "sh")[0]!
        .match(/--plugin-limit \S+/g)!
        .flatMap((flag) => flag.split(" "))
      assert.lengthOf(flags, 6)
      const { isWell, log, root } = yield* serving({ flags })
      yield* isWell
      assert.match(
        log(),
        /plugin well is limited to 512 MiB of memory \(.*512 open files \(process\).*200 processes and/,
      )
      const limits = readFileSync(`/proc/${processesWith(join(root, "plugins/well"))[0]}/limits`, "utf8")
      assert.match(limits, /^Max open files +512 +512 /m)
    }).pipe(Effect.scoped),
  )
})
