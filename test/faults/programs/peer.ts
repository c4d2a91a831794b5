/**
 * A plugin of nobody's SDK: go-plugin's protocol by hand on Node's HTTP/2, so that it can lie in every byte. The first
 * argument names its fault (`faults.ts`); the second is only there for a test to find the process by.
 */
import { createServer, type Http2Server, type OutgoingHttpHeaders, type ServerHttp2Stream } from "node:http2"
import { join } from "node:path"
import type { DescMessage, DescMethod, MessageShape } from "@bufbuild/protobuf"
import { commandText, type Fault, field, hooks, SERVING } from "./fault.ts"
import { faults } from "./faults.ts"

/** Where the plugin listens. */
export interface Peer {
  readonly server: Http2Server
  readonly path: string
}

/** One call of the host's. */
export class Call {
  readonly stream: ServerHttp2Stream
  /** The method's name, without its service's. */
  readonly name: string
  readonly server: Http2Server
  #trailers: { readonly [name: string]: string } = {}

  constructor(server: Http2Server, stream: ServerHttp2Stream, name: string) {
    this.server = server
    this.stream = stream
    this.name = name
    stream.on("error", () => {})
    stream.on("wantTrailers", () => stream.sendTrailers(this.#trailers))
  }

  /** Begins the answer. */
  open(headers: OutgoingHttpHeaders = {}): void {
    if (this.stream.headersSent || this.stream.destroyed) return
    const all = { ":status": 200, "content-type": "application/grpc+proto", ...headers }
    this.stream.respond(all, { waitForTrailers: true })
  }

  /** Sends a message of these bytes. */
  send(bytes: Uint8Array): void {
    this.open()
    const head = Buffer.alloc(5)
    head.writeUInt32BE(bytes.length, 1)
    this.stream.write(Buffer.concat([head, bytes]))
  }

  /** Sends a message of a hook's, with these fields. */
  async message(fields: object): Promise<void> {
    // The contract takes longer to load than all the rest, and most plugins send nothing of it.
    const { create, toBinary } = await import("@bufbuild/protobuf")
    const { PluginHooks } = await import("../../../src/generated/mattermost/pluginapi/v1/plugin_hooks_pb.js")
    const { output }: DescMethod = PluginHooks.methods.find((method) => method.name === this.name)!
    this.send(toBinary(output, create(output, fields as MessageShape<DescMessage>)))
  }

  /** Ends the answer, with these trailers. */
  end(trailers: { readonly [name: string]: string } = { "grpc-status": "0" }): void {
    this.#trailers = trailers
    this.open()
    this.stream.end()
  }

  async answer(fields: object): Promise<void> {
    await this.message(fields)
    this.end()
  }

  /** Answers a message of these bytes. */
  answerBytes(bytes: Uint8Array = new Uint8Array()): void {
    this.send(bytes)
    this.end()
  }

  fail(status: number, message: string): void {
    this.end({ "grpc-status": String(status), "grpc-message": message })
  }
}

/** Hooks that a plugin says it has, unless its fault says otherwise. */
const HOOKS = hooks([
  "OnActivate",
  "OnConfigurationChange",
  "OnDeactivate",
  "ExecuteCommand",
  "MessageWillBePosted",
  "MessageHasBeenPosted",
  "ServeHTTP",
])

/** `ServeHTTPResponse` with an empty head, which is a 200, a body, and its end. */
const PAGE = Buffer.concat([field(1, Buffer.alloc(0)), field(2, Buffer.from("well")), Buffer.from([0x18, 0x01])])

/** What a plugin does that has no fault. */
const well: { readonly [rpc: string]: (call: Call) => unknown } = {
  Check: (call) => call.answerBytes(SERVING),
  Shutdown: (call) => {
    call.answerBytes()
    call.stream.on("close", () => process.exit(0))
  },
  StreamStdio: (call) => call.open(),
  StartStream: (call) => call.open(),
  Implemented: (call) => call.answerBytes(HOOKS),
  ExecuteCommand: (call) => call.answerBytes(commandText("well")),
  ServeHTTP: (call) => call.answerBytes(PAGE),
}

const { afterwards, handshake, listen, rpcs }: Fault = faults[process.argv[2] as keyof typeof faults]

// Megabytes. A plugin that sends too much is not to stumble over itself.
const server = createServer({ maxSessionMemory: 1000 })
server.on("sessionError", () => {})
server.on("stream", (stream, headers) => {
  const call = new Call(server, stream, String(headers[":path"]).split("/").at(-1)!)
  const rpc = rpcs?.[call.name] ?? well[call.name]
  if (rpc === undefined) call.answerBytes()
  else void rpc(call)
})

const path = join(process.env["PLUGIN_UNIX_SOCKET_DIR"]!, "plugin.sock")
const listening = () => {
  process.stdout.write(handshake?.(path) ?? `1|1|unix|${path}|grpc\n`)
  afterwards?.({ server, path })
}
if (listen === undefined) server.listen(path, listening)
else listen(path, listening)
