/** Two ends of a connection, as two processes of a machine have them. */
import { createServer, connect, type Socket } from "node:net"
import { join } from "node:path"
import { Effect } from "effect"
import { temporaryFolder } from "./folder.ts"

/** A connected pair of sockets, which are destroyed with the Scope. */
export const socketPair = Effect.gen(function* () {
  const path = join(yield* temporaryFolder, "socket")
  return yield* Effect.acquireRelease(
    Effect.callback<readonly [Socket, Socket]>((resume) => {
      const server = createServer((one) => {
        server.close()
        resume(Effect.succeed([other, one] as const))
      })
      let other: Socket
      server.listen(path, () => (other = connect(path)))
    }),
    (sockets) =>
      Effect.sync(() => {
        for (const socket of sockets) socket.destroy()
      }),
  )
})
