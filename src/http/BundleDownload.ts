import { lookup } from "node:dns"
import { BlockList, isIP, type LookupFunction } from "node:net"
import { Duration, Effect, Schema, Stream } from "effect"

/** A bundle can't be downloaded. */
export class DownloadError extends Schema.TaggedError<DownloadError>()("DownloadError", {
  /** Without what may hold a secret. */
  url: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `${this.url} can't be downloaded: ${this.reason}`
  }
}

/** Redirects that are followed: hosts of releases send on to their storage. */
const MAX_REDIRECTS = 5

/** How long a server may take to connect, to answer, and between two pieces of what it sends. */
const STALL_LIMIT = Duration.seconds(30)

const listOf = (ranges: ReadonlyArray<readonly [network: string, prefix: number]>): BlockList => {
  const list = new BlockList()
  for (const [network, prefix] of ranges) list.addSubnet(network, prefix, isIP(network) === 6 ? "ipv6" : "ipv4")
  return list
}

/** Where clouds tell their machines secrets, to whoever asks from there: link-local addresses, and the others that they use. */
const METADATA = listOf([
  ["169.254.0.0", 16],
  ["fe80::", 10],
  ["fd00:ec2::", 32],
  ["fd20:ce::", 32],
  ["100.100.100.200", 32],
  ["192.0.0.192", 32],
  ["168.63.129.16", 32],
  // The same through translators of IPv4 (NAT64, 6to4).
  ["64:ff9b::a9fe:0", 112],
  ["2002:a9fe::", 32],
])

const LOOPBACK = listOf([
  ["127.0.0.0", 8],
  ["0.0.0.0", 8],
  ["::", 127],
])

const isIn = (list: BlockList, address: string): boolean => list.check(address, isIP(address) === 6 ? "ipv6" : "ipv4")

const nameIn = (url: URL): string => url.hostname.replace(/^\[(.*)\]$/, "$1")

const isLoopback = (url: URL): boolean => {
  const name = nameIn(url)
  return /^(?:.+\.)?localhost\.?$/.test(name) || (isIP(name) !== 0 && isIn(LOOPBACK, name))
}

/** A URL as people may be shown it. */
const shown = (url: URL): string => `${url.origin}${url.pathname}`

/** Whom a download may connect to. */
interface Reach {
  /** Whether the operator has named this machine. */
  readonly isLocal: boolean
  readonly allowHttp: boolean
}

const NO_ADDRESS = "it leads to an address that the host does not download from"

const mayConnect = (address: string, { isLocal }: Reach): boolean =>
  !isIn(METADATA, address) && (isLocal || !isIn(LOOPBACK, address))

/** What is wrong with a URL, whatever its name leads to. */
const problemOf = (url: URL, reach: Reach): string | undefined => {
  if (url.protocol !== "https:" && !(url.protocol === "http:" && (reach.allowHttp || isLoopback(url)))) {
    return `only https is downloaded from, not ${url.protocol.slice(0, -1)}`
  }
  const name = nameIn(url)
  if (isIP(name) === 0 ? !reach.isLocal && isLoopback(url) : !mayConnect(name, reach)) return NO_ADDRESS
  return undefined
}

/** Finds a name's addresses, those that may be connected to: what is checked is what is used. */
const lookupWithin =
  (reach: Reach): LookupFunction =>
  (name, options, done) => {
    lookup(name, { ...options, all: true }, (error, found) => {
      if (error !== null) return done(error, [])
      const allowed = found.filter(({ address }) => mayConnect(address, reach))
      if (allowed.length === 0) return done(new Error(NO_ADDRESS), [])
      if (options.all === true) return done(null, allowed)
      return done(null, allowed[0]!.address, allowed[0]!.family)
    })
  }

/** Settings of downloads. */
export interface DownloadOptions {
  /** Whether http is downloaded from as well, where others can change what comes. Default: only from this machine. */
  readonly allowHttp?: boolean | undefined
}

/**
 * The bytes behind a URL, for as long as somebody reads them; how many, is for the reader to bound. Only https is downloaded
 * from, or http where the URL names this machine; where redirects lead is looked at in the same way. Addresses by which
 * clouds hand out secrets are never connected to, nor is this machine unless the first URL names it.
 */
export const download = (
  given: string,
  { allowHttp = false }: DownloadOptions = {},
): Stream.Stream<Uint8Array, DownloadError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const first = URL.parse(given)
      if (first === null) return yield* new DownloadError({ url: "what was given", reason: "it is no URL" })
      const reach: Reach = { isLocal: isLoopback(first), allowHttp }
      const agent = yield* agentWithin(reach)
      let url = first
      for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
        const refuse = (reason: string) => new DownloadError({ url: shown(url), reason })
        const problem = problemOf(url, reach)
        if (problem !== undefined) return yield* refuse(problem)
        const response = yield* Effect.tryPromise({
          try: (signal) =>
            agent.request({ origin: url.origin, path: url.pathname + url.search, method: "GET", signal }),
          catch: (error) => refuse(reasonOf(error)),
        })
        const { body, headers, statusCode } = response
        if (statusCode === 200) return Stream.fromAsyncIterable(body, (error) => refuse(reasonOf(error)))
        // Nobody reads it, and the agent's end ends its connection.
        body.on("error", () => {})
        const location = [headers["location"]].flat()[0]
        if (statusCode < 300 || statusCode > 399 || location === undefined) {
          return yield* refuse(`it is answered with status ${statusCode}`)
        }
        const next = URL.parse(location, url.href)
        if (next === null) return yield* refuse("it redirects to what is no URL")
        url = next
      }
      return yield* new DownloadError({ url: shown(url), reason: `there are more than ${MAX_REDIRECTS} redirects` })
    }),
  )

/** Connects only where it may. */
const agentWithin = (reach: Reach) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const { Agent } = await import("undici")
      const limit = Duration.toMillis(STALL_LIMIT)
      return new Agent({
        connect: { lookup: lookupWithin(reach), timeout: limit },
        headersTimeout: limit,
        bodyTimeout: limit,
      })
    }),
    (agent) => Effect.promise(() => agent.destroy().catch(() => {})),
  )

/** The innermost text: those around it only say that a request has failed. */
const reasonOf = (error: unknown): string => {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0])
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? reasonOf(error.cause) : error.message
}
