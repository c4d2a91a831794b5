import { createServer } from "node:http"
import { join } from "node:path"
import { die, exit, type Fault, field, never } from "./fault.ts"
import type { Call } from "./peer.ts"

/** What a plugin says of itself where it is asked what it offers. */
const describes = (answer: (call: Call) => unknown): Fault => ({ rpcs: { Describe: answer } })

/** `DescribeResponse` with an address. */
const offers = (address: string): Fault =>
  describes((call) => call.answerBytes(field(1, field(1, Buffer.from(address)))))

/** Serves HTTP itself, and `ServeHTTP` beside it, which nobody asks then. */
const servesHttp = describes((call) => {
  const path = join(process.env["PLUGIN_UNIX_SOCKET_DIR"]!, "http.sock")
  const server = createServer((request, response) => {
    if (request.url === "/die") process.kill(process.pid, "SIGKILL")
    if (request.url === "/forever") response.write("tick")
    else response.end(`by itself: ${request.url}`)
  })
  server.on("upgrade", (_, socket) => {
    socket.on("error", () => {})
    socket.write("HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    // One frame of text.
    socket.write(Buffer.from([0x81, 2, 0x68, 0x69]))
  })
  server.listen(path, () => call.answerBytes(field(1, field(1, Buffer.from(`unix:${path}`)))))
})

export const offerFaults = {
  "serves HTTP itself": servesHttp,
  "knows no offers": describes((call) => call.fail(12, "unknown service")),
  "offers nothing": describes((call) => call.answerBytes()),
  "offers HTTP nowhere": describes((call) => call.answerBytes(field(1, Buffer.alloc(0)))),
  "offers HTTP on somebody's socket": offers("unix:/tmp/somebody.sock"),
  "offers HTTP on a port": offers("127.0.0.1:80"),
  "offers HTTP on no path": offers("unix:http.sock"),
  "fails when it is asked what it offers": describes((call) => call.fail(13, "no web server for you")),
  "exits when it is asked what it offers": describes(exit(9)),
  "crashes when it is asked what it offers": describes(die("SIGSEGV")),
  "never says what it offers": describes(never),
} satisfies { readonly [fault: string]: Fault }
