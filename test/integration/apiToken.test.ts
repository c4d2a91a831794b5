/** Who calls the host API is proven: by the socket, and by a token that only the plugin's own process has. */
import { readFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { PluginBundles } from "../../src/bundle/PluginBundle.ts"
import { PluginAPI } from "../../src/generated/mattermost/pluginapi/v1/plugin_api_pb.js"
import { MattermostPlugins } from "../../src/mattermost/MattermostPlugins.ts"
import * as GrpcClient from "../../src/grpc/GrpcClient.ts"
import { folder, ownTemporaryFolder } from "../support/folder.ts"
import { host, noPython, socketFolders } from "../support/host.ts"

ownTemporaryFolder()

const KEY = "plugin-supervisor-token"

const asking = {
  "plugin.json": JSON.stringify({ id: "asking", name: "Asking", server: { executable: "plugin.py" } }),
  "plugin.py": `
import subprocess, sys
from mattermost_plugin import HookName, Plugin, hook, run_plugin

CHILD = "import sys; from mattermost_plugin import PluginAPIClient as C; c = C(token=(sys.argv[1:] or [None])[0]); c.connect(); print(c.get_server_version(), file=sys.stderr)"

class Asking(Plugin):
    @hook(HookName.OnActivate)
    def activate(self):
        self.api.kv_set("version", self.api.get_server_version().encode())
        child = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True)
        self.api.kv_set("child", (child.stdout + child.stderr).encode())
        told = subprocess.run([sys.executable, "-c", CHILD, self.api.token], capture_output=True, text=True)
        self.api.kv_set("told", (told.stdout + told.stderr).encode())
run_plugin(Asking)
`,
}

describe.skipIf(noPython)("the host API's token", () => {
  it.live("is shown by the SDK, and by nobody else that reaches the socket", () => {
    const stored: { [key: string]: string } = {}
    const api = host({
      getServerVersion: () => Effect.succeed({ version: "1.2.3" }),
      kVSet: ({ key, value }) => Effect.sync(() => ((stored[key] = Buffer.from(value).toString()), {})),
    })
    return Effect.gen(function* () {
      const bundle = yield* (yield* PluginBundles).load(yield* folder(asking))
      const { process } = yield* (yield* MattermostPlugins.Supervisor).start(bundle)
      assert.strictEqual(stored["version"], "1.2.3")
      assert.include(stored["child"], "does not show the plugin's own token", "what a plugin starts has no token")
      assert.include(stored["told"], "1.2.3", "unless it was handed over")

      const stranger = yield* GrpcClient.make(`unix:${join(tmpdir(), socketFolders()[0]!, "api.sock")}`)
      const ask = (metadata = {}) => Effect.flip(stranger.unary(PluginAPI.method.getServerVersion, {}, { metadata }))
      for (const metadata of [{}, { [KEY]: "" }, { [KEY]: "guess" }, { [KEY]: "x".repeat(43) }]) {
        assert.strictEqual((yield* ask(metadata)).status, "UNAUTHENTICATED")
      }
      const environment = readFileSync(`/proc/${process.pid}/environ`, "latin1")
      assert.match(environment, /PLUGIN_SUPERVISOR_API_TOKEN_FD=\d+\0/, "only the number of a descriptor is there")
    }).pipe(Effect.scoped, Effect.provide(api))
  })
})
