/** A browser for tests of pages. Where there is none one is told so (`globalSetup.ts`), and they are skipped. */
import { accessSync, constants } from "node:fs"
import { delimiter, join } from "node:path"
import { type Browser, chromium } from "playwright-core"
import { Effect, type Scope } from "effect"

/** How Chromium is called, by who packages it. */
export const BROWSERS = ["chromium", "chromium-browser", "google-chrome"] as const

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Chromium's program, if it is on the PATH. */
export const browserPath: string | undefined = (process.env["PATH"] ?? "")
  .split(delimiter)
  .flatMap((folder) => BROWSERS.map((name) => join(folder, name)))
  .find(isExecutable)

/** Chromium, which nobody sees; it ends with the Scope. */
export const browser: Effect.Effect<Browser, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(() =>
    chromium.launch({
      executablePath: browserPath!,
      // It has none for root, who tests in containers; it is shown nothing but this machine's pages.
      args: ["--no-sandbox"],
      timeout: 120_000,
    }),
  ),
  (browser) => Effect.promise(() => browser.close()),
)
