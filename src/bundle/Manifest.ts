import { Effect, Schema, SchemaGetter } from "effect"
import * as semver from "semver"
import { parseText, valueProblem } from "./ManifestText.ts"
import { mendThese, Problem, problemsOf } from "./Problem.ts"

/** A manifest that can't be used. All its problems are told at once. */
export class ManifestError extends Schema.TaggedError<ManifestError>()("ManifestError", {
  /** The manifest's file. */
  file: Schema.String,
  problems: Schema.Array(Problem),
}) {
  override get message(): string {
    return `${this.file} is not a valid plugin manifest; ${mendThese(this.problems)}`
  }
}

/** The length that a plugin's id may have. */
export const MAX_ID_LENGTH = 190

/** Length and characters of a plugin's id (Mattermost, `model/manifest.go`). */
const PluginId = Schema.String.check(
  Schema.isPattern(new RegExp(`^[a-zA-Z0-9\\-_.]{3,${MAX_ID_LENGTH}}$`), {
    message: `expected 3 to ${MAX_ID_LENGTH} characters out of letters, digits, '-', '_' and '.'`,
  }),
)

/** Semantic Versioning 2.0.0, or nothing. */
const SemanticVersion = Schema.String.check(
  Schema.makeFilter((text: string) =>
    // The parser alone would take "v1.2.3", and blanks around a version.
    text === "" || (/^\d\S*$/.test(text) && semver.valid(text) !== null)
      ? undefined
      : "expected a version such as 1.2.3",
  ),
)

const WebUrl = Schema.String.check(
  Schema.makeFilter((text: string) =>
    // The parser alone would take "https:a.b", and blanks around a URL.
    text === "" || (/^https?:\/\/\S+$/i.test(text) && URL.canParse(text)) ? undefined : "expected an http or https URL",
  ),
)

const NonBlank = Schema.String.check(Schema.isPattern(/\S/, { message: "expected some text" }))

const SETTING_TYPES = [
  "bool",
  "dropdown",
  "generated",
  "radio",
  "text",
  "longtext",
  "number",
  "username",
  "custom",
] as const

/** Which types of setting may carry an attribute (Mattermost, `PluginSetting.isValid`). */
const ATTRIBUTE_TYPES: { readonly [attribute: string]: ReadonlyArray<string> } = {
  regenerate_help_text: ["generated"],
  placeholder: ["generated", "text", "longtext", "number", "username", "custom"],
  options: ["radio", "dropdown"],
}

const isSet = (value: unknown): boolean =>
  value !== undefined && value !== null && value !== "" && !(Array.isArray(value) && value.length === 0)

/** What is made of an object's entries; anything else is as it is. */
const ofEntries = (value: unknown, make: (entries: ReadonlyArray<readonly [string, unknown]>) => unknown): unknown =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? make(Object.entries(value)) : value

/** Looks at a value before its schema does. */
const prepared = <S extends Schema.Constraint>(prepare: (value: unknown) => unknown, schema: S) =>
  Schema.Unknown.pipe(
    Schema.decodeTo(schema, {
      decode: SchemaGetter.transform((value: unknown) => prepare(value) as S["Encoded"]),
      encode: SchemaGetter.passthrough({ strict: false }),
    }),
  )

/**
 * An object as Go's JSON reads it, by which Mattermost's tools write manifests: `null` is as good as absent, a key may be
 * in any case, and of several the last counts. Unknown keys are kept: other tools, or later versions, may read them.
 */
const open = <const F extends Schema.Struct.Fields>(fields: F) => {
  const names = new Map(Object.keys(fields).map((name) => [name.toLowerCase(), name]))
  return prepared(
    (value) =>
      ofEntries(value, (entries) =>
        Object.fromEntries(
          entries.flatMap(([key, item]) => {
            const name = names.get(key.toLowerCase())
            return name !== undefined && item === null ? [] : [[name ?? key, item]]
          }),
        ),
      ),
    Schema.StructWithRest(Schema.Struct(fields), [Schema.Record(Schema.String, Schema.Unknown)]),
  )
}

/** Texts by names that are not the manifest's own. */
const Texts = prepared(
  (value) => ofEntries(value, (entries) => Object.fromEntries(entries.filter(([, item]) => item !== null))),
  Schema.Record(Schema.String, Schema.String),
)

const Setting = open({
  key: Schema.optionalKey(Schema.String),
  display_name: Schema.optionalKey(Schema.String),
  type: Schema.Literals(SETTING_TYPES),
  help_text: Schema.optionalKey(Schema.String),
  regenerate_help_text: Schema.optionalKey(Schema.String),
  placeholder: Schema.optionalKey(Schema.String),
  default: Schema.optionalKey(Schema.Unknown),
  options: Schema.optionalKey(Schema.Array(open({ display_name: NonBlank, value: NonBlank }))),
  hosting: Schema.optionalKey(Schema.Literals(["", "cloud", "on-prem"])),
  secret: Schema.optionalKey(Schema.Boolean),
}).check(
  Schema.makeFilter((setting: { readonly [key: string]: unknown }) => {
    const type = String(setting["type"])
    return Object.entries(ATTRIBUTE_TYPES)
      .filter(([name, types]) => isSet(setting[name]) && !types.includes(type))
      .map(([name, types]) => ({
        path: [name],
        issue: `goes only with the types ${types.join(", ")}, not with ${type}`,
      }))
  }),
)

const Section = open({
  key: NonBlank,
  title: Schema.optionalKey(Schema.String),
  subtitle: Schema.optionalKey(Schema.String),
  header: Schema.optionalKey(Schema.String),
  footer: Schema.optionalKey(Schema.String),
  settings: Schema.optionalKey(Schema.Array(Setting)),
  custom: Schema.optionalKey(Schema.Boolean),
  fallback: Schema.optionalKey(Schema.Boolean),
})

const Server = open({
  /** `python` makes the plugin a Python one; anything else leaves it to the executable. */
  runtime: Schema.optionalKey(Schema.String),
  /** Path of the executable in the bundle, for platforms without one of their own. */
  executable: Schema.optionalKey(Schema.String),
  /** Paths by platform, for example `linux-amd64`. */
  executables: Schema.optionalKey(Texts),
  /** Whether two processes of the plugin must never run at once: a reload stops the one before it starts the next. */
  exclusive: Schema.optionalKey(Schema.Boolean),
  python_version: Schema.optionalKey(Schema.String),
  python: Schema.optionalKey(
    open({
      entry_point: Schema.optionalKey(Schema.String),
      version: Schema.optionalKey(Schema.String),
      /** Folder of the virtual environment in the bundle, in place of `venv` and `.venv`. */
      venv_path: Schema.optionalKey(Schema.String),
    }),
  ),
})

/** `plugin.json`, by Mattermost's rules. Keys may be in any case; unknown ones are kept. */
export const Manifest = open({
  /** Lower-cased when it is loaded. */
  id: PluginId,
  name: NonBlank,
  description: Schema.optionalKey(Schema.String),
  homepage_url: Schema.optionalKey(WebUrl),
  support_url: Schema.optionalKey(WebUrl),
  release_notes_url: Schema.optionalKey(WebUrl),
  icon_path: Schema.optionalKey(Schema.String),
  version: Schema.optionalKey(SemanticVersion),
  min_server_version: Schema.optionalKey(SemanticVersion),
  server: Schema.optionalKey(Server),
  webapp: Schema.optionalKey(open({ bundle_path: Schema.optionalKey(Schema.String) })),
  settings_schema: Schema.optionalKey(
    open({
      header: Schema.optionalKey(Schema.String),
      footer: Schema.optionalKey(Schema.String),
      settings: Schema.optionalKey(Schema.Array(Setting)),
      sections: Schema.optionalKey(Schema.Array(Section)),
    }),
  ),
  props: Schema.optionalKey(Schema.Record(Schema.String, Schema.Unknown)),
  user_filtering: Schema.optionalKey(Schema.Boolean),
})
export type Manifest = typeof Manifest.Type

/** The names of a manifest's file, in the order they are looked for; the first that exists counts. */
export const MANIFEST_FILES = ["plugin.yml", "plugin.yaml", "plugin.json"] as const

const decode = Schema.decodeUnknownEffect(Manifest, { errors: "all" })

/** Reads the text of a manifest; `file` tells its format by its ending, and names it in the error. */
export const parseManifest = Effect.fnUntraced(function* (
  file: string,
  text: string,
): Effect.fn.Return<Manifest, ManifestError> {
  const invalid = (problems: ReadonlyArray<Problem>) => new ManifestError({ file, problems })
  const value = yield* Effect.try({
    try: () => parseText(file, text),
    // The first line says what and where; the others quote.
    catch: (error) =>
      invalid([{ path: "", message: `it can't be read: ${(error as Error).message.split("\n", 1)[0]}` }]),
  })
  const unfit = valueProblem(value)
  if (unfit !== undefined) return yield* invalid([unfit])
  const manifest = yield* Effect.mapError(decode(value), ({ issue }) => invalid(problemsOf(issue)))
  return { ...manifest, id: manifest.id.toLowerCase() }
})
