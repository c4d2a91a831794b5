import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result } from "effect"
import { cleanPath, PathSanitizer } from "../../src/bundle/PathSanitizer.ts"
import { folder } from "../support/folder.ts"

const live = PathSanitizer.layer.pipe(Layer.provide(NodeServices.layer))

describe("cleanPath", () => {
  const hostile: ReadonlyArray<readonly [path: string, reason: string]> = [
    ["", "empty"],
    [" ", "empty"],
    [".", "empty"],
    ["./", "empty"],
    ["./.", "empty"],
    ["foo/..", "empty"],
    ["a/b/../..", "empty"],
    ["..", "outside"],
    ["../", "outside"],
    ["../x", "outside"],
    ["./../x", "outside"],
    ["a/../../b", "outside"],
    ["a/b/../../../c", "outside"],
    ["../my-plugin/plugin.py", "outside"],
    ["a//../..//b", "outside"],
    ["/", "absolute"],
    ["/etc/passwd", "absolute"],
    ["//server/share", "absolute"],
    ["C:", "absolute"],
    ["C:/Windows/system32", "absolute"],
    ["c:plugin.py", "absolute"],
    ["C:\\Windows", "character"],
    ["..\\x", "character"],
    ["a\\..\\..\\x", "character"],
    ["\\\\server\\share", "character"],
    ["\\\\?\\C:\\x", "character"],
    ["plugin.py\0", "character"],
    ["\0", "character"],
    ["a\0/../../x", "character"],
    ["plugin.py\n", "character"],
    ["plu\u007fgin.py", "character"],
  ]
  it.each(hostile)("refuses %j", (path, reason) => {
    assert.deepStrictEqual(cleanPath(path), Result.fail(reason as never))
  })

  const harmless: ReadonlyArray<readonly [path: string, names: string]> = [
    ["plugin.py", "plugin.py"],
    ["./plugin.py", "plugin.py"],
    ["server/dist/plugin-linux-amd64", "server/dist/plugin-linux-amd64"],
    ["a//b", "a/b"],
    ["a/../plugin.py", "plugin.py"],
    ["plugin.py/", "plugin.py"],
    ["%2e%2e/x", "%2e%2e/x"],
    ["...", "..."],
    ["..a", "..a"],
    ["plügin 1.py", "plügin 1.py"],
    [".hidden", ".hidden"],
  ]
  it.each(harmless)("cleans %j", (path, names) => {
    assert.deepStrictEqual(Result.getOrThrow(cleanPath(path)).join("/"), names)
  })
})

describe("PathSanitizer", () => {
  const inBundle = Effect.gen(function* () {
    const outside = yield* folder({ "secret.py": "", "dir/plugin.py": "" })
    const bundle = yield* folder({
      "plugin.py": "",
      "server/main.py": "",
      "inner-link.py": { link: "server/main.py" },
      "inner-dir": { link: "server" },
      "file-link.py": { link: join(outside, "secret.py") },
      "dir-link": { link: join(outside, "dir") },
      "up-link": { link: ".." },
      "self-link": { link: "." },
      "dangling.py": { link: "nowhere" },
      "loop.py": { link: "loop.py" },
    })
    return {
      bundle,
      resolve: (path: string) => Effect.flatMap(PathSanitizer, (service) => service.resolve(bundle, path)),
    }
  })

  it.effect("answers the real path of what lies in the bundle", () =>
    Effect.gen(function* () {
      const { bundle, resolve } = yield* inBundle
      assert.strictEqual(yield* resolve("./server/../plugin.py"), join(bundle, "plugin.py"))
      assert.strictEqual(yield* resolve("inner-link.py"), join(bundle, "server/main.py"))
      assert.strictEqual(yield* resolve("inner-dir/main.py"), join(bundle, "server/main.py"))
    }).pipe(Effect.scoped, Effect.provide(live)),
  )

  it.effect.each([
    ["file-link.py", "linkOutside"],
    ["dir-link/plugin.py", "linkOutside"],
    ["up-link", "linkOutside"],
    ["self-link", "linkOutside"],
    ["dangling.py", "missing"],
    ["loop.py", "missing"],
    ["absent.py", "missing"],
    ["../x", "outside"],
  ] as const)("refuses %s: %s", ([path, reason]) =>
    Effect.gen(function* () {
      const { bundle, resolve } = yield* inBundle
      const error = yield* Effect.flip(resolve(path))
      assert.strictEqual(error.reason, reason)
      assert.include(error.message, JSON.stringify(path))
      assert.include(error.message, bundle)
    }).pipe(Effect.scoped, Effect.provide(live)),
  )

  it.effect("is not fooled by a sibling whose name begins alike", () =>
    Effect.gen(function* () {
      const parent = yield* folder({
        "plugin/x": "",
        "plugin-evil/secret": "",
        "plugin/link": { link: "../plugin-evil" },
      })
      const { resolve } = yield* PathSanitizer
      const error = yield* Effect.flip(resolve(join(parent, "plugin"), "link/secret"))
      assert.strictEqual(error.reason, "linkOutside")
    }).pipe(Effect.scoped, Effect.provide(live)),
  )
})
