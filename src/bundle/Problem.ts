import { Schema, SchemaIssue } from "effect"

/** One thing that is wrong with a file that people write. */
export const Problem = Schema.Struct({
  /** Where, for example `server.executables["linux-amd64"]`; empty for the file as a whole. */
  path: Schema.String,
  message: Schema.String,
})
export type Problem = typeof Problem.Type

/** For a struct's annotations: a name that is mistyped would go wrong without notice, so nothing unknown is passed over. */
export const unknownKey = (known: ReadonlyArray<string>) => ({
  messageUnexpectedKey: `unknown setting; there are ${known.join(", ")}`,
})

/** Problems that a message tells: whoever has more has not meant what was asked for. */
const MAX_TOLD = 20

/** Characters of one problem, which may quote what is wrong. */
const MAX_LENGTH = 300

/** `["server", "executables", "linux-amd64"]` as `server.executables["linux-amd64"]`. */
export const formatPath = (path: ReadonlyArray<PropertyKey>): string =>
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

const cut = (text: string): string => (text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text)

/** The problems of one file, each in words; of many the first, and how many more there are. */
export const toldProblems = (problems: ReadonlyArray<Problem>): ReadonlyArray<string> => {
  const list = problems
    .slice(0, MAX_TOLD)
    .map(({ message, path }) => cut(path === "" ? message : `${path}: ${message}`))
  const more = problems.length - list.length
  return more > 0 ? [...list, `and ${more} more`] : list
}

/** The problems of one file as the end of a sentence. */
export const mendThese = (problems: ReadonlyArray<Problem>): string =>
  `mend ${problems.length === 1 ? "this" : "these"}: ${toldProblems(problems).join("; ")}`
