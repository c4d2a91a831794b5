import { Result } from "effect"

/**
 * What a request is for, read once: routing, stripping and filtering all go by this, so that none of them takes for
 * harmless what another acts upon.
 */
export interface RequestTarget {
  /** Whom the client means to ask, where its target names them (absolute form); it counts more than `Host`. */
  readonly authority: string | undefined
  /** As the client wrote it; begins with a slash, and every `%` begins an escape. */
  readonly path: string
  /** As the client wrote it, without its `?`; undefined where there is none. */
  readonly query: string | undefined
}

/** A target for a plugin. */
export interface PluginTarget extends RequestTarget {
  readonly id: string
  /** The path below `/plugins/{id}`, or wherever the plugins are; begins with a slash. */
  readonly below: string
}

/** `http://host/path`, which clients of a proxy write, and every server takes (RFC 9112 §3.2.2). */
const ABSOLUTE = /^https?:\/\/(?<authority>[^/?#]*)(?<rest>.*)$/is

/** A `%` that begins no escape. */
const BROKEN_ESCAPE = /%(?![0-9a-f]{2})/i

/** `.` and `..`, escaped or not. Clients resolve them before they ask. */
const DOT_SEGMENT = /\/(?:\.|%2e){1,2}(?:\/|$)/i

/** Where plugins are unless a server has them elsewhere (`PluginRoutesOptions.path`). */
export const PLUGINS_PATH = "/plugins"

/** What ids consist of in manifests. */
const ID = /^[a-zA-Z0-9\-_.]+$/

/**
 * Reads a target; fails with what is wrong with it. A path has to be in the form that clients send: complete escapes, no
 * `.` and `..`, no backslash (which browsers take for a slash), no fragment. What is in a query is for whoever reads it.
 */
export const parse = (target: string): Result.Result<RequestTarget, string> => {
  // Each that has to know asks anew, one behind the other.
  if (target !== latest?.target) latest = { target, parsed: read(target) }
  return latest.parsed
}

let latest: { readonly target: string; readonly parsed: Result.Result<RequestTarget, string> } | undefined

const read = (target: string): Result.Result<RequestTarget, string> => {
  const absolute = ABSOLUTE.exec(target)?.groups as { authority: string; rest: string } | undefined
  const [path, query] = splitOnce(absolute === undefined ? target : absolute.rest, "?")
  const authority = absolute?.authority
  if (authority !== undefined && (authority === "" || authority.includes("@"))) {
    return Result.fail("its target names no host, or a user as well")
  }
  if (target.includes("#")) return Result.fail("its target has a fragment")
  // `http://host` and `http://host?query` are for the root.
  const normal = path === "" && absolute !== undefined ? "/" : path
  if (!normal.startsWith("/")) return Result.fail("its target is no path")
  if (normal.includes("\\")) return Result.fail("its path has a backslash")
  if (BROKEN_ESCAPE.test(normal)) return Result.fail("its path has a % without two hexadecimal digits behind it")
  if (DOT_SEGMENT.test(normal)) return Result.fail("its path has a . or .. segment")
  return Result.succeed({ authority, path: normal, query })
}

/**
 * What a target is for, if it is for a plugin of those that are at `path`: `/plugins/{id}`, of which only the id may be
 * escaped, and nothing else.
 */
export const pluginTarget = (target: RequestTarget, path: string = PLUGINS_PATH): PluginTarget | undefined => {
  if (!target.path.startsWith(`${path}/`)) return undefined
  const rest = target.path.slice(path.length + 1)
  const end = rest.indexOf("/")
  const id = unescape(end === -1 ? rest : rest.slice(0, end))
  return ID.test(id) ? { ...target, id, below: end === -1 ? "/" : rest.slice(end) } : undefined
}

/**
 * Drops parameters from a query, whether `&` or `;` stands between them, and leaves the rest as it was written. Names and
 * values are handed over as they were written, too.
 */
export const withoutParameters = (
  query: string,
  isDropped: (name: string, value: string) => boolean,
): string | undefined => {
  const pieces = query.split(/(?=[&;])/)
  const kept = pieces.filter((piece) => {
    const [name, value = ""] = splitOnce(piece.replace(/^[&;]/, ""), "=")
    return !isDropped(name, value)
  })
  if (kept.length === 0) return undefined
  return kept[0] === pieces[0] ? kept.join("") : kept.join("").slice(1)
}

/** What escapes in a path or a query stand for, a character a byte; what is no escape stands for itself. */
export const unescape = (text: string): string =>
  /[+%]/.test(text)
    ? text
        .replaceAll("+", " ")
        .replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    : text

const splitOnce = (text: string, separator: string): readonly [string, string | undefined] => {
  const index = text.indexOf(separator)
  return index === -1 ? [text, undefined] : [text.slice(0, index), text.slice(index + separator.length)]
}
