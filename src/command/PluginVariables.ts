import { resolve } from "node:path"
import type { Variables } from "./HostEnvironment.ts"
import { OWN_PREFIX, PROTOCOL_VARIABLES, VARIABLES } from "./Variables.ts"

/** What a program needs to run at all and to treat text and time as its user does; nothing else is inherited. */
const INHERITED = ["PATH", "HOME", "LANG", "LC_*", "TZ", "TMPDIR"]

/** Without these Windows can't load its libraries, make sockets or find a temporary folder. */
const INHERITED_WINDOWS = ["SystemRoot", "SystemDrive", "TEMP", "TMP", "USERPROFILE", "PATHEXT", "COMSPEC"]

/**
 * What only the host itself may say. A host that is itself somebody's plugin has some of these in its environment; handed
 * down they would make a plugin answer to a host that isn't its own (go-plugin passes them on).
 */
const RESERVED: ReadonlySet<string> = new Set([...PROTOCOL_VARIABLES, VARIABLES.lifeline])

const matches = (patterns: ReadonlyArray<string>, name: string): boolean =>
  patterns.some((pattern) => (pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern))

/**
 * The environment of a plugin's process: of the host's variables those every program needs and those the operator
 * allows (`NAME` or `PREFIX_*`), then the operator's own values. The variables of the protocol and of the supervisor come
 * from those alone, and so do `reserved` ones, in upper case: those of the plugin's contract.
 */
export const pluginVariables = (
  host: Variables,
  platform: string,
  allowed: ReadonlyArray<string> = [],
  values: { readonly [name: string]: string } = {},
  reserved: ReadonlyArray<string> = [],
): { readonly [name: string]: string } => {
  const isReserved = (name: string) => RESERVED.has(name) || name.startsWith(OWN_PREFIX) || reserved.includes(name)
  const patterns = [...INHERITED, ...(platform === "win32" ? INHERITED_WINDOWS : []), ...allowed]
  // Windows knows its variables in any case.
  const name = (text: string) => (platform === "win32" ? text.toUpperCase() : text)
  const own = new Set(Object.keys(values).map(name))
  const inherited = Object.entries(host)
    .filter(([key]) => matches(patterns.map(name), name(key)) && !own.has(name(key)))
    // Relative to the host's working directory, which is not the plugin's.
    .map(([key, value]) => [key, name(key) === "TMPDIR" && value ? resolve(value) : value] as const)
  return Object.fromEntries(
    [...inherited, ...Object.entries(values)].filter(
      (entry): entry is [string, string] => entry[1] !== undefined && !isReserved(entry[0].toUpperCase()),
    ),
  )
}
