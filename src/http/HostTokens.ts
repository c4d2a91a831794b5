import { createHash, timingSafeEqual } from "node:crypto"
import { unescape } from "../hooks/RequestTarget.ts"

/**
 * Whether a text is a token of the host's own, whoever's. It is asked of everything in a request that may be one, some
 * thousands of texts at worst, and by clients that want to guess: it should take no longer for a text that is nearly
 * right, and compare lengths before it computes anything.
 */
export type IsToken = (candidate: string) => boolean

/** The parameter in which Mattermost's clients may carry a token: no plugin's business, whatever its value. */
export const TOKEN_PARAMETER = "access_token"

/** Recognises one token in constant time, its length aside. */
export const isExactly = (token: string): IsToken => {
  const digest = (text: string) => createHash("sha256").update(text).digest()
  const expected = digest(token)
  return (candidate) => candidate.length === token.length && timingSafeEqual(digest(candidate), expected)
}

/**
 * Whether a value of a header, a cookie or a parameter has a token in it: as a whole, as a word of it (`Token x`,
 * `a="x", b`), behind a name (`token=x`), escaped as in a URL, or as the name or password of Basic credentials. The host
 * takes few of these, which is no reason for a plugin to see the others.
 */
export const carries = (value: string, isToken: IsToken): boolean => {
  if (hasToken(value, isToken)) return true
  if (/[%+]/.test(value) && hasToken(unescape(value), isToken)) return true
  const basic = /^\s*Basic\s+(?<credentials>\S+)/i.exec(value)?.groups?.["credentials"]
  if (basic === undefined) return false
  const credentials = Buffer.from(basic, "base64").toString("latin1")
  return isToken(credentials.replace(/:.*/s, "")) || isToken(credentials.replace(/^[^:]*:/, ""))
}

/** Whether a parameter of a query is not for plugins, by its name or its value. */
export const isTokenParameter = (name: string, value: string, isToken: IsToken): boolean =>
  unescape(name).trim().toLowerCase() === TOKEN_PARAMETER || carries(value, isToken) || carries(name, isToken)

/** Whether a text is a token, or a word of it is, or what is behind a word's name. */
const hasToken = (text: string, isToken: IsToken): boolean =>
  isToken(text.trim()) ||
  (/[\s,;"'=:]/.test(text) &&
    text.split(/[\s,;"']+/).some((word) => isToken(word) || isToken(word.replace(/^[^=:]*[=:]/, ""))))
