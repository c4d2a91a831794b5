/** An author's story over the command line for a contract of one's own, in Python and in Go. */
import { spawnSync } from "node:child_process"
import { globSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { cli, cliEnvironment } from "../support/cli.ts"
import { root } from "../support/documents.ts"
import { folder } from "../support/folder.ts"
import { noPython } from "../support/host.ts"
import { noGo } from "../support/goplugin.ts"
import { installedSdk, makePackages, OFFLINE } from "../support/wheels.ts"

const BACKEND = join(root, "examples/own-contract/src/serve.ts")
const BILLING = join(root, "examples/own-contract/src/Billing.ts")

/** A module of that contract's host, by which plugins do not get its package. */
const WITHOUT_PACKAGE = `import { BillingPlugins } from ${JSON.stringify(BILLING)}
export default { host: BillingPlugins }
`

/** What the package of that contract is made of. */
const BILLING_PACKAGE = Object.entries({
  "--proto": join(root, "examples/own-contract/proto"),
  "--hooks": "billing.v1.BillingHooks",
  "--api": "billing.v1.BillingApi",
  "--cookie": "BILLING_PLUGIN=invoices for everybody",
  "--package": "billing_plugin",
}).flat()

/** Packages of the folder `wheels` alone, and environments that go with the folder that a command is run in. */
const ENVIRONMENTS = [...OFFLINE, "--environments", "environments"]

describe.skipIf(noPython)("an author for a contract of one's own", () => {
  it.live(
    "makes a plugin with each of its hooks and a test, on the contract's package, which the backend's module names",
    () =>
      Effect.gen(function* () {
        const root = yield* folder({
          "host/serve.ts": `import { BillingPlugins } from ${JSON.stringify(BILLING)}
export default { host: BillingPlugins, pythonPackages: ["../own/billing_plugin-1.0-py3-none-any.whl"] }
`,
          "host/without.ts": WITHOUT_PACKAGE,
        })
        const made = yield* cli(["new", "taxes", "--backend", "host/serve.ts", "--json"], { cwd: root })
        assert.strictEqual(made.code, 0, made.stderr)
        const readme = readFileSync(join(root, "taxes/README.md"), "utf8")
        assert.include(readme, "plugin-supervisor check . --backend ../host/serve.ts\n")
        assert.include(readme, "plugin-supervisor dev . --backend ../host/serve.ts\n")

        // Its package is neither in the host's Python nor anywhere by its name.
        const check = (backend: string) => cli(["check", "taxes", "--backend", backend, ...ENVIRONMENTS], { cwd: root })
        const lacking = yield* check("host/without.ts")
        assert.strictEqual(lacking.code, 1)
        assert.match(
          lacking.stdout,
          /No module named 'billing_plugin'\n +billing_plugin is the contract's: its package has to be among the pythonPackages that/,
        )
        const early = yield* check("host/serve.ts")
        assert.match(early.stdout, /✗ environment[^]*own\/billing_plugin-1\.0-py3-none-any\.whl is not there; build it/)

        const generated = spawnSync(
          "python3",
          ["-m", "effect_plugin.generate", ...BILLING_PACKAGE, "--output", "made"],
          {
            cwd: root,
            env: cliEnvironment(),
            encoding: "utf8",
          },
        )
        assert.strictEqual(generated.status, 0, generated.stderr)
        const sources = globSync("made/**/billing_plugin", { cwd: root }).map((found) => join(root, found, ".."))[0]!
        makePackages(join(root, "own"), [{ name: "billing-plugin", files: { "billing_plugin.pth": `${sources}\n` } }])
        makePackages(join(root, "wheels"), [installedSdk()])
        const checked = yield* check("host/serve.ts")
        assert.strictEqual(checked.code, 0, checked.stdout)
        assert.match(checked.stdout, /✓ hooks .*TaxRules/)
        const call = (hook: string, ...more: ReadonlyArray<string>) =>
          cli(["call", hook, ...more, "--backend", "host/serve.ts", "--folder", "taxes", "--json", ...ENVIRONMENTS], {
            cwd: root,
          })
        assert.deepInclude(yield* call("TaxRules", '{"country":"FR"}'), { code: 0, stdout: "{}\n" })
        const tested = spawnSync("python3", ["-m", "pytest", "-q", "-p", "no:cacheprovider"], {
          cwd: join(root, "taxes"),
          env: cliEnvironment({ PYTHONPATH: sources }),
          encoding: "utf8",
        })
        assert.include(tested.stdout, "1 passed", tested.stdout + tested.stderr)

        // What the module leaves out of the API is not taken for another version of the contract.
        const source = join(root, "taxes/plugin.py")
        writeFileSync(
          source,
          readFileSync(source, "utf8").replace(
            'self.logger.info("InvoiceWillBeSent")',
            'self.api.get_customer("alice")\n',
          ),
        )
        const missing = yield* call("InvoiceWillBeSent", "{}")
        assert.strictEqual(missing.code, 1)
        assert.include(
          missing.stderr,
          "the host does not have billing.v1.BillingApi/GetCustomer; its backend does not provide it",
        )
      }).pipe(Effect.scoped),
  )

  it.live("is told by check that a plugin is another contract's", () =>
    Effect.gen(function* () {
      const root = yield* folder({
        "greeter/plugin.json": JSON.stringify({
          id: "greeter",
          name: "Greeter",
          server: { runtime: "python", executable: "plugin.py" },
        }),
        "greeter/plugin.py":
          "from mattermost_plugin import Plugin, run_plugin\n\nclass Greeter(Plugin): pass\n\nrun_plugin(Greeter)\n",
        "serve.ts": WITHOUT_PACKAGE,
      })
      const checked = yield* cli(["check", "greeter", "--backend", "serve.ts"], { cwd: root })
      assert.strictEqual(checked.code, 1)
      assert.match(
        checked.stdout,
        /✗ handshake[^]*the magic cookie is not the one that it expects[^]*is it made for the contract of this --backend\?/,
      )
      const called = yield* cli(["call", "TaxRules", "--folder", "greeter", "--backend", "serve.ts"], { cwd: root })
      assert.deepInclude(called, { code: 1, stdout: "" })
      assert.include(called.stderr, "is it made for the contract of this --backend?")
    }).pipe(Effect.scoped),
  )
})

describe.skipIf(noGo !== undefined)("an author in Go", () => {
  it.live("makes a plugin for either contract that runs as it is", () =>
    Effect.gen(function* () {
      const root = yield* folder({})
      for (const [id, hooks, ...more] of [
        ["in-go", "MessageWillBePosted"],
        ["in-go-too", "InvoiceWillBeSent, InvoiceWasSent, TaxRules", "--backend", BACKEND],
      ] as const) {
        const made = yield* cli(["new", id, "--go", ...more], { cwd: root })
        assert.strictEqual(made.code, 0, made.stderr)
        // It takes minutes, and says at what it is.
        assert.match(made.stderr, /^make the stubs .*\nget the packages that it needs\nbuild it\n$/)
        // What serves it is what the repository has, and tests.
        const goSdk = join(import.meta.dirname, "../../go-sdk")
        for (const name of globSync("*.go", { cwd: goSdk, exclude: ["*_test.go"] })) {
          const copied = readFileSync(join(root, id, "supervised", name), "utf8")
          assert.strictEqual(copied, readFileSync(join(goSdk, name), "utf8"))
        }
        const formatted = spawnSync("go", ["fmt", "./..."], { cwd: join(root, id), encoding: "utf8" })
        assert.strictEqual(formatted.stdout + formatted.stderr, "")
        const checked = yield* cli(["check", id, ...more], { cwd: root })
        assert.strictEqual(checked.code, 0, checked.stdout)
        assert.match(checked.stdout, new RegExp(`✓ hooks +it is active, and implements .*${hooks}\n`))
      }
      const forgotten = yield* cli(["check", "in-go-too"], { cwd: root })
      assert.match(forgotten.stdout, /✗ handshake[^]*the magic cookie[^]*was --backend forgotten\?/)
      assert.match(readFileSync(join(root, "in-go-too/README.md"), "utf8"), /check \. --backend \S+serve\.ts\n/)
    }).pipe(Effect.scoped),
  )
})
