import type { JsonObject, JsonValue } from "@bufbuild/protobuf"
import type { Manifest } from "../bundle/Manifest.ts"

/** The settings that a manifest declares. */
const settingsOf = ({ settings_schema: schema }: Manifest) => [
  ...(schema?.settings ?? []),
  ...(schema?.sections ?? []).flatMap((section) => section.settings ?? []),
]

/**
 * Settings with one spelling of each key: upper and lower case count as the same when they are loaded. Of two
 * spellings the manifest's is the one; where neither is, the first in the order of their letters, so that it is the
 * same one from start to start.
 */
export const oneSpelling = (config: JsonObject, manifest: Manifest | undefined): JsonObject => {
  const declared = new Set(manifest === undefined ? [] : settingsOf(manifest).map(({ key }) => key))
  const chosen = new Map<string, readonly [string, JsonValue]>()
  for (const entry of Object.entries(config).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const [key] = entry
    if (declared.has(key) || !chosen.has(key.toLowerCase())) chosen.set(key.toLowerCase(), entry)
  }
  return Object.fromEntries(chosen.values())
}

/**
 * A plugin's configuration as it loads it (Mattermost): its settings over its manifest's defaults, with keys in lower
 * case.
 */
export const configurationOf = (config: JsonObject, manifest: Manifest): { readonly [key: string]: unknown } => ({
  ...lowerCased(defaults(manifest)),
  ...lowerCased(oneSpelling(config, manifest)),
})

const lowerCased = (config: { readonly [key: string]: unknown }) =>
  Object.fromEntries(Object.entries(config).map(([key, value]) => [key.toLowerCase(), value]))

/** What a manifest's settings are until an administrator sets them. */
const defaults = (manifest: Manifest): { readonly [key: string]: unknown } =>
  Object.fromEntries(
    settingsOf(manifest).flatMap(({ default: value, key }) =>
      key === undefined || value === undefined || value === null ? [] : [[key, value]],
    ),
  )
