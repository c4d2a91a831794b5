#!/usr/bin/env node
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect } from "effect"
import { Command } from "effect/cli"
import { runMain } from "./cli/runMain.ts"
import { serve } from "./cli/serve.ts"
import { version } from "./version.ts"

const command = Command.make("plugin-supervisor").pipe(
  Command.withDescription("Runs plugins written in Python, or in any language that speaks go-plugin's gRPC protocol"),
  Command.withSubcommands([serve]),
)

runMain(Command.run(command, { version }).pipe(Effect.provide(NodeServices.layer)))
