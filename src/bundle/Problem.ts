import { Schema, SchemaIssue } from "effect"

/** One thing that is wrong with a file that people write. */
export const Problem = Schema.Struct({
  /** Where, for example `server.executables["linux-amd64"]`; empty for the file as a whole. */
  path: Schema.String,
  message: Schema.String,
})
export type Problem = typeof Problem.Type

/** `["server", "executables", "linux-amd64"]` as `server.executables["linux-amd64"]`. */
const formatPath = (path: ReadonlyArray<PropertyKey>): string =>
  path.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`
    const name = String(key)
    if (!/^[A-Za-z_]\w*$/.test(name)) return `${text}[${JSON.stringify(name)}]`
    return text === "" ? name : `${text}.${name}`
  }, "")

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

/** All that a schema has found wrong. */
export const problemsOf = (issue: SchemaIssue.Issue): ReadonlyArray<Problem> =>
  formatIssue(issue).issues.map(({ message, path }) => ({
    path: formatPath((path ?? []).map((segment) => (typeof segment === "object" ? segment.key : segment))),
    message,
  }))

/** The problems of one file as the end of a sentence. */
export const mendThese = (problems: ReadonlyArray<Problem>): string => {
  const list = problems.map(({ message, path }) => (path === "" ? message : `${path}: ${message}`))
  return `mend ${list.length === 1 ? "this" : "these"}: ${list.join("; ")}`
}
