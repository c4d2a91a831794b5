import { Command } from "effect/cli"
import { call } from "./call.ts"
import { check } from "./check.ts"
import { config } from "./config.ts"
import { dev } from "./dev.ts"
import { install } from "./install.ts"
import { keygen } from "./keygen.ts"
import { disable, enable, reload, restart } from "./lifecycle.ts"
import { list } from "./list.ts"
import { logs } from "./logs.ts"
import { newPlugin } from "./new.ts"
import { pack } from "./pack.ts"
import { remove } from "./remove.ts"
import { sdk } from "./sdk.ts"
import { serve } from "./serve.ts"
import { sign } from "./sign.ts"
import { status } from "./status.ts"

/** All commands. */
export const command = Command.make("plugin-supervisor").pipe(
  Command.withDescription("Runs plugins written in Python, or in any language that speaks go-plugin's gRPC protocol"),
  Command.withSubcommands([
    serve,
    {
      group: "Plugins of a running supervisor",
      commands: [list, status, install, enable, disable, restart, reload, remove, logs, config],
    },
    { group: "Writing plugins", commands: [newPlugin, check, call, dev, sdk, pack, sign, keygen] },
  ]),
)
