import type { MessageInitShape } from "@bufbuild/protobuf"
import type { ApiMethods } from "../api/PluginApi.ts"
import * as PluginHost from "../environment/PluginHost.ts"
import type { PluginContextSchema } from "../generated/mattermost/pluginapi/v1/hooks_common_pb.js"
import { MattermostContract } from "./MattermostContract.ts"

/** The host of Mattermost's plugins: those that are written for Mattermost run here unchanged. */
export class MattermostPlugins extends PluginHost.Service<MattermostPlugins>()(
  "effect-plugin-supervisor/mattermost/MattermostPlugins",
  MattermostContract,
) {}

/** What a backend offers of Mattermost's host API, where it needs no services. */
export type MattermostApiMethods = Partial<ApiMethods<MattermostContract>>

/** What plugins are told of the request behind an event: who asked, from where, with what. */
export type RequestContext = MessageInitShape<typeof PluginContextSchema>
