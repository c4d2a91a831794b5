/** TypeScript's language server, as editors use it. */
import { spawn } from "node:child_process"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { Effect } from "effect"

const root = resolve(import.meta.dirname, "../..")

interface Message {
  readonly id?: number | string
  readonly method?: string
  readonly params?: unknown
  readonly result?: { readonly items?: ReadonlyArray<{ readonly label: string }> }
  readonly error?: { readonly message: string }
}

/** The names that an editor offers at each mark in a program of this folder, which need not exist: `‸`. */
export const completions = (folder: string, program: string) =>
  Effect.acquireUseRelease(
    Effect.sync(() =>
      spawn(join(root, "node_modules/.bin/tsc"), ["--lsp", "--stdio"], {
        cwd: root,
        stdio: ["pipe", "pipe", "ignore"],
      }),
    ),
    (server) =>
      Effect.promise(async () => {
        const waiting = new Map<number | string, (message: Message) => void>()
        let received = Buffer.alloc(0)
        const send = (message: object) => {
          const text = JSON.stringify({ jsonrpc: "2.0", ...message })
          server.stdin.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`)
        }
        const take = (message: Message) => {
          if (message.id === undefined) return
          if (message.method === undefined) waiting.get(message.id)?.(message)
          // It asks for settings, of which there are none.
          else send({ id: message.id, result: message.method === "workspace/configuration" ? [null] : null })
        }
        server.stdout.on("data", (bytes: Buffer) => {
          received = Buffer.concat([received, bytes])
          while (true) {
            const end = received.indexOf("\r\n\r\n")
            const length = Number(/Content-Length: (\d+)/.exec(received.subarray(0, Math.max(end, 0)).toString())?.[1])
            if (end < 0 || received.length < end + 4 + length) return
            const message = JSON.parse(received.subarray(end + 4, end + 4 + length).toString()) as Message
            received = received.subarray(end + 4 + length)
            take(message)
          }
        })
        let id = 0
        const request = (method: string, params: object) =>
          new Promise<Message>((answer) => {
            waiting.set(++id, answer)
            send({ id, method, params })
          })
        await request("initialize", { processId: process.pid, rootUri: pathToFileURL(root).href, capabilities: {} })
        send({ method: "initialized", params: {} })
        const uri = pathToFileURL(join(folder, "program.ts")).href
        const [first = "", ...rest] = program.split("‸")
        const text = first + rest.join("")
        send({
          method: "textDocument/didOpen",
          params: { textDocument: { uri, languageId: "typescript", version: 1, text } },
        })
        const offered: Array<ReadonlyArray<string>> = []
        let before = first
        for (const piece of rest) {
          const lines = before.split("\n")
          const position = { line: lines.length - 1, character: lines.at(-1)!.length }
          const { error, result } = await request("textDocument/completion", { textDocument: { uri }, position })
          offered.push(error === undefined ? (result?.items ?? []).map(({ label }) => label) : [error.message])
          before += piece
        }
        return offered
      }),
    (server) => Effect.sync(() => server.kill()),
  )
