import type { JsonObject, JsonValue } from "@bufbuild/protobuf"
import type { Manifest } from "./Manifest.ts"
import type { Problem } from "./Problem.ts"

/** A setting that a manifest declares (`settings_schema`). */
export type DeclaredSetting = NonNullable<NonNullable<Manifest["settings_schema"]>["settings"]>[number]

/** What takes a secret's place wherever settings are shown; saving it leaves the secret as it is (Mattermost's text). */
export const MASK = "********************************"

/** The settings that a manifest declares, those of its sections among them. */
export const declaredSettings = ({ settings_schema: schema }: Manifest): ReadonlyArray<DeclaredSetting> => [
  ...(schema?.settings ?? []),
  ...(schema?.sections ?? []).flatMap((section) => section.settings ?? []),
]

/**
 * Settings with one spelling of each key: upper and lower case count as the same when they are loaded. Of two
 * spellings the manifest's is the one; where neither is, the first in the order of their letters, so that it is the
 * same one from start to start.
 */
export const oneSpelling = (settings: JsonObject, manifest: Manifest): JsonObject => {
  const declared = new Set(declaredSettings(manifest).map(({ key }) => key))
  const chosen = new Map<string, readonly [string, JsonValue]>()
  for (const entry of Object.entries(settings).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const [key] = entry
    if (declared.has(key) || !chosen.has(key.toLowerCase())) chosen.set(key.toLowerCase(), entry)
  }
  return Object.fromEntries(chosen.values())
}

/** What a manifest's settings are until an operator sets them. */
const defaultsOf = (manifest: Manifest): JsonObject =>
  Object.fromEntries(
    declaredSettings(manifest).flatMap(({ default: value, key }) =>
      key === undefined || value === undefined || value === null ? [] : [[key, value as JsonValue]],
    ),
  )

/** A plugin's settings as they count: what is set over the manifest's defaults, by the manifest's keys. */
export const withDefaults = (settings: JsonObject, manifest: Manifest): JsonObject => {
  const set = oneSpelling(settings, manifest)
  const spelled = new Map(
    declaredSettings(manifest).flatMap(({ key }) => (key === undefined ? [] : [[key.toLowerCase(), key]])),
  )
  return {
    ...defaultsOf(manifest),
    ...Object.fromEntries(Object.entries(set).map(([key, value]) => [spelled.get(key.toLowerCase()) ?? key, value])),
  }
}

/** As {@link withDefaults}, with keys in lower case, as Mattermost's plugins load them. */
export const lowerCaseSettings = (settings: JsonObject, manifest: Manifest): JsonObject =>
  Object.fromEntries(Object.entries(withDefaults(settings, manifest)).map(([key, value]) => [key.toLowerCase(), value]))

const isSecret = ({ secret }: DeclaredSetting): boolean => secret === true

/** Secrets that are set are {@link MASK}. */
const masked = (settings: JsonObject, manifest: Manifest): JsonObject => {
  const secrets = new Set(
    declaredSettings(manifest)
      .filter(isSecret)
      .map(({ key }) => key?.toLowerCase()),
  )
  return Object.fromEntries(
    Object.entries(settings).map(([key, value]) => [
      key,
      secrets.has(key.toLowerCase()) && value !== "" ? MASK : value,
    ]),
  )
}

/**
 * A plugin's settings as operators are shown them: what counts, with secrets masked, and `null` for a declared setting that has
 * neither a value nor a default.
 */
export const shownSettings = (settings: JsonObject, manifest: Manifest): JsonObject => ({
  ...Object.fromEntries(declaredSettings(manifest).flatMap(({ key }) => (key === undefined ? [] : [[key, null]]))),
  ...masked(withDefaults(settings, manifest), manifest),
})

/** What to store once an operator has set settings, and what the manifest has against that. */
export interface SetSettings {
  readonly settings: JsonObject
  readonly problems: ReadonlyArray<Problem>
}

/**
 * Settings that an operator gives, in place of those `before`; with `isChange` only in place of those of the same names. Names
 * count in any case and are stored as the manifest spells them. `null` unsets, and a mask stands for what was there. Where the
 * manifest declares settings, there are no others, but for those that the plugin has saved beside them.
 */
export const setSettings = (
  given: JsonObject,
  before: JsonObject,
  manifest: Manifest,
  { isChange = false }: { readonly isChange?: boolean } = {},
): SetSettings => {
  const declared = declaredSettings(manifest).flatMap(({ key }) => (key === undefined ? [] : [key]))
  const names = new Map([...Object.keys(before), ...declared].map((key) => [key.toLowerCase(), key]))
  const nameOf = (key: string) => names.get(key.toLowerCase()) ?? key
  const stored = Object.fromEntries(
    Object.entries(oneSpelling(before, manifest)).map(([key, value]) => [nameOf(key), value]),
  )
  const problems: Array<Problem> = []
  const spellings = new Map<string, string>()
  for (const key of Object.keys(given)) {
    const other = spellings.get(key.toLowerCase())
    spellings.set(key.toLowerCase(), key)
    if (other !== undefined)
      problems.push({ path: key, message: `is given as ${other} too, which is the same setting` })
    if (declared.length > 0 && !names.has(key.toLowerCase())) {
      problems.push({ path: key, message: `there is no such setting; there are ${declared.join(", ")}` })
    }
  }
  const wanted = Object.fromEntries(Object.entries(unmasked(given, stored)).map(([key, value]) => [nameOf(key), value]))
  const all = Object.entries({ ...(isChange && stored), ...wanted })
  return {
    settings: Object.fromEntries(all.filter(([key, value]) => value !== null || !(key in wanted))),
    problems: [...problems, ...settingsProblems(wanted, manifest)],
  }
}

/** Settings as somebody who was shown {@link masked} ones gives them back: a mask stands for what was there. */
const unmasked = (settings: JsonObject, before: JsonObject): JsonObject => {
  const known = new Map(Object.entries(before).map(([key, value]) => [key.toLowerCase(), value]))
  return Object.fromEntries(
    Object.entries(settings).flatMap(([key, value]) => {
      if (value !== MASK) return [[key, value]]
      const old = known.get(key.toLowerCase())
      return old === undefined ? [] : [[key, old]]
    }),
  )
}

/**
 * What is wrong with settings by the manifest: a value that is not of its setting's type, or none of its options. A custom
 * setting may be anything, and so may those that the manifest does not declare.
 */
const settingsProblems = (settings: JsonObject, manifest: Manifest): ReadonlyArray<Problem> => {
  const declared = new Map(declaredSettings(manifest).map((setting) => [setting.key?.toLowerCase(), setting]))
  return Object.entries(settings).flatMap(([key, value]) => {
    const setting = declared.get(key.toLowerCase())
    const message = setting === undefined || value === null ? undefined : problemOf(setting, value)
    return message === undefined ? [] : [{ path: key, message }]
  })
}

const problemOf = ({ options = [], type }: DeclaredSetting, value: JsonValue): string | undefined => {
  switch (type) {
    case "bool":
      return typeof value === "boolean" ? undefined : "expected true or false"
    case "number":
      // Mattermost's console saves what somebody has typed.
      return typeof value === "number" ||
        (typeof value === "string" && value.trim() !== "" && Number.isFinite(Number(value)))
        ? undefined
        : "expected a number"
    case "radio":
    case "dropdown":
      return options.some((option) => option.value === value)
        ? undefined
        : `expected one of ${options.map((option) => JSON.stringify(option.value)).join(", ")}`
    case "text":
    case "longtext":
    case "generated":
    case "username":
      return typeof value === "string" ? undefined : "expected a text"
    default:
      return undefined
  }
}
