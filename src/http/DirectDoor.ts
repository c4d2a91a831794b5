import type { IncomingMessage, ServerResponse } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { type Context, Effect, Exit, type Scope } from "effect"
import { HttpServerRequest } from "effect/http"
import { isHookError } from "../hooks/Forwarder.ts"
import { isTraced } from "../rpc/RpcTrace.ts"
import { exchangeOf, guard, isUpgraded } from "./ClientConnection.ts"
import { afterwards, type Direct, serveDirect } from "./DirectHttp.ts"
import type { Door } from "./NodeServer.ts"
import { hasBody } from "./PluginRequest.ts"
import {
  type Answer,
  answerAsked,
  answerRouted,
  type Asked,
  begin,
  finish,
  isOurs,
  type PluginDoor,
  route,
  type Route,
} from "./PluginDoor.ts"

/** What a request is answered with that takes an effect after all. */
interface Left {
  readonly asked: Asked
  readonly answer: Answer
}

/**
 * A door that answers requests for plugins before anybody else sees them: those for a plugin's own server without a fiber,
 * which would take as long as all that is done for them; whatever else there is, failures among it, as the routes do. Where
 * somebody listens to spans all are answered as the routes do, by Effect's server, which makes one for each.
 */
export const directDoor = Effect.fnUntraced(function* (door: PluginDoor): Effect.fn.Return<Door, never, Scope.Scope> {
  const context = yield* Effect.context<Scope.Scope>()
  const scope = yield* Effect.scope
  const left = new WeakMap<IncomingMessage, Left>()
  const handle = yield* NodeHttpServer.makeHandler(
    Effect.interruptible(
      Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
        const exchange = exchangeOf(request)
        const known = left.get(exchange.incoming)
        if (known !== undefined) return answerAsked(known.asked, known.answer)
        const asked = begin(door, exchange)
        asked.onEnd.push(guard(exchange))
        return answerRouted(asked)
      }),
    ),
    { scope },
  )
  const open = new Set<() => void>()
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const end of open) end()
    }),
  )
  const isObserved = isTraced(context)
  return (incoming, outgoing) => {
    if (!isOurs(door, incoming)) return false
    if (isObserved || isUpgraded(incoming)) {
      handle(incoming, outgoing)
    } else {
      const asked = begin(door, { incoming, outgoing: () => outgoing })
      asked.onEnd.push(guard(asked.exchange))
      pass(asked, outgoing, context, open, (answer) => {
        left.set(incoming, { asked, answer })
        handle(incoming, outgoing)
      })
    }
    return true
  }
})

/** Answers a request without a fiber, where that can be; `leave` takes those where it can't. */
const pass = (
  asked: Asked,
  outgoing: ServerResponse,
  context: Context.Context<never>,
  open: Set<() => void>,
  leave: (answer: Answer) => void,
): void => {
  const follow = (found: Route): void => {
    switch (found._tag) {
      case "Answer":
        return leave(found.answer)
      case "Direct":
        return direct(found.direct)
      case "Token": {
        const fiber = Effect.runForkWith(context)(asked.door.authenticate(found.token))
        fiber.addObserver((exit) => {
          if (Exit.isFailure(exit)) leave(Effect.failCause(exit.cause))
          else attempt(() => follow(found.route(exit.value)))
        })
      }
    }
  }
  const direct = (found: Direct): void => {
    let end = () => {}
    const over = () => {
      open.delete(stop)
      outgoing.off("close", gone)
    }
    /** The client has gone, or the host stops. */
    const gone = () => {
      over()
      end()
      finish(asked)
    }
    const stop = () => {
      gone()
      outgoing.destroy()
    }
    open.add(stop)
    outgoing.on("close", gone)
    end = serveDirect(found, context, (ended) => {
      over()
      // Effect's server ends a connection whose request has been answered too early to have come as a whole.
      const isEarly = hasBody(found.incoming) && !found.incoming.complete
      if (isEarly || isHookError(ended) || ended._tag !== "Sent") return leave(afterwards(found, ended))
      finish(asked)
    })
    if (outgoing.closed) gone()
  }
  const attempt = (run: () => void): void => {
    try {
      run()
    } catch (defect) {
      leave(Effect.die(defect))
    }
  }
  attempt(() => follow(route(asked)))
}
