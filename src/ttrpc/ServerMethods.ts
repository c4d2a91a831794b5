import type { DescMethod } from "@bufbuild/protobuf"
import { handled, overCall, type Run, type UnaryHandler } from "../rpc/HandlerRun.ts"
import { RpcStatus, statusCode } from "../rpc/RpcError.ts"
import type { ServiceImplementation } from "../rpc/RpcHandler.ts"
import type { Accept } from "./ServerCalls.ts"
import { acceptingStream } from "./ServerStream.ts"
import { acceptingUnary } from "./ServerUnary.ts"

const unimplemented = (details: string) => new RpcStatus({ code: statusCode.UNIMPLEMENTED, details })

/** Begins calls of the services. */
export const accepting = <R>(services: ReadonlyArray<ServiceImplementation<R>>, run: Run<R>): Accept => {
  const known = new Map<string, Map<string, Accept>>()
  for (const { handlers, service } of services) {
    const methods = new Map<string, Accept>()
    for (const method of handled(service.methods, handlers)) {
      methods.set(method.name, acceptingMethod(method, handlers[method.localName], run))
    }
    known.set(service.typeName, methods)
  }
  return (calls, opening) => {
    const methods = known.get(opening.service)
    if (methods === undefined) return unimplemented(`there is no service ${opening.service}`)
    const accept = methods.get(opening.method)
    if (accept === undefined) return unimplemented(`${opening.service} has no method ${opening.method}`)
    return accept(calls, opening)
  }
}

const acceptingMethod = <R>(method: DescMethod, handler: unknown, run: Run<R>): Accept =>
  method.methodKind === "unary"
    ? acceptingUnary(method, handler as UnaryHandler<R>, run)
    : acceptingStream(method, overCall<R>(method.methodKind, handler), run)
