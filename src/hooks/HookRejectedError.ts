import { Schema } from "effect"

/** A plugin refused what it was asked about; or it could not be asked, and its operator wants that to be a refusal. */
export class HookRejectedError extends Schema.TaggedError<HookRejectedError>()("HookRejectedError", {
  pluginId: Schema.String,
  /** The hook's name, for example `MessageWillBePosted`. */
  hook: Schema.String,
  /** What is refused, as users are told: the contract's word for it, else the hook's name. */
  subject: Schema.String,
  /** The plugin's words, meant for the user. */
  reason: Schema.String,
  /** Whether the plugin could not be asked (`HookPolicy.onFailure`). */
  isFailure: Schema.Boolean,
}) {
  override get message(): string {
    return `${this.subject} rejected by plugin. ${this.reason}`
  }
}
