#!/usr/bin/env node
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Cause, Effect, Exit, Runtime } from "effect"
import { Command } from "effect/cli"
import { serve } from "./cli/serve.ts"
import { version } from "./version.ts"

const command = Command.make("plugin-supervisor").pipe(
  Command.withDescription("Runs plugins written in Python, or in any language that speaks go-plugin's gRPC protocol"),
  Command.withSubcommands([serve]),
)

NodeRuntime.runMain(Command.run(command, { version }).pipe(Effect.provide(NodeServices.layer)), {
  // A signal asks for a clean stop; having done so is a success.
  teardown: (exit, onExit) =>
    Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause) ? onExit(0) : Runtime.defaultTeardown(exit, onExit),
})
