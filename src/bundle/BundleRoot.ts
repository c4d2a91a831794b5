import { type BundleFile, INSTALLED_LIST } from "./BundleFiles.ts"
import { Refusal } from "./BundleRefusedError.ts"
import { MANIFEST_FILES } from "./Manifest.ts"

/** Whether a path from a bundle's folder is that of a manifest. */
export const isManifest = (path: string): boolean => (MANIFEST_FILES as ReadonlyArray<string>).includes(path)

/** Refuses what no bundle may have at its root, whatever it comes from. */
export const checkRoot = (files: ReadonlyArray<Pick<BundleFile, "path">>): void => {
  const manifests = files.filter(({ path }) => isManifest(path)).map(({ path }) => path)
  if (manifests.length > 1) {
    throw new Refusal("root", `has ${manifests.length} manifests (${manifests.join(", ")}); leave one`)
  }
  if (manifests.length === 0) {
    throw new Refusal("root", "has no manifest: put plugin.json at its root, or into the only folder that is there")
  }
  if (files.some(({ path }) => path === INSTALLED_LIST)) {
    throw new Refusal("path", "is where the list of an installed plugin's files goes; leave it out", INSTALLED_LIST)
  }
}
