import { Effect, Layer } from "effect"
import type { SqlClient } from "effect/sql"
import { KeyValues } from "./KeyValues.ts"
import { layerNodeSqlite } from "./NodeSqlite.ts"
import { PluginSettings } from "./PluginSettings.ts"
import { PluginStates } from "./PluginStates.ts"
import { storageError } from "./StorageError.ts"
import type { StorageOpenError } from "./StorageTables.ts"

const layer: Layer.Layer<KeyValues | PluginSettings | PluginStates, StorageOpenError, SqlClient.SqlClient> =
  Layer.mergeAll(KeyValues.layer, PluginSettings.layer, PluginStates.layer)

const layerFile = (file: string): Layer.Layer<KeyValues | PluginSettings | PluginStates, StorageOpenError> =>
  // Each call's own, however often it is provided: the parts have no options, and two files would get the same ones.
  Layer.suspend(() =>
    Layer.fresh(
      layer.pipe(
        Layer.provide(
          layerNodeSqlite(file).pipe(
            Layer.catchTag("SqlError", (error) =>
              Layer.effectContext(Effect.fail(storageError(`opening ${file}`, error))),
            ),
          ),
        ),
      ),
    ),
  )

/**
 * {@link KeyValues} and {@link PluginSettings}, which is what plugins may ask their host for, and {@link PluginStates}, which
 * is the host's own, in one database. One host of a program has it; another one is refused.
 */
export const PluginStorage = {
  /**
   * On any `SqlClient` of SQLite or PostgreSQL, in tables that are made when they are missing. As every Layer it is built once
   * in a program: of two that are to be on different clients, one is `Layer.fresh(PluginStorage.layer)`.
   */
  layer,
  /** On a SQLite database in a file, which is made (mode 0600, in a folder with mode 0700) when it is missing. */
  layerFile,
  /** In memory: empty at first, gone at the end. For tests. */
  layerMemory: Layer.fresh(layerFile(":memory:")),
} as const
