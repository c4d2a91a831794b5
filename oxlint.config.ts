import { defineConfig, type OxlintOverride } from "oxlint"

/**
 * The rooms of src/ in the order of a plugin's life. A room imports only from those above it, so that each can be
 * understood, and used, without what builds on it.
 */
const rooms = [
  "bundle",
  "command",
  "process",
  "python",
  "rpc",
  "grpc",
  "ttrpc",
  "goplugin",
  "contract",
  "storage",
  "hooks",
  "api",
  "supervisor",
  "environment",
  "mattermost",
  "workspace",
  "http",
  "cli",
  "testing",
]

/** Rooms that must not know which transport is under them; `environment` is where it is chosen. */
const aboveTransports = new Set([
  "contract",
  "storage",
  "hooks",
  "api",
  "supervisor",
  "mattermost",
  "workspace",
  "http",
  "cli",
])

/** Rooms that must not know of any contract, and do not come before those that do. */
const withoutContract = new Set(["testing"])

export default defineConfig({
  plugins: ["typescript", "import", "unicorn", "oxc"],
  categories: { correctness: "error", suspicious: "error", perf: "warn" },
  options: { typeAware: true },
  ignorePatterns: ["**/generated/**", "dist/**", "**/.venv/**", "**/venv/**", ".cache/**"],
  rules: {
    "typescript/no-floating-promises": "error",
    "typescript/no-misused-promises": "error",
    "typescript/no-explicit-any": "error",
    "typescript/no-unsafe-type-assertion": "off",
    "typescript/no-unsafe-enum-comparison": "off",
    // TypeScript's own noImplicitReturns sees exhaustive switches; this one doesn't.
    "typescript/consistent-return": "off",
    // Effect tags its data with `_tag`.
    "no-underscore-dangle": "off",
    "no-shadow": "off",
    "no-await-in-loop": "off",
    "no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
    "import/no-cycle": "error",
    "import/no-unassigned-import": "off",
    // TypeScript checks this, and knows where the package's own name leads.
    "import/namespace": "off",
    "unicorn/consistent-function-scoping": "off",
    "unicorn/no-array-sort": "off",
  },
  overrides: [
    {
      files: ["test/**"],
      rules: {
        // Tests look into JSON, whose form they are about.
        "typescript/no-explicit-any": "off",
        "no-restricted-imports": [
          "error",
          {
            name: "@effect/platform-node",
            message: "Loading all of it takes each process a quarter of a second; name the module that is needed.",
          },
        ],
      },
    },
    ...rooms.map((room, index): OxlintOverride => ({
      files: [`src/${room}/**`],
      rules: {
        "no-restricted-imports": [
          "error",
          {
            paths: [
              {
                name: "@effect/platform-node",
                message: "all of it takes as long to load as the rest of the host: import the module",
              },
            ],
            patterns: [
              {
                group: [...rooms.slice(index + 1).map((later) => `**/${later}/**`), "**/index.ts", "**/main.ts"],
                message: `src/${room} comes before that room: imports go one way, to rooms above (see docs/architecture.md)`,
              },
              ...(aboveTransports.has(room)
                ? [
                    {
                      group: ["**/grpc/**", "**/ttrpc/**"],
                      message: `src/${room} knows of rpc/ alone, whatever the transport`,
                    },
                  ]
                : []),
              ...(withoutContract.has(room)
                ? [{ group: ["**/mattermost/**"], message: `src/${room} is for every contract` }]
                : []),
            ],
          },
        ],
      },
    })),
  ],
})
