/** What plugins do to processes and to logging, as it is found in many programs: the plugin lives, and is heard. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { type Kind, kinds, python } from "./support.ts"

const indented = (code: string): string => code.trim().replaceAll("\n", "\n        ")

/** A plugin that does something at a command. */
const doing = (code: string) =>
  python(`
import logging, logging.config, multiprocessing, os, signal, subprocess, sys, time
from mattermost_plugin import HookName, Plugin, hook, run_plugin

class Hostile(Plugin):
    @hook(HookName.ExecuteCommand)
    def execute(self, ctx, args):
        if args.command == "/well":
            return "well"
        ${indented(code)}

if __name__ == "__main__":
    run_plugin(Hostile)
`)

/** The child ends by a signal of its own, and the plugin goes on. */
const forking = (code: string): Kind => ({
  bundle: doing(code),
  outcome: ({ logged, start, state }) =>
    Effect.gen(function* () {
      const { hooks } = yield* start
      assert.strictEqual((yield* hooks.executeCommand({})).response?.text, "it ended with -15")
      assert.strictEqual((yield* hooks.executeCommand({ args: { command: "/well" } })).response?.text, "well")
      assert.strictEqual(state().name, "Running")
      yield* logged(/a line of the plugin's/)
    }),
})

const ENDED = 'self.logger.info("a line of the plugin\'s")\n'

kinds("a plugin that starts", {
  "a process of multiprocessing's, by fork": forking(`
child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
child.start()
child.terminate()
child.join()
${ENDED}return f"it ended with {child.exitcode}"`),
  "a process of multiprocessing's, by spawn": forking(`
child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
child.start()
child.terminate()
child.join()
${ENDED}return f"it ended with {child.exitcode}"`),
  "a pool of forked processes": forking(`
with multiprocessing.get_context("fork").Pool(2) as pool:
    answer = pool.map(abs, [-7, -8])
pool.join()
${ENDED}return "it ended with -15" if answer == [7, 8] else str(answer)`),
  "a child by os.fork": forking(`
child = os.fork()
if child == 0:
    time.sleep(600)
os.kill(child, signal.SIGTERM)
status = os.waitpid(child, 0)[1]
${ENDED}return f"it ended with {-os.WTERMSIG(status)}"`),
  "a program of Python's that imports the SDK": forking(`
program = "import mattermost_plugin.types; print(42)"
said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
${ENDED}return "it ended with -15" if said.strip() == "42" else said`),
})

/** Why a handler has failed is logged all the same. */
const logging = (code: string): Kind => ({
  bundle: doing(`${code.trim()}\nraise ValueError("why it failed")`),
  outcome: ({ logged, start, state }) =>
    Effect.gen(function* () {
      const { hooks } = yield* start
      const error = yield* Effect.flip(hooks.executeCommand({}))
      assert.strictEqual(error._tag, "HookPluginError")
      yield* logged(/ValueError: why it failed/)
      assert.strictEqual((yield* hooks.executeCommand({ args: { command: "/well" } })).response?.text, "well")
      assert.strictEqual(state().name, "Running")
    }),
})

kinds("a plugin whose log has", {
  "a stderr that logs": logging(`
class StreamToLogger:
    def __init__(self, logger):
        self.logger = logger
    def write(self, text):
        for line in text.rstrip().splitlines():
            self.logger.error(line)
    def flush(self):
        pass
sys.stderr = StreamToLogger(logging.getLogger("stderr"))
print("words to stderr", file=sys.stderr)`),
  "another configuration": logging(
    'logging.config.dictConfig({"version": 1, "root": {"handlers": []}, "loggers": {"Hostile": {"level": "ERROR"}}})',
  ),
  "a configuration by force": logging("logging.basicConfig(force=True, level=logging.CRITICAL)"),
  "no handlers": logging("logging.getLogger().handlers.clear()"),
  "a stderr that is closed": logging("sys.stderr.close()"),
  "no stderr": logging("sys.stderr = None"),
  "another descriptor 2": logging("os.dup2(os.open(os.devnull, os.O_WRONLY), 2)"),
  "been disabled": logging("logging.disable(logging.WARNING)"),
})
