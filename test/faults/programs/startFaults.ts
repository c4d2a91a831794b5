import { createServer as createSocketServer } from "node:net"
import { die, exit, type Fault, hooks, never, undecodable } from "./fault.ts"

/** Faults of plugins that are not active yet. */
export const startFaults = {
  "closes its listener": {
    afterwards: ({ server }) => {
      server.close()
      setInterval(never, 1000)
    },
  },
  "listens and never accepts": { afterwards: die("SIGSTOP") },
  "accepts and never speaks": { listen: (path, listening) => createSocketServer(never).listen(path, listening) },
  "speaks another protocol": {
    listen: (path, listening) =>
      createSocketServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")).listen(path, listening),
  },
  "says twice where it listens": { handshake: (path) => `1|1|unix|${path}|grpc\n1|1|unix|/elsewhere|grpc\n` },
  "shows a certificate": { handshake: (path) => `1|1|unix|${path}|grpc|${"M".repeat(400)}\n` },
  "does not serve": { rpcs: { Check: (call) => call.answerBytes(Buffer.from([0x08, 0x02])) } },
  "never answers its health check": { rpcs: { Check: never } },
  "answers its health check with garbage": { rpcs: { Check: undecodable } },
  "exits in Implemented": { rpcs: { Implemented: exit(4) } },
  "never answers Implemented": { rpcs: { Implemented: never } },
  "fails in Implemented": { rpcs: { Implemented: (call) => call.fail(13, "no list") } },
  "has hooks that nobody knows": {
    rpcs: { Implemented: (call) => call.answerBytes(hooks(["ExecuteCommand", "OnSomethingNew", "", "__proto__"])) },
  },
  "does not know Implemented": { rpcs: { Implemented: (call) => call.fail(12, "what?") } },
  "does not know OnActivate, which it has": { rpcs: { OnActivate: (call) => call.fail(12, "what?") } },
  "exits in OnConfigurationChange": { rpcs: { OnConfigurationChange: exit(5) } },
  "never answers OnConfigurationChange": { rpcs: { OnConfigurationChange: never } },
  "exits in OnActivate": { rpcs: { OnActivate: exit(6) } },
  "crashes in OnActivate": { rpcs: { OnActivate: die("SIGSEGV") } },
  "is killed in OnActivate": { rpcs: { OnActivate: die("SIGKILL") } },
  "never answers OnActivate": { rpcs: { OnActivate: never } },
  "refuses to be activated": {
    rpcs: {
      OnActivate: (call) => call.answer({ error: { id: "app.license", message: "no license", statusCode: 200 } }),
    },
  },
  "answers OnActivate with garbage": { rpcs: { OnActivate: undecodable } },
  "answers OnActivate with nothing": { rpcs: { OnActivate: (call) => call.end() } },
  "answers OnActivate without a status": {
    rpcs: {
      OnActivate: (call) => {
        call.send(new Uint8Array())
        call.end({})
      },
    },
  },
  "breaks off OnActivate": { rpcs: { OnActivate: (call) => call.stream.close(2) } },
  "closes its connection in OnActivate": { rpcs: { OnActivate: (call) => call.stream.session?.destroy() } },
} satisfies { readonly [fault: string]: Fault }
