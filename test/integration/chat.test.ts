/** The example with WebSockets, in a browser, through the supervisor as its operator starts it. */
import { cpSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { browser, browserPath } from "../support/browser.ts"
import { folder } from "../support/folder.ts"
import { examples, noPython } from "../support/host.ts"
import { supervising } from "../support/supervisor.ts"

/** How long a page may take for anything, on a busy machine. */
const PATIENCE = 60_000

describe.skipIf(noPython || browserPath === undefined)("the chat page", () => {
  it.live("shows two visitors what each other says", () =>
    Effect.gen(function* () {
      const root = yield* folder({ plugins: { folder: true } })
      cpSync(join(examples, "web-apps/fastapi-chat"), join(root, "plugins/fastapi-chat"), { recursive: true })
      const { port } = yield* supervising(root)
      const chromium = yield* browser
      const failures: Array<string> = []
      const open = Effect.promise(async () => {
        const page = await (await chromium.newContext()).newPage()
        page.setDefaultTimeout(PATIENCE)
        page.on("pageerror", (error) => failures.push(error.message))
        await page.goto(`http://127.0.0.1:${port}/plugins/fastapi-chat/`)
        await page.getByRole("status").filter({ hasText: "connected" }).waitFor()
        return page
      })
      const [ada, grace] = yield* Effect.all([open, open])
      const say = (page: typeof ada, text: string) =>
        Effect.promise(async () => {
          await page.getByLabel("Message").fill(text)
          await page.getByRole("button", { name: "Send" }).click()
        })
      const shown = (page: typeof ada, count: number) =>
        Effect.promise(async () => {
          const lines = page.getByRole("listitem")
          await lines.nth(count - 1).waitFor()
          return lines.allTextContents()
        })

      yield* say(ada, "Is anybody <b>there</b>?")
      yield* shown(grace, 1)
      yield* say(grace, "Yes ☕")
      const all = ["stranger: Is anybody <b>there</b>?", "stranger: Yes ☕"]
      assert.deepStrictEqual(yield* shown(ada, 2), all)
      assert.deepStrictEqual(yield* shown(grace, 2), all)
      assert.deepStrictEqual(failures, [])
    }).pipe(Effect.scoped),
  )
})
