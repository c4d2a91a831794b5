import { Cause, type Duration, Effect, Fiber, Queue, type Scope, type Sink, Stream } from "effect"
import { GRPCStdio, StdioData_Channel } from "../generated/plugin/grpc_stdio_pb.js"
import type { GrpcClient } from "../grpc/GrpcClient.ts"
import { LineSplitter } from "../process/LineSplitter.ts"

/** Where a plugin's bytes go. */
export type ByteSink = Sink.Sink<unknown, Uint8Array, unknown, unknown>

/** Takes the chunks of one of a plugin's outputs, and waits where it has to; `end` waits until all is dealt with. */
export interface Consumer {
  readonly push: (chunk: Uint8Array) => Effect.Effect<void>
  readonly end: Effect.Effect<void>
}

/** Chunks that wait for a sink that is slower than its plugin; the plugin waits then too. A chunk is 1 KiB or less. */
const QUEUE_SIZE = 64

/**
 * Runs a sink over what is pushed. A sink that ends early or fails is no reason for the plugin to wait: what comes after
 * is dropped, and a failure is logged. Where the sink is slow, `push` waits (`suspend`), or the chunk is lost
 * (`dropping`).
 */
export const sinkConsumer = Effect.fnUntraced(function* (
  sink: ByteSink,
  what: string,
  strategy: "suspend" | "dropping" = "suspend",
): Effect.fn.Return<Consumer, never, Scope.Scope> {
  const queue = yield* Queue.make<Uint8Array, Cause.Done>({ capacity: QUEUE_SIZE, strategy })
  let lost = 0
  const running = yield* Stream.fromQueue(queue).pipe(
    Stream.run(sink),
    Effect.tapCause((cause) =>
      Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logWarning(`the sink for ${what} failed`, cause),
    ),
    Effect.ensuring(Queue.shutdown(queue)),
    Effect.exit,
    Effect.forkScoped,
  )
  return {
    push: Effect.fnUntraced(function* (chunk) {
      if ((yield* Queue.offer(queue, chunk)) || running.pollUnsafe() !== undefined) return
      lost++
    }),
    end: Effect.gen(function* () {
      yield* Queue.end(queue)
      yield* Fiber.await(running)
      if (lost > 0) yield* Effect.logWarning(`the sink for ${what} was too slow: ${lost} chunks are lost`)
    }),
  }
})

/** Hands on whole lines. */
export const lineConsumer = (onLine: (line: string) => Effect.Effect<void>): Consumer => {
  const lines: Array<string> = []
  const splitter = new LineSplitter((line) => lines.push(line))
  const handOn = Effect.suspend(() => Effect.forEach(lines.splice(0), onLine, { discard: true }))
  return {
    push: (chunk) => {
      splitter.push(chunk)
      return handOn
    },
    end: Effect.suspend(() => {
      splitter.flush()
      return handOn
    }),
  }
}

/** The most that is handed on at once: go-plugin sends 1 KiB, and what waits for a slow sink is counted in chunks. */
const MAX_CHUNK = 64 * 1024

const piecesOf = function* (data: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < data.length; start += MAX_CHUNK) yield data.subarray(start, start + MAX_CHUNK)
}

const each = (data: Uint8Array, { push }: Consumer) => Effect.forEach(piecesOf(data), push, { discard: true })

/**
 * Takes what a plugin writes to its stdout and stderr after the handshake (`GRPCStdio`), until the plugin ends. It must
 * run whether anybody wants it or not: a Go plugin blocks once 64 KiB are waiting. Every end of the stream is a normal
 * one: plugins need not have the service. What has come by then is dealt with, for at most `limit`.
 */
export const drain = (
  client: GrpcClient,
  consumers: { readonly stdout: Consumer; readonly stderr: Consumer },
  limit: Duration.Input,
): Effect.Effect<void> => {
  let hasWarned = false
  const warn = (channel: number) => {
    if (hasWarned) return Effect.void
    hasWarned = true
    return Effect.logWarning(`the plugin wrote to its output channel ${channel}, which this host does not know`)
  }
  return client.serverStream(GRPCStdio.method.streamStdio, {}).pipe(
    Stream.runForEach(({ channel, data }) => {
      if (channel === StdioData_Channel.STDOUT) return each(data, consumers.stdout)
      if (channel === StdioData_Channel.STDERR) return each(data, consumers.stderr)
      return warn(channel)
    }),
    Effect.ignore,
    Effect.ensuring(
      Effect.all([consumers.stdout.end, consumers.stderr.end], { concurrency: 2, discard: true }).pipe(
        Effect.timeoutOrElse({ duration: limit, orElse: () => Effect.void }),
      ),
    ),
  )
}
