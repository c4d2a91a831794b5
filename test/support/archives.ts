/** Plugins' archives, for tests that install them. */
import { join } from "node:path"
import { Effect } from "effect"
import { packBundle } from "../../src/bundle/BundlePack.ts"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { folder } from "./folder.ts"

/** Packs a plugin with this manifest and these files; answers the archive's path. */
export const archive = Effect.fnUntraced(
  function* (
    manifest: { readonly id: string; readonly [key: string]: unknown },
    files: { readonly [path: string]: string } = {},
  ) {
    const named = { name: manifest.id, server: { executable: "plugin.py" }, ...manifest }
    const root = yield* folder({
      "plugin/plugin.json": JSON.stringify(named),
      "plugin/plugin.py": "raise SystemExit('this plugin does not start')",
      ...Object.fromEntries(Object.entries(files).map(([path, text]) => [`plugin/${path}`, text])),
    })
    return (yield* packBundle(join(root, "plugin"), join(root, "plugin.tar.gz"))).file
  },
  Effect.provide(PluginBundles.layer),
  Effect.provide(NodeServices.layer),
)
