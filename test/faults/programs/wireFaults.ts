import { readdirSync, renameSync, symlinkSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import { gzipSync } from "node:zlib"
import { commandText, type Fault, SERVING } from "./fault.ts"
import type { Call } from "./peer.ts"

const ownFolder = process.env["PLUGIN_UNIX_SOCKET_DIR"]!

/** A socket of the plugin beside this one. */
const another = (name: "plugin.sock" | "api.sock"): string => {
  const folder = readdirSync(dirname(ownFolder)).find((name) => name !== basename(ownFolder))
  return join(dirname(ownFolder), folder ?? "", name)
}

/** What is 100 MiB when it is unzipped. */
const bomb = (): Buffer => gzipSync(Buffer.alloc(100 * 1024 * 1024))

/** The head of a message, as gRPC has it. */
const head = (length: number, isCompressed = false): Buffer => {
  const bytes = Buffer.alloc(5)
  bytes[0] = isCompressed ? 1 : 0
  bytes.writeUInt32BE(length, 1)
  return bytes
}

const asked = (answer: (call: Call) => unknown): Fault => ({ rpcs: { MessageWillBePosted: answer } })

/** Calls another method of the host API than anybody should, and answers with the call's status. */
const calls = (run: (api: typeof import("./api.ts")) => Promise<string>): Fault => ({
  rpcs: { ExecuteCommand: async (call) => call.answerBytes(commandText(await run(await import("./api.ts")))) },
})

let checks = 0

/** Faults in what is on the wire, and in who it is from. */
export const wireFaults = {
  "says that it is another": { handshake: () => `1|1|unix|${another("plugin.sock")}|grpc\n` },
  "links its socket to another": {
    listen: (path, listening) => {
      symlinkSync(another("plugin.sock"), path)
      listening()
      setInterval(() => {}, 1000)
    },
  },
  "replaces its socket by a link to another": {
    rpcs: {
      ExecuteCommand: (call) => {
        const own = join(ownFolder, "plugin.sock")
        renameSync(own, `${own}.old`)
        symlinkSync(another("plugin.sock"), own)
        call.answerBytes(commandText("replaced"))
      },
    },
  },
  "speaks for another": calls(async ({ apiSession, callApi }) => {
    const { status } = await callApi(apiSession(another("api.sock")), "KVGet", { key: "secret" })
    return status
  }),
  "closes its server": {
    rpcs: {
      ExecuteCommand: (call) => {
        setInterval(() => {}, 1000)
        call.server.close()
        call.stream.session?.destroy()
      },
    },
  },
  "has no health service": { rpcs: { Check: (call) => call.fail(12, "what?") } },
  "does not know the health of its name": {
    rpcs: { Check: (call) => (checks++ === 0 ? call.fail(5, "who?") : call.answerBytes(SERVING)) },
  },
  "ends with a status that is none": asked((call) => call.end({ "grpc-status": "abc" })),
  "ends with a status beyond all": asked((call) => call.end({ "grpc-status": "4294967296" })),
  "ends with two statuses": asked((call) => call.end({ "grpc-status": "0, 13" })),
  "fails in a megabyte of words": asked((call) => call.fail(13, "x".repeat(1_000_000))),
  "answers 80 MiB": asked((call) => call.answerBytes(Buffer.alloc(80 * 1024 * 1024))),
  "answers what is 100 MiB unzipped": asked((call) => {
    const bytes = bomb()
    call.open({ "grpc-encoding": "gzip" })
    call.stream.write(Buffer.concat([head(bytes.length, true), bytes]))
    call.end()
  }),
  "answers what it says is zipped": asked((call) => {
    call.open({ "grpc-encoding": "gzip" })
    call.stream.write(Buffer.concat([head(4, true), Buffer.from("zip!")]))
    call.end()
  }),
  "says that its answer has 4 GiB": asked((call) => {
    call.open()
    call.stream.write(head(2 ** 32 - 1))
  }),
  "begins an answer and never ends it": asked((call) => {
    call.open()
    call.stream.write(head(1000))
  }),
  "answers with 10,000 headers": asked((call) => {
    call.open(Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`x-${index}`, "x"])))
    call.answerBytes()
  }),
  "asks in 80 MiB": calls(async ({ apiSession, callApi }) => {
    const { status } = await callApi(apiSession(), "KVSet", { key: "k", value: Buffer.alloc(80 * 1024 * 1024) })
    return status
  }),
  "asks what is 100 MiB unzipped": calls(async ({ apiSession, openCall, statusOf }) => {
    const stream = openCall(apiSession(), "KVSet", { "grpc-encoding": "gzip" })
    const bytes = bomb()
    stream.end(Buffer.concat([head(bytes.length, true), bytes]))
    return statusOf(stream)
  }),
  "asks what is no gRPC": calls(async ({ apiSession, openCall, statusOf }) => {
    const stream = openCall(apiSession(), "KVSet", { "content-type": "text/html" })
    stream.end("<html>")
    return `not ${await statusOf(stream)}`
  }),
} satisfies { readonly [fault: string]: Fault }
