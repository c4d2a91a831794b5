import { Schema } from "effect"
import type { StageError } from "../bundle/BundleStore.ts"
import type { BundleStoreError } from "../bundle/BundleStore.ts"
import type { DowngradeError } from "../bundle/BundleVersion.ts"
import type { ManifestError } from "../bundle/Manifest.ts"
import type { BundleError } from "../bundle/PluginBundle.ts"
import { mendThese, Problem } from "../bundle/Problem.ts"
import type { UnreadableError } from "../storage/Rows.ts"
import type { BadSettingsError } from "../storage/PluginSettings.ts"
import type { StorageError } from "../storage/StorageError.ts"
import type { PluginStartError } from "../supervisor/PluginRun.ts"

/** There is no plugin of this id. */
export class UnknownPluginError extends Schema.TaggedError<UnknownPluginError>()("UnknownPluginError", {
  pluginId: Schema.String,
  /** Why there is none of it, although it is installed. */
  lost: Schema.optionalKey(Schema.String),
}) {
  override get message(): string {
    if (this.lost !== undefined) return `there is nothing of the plugin ${this.pluginId} to work on: ${this.lost}`
    return `there is no plugin ${this.pluginId}; ids are those of the plugins' manifests`
  }
}

/** A plugin of this id is there already. */
export class AlreadyInstalledError extends Schema.TaggedError<AlreadyInstalledError>()("AlreadyInstalledError", {
  pluginId: Schema.String,
  /** Empty when its manifest has none. */
  version: Schema.String,
}) {
  override get message(): string {
    const version = this.version === "" ? "" : ` in version ${this.version}`
    return `the plugin ${this.pluginId} is installed already${version}; to replace it, force the install (--force, force=true)`
  }
}

/** The plugin is in the folder that its operator keeps by hand. */
export class KeptByHandError extends Schema.TaggedError<KeptByHandError>()("KeptByHandError", {
  pluginId: Schema.String,
  directory: Schema.String,
}) {
  override get message(): string {
    return `the plugin ${this.pluginId} is in ${this.directory}, which is kept by hand: change it there, or take it out of there first`
  }
}

/** The plugin is disabled, and is not to run. */
export class DisabledError extends Schema.TaggedError<DisabledError>()("DisabledError", {
  pluginId: Schema.String,
}) {
  override get message(): string {
    return `the plugin ${this.pluginId} is disabled; enable it`
  }
}

/** The host can't install plugins, or can't keep what is set for them. */
export class NotStoredError extends Schema.TaggedError<NotStoredError>()("NotStoredError", {
  /** What is missing: the names of services. */
  missing: Schema.String,
}) {
  override get message(): string {
    return `this host has no place for that: provide ${this.missing} to its plugins' Layer`
  }
}

/** Settings that a plugin's manifest does not allow. */
export class InvalidSettingsError extends Schema.TaggedError<InvalidSettingsError>()("InvalidSettingsError", {
  pluginId: Schema.String,
  problems: Schema.Array(Problem),
}) {
  override get message(): string {
    return `these settings are not for the plugin ${this.pluginId}; ${mendThese(this.problems)}`
  }
}

/** Why nothing was installed. What was there before stays as it was. */
export type InstallError =
  | StageError
  | BundleStoreError
  | BundleError
  | ManifestError
  | DowngradeError
  | AlreadyInstalledError
  | KeptByHandError
  | NotStoredError
  | StorageError
  | UnreadableError
  | PluginStartError

/** What keeps a plugin from being enabled or disabled. */
export type EnableError = UnknownPluginError | StorageError | PluginStartError

/** What keeps a plugin from being restarted or reloaded. */
export type RestartError = UnknownPluginError | DisabledError | PluginStartError

/** What keeps a plugin from being removed. */
export type RemoveError =
  | UnknownPluginError
  | KeptByHandError
  | NotStoredError
  | BundleStoreError
  | StorageError
  | UnreadableError

/** What keeps settings from being read or saved. */
export type SettingsError =
  | UnknownPluginError
  | InvalidSettingsError
  | NotStoredError
  | BadSettingsError
  | UnreadableError
  | StorageError
