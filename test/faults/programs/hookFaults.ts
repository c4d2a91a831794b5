import { spawn } from "node:child_process"
import type { JsonObject } from "@bufbuild/protobuf"
import { die, exit, type Fault, field, never, undecodable } from "./fault.ts"
import type { Call } from "./peer.ts"

/** In place of what a plugin is asked whether a post may be. */
const asked = (answer: (call: Call) => unknown): Fault => ({ rpcs: { MessageWillBePosted: answer } })
const answered = (fields: object): Fault => asked((call) => call.answer(fields))

/** Answers with a post that has one field, as it is on the wire. */
const posted = (number: number, content: Uint8Array): Fault =>
  asked((call) => {
    call.send(field(1, field(number, content)))
    call.end()
  })

/** Fields of the contract. */
const [REJECTION_REASON, MESSAGE, PROPS] = [2, 11, 14]

const deep = (levels: number): JsonObject => (levels === 0 ? {} : { a: deep(levels - 1) })

/** `Struct` with a field `a` that is a `Value` with a `number_value`, which is NaN. */
const NOT_A_NUMBER = field(
  1,
  Buffer.concat([field(1, Buffer.from("a")), field(2, Buffer.from([0x11, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f]))]),
)
const NO_TEXT = Buffer.from([0xff, 0xfe, 0xc3, 0x28])

/** What is answered as it should be, so that hooks can be asked. */
const OTHERS: ReadonlySet<string> = new Set(
  "Check Shutdown StreamStdio StartStream OnActivate OnConfigurationChange OnDeactivate ServeHTTP".split(" "),
)
let answers = 0
const answersGarbage = async (call: Call): Promise<void> => {
  const { answer } = await import("./garbage.ts")
  call.answerBytes(answer(call.name, answers++))
}

const http = (answer: (call: Call) => unknown): Fault => ({ rpcs: { ServeHTTP: answer } })
const HEAD = { init: { statusCode: 200 } }

/** Faults of plugins that are active. */
export const hookFaults = {
  "exits when it is asked": asked(exit(7)),
  "is killed when it is asked": asked(die("SIGKILL")),
  "is stopped when it is asked": asked(die("SIGSTOP")),
  "deadlocks when it is asked": asked(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)),
  "never answers": asked(never),
  "closes the connection": asked((call) => call.stream.session?.destroy()),
  "breaks off its answer": asked((call) => {
    call.send(new Uint8Array())
    call.stream.close(2)
  }),
  "answers with a status": asked((call) => call.fail(13, "out of luck")),
  "says that it is OK, and no more": asked((call) => call.end()),
  "says no status": asked((call) => {
    call.send(new Uint8Array())
    call.end({})
  }),
  "takes back that it has the hook": asked((call) => call.fail(12, "what?")),
  "answers twice": asked((call) => {
    call.send(new Uint8Array())
    call.answerBytes()
  }),
  "answers with garbage": asked(undecodable),
  "answers with a time beyond all numbers": answered({ modifiedPost: { createAt: 2n ** 60n } }),
  "answers with NaN": posted(PROPS, NOT_A_NUMBER),
  "answers with props that are 31 deep": answered({ modifiedPost: { props: deep(31) } }),
  "answers with props that are 60 deep": answered({ modifiedPost: { props: deep(60) } }),
  "answers with 500,000 values": answered({ modifiedPost: { props: { a: Array<number>(500_000).fill(0) } } }),
  "answers with an error of its own": answered({ error: { id: "plugin.error", message: "no" } }),
  "says no in 10 MB": answered({ rejectionReason: "n".repeat(10_000_000) }),
  "says no in no text": asked((call) => {
    call.send(field(REJECTION_REASON, NO_TEXT))
    call.end()
  }),
  "says no and something else": answered({ rejectionReason: "no", modifiedPost: { message: "yes" } }),
  "answers with a message that is no text": posted(MESSAGE, NO_TEXT),
  "makes another post of it": answered({
    modifiedPost: {
      id: "a".repeat(26),
      channelId: "b".repeat(26),
      userId: "c".repeat(26),
      rootId: "d".repeat(26),
      createAt: 1n,
      deleteAt: 1n,
      message: "changed",
    },
  }),
  "makes an impossible post of it": answered({ modifiedPost: { message: "x".repeat(20_000) } }),

  "answers everything with garbage": {
    rpcs: new Proxy<{ readonly [rpc: string]: (call: Call) => unknown }>(
      // Without it, every hook counts as one that there is.
      { Implemented: (call) => call.fail(12, "what?"), Describe: (call) => call.fail(12, "what?") },
      {
        get: (rpcs, name) =>
          rpcs[String(name)] ?? (/^[A-Z]/.test(String(name)) && !OTHERS.has(String(name)) ? answersGarbage : undefined),
      },
    ),
  },
  "fails with status 200": {
    rpcs: { ExecuteCommand: (call) => call.answer({ error: { id: "x", message: "no", statusCode: 200 } }) },
  },
  "fails with status 99": {
    rpcs: { ExecuteCommand: (call) => call.answer({ error: { id: "x", message: "no", statusCode: 99 } }) },
  },
  "fails with status -1": {
    rpcs: { ExecuteCommand: (call) => call.answer({ error: { id: "x", message: "no", statusCode: -1 } }) },
  },
  "exits at a command": { rpcs: { ExecuteCommand: exit(7) } },
  "leaves a child that holds its pipes": {
    rpcs: {
      ExecuteCommand: () => {
        spawn("sleep", ["600"], { stdio: "inherit" })
        process.exit(7)
      },
    },
  },
  "asks its host back, and waits": {
    rpcs: {
      ExecuteCommand: async () => {
        const { apiSession, callApi } = await import("./api.ts")
        await callApi(apiSession(), "GetDiagnosticId")
      },
    },
  },
  "never takes an event": { rpcs: { MessageHasBeenPosted: never } },

  "exits in OnDeactivate": { rpcs: { OnDeactivate: exit(7) } },
  "is killed in OnDeactivate": { rpcs: { OnDeactivate: die("SIGKILL") } },
  "never ends OnDeactivate": { rpcs: { OnDeactivate: never } },
  "fails in OnDeactivate": { rpcs: { OnDeactivate: (call) => call.fail(13, "out of luck") } },
  "never answers Shutdown": { rpcs: { Shutdown: never } },
  "answers Shutdown and goes on": { rpcs: { Shutdown: (call) => call.answerBytes() } },
  "does not know Shutdown": { rpcs: { Shutdown: (call) => call.fail(12, "what?") } },
  "ignores SIGTERM": {
    afterwards: () => void process.on("SIGTERM", never),
    rpcs: { Shutdown: never },
  },
  "ends on SIGTERM with a code": {
    afterwards: () => void process.on("SIGTERM", exit(9)),
    rpcs: { Shutdown: never },
  },
  "is busy for ever": {
    rpcs: {
      ExecuteCommand: () => {
        for (;;);
      },
    },
  },

  "exits before the head of a response": http(exit(7)),
  "exits after the head of a response": http(async (call) => {
    await call.message(HEAD)
    setTimeout(exit(7), 100)
  }),
  "never answers a request": http(never),
  "never ends a response": http((call) => call.message(HEAD)),
  "never reads an upload": http((call) => call.stream.pause()),
  "answers a request with garbage": http(undecodable),
  "answers a request with no head": http((call) => call.answer({ bodyChunk: Buffer.from("x"), bodyComplete: true })),
  "answers a request with two heads": http(async (call) => {
    await call.message(HEAD)
    await call.answer({ ...HEAD, bodyComplete: true })
  }),
  "answers a request with status 99": http((call) => call.answer({ init: { statusCode: 99 }, bodyComplete: true })),
  "fails in the middle of a response": http(async (call) => {
    await call.message(HEAD)
    call.fail(13, "out of luck")
  }),
} satisfies { readonly [fault: string]: Fault }
