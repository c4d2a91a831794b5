import type { SqlClient } from "effect/sql"
import { type StoragePlace, storedAt } from "./HeldStorage.ts"

/** The files of clients that have one. */
const files = new WeakMap<SqlClient.SqlClient, string>()

/** Notes the file of a client's database, by its real path. */
export const databaseIn = (client: SqlClient.SqlClient, file: string): void => void files.set(client, file)

/** One key for each namespace of each client whose file is not known. */
const keys = new WeakMap<SqlClient.SqlClient, Map<string, object>>()

const keyOf = (client: SqlClient.SqlClient, namespace: string): unknown => {
  const file = files.get(client)
  if (file !== undefined) return `${file}\0${namespace}`
  const known = keys.get(client) ?? new Map<string, object>()
  keys.set(client, known)
  const key = known.get(namespace) ?? {}
  known.set(namespace, key)
  return key
}

/** Notes that a service keeps its rows in a client's database. */
export const storedInDatabase = <S extends object>(service: S, client: SqlClient.SqlClient, namespace: string): S => {
  const file = files.get(client)
  const where = file === undefined ? "this database" : `the database ${file}`
  const place: StoragePlace = {
    key: keyOf(client, namespace),
    storage: namespace === "" ? where : `the namespace ${namespace} of ${where}`,
    cure: "give each of them a namespace (PluginStorage.layerFile(file, { namespace }) or PluginStorage.layerIn({ namespace })), or a database of its own",
  }
  return storedAt(service, place)
}
