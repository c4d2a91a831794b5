import { join } from "node:path"
import { defineConfig } from "vitest/config"

// Tests start Node hundreds of times, mostly with the same modules: what was compiled once is used by all of them.
process.env["NODE_COMPILE_CACHE"] ??= join(import.meta.dirname, ".cache/node")

// In this repository the package's own name means its sources; users get dist/.
const conditions = ["effect-plugin-supervisor-source", "node", "import", "module", "default"]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ["test/**/*.test.ts", "examples/*/test/**/*.test.ts"],
    globalSetup: ["test/support/globalSetup.ts"],
    // Real processes start in many tests, and the machine may have two cores that are busy with others'.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    maxWorkers: 2,
    // What a plugin logs matters when its test fails.
    silent: "passed-only",
  },
})
