#!/usr/bin/env node
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect } from "effect"
import { Command } from "effect/cli"
import { call } from "./cli/call.ts"
import { check } from "./cli/check.ts"
import { config } from "./cli/config.ts"
import { dev } from "./cli/dev.ts"
import { install } from "./cli/install.ts"
import { keygen } from "./cli/keygen.ts"
import { disable, enable, reload, restart } from "./cli/lifecycle.ts"
import { list } from "./cli/list.ts"
import { logs } from "./cli/logs.ts"
import { newPlugin } from "./cli/new.ts"
import { pack } from "./cli/pack.ts"
import { remove } from "./cli/remove.ts"
import { runMain } from "./cli/runMain.ts"
import { serve } from "./cli/serve.ts"
import { sign } from "./cli/sign.ts"
import { status } from "./cli/status.ts"
import { withUsage } from "./cli/usage.ts"
import { version } from "./version.ts"

const command = Command.make("plugin-supervisor").pipe(
  Command.withDescription("Runs plugins written in Python, or in any language that speaks go-plugin's gRPC protocol"),
  Command.withSubcommands([
    serve,
    {
      group: "Plugins of a running supervisor",
      commands: [list, status, install, enable, disable, restart, reload, remove, logs, config],
    },
    { group: "Writing plugins", commands: [newPlugin, check, call, dev, pack, sign, keygen] },
  ]),
)

runMain(withUsage(Command.run(command, { version })).pipe(Effect.provide(NodeServices.layer)))
