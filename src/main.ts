#!/usr/bin/env node
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect } from "effect"
import { Command } from "effect/cli"
import { command } from "./cli/commands.ts"
import { runMain } from "./cli/runMain.ts"
import { withUsage } from "./cli/usage.ts"
import { version } from "./version.ts"

runMain(withUsage(Command.run(command, { version })).pipe(Effect.provide(NodeServices.layer)))
