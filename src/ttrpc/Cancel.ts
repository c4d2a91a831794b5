import { Calls, CancelRequestSchema } from "../generated/plugin_supervisor/v1/calls_pb.js"
import { decodeMessage, encodeMessage } from "../rpc/WireCheck.ts"
import { encodeMethod, type Envelope, payloadField, type RequestEnvelope } from "./Envelope.ts"

const { cancel } = Calls.method
const METHOD = encodeMethod(Calls.typeName, cancel.name)

/** What a caller sends that gives up the call of a stream. */
export const cancelRequest = (streamId: number): Envelope => ({
  fields: METHOD,
  timeoutNano: 0,
  field: payloadField.request,
  payload: encodeMessage(CancelRequestSchema, { streamId }),
})

/** Whether a request gives up another one. */
export const isCancel = ({ method, service }: RequestEnvelope): boolean =>
  service === Calls.typeName && method === cancel.name

/** The stream whose call is given up; throws where the message is none. */
export const cancelledStream = ({ payload }: RequestEnvelope): number =>
  decodeMessage(CancelRequestSchema, payload).streamId
