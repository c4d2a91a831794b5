import type { AnyContract, HookSpec } from "../../contract/Contract.ts"
import { manifestText, ownHooks, snakeCase, typeNameOf } from "./Names.ts"

/** Files by their paths. */
export interface Files {
  readonly [path: string]: string
}

/** The flag by which commands are told of another contract than Mattermost's; `backend` is the path of its module. */
export const backendFlag = (backend: string | undefined): string =>
  backend === undefined ? "" : ` --backend ${quoted(backend)}`

/** For a shell, where it would not take it as it is. */
const quoted = (text: string): string => (/^[\w./:@+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`)

/** What the flag is for. */
export const aboutBackend = (backend: string | undefined): string =>
  backend === undefined
    ? ""
    : "\n\n`--backend` names the module of the host that the plugin is made for; without it, that would be Mattermost's."

/** What people who write a plugin are told of it. */
const readme = (id: string, more: string, backend?: string): string => `# ${id}

A plugin in Python: [\`plugin.py\`](plugin.py), and its manifest, [\`plugin.json\`](plugin.json).

\`\`\`sh
plugin-supervisor check .${backendFlag(backend)}
plugin-supervisor dev .${backendFlag(backend)}
plugin-supervisor pack .
\`\`\`

\`check\` tells step by step whether it runs, \`dev\` runs it and loads it anew when a file changes, and \`pack\` makes the bundle
that \`plugin-supervisor install\` takes. Packages that it needs go into \`requirements.txt\`.${aboutBackend(backend)}
${more}`

const common = (id: string, more = "", backend?: string): Files => ({
  "plugin.json": manifestText(id, { runtime: "python", executable: "plugin.py" }),
  ".gitignore": "__pycache__/\n.pytest_cache/\n.venv/\n*.tar.gz\n",
  "README.md": readme(id, more, backend),
})

/** A plugin for Mattermost's contract that refuses some posts, serves a page, and has a test. */
export const mattermostPython = (id: string): Files => ({
  ...common(
    id,
    '\nThe tests, in [`test_plugin.py`](test_plugin.py), need no host: `pip install pytest "$(plugin-supervisor sdk)"`, then `pytest`.\n',
  ),
  "plugin.py": `from mattermost_plugin import HookName, Plugin, hook, run_plugin


class ${typeNameOf(id)}(Plugin):
    @hook(HookName.OnActivate)
    def on_activate(self):
        self.logger.info("${id} is active")

    @hook(HookName.MessageWillBePosted)
    def check_post(self, ctx, post):
        if "secret" in post.message:
            return None, "secrets don't belong here"
        return None

    @hook(HookName.ServeHTTP)
    def serve(self, ctx, writer, request):
        writer.write("Hello from ${id}!")


if __name__ == "__main__":
    run_plugin(${typeNameOf(id)})
`,
  "test_plugin.py": `from plugin import ${typeNameOf(id)}

from mattermost_plugin.types import Post


def test_secrets_are_refused(plugin_host):
    host = plugin_host(${typeNameOf(id)})
    assert host.call("MessageWillBePosted", Post(message="a secret")).rejection_reason == "secrets don't belong here"
    assert host.call("MessageWillBePosted", Post(message="hello")).rejection_reason == ""
`,
})

/** The package that a contract's plugins import, unless its makers call it something else. */
export const packageOf = ({ hooks }: AnyContract): string => {
  const parts = hooks.file.proto.package.split(".").filter((part) => !/^v\d/.test(part))
  return `${snakeCase(parts.at(-1) ?? "my")}_plugin`
}

/** Words that Python keeps for itself, and that are likely names of fields. */
const KEYWORDS = new Set([
  "and",
  "as",
  "class",
  "def",
  "del",
  "from",
  "global",
  "if",
  "import",
  "in",
  "is",
  "not",
  "or",
  "pass",
  "return",
  "with",
])

const parametersOf = ({ method: { input } }: HookSpec): ReadonlyArray<string> => {
  const names = input.name.endsWith("Request") ? input.fields.map(({ name }) => name) : [snakeCase(input.name)]
  return ["self", ...names.map((name) => (KEYWORDS.has(name) ? `${name}_` : name))]
}

const WHAT: { readonly [kind in HookSpec["kind"]]: string } = {
  decides: "return None  # no opinion",
  asks: "return None  # nothing to say",
  tells: "",
}

const handler = (spec: HookSpec): string => `    @hook(HookName.${spec.name})
    def ${snakeCase(spec.name)}(${parametersOf(spec).join(", ")}):
        self.logger.info("${spec.name}")
${WHAT[spec.kind] === "" ? "" : `        ${WHAT[spec.kind]}\n`}`

/** A test that calls the first of the hooks, if there is one; what it does is for the plugin's author to add. */
const contractTest = (id: string, contract: AnyContract): string => {
  const [hook] = ownHooks(contract)
  const test =
    hook === undefined
      ? `def test_it_becomes_active(plugin_host):
    plugin_host(${typeNameOf(id)})
`
      : `def test_${snakeCase(hook.name)}(plugin_host):
    host = plugin_host(${typeNameOf(id)})
    # Takes ${parametersOf(hook).slice(1).join(", ") || "nothing"}; what is left out has the default of its type.
    host.call("${hook.name}")
`
  return `from plugin import ${typeNameOf(id)}\n\n\n${test}`
}

/** A plugin for a contract of one's own, with each of its hooks. */
export const contractPython = (id: string, contract: AnyContract, packageName: string, backend: string): Files => ({
  ...common(
    id,
    `\nIt imports \`${packageName}\`, the Python package of the contract. Who makes the host has it, and names it as
\`pythonPackages\` in the module of \`--backend\`: \`check\`, \`dev\` and the host install it then. For the test in
[\`test_plugin.py\`](test_plugin.py), which needs no host, and for editors, install it into an environment of your own, with the
SDK: \`pip install pytest "$(plugin-supervisor sdk)"\` and the package, then \`pytest\`.\n`,
    backend,
  ),
  "plugin.py": `from ${packageName} import HookName, Plugin, hook, run_plugin


class ${typeNameOf(id)}(Plugin):
    @hook(HookName.OnActivate)
    def on_activate(self):
        self.logger.info("${id} is active")

${ownHooks(contract).map(handler).join("\n")}

if __name__ == "__main__":
    run_plugin(${typeNameOf(id)})
`,
  "test_plugin.py": contractTest(id, contract),
})
