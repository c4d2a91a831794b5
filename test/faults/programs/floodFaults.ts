import { spawn } from "node:child_process"
import { chmodSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { commandText, type Fault, field, hooks } from "./fault.ts"
import type { Call } from "./peer.ts"

/** Says something in its log. */
const say = (text: string): void => void process.stderr.write(`${text}\n`)

/** Sends the same message again and again, as fast as it is taken. */
const withoutEnd =
  (message: Uint8Array) =>
  (call: Call): void => {
    const more = () => {
      for (let count = 0; count < 100 && !call.stream.destroyed; count++) call.send(message)
      if (call.stream.destroyed) return
      if (call.stream.writableNeedDrain) call.stream.once("drain", more)
      else setImmediate(more)
    }
    more()
  }

/** Does something with its host API when it is told to, and answers what came of it as a text. */
const atCommand = (run: (api: typeof import("./api.ts")) => Promise<string>): Fault => ({
  rpcs: {
    ExecuteCommand: async (call) => {
      const text = await run(await import("./api.ts"))
      call.answerBytes(commandText(text))
    },
  },
})

/** Calls, all at once, and what they were answered: each status, or error's status, with how often it came. */
const calls = (name: string, requests: ReadonlyArray<object>): Fault =>
  atCommand(async ({ apiSession, callApi }) => {
    const session = apiSession()
    const answers = await Promise.all(requests.map((request) => callApi(session, name, request)))
    const counts = new Map<string, number>()
    for (const { response, status } of answers) {
      const result = String(response?.error?.statusCode ?? status)
      counts.set(result, (counts.get(result) ?? 0) + 1)
    }
    return [...counts].map(([result, count]) => `${count}×${result}`).join(" ")
  })

/** `StdioData` of the channel for stdout, with a line. */
const PRINTED = Buffer.concat([Buffer.from([0x08, 0x01]), field(2, Buffer.from("printed\n"))])
/** `ConnInfo`. */
const ANNOUNCED = Buffer.concat([Buffer.from([0x08, 0x07]), field(2, Buffer.from("unix")), field(3, Buffer.from("/x"))])

/** Faults of plugins that want more than there is. */
export const floodFaults = {
  "prints without end": {
    afterwards: () =>
      void spawn("python3", ["-IS", join(import.meta.dirname, "flood.py"), "1", "flood\\n"], { stdio: "inherit" }),
  },
  "prints without end by go-plugin": { rpcs: { StreamStdio: withoutEnd(PRINTED) } },
  "announces without end": { rpcs: { StartStream: withoutEnd(ANNOUNCED) } },
  "logs what is nested deep": {
    afterwards: () => {
      const deep = "[".repeat(30_000) + "]".repeat(30_000)
      say(`{"@level":"info","@message":"deep","@timestamp":"2020-01-01T00:00:00.000000Z","a":${deep}}`)
      say(`{"@level":"info","@message":${deep}}`)
      say("and then")
    },
  },
  "calls 5,000 times at once": calls(
    "GetServerVersion",
    Array.from({ length: 5000 }, () => ({})),
  ),
  "calls everything with garbage": atCommand(async ({ apiSession, sendApi }) => {
    const session = apiSession()
    const { requests } = await import("./garbage.ts")
    const answers = await Promise.all(requests().map(([name, request]) => sendApi(session, name, request)))
    const unanswered = answers.filter(({ status }) => status === "none").length
    return `${answers.length} calls, ${unanswered} without an answer`
  }),
  "stores 9 MiB": calls("KVSet", [{ key: "k", value: Buffer.alloc(9 * 1024 * 1024) }]),
  "saves 2 MiB of settings": calls("SavePluginConfig", [{ config: { a: "x".repeat(2 * 1024 * 1024) } }]),
  "registers 700 commands": calls(
    "RegisterCommand",
    Array.from({ length: 700 }, (_, index) => ({ command: { trigger: `c${index}`, displayName: "x".repeat(100) } })),
  ),
  "posts 3 MB of props": calls("CreatePost", [{ post: { message: "x", props: { a: "x".repeat(3_000_000) } } }]),
  "sends metadata of a megabyte": atCommand(async ({ apiSession, callApi }) => {
    const large = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`x-${index}`, "x".repeat(50_000)]))
    const { status } = await callApi(apiSession(), "GetServerVersion", {}, large)
    const next = await callApi(apiSession(), "GetServerVersion")
    return `${status === "0" ? "answered" : "refused"}, then ${next.status}`
  }),
  "holds 500 connections": atCommand(async ({ apiSocket }) => {
    const { connect } = await import("node:net")
    const open = Array.from(
      { length: 500 },
      () =>
        new Promise((resolve) =>
          connect(apiSocket())
            .on("connect", resolve)
            .on("error", resolve)
            .on("close", () => {}),
        ),
    )
    await Promise.all(open)
    return "held"
  }),
  "begins 2,000 calls that it never sends": atCommand(async ({ apiSession, callApi, openCall }) => {
    const session = apiSession()
    for (let count = 0; count < 2000; count++) openCall(session, "GetServerVersion")
    return `then ${(await callApi(apiSession(), "GetServerVersion")).status}`
  }),
  "fills its folder for sockets": {
    afterwards: () => {
      const folder = process.env["PLUGIN_UNIX_SOCKET_DIR"]!
      for (let index = 0; index < 2000; index++) writeFileSync(join(folder, `file${index}`), "x")
      const deep = join(folder, ...Array<string>(50).fill("folder"))
      mkdirSync(deep, { recursive: true })
      writeFileSync(join(deep, "file"), "x")
      chmodSync(deep, 0)
    },
  },
  "has 100,000 hooks": {
    rpcs: {
      Implemented: (call) =>
        call.answerBytes(hooks(["ExecuteCommand", ...Array.from({ length: 100_000 }, (_, index) => `Hook${index}`)])),
    },
  },
} satisfies { readonly [fault: string]: Fault }
