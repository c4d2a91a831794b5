import { Context, Effect } from "effect"

/** The Mattermost version whose plugin contract the host keeps; plugins compare it with what they need. */
export const SERVER_VERSION = "11.0.0"

/** What plugins are told of the host. Provide another value of the reference to change it. */
export const WorkspaceSettings = Context.Reference<{
  /** Where people reach the host; no slash at the end. It may have to wait until the host listens. */
  readonly siteUrl: Effect.Effect<string>
  /** Default {@link SERVER_VERSION}. */
  readonly serverVersion: string
}>("effect-plugin-supervisor/workspace/WorkspaceSettings", {
  defaultValue: () => ({ siteUrl: Effect.succeed("http://localhost:8065"), serverVersion: SERVER_VERSION }),
})
