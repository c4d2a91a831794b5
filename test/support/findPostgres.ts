/** Whether there is PostgreSQL, for tests and for the global setup, which tells who is missing it. */
import { existsSync, globSync } from "node:fs"
import { delimiter, join } from "node:path"

/** Where Debian has its programs, by version; they are not on the PATH. */
const DEBIAN = "/usr/lib/postgresql/*/bin"

/** The folder of PostgreSQL's programs, if it is installed. */
export const postgresBinaries: string | undefined = [
  ...(process.env["PATH"] ?? "").split(delimiter),
  ...globSync(DEBIAN).toSorted().toReversed(),
].find((folder) => existsSync(join(folder, "postgres")) && existsSync(join(folder, "initdb")))

/** Why there is none. */
export const noPostgres: string | undefined =
  postgresBinaries === undefined ? `there is no initdb on the PATH or in ${DEBIAN}` : undefined
