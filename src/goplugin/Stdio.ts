import { Effect, Stream } from "effect"
import { GRPCStdio, StdioData_Channel } from "../generated/plugin/grpc_stdio_pb.js"
import type { GrpcClient } from "../grpc/GrpcClient.ts"
import { LineSplitter } from "../process/LineSplitter.ts"

/** Which of the plugin's own streams a line was written to. */
export type StdioChannel = "stdout" | "stderr"

/**
 * Takes what a plugin writes to its stdout and stderr after the handshake (`GRPCStdio`), line by line, until the plugin
 * ends. It must run whether anybody wants the lines or not: a Go plugin blocks once 64 KiB are waiting. Every end of the
 * stream is a normal one: plugins need not have the service.
 */
export const drain = (
  client: GrpcClient,
  onLine: (channel: StdioChannel, line: string) => Effect.Effect<void>,
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const lines: Array<readonly [StdioChannel, string]> = []
    const splitters = {
      [StdioData_Channel.STDOUT]: new LineSplitter((line) => lines.push(["stdout", line])),
      [StdioData_Channel.STDERR]: new LineSplitter((line) => lines.push(["stderr", line])),
    }
    const handOn = Effect.suspend(() =>
      Effect.forEach(lines.splice(0), ([channel, line]) => onLine(channel, line), { discard: true }),
    )
    return client.serverStream(GRPCStdio.method.streamStdio, {}).pipe(
      Stream.runForEach(({ channel, data }) => {
        if (channel === StdioData_Channel.INVALID) return Effect.void
        splitters[channel]?.push(data)
        return handOn
      }),
      Effect.ignore,
      Effect.ensuring(
        Effect.suspend(() => {
          for (const splitter of Object.values(splitters)) splitter.flush()
          return handOn
        }),
      ),
    )
  })
