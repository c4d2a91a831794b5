import { Console, Effect, Option, Redacted } from "effect"
import { VARIABLES } from "../command/Variables.ts"
import { AccessToken } from "../http/AccessToken.ts"
import { MattermostPlugins } from "../mattermost/MattermostPlugins.ts"
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

/**
 * Tells how to reach the supervisor; when the plugins have started, with lines to try that work as they are printed.
 */
export const announce = Effect.fnUntraced(function* (host: string) {
  const token = yield* AccessToken
  const workspace = yield* Workspace
  const { settled } = yield* MattermostPlugins.Environment
  const { active } = yield* MattermostPlugins
  const base = yield* baseUrl(host)
  const { shown, where } = tokenTold(token)
  yield* Console.log(`The plugin supervisor listens on ${base}`)
  yield* Console.log(`Its token${token.source._tag === "Generated" ? "," : ""} ${where}`)
  if (token.source._tag === "Variable" && process.platform === "linux") {
    yield* Effect.logWarning(
      `programs of the same user, plugins among them, can read the token in the host's environment (/proc); keep it in a file with --token-file, and out of ${VARIABLES.accessToken}`,
    )
  }

  yield* settled
  // It is only there to be tried: a workspace without it is served all the same.
  const channel = yield* workspace.teams.getByName(TEAM_NAME).pipe(
    Effect.flatMap((team) => workspace.channels.getByName(team.id, CHANNEL_NAME)),
    Effect.option,
  )
  const serving = active.all().find(({ hooks }) => hooks.implemented.has("serveHTTP"))
  const authorization = `-H "Authorization: Bearer ${shown}"`
  const lines = [`curl ${authorization} ${base}/api/v4/plugins/statuses`]
  if (Option.isSome(channel)) {
    const post = `{"channel_id":"${channel.value.id}","message":"hello python"}`
    lines.push(`curl ${authorization} -d '${post}' ${base}/api/v4/posts`)
  }
  if (serving !== undefined) lines.push(`curl ${base}/plugins/${serving.pluginId}/`)
  yield* Console.log(["Try:", ...lines.map((line) => `  ${line}`)].join("\n"))
})
