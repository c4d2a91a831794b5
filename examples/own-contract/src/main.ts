import { join } from "node:path"
import { NodeHttpServer, NodeRuntime, NodeServices } from "@effect/platform-node"
import { Layer } from "effect"
import { createServer } from "effect-plugin-supervisor"
import { backend } from "./backend.ts"

const [plugins = "plugins", data = "data", port = "3000"] = process.argv.slice(2)

backend(plugins, join(data, "plugins.db")).pipe(
  Layer.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: Number(port) })),
  Layer.provide(NodeServices.layer),
  Layer.launch,
  NodeRuntime.runMain,
)
