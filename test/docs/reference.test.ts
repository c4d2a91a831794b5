/** The reference pages are what the contract, the SDK and the host make of them. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { inject } from "vitest"
import { referenceFolder, referencePages } from "../../scripts/reference.ts"
import { read } from "../support/documents.ts"
import { noPython } from "../support/host.ts"

describe.skipIf(noPython)("docs/reference", () => {
  it("is up to date", async () => {
    const python = inject("python")
    const pages = await referencePages(join("bin" in python ? python.bin : "", "python"))
    assert.sameMembers(readdirSync(referenceFolder), Object.keys(pages))
    for (const [file, text] of Object.entries(pages)) {
      assert.strictEqual(readFileSync(join(referenceFolder, file), "utf8"), text, `${file}: run npm run generate`)
    }
  })

  it("says of the embedded workspace's hooks what docs/hooks.md does", () => {
    const [, section = ""] = read("docs/hooks.md").split("## On the embedded workspace")
    const told = new Set(section.split("\n## ")[0]!.match(/`[A-Z]\w+`/g))
    told.delete("`Workspace`")
    const hooks = read("docs/reference/hooks.md").split(/^### /gm).slice(1)
    const called = hooks.filter((hook) => /^- called by/m.test(hook)).map((hook) => `\`${hook.split("\n")[0]}\``)
    const ofEveryHost = ["`OnActivate`", "`OnDeactivate`", "`ServeHTTP`"]
    assert.sameMembers(called, [...told, ...ofEveryHost])
  })
})
