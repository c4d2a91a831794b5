import { Result } from "effect"

/** One line of a head. */
export type Field = readonly [name: string, value: string]

/** Fields of one connection (RFC 9110 §7.6.1, and what was before it): they don't concern who is behind it. */
const HOP_BY_HOP = new Set([
  "connection",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
])

/**
 * Fields that only the host may set, one that would tell the plugin of pages elsewhere (Mattermost's rule), and one that
 * the host's own server answers.
 */
const NOT_FORWARDED = new Set([
  "expect",
  "forwarded",
  "mattermost-plugin-id",
  "mattermost-user-id",
  "referer",
  "x-real-ip",
])

/** How fields begin that only the host may set: who asks, and by which way (`ClientOrigin`); what it tells our SDK. */
const HOST_PREFIXES = ["plugin-supervisor-", "x-forwarded-"]

/**
 * Whether a field of a client's is not for plugins. Where headers become variables (CGI, WSGI), an underscore is as good
 * as a dash: what is another's name then is dropped, as are the connection's fields and the body's in such a spelling.
 */
const isHosts = (name: string): boolean => {
  const key = name.toLowerCase().replaceAll("_", "-")
  return (
    NOT_FORWARDED.has(key) ||
    HOST_PREFIXES.some((prefix) => key.startsWith(prefix)) ||
    (name.includes("_") && (HOP_BY_HOP.has(key) || key.startsWith("content-")))
  )
}

/**
 * Fields by which one page speaks for a whole origin, or longer than it is there: what is stored in it, which scripts
 * stand before it, how and where it is reached, who is told of its errors, what clients tell it. A plugin is one path of
 * many.
 */
const ORIGIN_WIDE = new Set([
  "accept-ch",
  "alt-svc",
  "clear-site-data",
  "expect-ct",
  "nel",
  "public-key-pins",
  "public-key-pins-report-only",
  "report-to",
  "service-worker-allowed",
  "set-login",
  "strict-transport-security",
])

/** Mattermost's session cookie: where the host finds a token, so that no plugin may set or see it. */
export const SESSION_COOKIE = "MMAUTHTOKEN"

/** The cookie that pages of the host's prove themselves by. Plugins' pages are some, but none says what it is. */
export const CSRF_COOKIE = "MMCSRF"

const HOST_COOKIES: ReadonlySet<string> = new Set([SESSION_COOKIE, CSRF_COOKIE])

/**
 * The size of a response's head, in bytes: names, values, and 32 for each field, as HTTP/2 counts (RFC 9113 §6.5.2).
 * That is more than many clients take (Node's 16 KiB), so nobody misses what is beyond it.
 */
export const MAX_RESPONSE_HEAD = 64 * 1024
const FIELD_OVERHEAD = 32

/** What names of fields consist of, and methods (a token of RFC 9110 §5.6.2). */
export const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/** What a field's name says of it. */
interface Kind {
  /** The name in lower case. */
  readonly key: string
  readonly isName: boolean
  readonly isHopByHop: boolean
  readonly isHosts: boolean
  readonly isOriginWide: boolean
}

/** Names are few, and come again with every request. */
const kinds = new Map<string, Kind>()

/** How many kinds are kept, and of names of which length: clients and plugins may make names up. */
const MAX_KINDS = 1000
const MAX_KNOWN_NAME = 64

const kindOf = (name: string): Kind => {
  const known = kinds.get(name)
  if (known !== undefined) return known
  const key = name.toLowerCase()
  const kind = {
    key,
    isName: TOKEN.test(name),
    isHopByHop: HOP_BY_HOP.has(key),
    isHosts: isHosts(name),
    isOriginWide: ORIGIN_WIDE.has(key),
  }
  if (name.length > MAX_KNOWN_NAME) return kind
  if (kinds.size >= MAX_KINDS) kinds.clear()
  kinds.set(name, kind)
  return kind
}

/** A field's name in lower case. */
export const keyOf = (name: string): string => kindOf(name).key
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
const LENGTH = /^\d{1,15}$/

/** Whether HTTP allows a field's name and value. */
export const isField = ([name, value]: Field): boolean => kindOf(name).isName && VALUE.test(value)

/** The fields of Node's `rawHeaders`. */
export const fieldsOf = (rawHeaders: ReadonlyArray<string>): ReadonlyArray<Field> => {
  const fields: Array<Field> = []
  for (let index = 0; index < rawHeaders.length; index += 2) fields.push([rawHeaders[index]!, rawHeaders[index + 1]!])
  return fields
}

/** Node's flat list of a head. */
export const flatOf = (fields: ReadonlyArray<Field>): Array<string> => {
  const flat: Array<string> = []
  for (const field of fields) flat.push(field[0], field[1])
  return flat
}

/** All values of a field, of Node's `rawHeaders`: of few fields, and in less time than it takes to pair them all. */
export const rawValuesOf = (rawHeaders: ReadonlyArray<string>, name: string): ReadonlyArray<string> => {
  const values: Array<string> = []
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const key = rawHeaders[index]!
    if (key.length === name.length && key.toLowerCase() === name) values.push(rawHeaders[index + 1]!)
  }
  return values
}

/** All values of a field. */
export const valuesOf = (fields: ReadonlyArray<Field>, name: string): ReadonlyArray<string> =>
  fields.filter(([key]) => keyOf(key) === name).map(([, value]) => value)

/** Tells which fields of a head concern its connection only, those that it names in `Connection` among them. */
const connectionFields = (fields: ReadonlyArray<Field>): ((kind: Kind) => boolean) => {
  const named = new Set<string>()
  for (const [name, value] of fields) {
    const { key } = kindOf(name)
    if (key !== "connection" && key !== "proxy-connection") continue
    for (const listed of value.split(",")) named.add(listed.trim().toLowerCase())
  }
  return ({ isHopByHop, key }) => isHopByHop || (named.size > 0 && named.has(key))
}

/**
 * What of a request's head goes on to a plugin. `isSecret` tells of values that the host keeps to itself, of fields and
 * of single cookies.
 */
export const requestFields = (
  fields: ReadonlyArray<Field>,
  isSecret: (value: string) => boolean,
): ReadonlyArray<Field> => {
  const isOfConnection = connectionFields(fields)
  const kept: Array<Field> = []
  const cookies: Array<string> = []
  for (const field of fields) {
    const [name, value] = field
    const kind = kindOf(name)
    if (kind.key === "cookie") {
      for (const piece of value.split(";")) {
        const cookie = piece.trim()
        if (cookie !== "" && nameOf(cookie) !== SESSION_COOKIE && !isSecret(cookie)) cookies.push(cookie)
      }
    } else if (!kind.isHosts && !isOfConnection(kind) && !isSecret(value)) {
      kept.push(field)
    }
  }
  if (cookies.length > 0) kept.push(["Cookie", cookies.join("; ")])
  return kept
}

/** Whether a response has no body, whatever its handler writes. */
export const hasNoBody = (method: string, status: number): boolean =>
  method === "HEAD" || status === 204 || status === 205 || status === 304

/**
 * What of a response's head goes on to a client; fails with what HTTP does not allow in it. It has one valid length or
 * none. Fields that speak for the whole origin are dropped, unless `allowed` names them (in lower case), and cookies keep
 * to the host that sets them. A client is not to guess what a body is, unless the plugin says something about that.
 */
export const responseFields = (
  fields: ReadonlyArray<Field>,
  { allowed, status }: { readonly allowed: ReadonlySet<string>; readonly status: number },
): Result.Result<ReadonlyArray<Field>, string> => {
  let size = 0
  let lengths = 0
  for (const field of fields) {
    const [name, value] = field
    if (!isField(field)) return Result.fail(`the header ${quoted(name)}, which HTTP does not allow`)
    size += name.length + value.length + FIELD_OVERHEAD
    if (keyOf(name) !== "content-length") continue
    if (++lengths > 1) return Result.fail("several times Content-Length")
    if (!LENGTH.test(value)) return Result.fail(`the Content-Length ${quoted(value)}, which is none`)
  }
  if (size > MAX_RESPONSE_HEAD) return Result.fail(`a head of more than ${MAX_RESPONSE_HEAD} bytes`)
  const isOfConnection = connectionFields(fields)
  const isBodiless = hasNoBody("", status)
  const kept: Array<Field> = []
  let isTyped = false
  for (const field of fields) {
    const kind = kindOf(field[0])
    const { isOriginWide, key } = kind
    if (isOfConnection(kind) || (isOriginWide && !allowed.has(key)) || (key === "content-length" && isBodiless))
      continue
    if (key === "set-cookie") {
      if (!HOST_COOKIES.has(nameOf(field[1]))) kept.push([field[0], withoutDomain(field[1])])
      continue
    }
    if (key === "x-content-type-options") isTyped = true
    kept.push(field)
  }
  if (!isTyped) kept.push(["X-Content-Type-Options", "nosniff"])
  return Result.succeed(kept)
}

/** What browsers, and servers, may take for a cookie's name: one that is empty makes it what is behind the `=`. */
const nameOf = (cookie: string): string => /^[\s=]*(?<name>[^=;]*)/.exec(cookie)![1]!.trim()

/** A cookie for the host alone that sets it, not for others of its domain. */
const withoutDomain = (cookie: string): string => cookie.replace(/;\s*domain\s*(?:=[^;]*)?(?=;|$)/gi, "")

const quoted = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
