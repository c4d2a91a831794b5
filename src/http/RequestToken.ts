import type { IncomingMessage } from "node:http"
import { CSRF_COOKIE, rawValuesOf, SESSION_COOKIE } from "../hooks/HeaderRules.ts"
import { type PluginTarget, unescape } from "../hooks/RequestTarget.ts"
import { bearerToken } from "./BearerToken.ts"
import { isExactly, TOKEN_PARAMETER } from "./HostTokens.ts"

/** A token, and where a client has put it. */
export interface RequestToken {
  readonly token: string
  /** A browser sends a cookie by itself, whichever page has it make the request; the others take whoever knows the token. */
  readonly place: "header" | "cookie" | "query"
}

/** Methods that change nothing. */
const SAFE: ReadonlySet<string> = new Set(["GET", "HEAD"])

/**
 * The token by which a request is somebody's, by Mattermost's precedence: `Authorization: Bearer` or `token`, else the
 * cookie `MMAUTHTOKEN`, else the parameter `access_token`. Others that it has do not count, whether this one is valid or not.
 */
export const requestToken = (request: IncomingMessage, { query }: PluginTarget): RequestToken | undefined => {
  const header = bearerToken(request.headers.authorization)
  if (header !== undefined) return { token: header, place: "header" }
  const [cookie] = cookies(request, SESSION_COOKIE)
  if (cookie !== undefined) return cookie === "" ? undefined : { token: cookie, place: "cookie" }
  const parameter = query
    ?.split(/[&;]/)
    .map((piece) => /^(?<name>[^=]*)=(?<value>.+)$/s.exec(piece))
    .find((found) => found !== null && unescape(found[1]!) === TOKEN_PARAMETER)
  return parameter == null ? undefined : { token: unescape(parameter[2]!), place: "query" }
}

/**
 * Whether a request may be its token's user's. One whose token is a cookie may be the doing of another site's page, which
 * never counts: neither what browsers say comes from elsewhere, links that a user follows aside, nor a change that no page of
 * this origin vouches for (Mattermost's rule for CSRF). `isStrict` asks for the token in `X-CSRF-Token` there; without it
 * `X-Requested-With: XMLHttpRequest` is good enough, since no page can send either to another origin unless that allows it.
 */
export const isOwnRequest = (
  request: IncomingMessage,
  target: PluginTarget,
  { place }: RequestToken,
  isStrict: boolean,
): boolean =>
  place !== "cookie" || (!isFromElsewhere(request, target) && (isSafe(request) || isProven(request, isStrict)))

const isSafe = ({ method }: IncomingMessage): boolean => SAFE.has(method ?? "")

/** Whether a page of this origin has made it: only such a page can read its cookies. */
const isProven = (request: IncomingMessage, isStrict: boolean): boolean => {
  const shown = request.headers["x-csrf-token"]
  // Several that differ: some other host of the domain has set one of them.
  const expected = new Set(cookies(request, CSRF_COOKIE))
  const [csrf = ""] = expected
  if (expected.size === 1 && csrf !== "" && isExactly(csrf)(String(shown ?? ""))) return true
  return !isStrict && request.headers["x-requested-with"] === "XMLHttpRequest"
}

/**
 * Whether a browser says that a page of another origin has made it. One that tells no `Sec-Fetch-Site`, because it is old or the
 * host is reached without TLS, may still tell the page's `Origin`.
 */
const isFromElsewhere = (request: IncomingMessage, { authority }: PluginTarget): boolean => {
  const { host, origin } = request.headers
  const { "sec-fetch-dest": destination, "sec-fetch-mode": mode, "sec-fetch-site": site } = request.headers
  if (site === "same-origin" || site === "none") return false
  // That a user follows a link, or comes back from a page of consent (OAuth), shows its origin nothing of the answer.
  if (site !== undefined) return !(isSafe(request) && mode === "navigate" && destination === "document")
  return origin !== undefined && !isOrigin(origin, authority ?? host ?? "")
}

/** Whether a page's origin is the host that was asked. The scheme is not compared: a proxy may have taken TLS off. */
const isOrigin = (origin: string, asked: string): boolean => {
  const page = URL.parse(origin)
  // With the page's scheme, so that its port may be left out on either side.
  return page !== null && page.host !== "" && URL.parse(`${page.protocol}//${asked}`)?.host === page.host
}

/** All values of a cookie, in a browser's order: the most particular path first. */
const cookies = (request: IncomingMessage, name: string): ReadonlyArray<string> =>
  rawValuesOf(request.rawHeaders, "cookie")
    .flatMap((value) => value.split(";"))
    .map((cookie) => /^\s*(?<name>[^=]*?)\s*=\s*"?(?<value>[^"]*?)"?\s*$/s.exec(cookie))
    .flatMap((found) => (found?.[1] === name ? [found[2]!] : []))
