/** The host API by hand, for plugins of nobody's SDK. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2"
import { connect as connectSocket } from "node:net"
import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import { PluginAPI } from "../../../src/generated/mattermost/pluginapi/v1/plugin_api_pb.js"

/** The socket of this plugin's own host API. */
export const apiSocket = (): string => process.env["MATTERMOST_PLUGIN_API_TARGET"]!.replace(/^unix:/, "")

/** A connection to a host API. */
export const apiSession = (socket = apiSocket()): ClientHttp2Session => {
  // Megabytes. A plugin that sends too much is not to stumble over itself.
  const session = connect("http://localhost", { createConnection: () => connectSocket(socket), maxSessionMemory: 1000 })
  session.on("error", () => {})
  return session
}

export interface Answer {
  /** `grpc-status`; `none` if the call has ended without one. */
  readonly status: string
  /** The response; its `error` is there where the contract has one. */
  readonly response: any
}

/** The message of a gRPC call, as it is sent. */
export const framed = (message: Uint8Array): Buffer => {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

/** Opens a call without sending anything. */
export const openCall = (session: ClientHttp2Session, name: string, headers: OutgoingHttpHeaders = {}) => {
  const stream = session.request({
    ":method": "POST",
    ":path": `/${PluginAPI.typeName}/${name}`,
    "content-type": "application/grpc+proto",
    te: "trailers",
    ...headers,
  })
  stream.on("error", () => {})
  return stream
}

/** How a call ends: its status; `none` if it has none. */
export const statusOf = (stream: ClientHttp2Stream): Promise<string> =>
  new Promise((resolve) => {
    let status = "none"
    const told = (headers: IncomingHttpHeaders) => (status = headers["grpc-status"]?.toString() ?? status)
    stream.on("response", told)
    stream.on("trailers", told)
    stream.on("close", () => resolve(status))
    stream.resume()
  })

/** Calls the host API with a request's bytes. */
export const sendApi = async (
  session: ClientHttp2Session,
  name: string,
  request: Uint8Array,
  headers: OutgoingHttpHeaders = {},
): Promise<Answer> => {
  const { output } = PluginAPI.methods.find((method) => method.name === name)!
  const stream = openCall(session, name, headers)
  const chunks: Array<Buffer> = []
  stream.on("data", (chunk: Buffer) => chunks.push(chunk))
  stream.end(framed(request))
  const status = await statusOf(stream)
  const bytes = Buffer.concat(chunks)
  return { status, response: bytes.length < 5 ? undefined : fromBinary(output, bytes.subarray(5)) }
}

/** Calls the host API. */
export const callApi = (
  session: ClientHttp2Session,
  name: string,
  request: object = {},
  headers: OutgoingHttpHeaders = {},
): Promise<Answer> => {
  const { input } = PluginAPI.methods.find((method) => method.name === name)!
  return sendApi(session, name, toBinary(input, create(input, request as never)), headers)
}
