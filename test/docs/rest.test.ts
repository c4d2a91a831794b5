/** The commands of docs/rest-api.md, run as their readers run them. */
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { promisify } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { checkout } from "../support/checkout.ts"
import { cliEnvironment } from "../support/cli.ts"
import { snippets } from "../support/documents.ts"
import { eventually, noPython } from "../support/host.ts"
import { program } from "../support/program.ts"

/** While it waits, this process serves the archive. */
const execute = promisify(execFile)

/** A server from which the archive is downloaded. */
const origin = (file: string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(
        () =>
          new Promise<ReturnType<typeof createServer>>((resolve) => {
            const server = createServer((_, response) => response.end(readFileSync(file)))
            server.listen(0, "127.0.0.1", () => resolve(server))
          }),
      ),
      (server) => Effect.sync(() => server.close()),
    ),
    (server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  )

/** What commands answer, by their ends. */
const ANSWERS: ReadonlyArray<readonly [command: RegExp, answer: RegExp]> = [
  [/-F plugin=@hello\.tar\.gz \$api$/, /"id":"hello-python"/],
  [/-X POST \$api\/hello-python\/\w+$|-X DELETE/, /^\{"status":"OK"\}$/],
  [/8065\/plugins\/hello-python\/$/, /Hello from Python!/],
  [/\/statuses$/, /"state":2,"state_name":"Running".*"source":"installed"/],
  [/\/health$/, /"ping":\{"answered":true/],
  [/\/logs\?count/, /"message":"plugin hello-python is active"|"level":"Info"/],
  [/\/config$/, /^\{"Greeting":"hi"\}$/],
  [/openapi\.json$/, /"openapi":"3\.1/],
  [/install_from_url/, /"id":"hello-python"/],
]

describe.skipIf(noPython)("docs/rest-api.md", () => {
  it.live(
    "has commands that work, one after the other",
    () =>
      Effect.gen(function* () {
        const cwd = yield* checkout
        const env = { ...process.env, PATH: `${join(cwd, "bin")}:${cliEnvironment()["PATH"]}` }
        const [start = "", variables = "", ...others] = snippets("docs/rest-api.md", "sh")
        const script = `${start.trim().replace(/^plugin-supervisor/m, "exec $&")} --port 0`
        const { child, log, output } = yield* program("sh", ["-ec", script], { cwd, env })
        yield* eventually("it serves", () => child.exitCode !== null || output().includes("Try:"))
        assert.isNull(child.exitCode, log())
        const port = /listens on http:\/\/127\.0\.0\.1:(\d+)/.exec(output())![1]!
        const commandOf = (line: string, from: string) =>
          `${variables}\n${line}`.replaceAll(":8065", `:${port}`).replace("https://example.com", from)

        // The commands about logs are for a plugin that is there: they come before the one that removes it.
        const lines = others.flatMap((snippet) => snippet.trim().split("\n"))
        const last = lines.findIndex((line) => line.includes("-X POST $api/hello-python/disable"))
        const [logs, ending] = [lines.slice(last + 2), lines.slice(last, last + 2)]
        let from = ""
        let run = 0
        for (const line of [...lines.slice(0, last), ...logs, ...ending]) {
          if (line.startsWith("curl -N")) {
            // It does not end by itself.
            const following = yield* program(
              "sh",
              ["-c", `${commandOf(line, from)} --silent`.replace("\ncurl", "\nexec curl")],
              { cwd, env },
            )
            yield* eventually("it follows", () => /^data: \{.*"level":"Info"/m.test(following.output()))
            run++
            continue
          }
          const isRequest = line.startsWith("curl ")
          const command = commandOf(isRequest ? `${line} --silent --fail-with-body --max-time 60` : line, from)
          const { stdout: answer } = yield* Effect.promise(() => execute("sh", ["-ec", command], { cwd, env }))
          if (!isRequest) {
            from = yield* origin(join(cwd, "hello.tar.gz"))
            continue
          }
          const [, expected] = ANSWERS.find(([ends]) => ends.test(line.replace(/"$/, ""))) ?? []
          assert.isDefined(expected, line)
          assert.match(answer, expected, line)
          run++
        }
        assert.isAbove(run, 15)
        child.kill("SIGTERM")
        yield* eventually("it has stopped", () => child.exitCode !== null)
        assert.strictEqual(child.exitCode, 0, log())
      }).pipe(Effect.scoped),
    600_000,
  )
})
