import { Schema } from "effect"

const fields = {
  /** The plugin's id. */
  pluginId: Schema.String,
  /** The hook's name, for example `MessageWillBePosted`. */
  hook: Schema.String,
}

/** The plugin could not be reached: it has crashed, is being stopped, or closed the connection. */
export class HookTransportError extends Schema.TaggedError<HookTransportError>()("HookTransportError", {
  ...fields,
  /** The gRPC status' name. */
  status: Schema.String,
  details: Schema.String,
}) {
  override get message(): string {
    return `plugin ${this.pluginId}: ${this.hook} did not reach the plugin (${this.status}: ${this.details}); see the plugin's log and state`
  }
}

/** The plugin did not answer in time. */
export class HookDeadlineError extends Schema.TaggedError<HookDeadlineError>()("HookDeadlineError", {
  ...fields,
  /** The deadline that passed, in milliseconds. */
  deadlineMillis: Schema.Number,
}) {
  override get message(): string {
    return `plugin ${this.pluginId}: ${this.hook} did not answer within ${this.deadlineMillis} ms; make the handler faster or raise the hook's deadline`
  }
}

/** The plugin was reached and its handler failed. */
export class HookPluginError extends Schema.TaggedError<HookPluginError>()("HookPluginError", {
  ...fields,
  /** The error's id (`AppError.id`), or the gRPC status' name when the handler failed without an answer. */
  id: Schema.String,
  /** What the plugin said. */
  reason: Schema.String,
  /** HTTP status of the AppError; 500 when the plugin gave none. */
  statusCode: Schema.Int,
  /** Whether the plugin answered with this error (an `AppError` in its response), rather than failed to answer. */
  isAnswer: Schema.Boolean,
}) {
  override get message(): string {
    const who = `plugin ${this.pluginId}: `
    // The SDK says whose error it is as well: others than this host show that by itself.
    const reason = this.reason.startsWith(who) ? this.reason.slice(who.length) : this.reason
    return `${who}${this.hook} failed in the plugin (${this.id}): ${reason}`
  }
}

/** A plugin broke an exchange of HTTP: a bad gateway, unless it is the plugin that has failed (500). */
export const brokenResponse = (pluginId: string, reason: string, statusCode = 502): HookPluginError =>
  new HookPluginError({
    pluginId,
    hook: "ServeHTTP",
    id: "plugin.serve_http.response",
    reason,
    statusCode,
    isAnswer: false,
  })

/** The plugin does not have the hook. No call was made. */
export class HookNotImplementedError extends Schema.TaggedError<HookNotImplementedError>()("HookNotImplementedError", {
  ...fields,
}) {
  override get message(): string {
    return `plugin ${this.pluginId} does not implement ${this.hook}`
  }
}

/** The plugin kept not answering, and is not asked for a while (`CircuitBreaker`). No call was made. */
export class HookSuspendedError extends Schema.TaggedError<HookSuspendedError>()("HookSuspendedError", fields) {
  override get message(): string {
    return `plugin ${this.pluginId}: ${this.hook} was not called, since the plugin keeps not answering; it is tried again soon`
  }
}

/** Everything that keeps a hook from answering. An answer, whatever it says, is never one of these. */
export type HookError =
  | HookTransportError
  | HookDeadlineError
  | HookPluginError
  | HookNotImplementedError
  | HookSuspendedError
