/** What a raw peer of ttrpc writes and reads. */
import type { Socket } from "node:net"
import { create, toBinary } from "@bufbuild/protobuf"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { CancelRequestSchema } from "../../src/generated/plugin_supervisor/v1/calls_pb.js"
import { RequestSchema } from "../../src/generated/ttrpc/ttrpc_pb.js"
import { decodeResponse } from "../../src/ttrpc/Envelope.ts"
import { frameReader, frameType } from "../../src/ttrpc/Frame.ts"
import { DoubleRequestSchema } from "../fixtures/goplugin/generated/grpctest/grpctest_pb.js"

const { REQUEST, RESPONSE } = frameType

export const frame = (
  id: number,
  type: number,
  flags: number,
  data: Uint8Array = new Uint8Array(),
  length = data.length,
) => {
  const header = Buffer.alloc(10)
  header.writeUInt32BE(length)
  header.writeUInt32BE(id, 4)
  header[8] = type
  header[9] = flags
  return Buffer.concat([header, data])
}

export const number = (number: number) => toBinary(DoubleRequestSchema, create(DoubleRequestSchema, { number }))

export interface Asked {
  readonly service?: string
  readonly payload?: Uint8Array
  readonly timeoutNano?: bigint
  readonly metadata?: ReadonlyArray<{ readonly key: string; readonly value: string }>
}

export const request = (id: number, method: string, { metadata = [], ...asked }: Asked = {}, flags = 0) =>
  frame(
    id,
    REQUEST,
    flags,
    toBinary(
      RequestSchema,
      create(RequestSchema, { service: "grpctest.Test", method, metadata: [...metadata], ...asked }),
    ),
  )

export const cancel = (id: number, streamId: number) =>
  request(id, "Cancel", {
    service: "plugin_supervisor.v1.Calls",
    payload: toBinary(CancelRequestSchema, create(CancelRequestSchema, { streamId })),
  })

/** A frame that a raw peer has received. */
export interface Received {
  readonly id: number
  readonly type: number
  readonly flags: number
  readonly data: Buffer
}

/** Reads a raw peer's frames, one after the other. */
export const reading = (socket: Socket) => {
  const frames: Array<Received> = []
  let reader: ((frame: Received) => void) | undefined
  const read = frameReader(2 ** 31, {
    frame: (id, type, flags, data) => {
      const received = { id, type, flags, data: Buffer.from(data) }
      if (reader === undefined) frames.push(received)
      else reader(received)
    },
    isOpen: () => true,
    oversized: () => assert.fail("too large"),
    garbled: (reason) => assert.fail(reason),
  })
  socket.on("data", read)
  socket.on("error", () => {})
  const next = Effect.callback<Received>((resume) => {
    const first = frames.shift()
    if (first !== undefined) return resume(Effect.succeed(first))
    reader = (frame) => {
      reader = undefined
      resume(Effect.succeed(frame))
    }
  })
  return {
    next,
    /** The stream and the code of the next frame, which is a response. */
    answer: Effect.map(next, ({ data, id, type }) => {
      assert.strictEqual(type, RESPONSE)
      return [id, decodeResponse(data).code] as const
    }),
    closed: Effect.callback<void>((resume) => {
      if (socket.closed) resume(Effect.void)
      else socket.once("close", () => resume(Effect.void))
    }),
  }
}
