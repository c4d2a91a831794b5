import { Cause, type Duration, Effect, Fiber, Queue, type Scope, type Sink, Stream } from "effect"
import { GRPCStdio, type StdioData, StdioData_Channel } from "../generated/plugin/grpc_stdio_pb.js"
import type { RpcClient } from "../rpc/RpcClient.ts"
import type { RpcError } from "../rpc/RpcError.ts"
import { ReadPace } from "../process/ReadPace.ts"
import type { LogSource } from "./PluginLog.ts"

/** Where a plugin's bytes go. */
export type ByteSink = Sink.Sink<unknown, Uint8Array, unknown, unknown>

/** Takes the chunks of one of a plugin's outputs, and waits where it has to; `end` waits until all is dealt with. */
export interface Consumer {
  readonly push: (chunk: Uint8Array) => Effect.Effect<void>
  readonly end: Effect.Effect<void>
}

/** Chunks that wait for a sink that is slower than its plugin: of 1 KiB or less from `GRPCStdio`, of 64 from a pipe. */
const QUEUE_SIZE = 64

type Chunks = Queue.Queue<Uint8Array, Cause.Done>

/**
 * Runs a sink over a queue of chunks. A sink that ends early or fails is no reason for the plugin to wait: what comes
 * after is dropped, and a failure is logged.
 */
const runSink = (queue: Chunks, sink: ByteSink, what: string) =>
  Stream.fromQueue(queue).pipe(
    Stream.run(sink),
    Effect.tapCause((cause) =>
      Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logWarning(`the sink for ${what} failed`, cause),
    ),
    Effect.ensuring(Queue.shutdown(queue)),
    Effect.exit,
    Effect.forkScoped,
  )

/** Hands chunks on to a sink. Where that is slow, `push` waits. */
export const sinkConsumer = Effect.fnUntraced(function* (
  sink: ByteSink,
  what: string,
): Effect.fn.Return<Consumer, never, Scope.Scope> {
  const queue: Chunks = yield* Queue.bounded<Uint8Array, Cause.Done>(QUEUE_SIZE)
  const running = yield* runSink(queue, sink, what)
  return {
    push: (chunk) => Queue.offer(queue, chunk),
    end: Effect.andThen(Queue.end(queue), Fiber.await(running)),
  }
})

/** Hands chunks on to a sink without ever waiting: where that is slow for long, they are lost, which is logged. */
export const lossySink = Effect.fnUntraced(function* (sink: ByteSink, what: string) {
  const queue: Chunks = yield* Queue.dropping<Uint8Array, Cause.Done>(QUEUE_SIZE)
  const running = yield* runSink(queue, sink, what)
  let lost = 0
  return {
    push: (chunk: Uint8Array): void => {
      if (!Queue.offerUnsafe(queue, chunk) && running.pollUnsafe() === undefined) lost++
    },
    end: Effect.gen(function* () {
      yield* Queue.end(queue)
      yield* Fiber.await(running)
      if (lost > 0) yield* Effect.logWarning(`the sink for ${what} was too slow: ${lost} chunks are lost`)
    }),
  }
})

/** Hands chunks on to the log, at their pace. */
export const logConsumer = (source: LogSource): Consumer => {
  const pace = new ReadPace()
  return {
    push: (chunk) =>
      Effect.suspend(() => {
        source.push(chunk)
        const rest = pace.take(chunk.length)
        return rest === 0 ? Effect.void : Effect.sleep(rest)
      }),
    end: Effect.sync(source.flush),
  }
}

/** The most that is handed on at once: go-plugin sends 1 KiB, and what waits for a slow sink is counted in chunks. */
const MAX_CHUNK = 64 * 1024

const piecesOf = function* (data: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < data.length; start += MAX_CHUNK) yield data.subarray(start, start + MAX_CHUNK)
}

const each = (data: Uint8Array, { push }: Consumer) => Effect.forEach(piecesOf(data), push, { discard: true })

/** Bytes of a plugin's output that wait for who takes them, where its stream can't: as many as our SDK keeps. */
const KEPT_LIMIT = 16 * 1024 * 1024

/** What a message takes beside its data, in bytes, however little that is. */
const BESIDE_DATA = 256

const sizeOf = ({ data }: StdioData): number => data.length + BESIDE_DATA

/** Reads a stream as it comes. What its reader is too slow for is kept up to {@link KEPT_LIMIT}; what is more is lost. */
const kept = (output: Stream.Stream<StdioData, RpcError>): Stream.Stream<StdioData> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const queue = yield* Queue.unbounded<StdioData, Cause.Done>()
      let size = 0
      let hasLost = false
      yield* output.pipe(
        Stream.runForEach((message) => {
          if (size + sizeOf(message) <= KEPT_LIMIT) {
            size += sizeOf(message)
            return Queue.offer(queue, message)
          }
          if (hasLost) return Effect.void
          hasLost = true
          return Effect.logWarning("the plugin prints more than is taken of it: some of its output is lost")
        }),
        Effect.ignore,
        Effect.ensuring(Queue.end(queue)),
        Effect.forkScoped,
      )
      return Stream.tap(Stream.fromQueue(queue), (message) => Effect.sync(() => (size -= sizeOf(message))))
    }),
  )

/**
 * Takes what a plugin writes to its stdout and stderr after the handshake (`GRPCStdio`), until the plugin ends. It must
 * run whether anybody wants it or not: a Go plugin blocks once 64 KiB are waiting. Every end of the stream is a normal
 * one: plugins need not have the service. What has come by then is dealt with, for at most `limit`. With `isKept` the
 * stream never waits for the consumers.
 */
export const drain = (
  client: RpcClient,
  consumers: { readonly stdout: Consumer; readonly stderr: Consumer },
  limit: Duration.Input,
  isKept: boolean,
): Effect.Effect<void> => {
  const output = client.serverStream(GRPCStdio.method.streamStdio, {})
  let hasWarned = false
  const warn = (channel: number) => {
    if (hasWarned) return Effect.void
    hasWarned = true
    return Effect.logWarning(`the plugin wrote to its output channel ${channel}, which this host does not know`)
  }
  return (isKept ? kept(output) : output).pipe(
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
