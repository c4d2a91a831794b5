import { Effect, Layer } from "effect"
import type { SqlClient } from "effect/sql"
import { KeyValues } from "./KeyValues.ts"
import { layerNodeSqlite } from "./NodeSqlite.ts"
import { PluginSettings } from "./PluginSettings.ts"
import { PluginStates } from "./PluginStates.ts"
import { storageError } from "./StorageError.ts"
import { namespaceProblem, StorageNamespace } from "./StorageNamespace.ts"
import type { StorageOpenError } from "./StorageTables.ts"

const layer: Layer.Layer<KeyValues | PluginSettings | PluginStates, StorageOpenError, SqlClient.SqlClient> =
  Layer.mergeAll(KeyValues.layer, PluginSettings.layer, PluginStates.layer)

/** Whose part of a database it is. */
export interface PluginStorageOptions {
  /**
   * A name for the part: one that begins with a letter or a digit, of up to 100 of these and `.`, `_`, `/` and `-`. Hosts
   * whose storage is in one database have one each; what is no name is a defect. Default: the part without a name.
   */
  readonly namespace?: string | undefined
}

const layerIn = ({ namespace }: PluginStorageOptions): typeof layer => {
  if (namespace === undefined) return layer
  const problem = namespaceProblem(namespace)
  return problem === undefined
    ? Layer.fresh(layer).pipe(Layer.provide(Layer.succeed(StorageNamespace, namespace)))
    : Layer.effectContext(Effect.die(new Error(`PluginStorage: ${problem}`)))
}

const layerFile = (
  file: string,
  options: PluginStorageOptions = {},
): Layer.Layer<KeyValues | PluginSettings | PluginStates, StorageOpenError> =>
  layerIn(options).pipe(
    Layer.provide(
      layerNodeSqlite(file).pipe(
        Layer.catchTag("SqlError", (error) => Layer.effectContext(Effect.fail(storageError(`opening ${file}`, error)))),
      ),
    ),
  )

/**
 * {@link KeyValues} and {@link PluginSettings}, which is what plugins may ask their host for, and {@link PluginStates}, which
 * is the host's own, in one database. One host has it; several hosts of a program have a `namespace` each, or a database.
 */
export const PluginStorage = {
  /** On any `SqlClient` of SQLite or PostgreSQL, in tables that are made when they are missing. */
  layer,
  /** {@link PluginStorage.layer} with the rows of a namespace: two of them have nothing in common. */
  layerIn,
  /** On a SQLite database in a file, which is made (mode 0600, in a folder with mode 0700) when it is missing. */
  layerFile,
  /** In memory: empty at first, gone at the end. For tests. */
  layerMemory: Layer.fresh(layerFile(":memory:")),
} as const
