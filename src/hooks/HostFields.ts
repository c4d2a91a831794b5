import { type Field, keyOf } from "./HeaderRules.ts"

/** What the host tells a plugin's own HTTP server of a request. */
export interface HostFacts {
  readonly requestId: string
  /** The target with `/plugins/{id}` before it. */
  readonly requestUri: string
  /** The address and port of whoever has connected; IPv6 in brackets. */
  readonly peer: string
  /** `HTTP/1.1`: the client's. */
  readonly protocol: string
}

/**
 * The last fields of a request's head to a plugin's own HTTP server. Names that begin with `Plugin-Supervisor-` are the
 * host's alone, so that none of the others has one; our SDK reads them.
 */
const hostFields = ({ peer, protocol, requestId, requestUri }: HostFacts): ReadonlyArray<Field> => [
  ["Plugin-Supervisor-Request-Id", requestId],
  ["Plugin-Supervisor-Target", requestUri],
  ["Plugin-Supervisor-Client", peer],
  ["Plugin-Supervisor-Protocol", protocol],
]

/** A head as Node's flat list. A client's `traceparent` goes on, unless the host has one: where somebody listens to spans. */
export const directHead = (
  authority: string,
  fields: ReadonlyArray<Field>,
  facts: HostFacts,
  traceparent: string | undefined,
): Array<string> => {
  const head = ["Host", authority]
  for (const [name, value] of fields) {
    const key = keyOf(name)
    if (key !== "host" && (key !== TRACEPARENT || traceparent === undefined)) head.push(name, value)
  }
  for (const [name, value] of hostFields(facts)) head.push(name, value)
  if (traceparent !== undefined) head.push(TRACEPARENT, traceparent)
  return head
}

const TRACEPARENT = "traceparent"
