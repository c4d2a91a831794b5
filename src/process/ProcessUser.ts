import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { Effect, Schema } from "effect"

/** A user that processes run as, by numbers; see `findUser`. */
export interface ProcessUser {
  /** As it was asked for. */
  readonly name: string
  readonly uid: number
  /** The only group. */
  readonly gid: number
  /** Where it is at home; absent for one that the machine does not know. */
  readonly home?: string | undefined
}

/** A plugin can't run as the user that it is to run as. */
export class PluginUserError extends Schema.TaggedError<PluginUserError>()("PluginUserError", {
  pluginId: Schema.String,
  user: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `plugin ${this.pluginId} can't run as user ${this.user}: ${this.reason}`
  }
}

/** How long it may take to ask for a user, who may be known by a server elsewhere, in milliseconds. */
const ASK_LIMIT = 10_000

/** What a program answers; undefined if it fails, or is not there. */
const ask = (program: string, ...args: ReadonlyArray<string>): Effect.Effect<string | undefined> =>
  Effect.promise(() =>
    promisify(execFile)(program, args, { timeout: ASK_LIMIT, encoding: "utf8" }).then(
      ({ stdout }) => stdout,
      () => undefined,
    ),
  )

const isNumber = (name: string): boolean => /^\d+$/.test(name)

/**
 * Looks a user up, and a group if it is not to be the user's own. Either by name or number; a number needs not be known to the
 * machine if both are given.
 */
export const findUser = Effect.fnUntraced(function* (
  pluginId: string,
  user: string | number,
  group?: string | number,
): Effect.fn.Return<ProcessUser, PluginUserError> {
  const name = String(user)
  const refuse = (reason: string) => new PluginUserError({ pluginId, user: name, reason })
  if (process.platform !== "linux") return yield* refuse("this works on Linux only")
  // Fields: passwd(5) and group(5).
  const [, , uid, ownGid, , home] = (yield* ask("getent", "passwd", name))?.trim().split(":") ?? []
  if (uid === undefined && !isNumber(name)) return yield* refuse("the machine knows no such user")
  const groupName = group === undefined ? ownGid : String(group)
  if (groupName === undefined) return yield* refuse("the machine does not know its group; give a group as well")
  const gid = isNumber(groupName) ? groupName : (yield* ask("getent", "group", groupName))?.split(":")[2]
  if (gid === undefined) return yield* refuse(`the machine knows no group ${groupName}`)
  return { name, uid: Number(uid ?? name), gid: Number(gid), ...(home === undefined ? {} : { home }) }
})

/** The arguments of util-linux' `setpriv` that make a process somebody else's for good. */
export const setprivAs = ({ gid, uid }: ProcessUser): ReadonlyArray<string> => [
  `--reuid=${uid}`,
  `--regid=${gid}`,
  "--clear-groups",
  "--inh-caps=-all",
  "--no-new-privs",
]

/** What a user has to reach: `r` read, `w` write, `x` execute or, of a folder, enter. */
export interface Reach {
  readonly path: string
  readonly access: string
}

/** Asks as the user itself: by access lists, mounts and modules of the kernel it may be otherwise than by the modes. */
const CHECK = `
while [ $# -gt 0 ]; do
  for access in $2; do [ "-$access" "$1" ] || { echo "$access $1"; exit 0; }; done
  shift 2
done
echo ok
`

const VERBS: { readonly [access: string]: string } = { r: "read", w: "write to", x: "execute or enter" }

/** Checks that a plugin of another user gets at its files: what it says of that itself may be anything. */
export const checkReach = Effect.fnUntraced(function* (
  pluginId: string,
  user: ProcessUser,
  paths: ReadonlyArray<Reach>,
): Effect.fn.Return<void, PluginUserError> {
  const refuse = (reason: string) => new PluginUserError({ pluginId, user: user.name, reason })
  const args = paths.flatMap(({ access, path }) => [path, access.split("").join(" ")])
  const answer = yield* ask("setpriv", ...setprivAs(user), "--", "/bin/sh", "-c", CHECK, "sh", ...args)
  if (answer === undefined) {
    return yield* refuse(
      "the host may not change users, or has no setpriv of util-linux: run the host as root, or leave the user as it is",
    )
  }
  const denied = /^(?<access>[rwx]) (?<path>.*)$/s.exec(answer.trimEnd())?.groups
  if (denied === undefined) return
  const { access = "", path = "" } = denied
  return yield* refuse(
    `it may not ${VERBS[access]} ${path}; \`namei -l ${path}\` shows which folder is closed to it: open that, or move the plugin (--plugins, --data, --runtime-directory) or its interpreter to where it may go`,
  )
})
