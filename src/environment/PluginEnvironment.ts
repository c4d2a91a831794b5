import type { JsonObject } from "@bufbuild/protobuf"
import type { Effect, Option } from "effect"
import type { BundleSource } from "../bundle/BundleStore.ts"
import type { PluginBundle } from "../bundle/PluginBundle.ts"
import type { AnyContract } from "../contract/Contract.ts"
import type { PluginStartError } from "../supervisor/PluginRun.ts"
import type { SupervisedPlugin } from "../supervisor/PluginSupervisor.ts"
import type { SupervisorOptions } from "../supervisor/SupervisorOptions.ts"
import type { LostPlugin } from "./FoundBundles.ts"
import type { EnvironmentBuild } from "../command/PythonEnvironment.ts"
import type {
  EnableError,
  InstallError,
  RemoveError,
  RestartError,
  SettingsError,
  UnknownPluginError,
} from "./EnvironmentError.ts"

/** Settings of all plugins of a host. */
export interface EnvironmentOptions<C extends AnyContract> {
  /** The folder that holds the bundles that are kept by hand, one folder each. */
  readonly directory: string
  /** Settings of every plugin. They are restarted unless these say otherwise. */
  readonly defaults?: SupervisorOptions<C> | undefined
  /** Settings of single plugins by id, in place of the defaults of the same name. */
  readonly plugins?: { readonly [id: string]: SupervisorOptions<C> } | undefined
}

/** A plugin of a host, whether it is to run or not. */
export interface ManagedPlugin<out H = object> {
  readonly plugin: SupervisedPlugin<H>
  /** Where it comes from: the folder that is kept by hand, or an install. */
  readonly source: "folder" | "installed"
  /** Whether it is to run. A plugin of the folder is unless it was disabled, an installed one once it was enabled. */
  readonly isEnabled: boolean
  /** The Python environment that is made for it now; its start waits for that. */
  readonly building?: EnvironmentBuild | undefined
}

/** How a plugin is installed. */
export interface InstallOptions {
  /** Takes the place of what is installed, an older version too. Default false. */
  readonly force?: boolean | undefined
}

/**
 * All plugins of a host. Making it discovers the bundles and starts their plugins in the background, all at once; the end of
 * its Scope stops them, all at once. It fails where the folder can't be read; a bundle that is wrong and a plugin that can't
 * start are logged and keep no other plugin from running.
 *
 * Commands on one plugin are carried out one after the other, those on different ones side by side. Who gives a command may
 * leave; it is carried out all the same. Installing needs `BundleStore` and `PluginStates`, settings `PluginSettings`; what is
 * enabled survives the host's restart where there are `PluginStates`.
 */
export interface PluginEnvironment<out H = object> {
  /** The plugins there are now, in the order of their ids. */
  readonly plugins: Effect.Effect<ReadonlyArray<SupervisedPlugin<H>>>
  /** The same, with where they come from and whether they are to run. */
  readonly managed: Effect.Effect<ReadonlyArray<ManagedPlugin<H>>>
  /** The installed ones whose bundles were lost, or can't be used any more; each can be installed again, or removed. */
  readonly lost: Effect.Effect<ReadonlyArray<LostPlugin>>
  /** The plugin of an id, in any case of its letters. */
  readonly find: (id: string) => Effect.Effect<Option.Option<SupervisedPlugin<H>>>
  /** Waits until every plugin that was found at the start is active or has failed. */
  readonly settled: Effect.Effect<void>
  /** Enables a plugin, and starts it; fails when it does not start, and it is enabled even so. */
  readonly enable: (id: string) => Effect.Effect<void, EnableError>
  /** Disables a plugin, and stops it. */
  readonly disable: (id: string) => Effect.Effect<void, UnknownPluginError | Exclude<EnableError, PluginStartError>>
  /** Stops a plugin and starts it again. */
  readonly restart: (id: string) => Effect.Effect<void, RestartError>
  /** Starts another run in the place of the one there is, without a drop (`SupervisedPlugin.reload`). */
  readonly reload: (id: string) => Effect.Effect<void, RestartError>
  /**
   * Installs a plugin, or another version of it. One that is enabled runs the new bundle when this returns; if that does not
   * start, the one before stays, and this fails. A plugin that was not there before is not enabled.
   */
  readonly install: <E = never>(
    source: BundleSource<E>,
    options?: InstallOptions,
  ) => Effect.Effect<PluginBundle, InstallError>
  /** Stops an installed plugin, and removes it. Its keys and values, and its settings, stay. */
  readonly remove: (id: string) => Effect.Effect<void, RemoveError>
  /**
   * A plugin's settings as they count, over its manifest's defaults; secrets are masked, and a declared setting with neither a
   * value nor a default is `null`.
   */
  readonly settings: (id: string) => Effect.Effect<JsonObject, SettingsError>
  /**
   * Replaces a plugin's settings, and tells it (`OnConfigurationChange`) if it runs. Names count in any case; `null` is a
   * setting that is not set, and a mask in the place of a secret leaves the secret as it is. Fails for a setting that the
   * manifest does not declare, where it declares any; but for those that the plugin itself has saved.
   */
  readonly configure: (id: string, settings: JsonObject) => Effect.Effect<void, SettingsError>
  /** The same for the settings that are named alone: the others stay as they are, and `null` unsets one. */
  readonly change: (id: string, changes: JsonObject) => Effect.Effect<void, SettingsError>
}
