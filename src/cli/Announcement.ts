import { Console, Effect, Redacted } from "effect"
import { VARIABLES } from "../command/Variables.ts"
import type { AnyHost } from "../environment/PluginHost.ts"
import { AccessToken } from "../http/AccessToken.ts"
import { CHANNEL_NAME, TEAM_NAME, Workspace } from "../workspace/Workspace.ts"
import { baseUrl } from "./BaseUrl.ts"

/** The words for a file in a shell. */
const quoted = (text: string): string =>
  /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`

/** How a shell gets at the token, and where people find it. */
const tokenTold = ({ source, value }: AccessToken["Service"]): { readonly shown: string; readonly where: string } => {
  switch (source._tag) {
    case "File":
      return { shown: `$(cat ${quoted(source.file)})`, where: `is in the file ${source.file}` }
    case "Variable":
      return { shown: `$${VARIABLES.accessToken}`, where: `is the one in ${VARIABLES.accessToken}` }
    case "Generated":
      return { shown: Redacted.value(value), where: `made for this run, is ${Redacted.value(value)}` }
  }
}

/** Tells where the supervisor listens and where its token is. Answers how a shell shows the token. */
const announceToken = Effect.fnUntraced(function* (base: string) {
  const token = yield* AccessToken
  const { shown, where } = tokenTold(token)
  yield* Console.log(`The plugin supervisor listens on ${base}`)
  yield* Console.log(`Its token${token.source._tag === "Generated" ? "," : ""} ${where}`)
  if (token.source._tag === "Variable" && process.platform === "linux") {
    yield* Effect.logWarning(
      `programs of the same user, plugins among them, can read the token in the host's environment (/proc); keep it in a file with --token-file, and out of ${VARIABLES.accessToken}`,
    )
  }
  return `-H "Authorization: Bearer ${shown}"`
})

/**
 * Tells how to reach the supervisor; when the plugins have started, with lines to try that work as they are printed.
 * `more` are lines of the backend's own, behind the first.
 */
export const announce = Effect.fnUntraced(function* <Self, R>(
  host: AnyHost<Self>,
  address: string,
  more: (authorization: string, base: string) => Effect.Effect<ReadonlyArray<string>, never, R>,
) {
  const { settled } = yield* host.Environment
  const { active } = yield* host
  const base = yield* baseUrl(address)
  const authorization = yield* announceToken(base)
  yield* settled
  const serving =
    active.all().find(({ hooks }) => hooks.http !== undefined) ??
    active.all().find(({ hooks }) => hooks.implemented.has("serveHTTP"))
  const lines = [`curl ${authorization} ${base}/api/v4/plugins/statuses`, ...(yield* more(authorization, base))]
  if (serving !== undefined) lines.push(`curl ${base}/plugins/${serving.pluginId}/`)
  yield* Console.log(["Try:", ...lines.map((line) => `  ${line}`)].join("\n"))
})

/** A line that makes a post in the workspace; it is only there to be tried: a workspace without the channel is served all the same. */
export const postLine = (authorization: string, base: string): Effect.Effect<ReadonlyArray<string>, never, Workspace> =>
  Effect.gen(function* () {
    const workspace = yield* Workspace
    const team = yield* workspace.teams.getByName(TEAM_NAME)
    const channel = yield* workspace.channels.getByName(team.id, CHANNEL_NAME)
    const post = `{"channel_id":"${channel.id}","message":"hello python"}`
    return [`curl ${authorization} -d '${post}' ${base}/api/v4/posts`]
  }).pipe(Effect.orElseSucceed(() => []))
