import type { AnyContract, HookSpec } from "../../contract/Contract.ts"
import { manifestText, ownHooks, snakeCase, typeNameOf } from "./Names.ts"

/** Files by their paths. */
export interface Files {
  readonly [path: string]: string
}

/** What people who write a plugin are told of it. */
const readme = (id: string, more: string): string => `# ${id}

A plugin in Python: [\`plugin.py\`](plugin.py), and its manifest, [\`plugin.json\`](plugin.json).

\`\`\`sh
plugin-supervisor check .
plugin-supervisor dev .
plugin-supervisor pack .
\`\`\`

\`check\` tells step by step whether it runs, \`dev\` runs it and loads it anew when a file changes, and \`pack\` makes the bundle
that \`plugin-supervisor install\` takes. Packages that it needs go into \`requirements.txt\`.
${more}`

const common = (id: string, more = ""): Files => ({
  "plugin.json": manifestText(id, { runtime: "python", executable: "plugin.py" }),
  ".gitignore": "__pycache__/\n.pytest_cache/\n.venv/\n*.tar.gz\n",
  "README.md": readme(id, more),
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

/** A plugin for a contract of one's own, with each of its hooks. */
export const contractPython = (id: string, contract: AnyContract, packageName: string): Files => ({
  ...common(
    id,
    `\nIt imports \`${packageName}\`, the package of the contract: docs/own-contract-in-python.md tells how it is made.\n`,
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
})
