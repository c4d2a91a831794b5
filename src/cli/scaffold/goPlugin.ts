import type { DescMessage, DescMethodUnary, DescService } from "@bufbuild/protobuf"
import type { AnyContract } from "../../contract/Contract.ts"
import { HostKeyValues } from "../../generated/plugin_supervisor/v1/host_services_pb.js"
import { GO_PACKAGE } from "./goPackage.ts"
import { goImports, goName } from "./goStubs.ts"
import { apiVariable, manifestText, ownHooks } from "./Names.ts"
import { aboutBackend, backendFlag, type Files } from "./pythonPlugin.ts"

/** The hooks that a new plugin has: of Mattermost's, which are many, two. */
const EXAMPLES = new Set(["OnActivate", "MessageWillBePosted"])

const hooksOf = (contract: AnyContract, isMattermost: boolean): ReadonlyArray<DescMethodUnary> =>
  isMattermost
    ? [...contract.unary.values()].filter(({ name }) => EXAMPLES.has(name)).map(({ method }) => method)
    : ownHooks(contract).map(({ method }) => method)

const handler = ({ input, name, output }: DescMethodUnary): string => `
func (h *hooks) ${name}(ctx context.Context, request *${goName(input)}) (*${goName(output)}, error) {
	h.log.Info("${name}")
	return &${goName(output)}{}, nil
}
`

/** Whether the hooks' own service says what a plugin implements, or that which every contract has. */
const hasOwnLifecycle = ({ hooks, lifecycle: { implemented } }: AnyContract): boolean =>
  implemented.parent.typeName === hooks.typeName

/** A plugin says what it implements: of one that does not, a host has to assume that it has every hook. */
const implementedBy = (contract: AnyContract, names: ReadonlyArray<string>): string => {
  const { implemented } = contract.lifecycle
  const receiver = hasOwnLifecycle(contract) ? "(h *hooks)" : "(lifecycle)"
  const service = hasOwnLifecycle(contract)
    ? ""
    : `
// lifecycle answers what a host asks of every plugin: OnActivate and its like are methods of it, too.
type lifecycle struct {
	${inPackage(implemented.parent, (own) => `Unimplemented${own}Server`)}
}
`
  return `${service}
// A hook that isn't named here is never called.
func ${receiver} Implemented(context.Context, *${goName(implemented.input)}) (*${goName(implemented.output)}, error) {
	return &${goName(implemented.output)}{Hooks: []string{${names.map((name) => `"${name}"`).join(", ")}}}, nil
}
`
}

const inPackage = (service: DescService, name: (own: string) => string): string => {
  const [pkg, own = ""] = goName(service).split(".")
  return `${pkg}.${name(own)}`
}

const program = (id: string, contract: AnyContract, methods: ReadonlyArray<DescMethodUnary>): string => {
  const { api, handshake, hooks, hostServices, lifecycle } = contract
  const values = inPackage(HostKeyValues, (own) => own)
  const used: ReadonlyArray<DescMessage | DescService> = [
    hooks,
    api,
    ...methods.flatMap(({ input, output }) => [input, output]),
    lifecycle.implemented.input,
    ...(hostServices ? [HostKeyValues] : []),
  ]
  const client = inPackage(api, (own) => `${own}Client`)
  const names = methods.map(({ name }) => name)
  return `package main

import (
	"context"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	${[...goImports(id, used), `"${id}/${GO_PACKAGE}"`].join("\n\t")}
)

// hooks answers the host; api is what the host answers.
type hooks struct {
	${inPackage(hooks, (own) => `Unimplemented${own}Server`)}
	api ${client}${hostServices ? `\n\t// values are the plugin's keys and values, which the host stores.\n\tvalues ${values}Client` : ""}
	log hclog.Logger
}
${implementedBy(contract, names)}${methods.map(handler).join("")}
func main() {
	log := hclog.New(&hclog.LoggerOptions{Output: os.Stderr, JSONFormat: true, Level: hclog.Info})
	${GO_PACKAGE}.Serve(${GO_PACKAGE}.Config{
		Handshake: plugin.HandshakeConfig{
			ProtocolVersion:  ${handshake.protocolVersions.at(-1) ?? 1},
			MagicCookieKey:   ${JSON.stringify(handshake.magicCookieKey)},
			MagicCookieValue: ${JSON.stringify(handshake.magicCookieValue)},
		},
		// Where the host's API is, if calls go over gRPC.
		APITarget: os.Getenv("${apiVariable(contract)}"),
		Register: func(server grpc.ServiceRegistrar, host grpc.ClientConnInterface) {
			${inPackage(hooks, (own) => `Register${own}Server`)}(server, &hooks{
				api: ${inPackage(api, (own) => `New${own}Client`)}(host),${hostServices ? `\n\t\t\t\tvalues: ${inPackage(HostKeyValues, (own) => `New${own}Client`)}(host),` : ""}
				log: log,
			})${hasOwnLifecycle(contract) ? "" : `\n\t\t\t${inPackage(lifecycle.implemented.parent, (own) => `Register${own}Server`)}(server, lifecycle{})`}
		},
		Logger: log,
	})
}
`
}

/** A plugin in Go. Beside it come the stubs of its contract, by `goStubs`, and what serves it, by `goPackage`. */
export const goPlugin = (id: string, contract: AnyContract, backend: string | undefined): Files => ({
  "plugin.json": manifestText(id, { executable: "plugin" }),
  ".gitignore": "/plugin\n*.tar.gz\n",
  "README.md": `# ${id}

A plugin in Go: [\`main.go\`](main.go), its manifest, [\`plugin.json\`](plugin.json), and in [\`contract\`](contract) the stubs of
the contract with its host${backend === undefined ? "" : ", and of what every host has beside it (`plugin_supervisor/v1`: its life cycle, keys and values, settings, log)"}.
[\`${GO_PACKAGE}\`](${GO_PACKAGE}) serves it: over ttrpc where the host offers that, else as go-plugin does.

\`\`\`sh
go build -o plugin .
plugin-supervisor check .${backendFlag(backend)}
plugin-supervisor dev .${backendFlag(backend)} --build "go build -o plugin ."
plugin-supervisor pack .
\`\`\`

\`check\` tells step by step whether it runs, \`dev\` builds and runs it, and does so anew when a file changes, and \`pack\` makes the
bundle that \`plugin-supervisor install\` takes.${aboutBackend(backend)}
`,
  "go.mod": `module ${id}

go 1.25.0

require (
	github.com/containerd/ttrpc v1.2.10
	github.com/hashicorp/go-hclog v1.6.3
	github.com/hashicorp/go-plugin v1.8.0
	google.golang.org/grpc v1.85.0
	google.golang.org/protobuf v1.36.12
)
`,
  "main.go": program(id, contract, hooksOf(contract, backend === undefined)),
})
